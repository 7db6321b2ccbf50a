"""Splits: scikit-learn's random ones, by groups that stay whole, and by time."""

from pathlib import Path

import numpy as np
import pytest
from datasets import load
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import RepeatedStratifiedKFold, train_test_split

from hpsearch.data.splitting import split_rows
from hpsearch.errors import DataError
from hpsearch.spec.data import FoldsSpec, SplitSpec
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
    # A share of a row is a row, as in scikit-learn.
    dataset = load(**asked(table, "time", "a", drop=("when",), validation=0.31))
    assert len(dataset.validation) == 19


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


def test_rows_are_divided_several_times_as_by_scikit_learn(table):
    spec = {"csv": table, "target": "label", "drop": ("when", "who")}
    dataset = load(**spec, cv=FoldsSpec(folds=3, repeats=2), seed=5)
    labels = np.concatenate([dataset.folds[0].train.y, dataset.folds[0].validation.y])
    assert len(labels) == ROWS
    order = [int(line.split(",")[0]) for line in Path(table).read_text().split()[1:]]
    splitter = RepeatedStratifiedKFold(n_splits=3, n_repeats=2, random_state=5)
    expected = [
        sorted(np.array(order)[rows]) for _, rows in splitter.split(order, np.array(order) % 2)
    ]
    assert [sorted(fold.validation.x[:, 0]) for fold in dataset.folds] == expected
    once = load(**spec, cv=3, seed=5)
    assert [fold.fingerprint for fold in once.folds] == [f.fingerprint for f in dataset.folds[:3]]


@pytest.mark.parametrize(
    "options",
    [{}, {"cv": 3}, {"cv": 3, "target": "a", "task": "regression"}],
    ids=["one split", "folds", "folds of a regression"],
)
def test_the_seed_draws_the_groups(table, options):
    def validated(seed):
        dataset = load(**asked(table, "group", "who", drop=("when",), seed=seed, **options))
        rows = dataset.of_fold(1 if dataset.folds else None).validation
        return frozenset(np.ravel(rows.y if "task" in options else rows.x))

    assert len({validated(seed) for seed in range(6)}) > 2
    assert validated(3) == validated(3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "time", "column": "wen"}, "split: no column 'wen'; did you mean 'when'"),
        ({"by": "time", "column": "who"}, r"'g\d' is neither a number.*nor a date by ISO 8601"),
        ({"by": "time", "column": "when", "cv": 9}, "has 5 different times in 60 rows, too few"),
        (
            {"by": "group", "column": "who", "cv": 8},
            r"cv: StratifiedGroupKFold: .*n_splits=8 greater",
        ),
    ],
)
def test_columns_that_cannot_split_are_told(table, options, message):
    with pytest.raises(DataError, match=message):
        load(**asked(table, **options))


def test_a_missing_group_is_told(csv_file):
    table = csv_file("a,who,label\n1,x,no\n2,,yes\n3,y,no\n4,x,yes\n")
    with pytest.raises(DataError, match=r"table\.csv:3: column 'who': missing value in the column"):
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
        ({"cv": 2, "validation": 0.2}, "cv: 2 takes validation rows"),
        ({"cv": {"repeats": 5}}, r"data\.cv\.folds: is missing"),
        ({"cv": "five"}, r"data\.cv: must be how many folds .*'five'"),
        (
            {"cv": {"folds": 5, "repeats": 3}, "split": {"by": "group", "column": "a"}},
            r"data\.cv: repeats shuffle rows, which a split by group does not: cv: 5",
        ),
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


SEEDS = st.integers(0, 2**32 - 1)


@given(st.integers(2, 300), st.floats(0.01, 0.9), SEEDS)
def test_an_unstratified_split(n, fraction, seed):
    count = int(np.clip(round(fraction * n), 1, n - 1))
    train, validation, test = split_rows((n - count, count, 0), seed, None, "here")
    expected = train_test_split(np.arange(n), test_size=count, random_state=seed)
    np.testing.assert_array_equal(train, expected[0])
    np.testing.assert_array_equal(validation, expected[1])
    assert not len(test)


@settings(max_examples=200)
@given(st.lists(st.integers(2, 40), min_size=2, max_size=12), st.floats(0.1, 0.9), SEEDS)
def test_a_stratified_split(counts, fraction, seed):
    """The split is scikit-learn's for any class sizes: shares tie, and are rounded in all ways."""
    n, classes = sum(counts), len(counts)
    codes = np.random.default_rng(seed).permutation(np.repeat(np.arange(classes), counts))
    count = int(np.clip(round(fraction * n), classes, n - classes))
    train, validation, _ = split_rows((n - count, count, 0), seed, codes, "here")
    expected = train_test_split(np.arange(n), test_size=count, random_state=seed, stratify=codes)
    np.testing.assert_array_equal(train, expected[0])
    np.testing.assert_array_equal(validation, expected[1])
