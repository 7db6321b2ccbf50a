"""The best so far against trials, epochs and seconds."""

import pytest
from made_tables import LOSS, Made, Row, units, write

from hpsearch.comparison.findings import best_so_far, equal_budgets
from hpsearch.comparison.table import Columns, read_tables


def tables(tmp_path, *rows, metric="val_accuracy:maximize:last"):
    return read_tables([write(tmp_path / f"t{i}", Made(r, metric)) for i, r in enumerate(rows)])


def test_the_best_only_improves(tmp_path):
    table, _ = tables(tmp_path, units([0.5, None, 0.7, 0.6]), units([0.1]))
    curve = best_so_far(table)
    assert curve["best"].tolist() == [0.5, 0.5, 0.7, 0.7]
    assert curve["trials"].tolist() == [1, 2, 3, 4]
    small, _ = tables(tmp_path, units([0.5, 0.4, 0.6]), units([0.1]), metric=LOSS)
    assert best_so_far(small)["best"].tolist() == [0.5, 0.4, 0.4]


def test_epochs_of_a_shared_training_count_once_for_each_seed(tmp_path):
    rows = [
        Row({"units": u, "epochs": e}, 0.5, seed, epochs=e, seconds=e, shared_with=shared)
        for u, e, shared in ((1, 2, 3), (1, 5, None), (2, 3, None))
        for seed in (0, 1)
    ]
    table, _ = tables(tmp_path, rows, units([0.1]))
    curve = best_so_far(table)
    assert curve["epochs"].tolist() == [2, 4, 7, 10, 13, 16]
    assert curve["seconds"].tolist() == [2, 4, 9, 14, 17, 20]


def test_a_trial_counts_once_all_its_seeds_have_come(tmp_path):
    scores = ((1, 0, 0.5), (2, 0, 0.9), (1, 1, 0.7), (2, 1, 0.7))
    rows = [Row({"units": unit}, score, seed) for unit, seed, score in scores]
    table, _ = tables(tmp_path, rows, units([0.1]))
    # Its executions follow each other in the table.
    curve = best_so_far(table)
    assert curve["trials"].tolist() == [1, 1, 2, 2]
    assert curve["best"].isna().tolist() == [True, False, False, False]
    assert curve["best"].dropna().tolist() == pytest.approx([0.6, 0.6, 0.8])


def test_budgets_are_shares_of_what_the_cheaper_table_spent(tmp_path):
    first = units([0.1 * i for i in range(1, 9)])
    second = [Row({"units": 50 + i}, 0.05 * i, seconds=0.5) for i in range(1, 5)]
    found = equal_budgets(tables(tmp_path, first, second))
    by = {(each.unit, each.budget): each.best for each in found}
    assert by["trials", 4] == pytest.approx({"t0": 0.4, "t1": 0.2})
    assert by["trials", 1] == pytest.approx({"t0": 0.1, "t1": 0.05})
    assert by["epochs", 2] == pytest.approx({"t0": 0.2, "t1": 0.1})
    assert by["seconds", 2.0] == pytest.approx({"t0": 0.2, "t1": 0.2})
    # Half a second: not one trial of the first.
    assert by["seconds", 0.5] == {"t0": None, "t1": pytest.approx(0.05)}


def test_shares_of_few_trials_are_not_repeated_and_what_is_not_known_is_left_out(tmp_path):
    found = equal_budgets(tables(tmp_path, units([0.5]), units([0.6, 0.7])))
    assert [each.budget for each in found if each.unit == "trials"] == [1]
    (tmp_path / "a.csv").write_text("units,val_accuracy\n1,0.5\n2,0.6\n")
    found = equal_budgets(
        read_tables([tmp_path / "a.csv"] * 2, Columns("val_accuracy", ("units",)))
    )
    assert {each.unit for each in found} == {"trials"}
    ours = write(tmp_path / "ours", Made(units([0.5, 0.6])))
    (tmp_path / "b.csv").write_text("units,score\n1,0.5\n2,0.6\n")
    columns = Columns("score", ("units",), goal="maximize")
    for paths in ([ours, tmp_path / "b.csv"], [tmp_path / "b.csv", ours]):
        assert {each.unit for each in equal_budgets(read_tables(paths, columns))} == {"trials"}
