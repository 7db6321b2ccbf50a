"""Splits by a column of a CSV file: groups that stay whole, and the order of time."""

from __future__ import annotations

import numpy as np
import pytest
from datasets import load

from hpsearch.errors import DataError
from hpsearch.spec.data import SplitSpec
from hpsearch.spec.sweep import sweep_from_mapping

ROWS = 60


@pytest.fixture
def table(csv_file):
    """60 rows out of order, five days of twelve, of which `a` is the place in time."""
    order = np.random.default_rng(0).permutation(ROWS)
    lines = [
        f"{i},2024-03-{1 + i // 12:02d}T08:00,g{i % 7},{'no' if i % 2 else 'yes'}" for i in order
    ]
    return csv_file("a,when,who,label\n" + "\n".join(lines) + "\n")


def asked(table, by, column, **options):
    split = SplitSpec(by=by, column=column)
    return {"csv": table, "target": "label", "split": split, **options}


def test_later_rows_validate_earlier_ones(table):
    dataset = load(**asked(table, "time", "when", drop=("who",), validation=0.3))
    # A day stays together: two days, not one and a half.
    assert sorted(dataset.validation.x[:, 0]) == list(range(36, 60))
    assert sorted(dataset.train.x[:, 0]) == list(range(36))
    assert dataset.input.table.names == ("a",)


def test_folds_go_on_in_time(table):
    folds = load(**asked(table, "time", "when", drop=("who",), cv=4)).folds
    assert [len(fold.train) for fold in folds] == [12, 24, 36, 48]
    for fold in folds:
        assert fold.train.x.max() < fold.validation.x.min()
        assert len(fold.validation) == 12
        np.testing.assert_allclose(fold.input.mean, fold.train.x.mean(axis=0), rtol=1e-6)


def test_groups_of_a_file_stay_whole(table):
    drop = ("when",)
    single = load(**asked(table, "group", "who", drop=drop))
    folds = load(**asked(table, "group", "who", drop=drop, cv=3)).folds
    for each in (single, *folds):
        sides = [set(part.x[:, 0] % 7) for part in (each.train, each.validation)]
        assert not sides[0] & sides[1]
    assert not single.folds
    assert sum(len(fold.validation) for fold in folds) == ROWS


def test_the_seed_draws_the_groups(table):
    def validated(seed):
        dataset = load(**asked(table, "group", "who", drop=("when",), seed=seed))
        return frozenset(dataset.validation.x[:, 0] % 7)

    assert len({validated(seed) for seed in range(6)}) > 2
    assert validated(3) == validated(3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "time", "column": "wen"}, "split: no column 'wen'; did you mean 'when'"),
        ({"by": "time", "column": "who"}, r"'g\d' is neither a number.*nor a date by ISO 8601"),
        ({"by": "time", "column": "when", "cv": 9}, "has 5 different times in 60 rows, too few"),
        ({"by": "group", "column": "who", "cv": 8}, "groups: there are 7, and each of 8 parts"),
    ],
)
def test_columns_that_cannot_split_are_told(table, options, message):
    with pytest.raises(DataError, match=message):
        load(**asked(table, **options))


def test_a_missing_group_is_told(csv_file):
    table = csv_file("a,who,label\n1,x,no\n2,,yes\n3,y,no\n4,x,yes\n")
    with pytest.raises(DataError, match=r"table\.csv:3: column 'who': missing value \(1 such"):
        load(**asked(table, "group", "who"))


def test_numbers_are_in_their_own_order(csv_file):
    rows = [f"{i},{i},{i % 2}" for i in (100, 9, 10, 8, 11, 7, 101, 6, 12, 5)]
    table = csv_file("a,when,label\n" + "\n".join(rows) + "\n")
    dataset = load(**asked(table, "time", "when", validation=0.2))
    assert sorted(dataset.validation.x[:, 0]) == [100, 101]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"split": {"by": "day", "column": "a"}}, r"data\.split\.by: .*group"),
        ({"split": {"by": "group"}}, r"data\.split\.column: is missing"),
        ({"split": {"by": "group", "column": "y"}}, r"data\.split\.column: is the target"),
        ({"split": {"by": "time", "column": "a"}, "test": 0.2}, r"data\.test: a share of rows"),
        (
            {"split": {"by": "time", "column": "a"}, "validation": "v.csv"},
            r"data\.split: has no meaning",
        ),
    ],
)
def test_a_sweep_file_s_split_is_checked(data, message):
    sweep = {"name": "s", "parameters": {}, "data": {"csv": "t.csv", "target": "y", **data}}
    with pytest.raises(Exception, match=message):
        sweep_from_mapping(sweep)


def test_a_split_stands_in_the_sweep_file():
    split = {"by": "time", "column": "when"}
    data = {"csv": "t.csv", "target": "y", "split": split}
    sweep = sweep_from_mapping({"name": "s", "parameters": {}, "data": data})
    assert sweep.data.raw()["split"] == split
    assert sweep.data.how_split["by"] == split
