"""Which question is asked of two tables, and of what."""

from __future__ import annotations

import math

import numpy as np
import pytest
from made_tables import LOSS, Made, Row, units, write

from hpsearch.comparison.comparing import compare_tables
from hpsearch.comparison.questions import Question, answer, answer_rescored, config_differences
from hpsearch.comparison.table import Columns, read_tables
from hpsearch.space.execution import Status

#: Fresh scores of two configs.
FRESH = tuple({seed: gain + seed / 1000 for seed in range(10, 16)} for gain in (0.9, 0.5))


@pytest.fixture
def two(tmp_path):
    """Two tables of some rows."""

    def make(first, second, metric="val_accuracy:maximize:last"):
        paths = [
            write(tmp_path / name, Made(rows, metric))
            for name, rows in (("a", first), ("b", second))
        ]
        return read_tables(paths)

    return make


def test_shared_configs_are_paired_and_the_rest_left_out(two):
    first, second = two(units([0.9, 0.8, 0.7]), units([0.6, 0.6, 0.99], first=2))
    found = answer(first, second)
    assert found.question is Question.PAIRED
    assert found.n_pairs == 2
    assert found.estimate.difference == pytest.approx(0.15)


@pytest.mark.parametrize("method", ["tpe", "asha tpe", "auto", "hyperband", "my:Oracle"])
def test_bests_of_configs_chosen_by_scores_get_no_interval(tmp_path, method):
    first = write(tmp_path / "a", Made(units([0.9 + i / 1000 for i in range(20)]), method=method))
    second = write(tmp_path / "b", Made(units([0.5 + i / 1000 for i in range(20)], first=50)))
    found = compare_tables([first, second])
    assert found.winner is None
    assert found.difference == pytest.approx(0.4)
    assert found.interval == (-math.inf, math.inf)
    text = str(found).replace("\\", "")
    assert f"no winner, {method} may choose configs by the scores of others" in text
    assert "0.4000 (no interval), no test" in text
    found = compare_tables([first, second], rescore=lambda _: {"a": FRESH[0], "b": FRESH[1]})
    assert found.winner == "a"


@pytest.mark.parametrize(
    "method", ["random", "grid", "sobol", "asha", "", "keras_tuner.oracles:RandomSearchOracle"]
)
def test_bests_of_configs_that_were_drawn_get_an_interval(tmp_path, method):
    first = write(tmp_path / "a", Made(units([0.9 + i / 1000 for i in range(20)]), method=method))
    second = write(tmp_path / "b", Made(units([0.5 + i / 1000 for i in range(20)], first=50)))
    assert compare_tables([first, second]).winner == "a"


def test_shared_configs_are_paired_whatever_chose_them(tmp_path):
    paths = [
        write(tmp_path / name, Made(units([gain + i / 1000 for i in range(20)]), method="tpe"))
        for name, gain in (("a", 0.9), ("b", 0.5))
    ]
    found = compare_tables(paths)
    assert (found.winner, found.n_pairs) == ("a", 20)


def test_smaller_is_better_where_it_is_minimised(two):
    found = answer(*two(units([0.1, 0.2]), units([0.3, 0.4]), LOSS))
    assert found.estimate.difference == pytest.approx(0.2)
    found = answer(*two(units([0.1, 0.2]), units([0.3, 0.4], first=9), LOSS))
    assert found.question is Question.BEST
    assert found.estimate.difference == pytest.approx(0.2)


def test_seeds_that_both_have_are_paired(two):
    first = [Row({"units": 1}, s, seed) for seed, s in ((0, 0.5), (1, 0.7), (2, 0.9))]
    second = [Row({"units": 1}, s, seed) for seed, s in ((1, 0.6), (2, 0.7), (3, 0.1))]
    table = config_differences(*two(first, second))
    # Seeds 1 and 2: 0.1 and 0.2. The means over all would differ by more.
    assert table["difference"].tolist() == pytest.approx([0.15])
    assert table["seeds"].tolist() == [2]
    # Both means are of the same seeds, so that they differ by the difference.
    assert [*table[["first", "second"]].iloc[0]] == pytest.approx([0.8, 0.65])


def test_without_common_seeds_means_are_compared(two):
    first = [Row({"units": 1}, s, seed) for seed, s in ((0, 0.5), (1, 0.7))]
    second = [Row({"units": 1}, 0.5, 7)]
    table = config_differences(*two(first, second))
    assert table["difference"].tolist() == pytest.approx([0.1])


def test_seeds_are_one_cluster_a_config(two):
    rng = np.random.default_rng(0)
    scores = rng.random((2, 6, 3))
    rows = [
        [Row({"units": 1 + c}, float(scores[t, c, s]), s) for c in range(6) for s in range(3)]
        for t in range(2)
    ]
    found = answer(*two(*rows))
    assert found.n_pairs == 6
    assert found.n_seeds == 3
    means = (scores[0] - scores[1]).mean(axis=1)
    error = means.std(ddof=1) / np.sqrt(6)
    assert found.estimate.high - found.estimate.low == pytest.approx(2 * 2.570582 * error)


def test_configs_that_shared_a_training_are_one_cluster(two):
    def rows(scores):
        return [
            Row(
                {"units": 1 + i // 2, "epochs": 1 + i % 2},
                score,
                shared_with=None if i % 2 else i + 2,
            )
            for i, score in enumerate(scores)
        ]

    rng = np.random.default_rng(1)
    first, second = rng.random((2, 12))
    found = answer(*two(rows(first.tolist()), rows(second.tolist())))
    assert found.n_pairs == 12
    assert found.n_units == (6, 6)
    means = (first - second).reshape(6, 2).mean(axis=1)
    assert found.estimate.difference == pytest.approx(means.mean())
    error = means.std(ddof=1) / np.sqrt(6)
    assert found.estimate.high - found.estimate.low == pytest.approx(2 * 2.570582 * error)


def test_of_trainings_that_several_configs_shared_the_best_counts(two):
    def rows(first):
        return [
            Row(
                {"units": first + i // 2, "epochs": 1 + i % 2},
                0.5 + i / 100,
                shared_with=None if i % 2 else i + 2,
            )
            for i in range(12)
        ]

    found = answer(*two(rows(1), rows(50)))
    assert found.question is Question.BEST
    assert found.n_configs == (12, 12)
    assert found.n_units == (6, 6)


def test_failed_configs_are_counted_not_guessed(two):
    first = units([0.9, None, 0.7])
    second = units([0.8, 0.7, None])
    found = answer(*two(first, second))
    assert (found.n_pairs, found.n_lost) == (1, 2)


def test_configs_that_were_halted_pair_with_those_halted_alike(two):
    def rows(*ends):
        return [
            Row({"units": unit}, 0.5, status=status, epochs=epochs)
            for unit, (status, epochs) in enumerate(ends, start=1)
        ]

    stopped, completed = Status.STOPPED, Status.COMPLETED
    first = rows((stopped, 1), (stopped, 3), (stopped, 3), (completed, 9), (completed, 9))
    second = rows((stopped, 1), (stopped, 1), (completed, 3), (completed, 9), (completed, 7))
    tables = two(first, second)
    assert list(config_differences(*tables).index) == [
        tables[0].executions["config"][i] for i in (0, 3, 4)
    ]
    found = answer(*tables)
    assert (found.n_pairs, found.n_lost) == (3, 2)


def test_without_shared_configs_the_bests_are_compared(two):
    first, second = units([0.9, 0.8, 0.7]), units([0.6, 0.85], first=9)
    found = answer(*two(first, second))
    assert found.question is Question.BEST
    assert found.estimate.difference == pytest.approx(0.05)
    assert (found.n_pairs, found.n_configs) == (0, (3, 2))
    assert found.corrected is None


def test_bests_are_means_of_equally_many_seeds(two):
    first = [Row({"units": 1 + c}, 0.5 + c / 10, 0) for c in range(5)]
    # By seed 0 alone, config 9 is the best; by all, config 10.
    second = [
        Row({"units": 9 + c}, score, seed)
        for c, scores in enumerate([(0.8, 0.1, 0.1), (0.7, 0.7, 0.7)])
        for seed, score in enumerate(scores)
    ]
    found = answer(*two(first, second))
    assert found.n_seeds == 1
    assert found.estimate.difference == pytest.approx(0.9 - 0.8)


def test_luck_is_taken_off_where_seeds_tell(two):
    first = [Row({"units": 1 + c}, 0.9 * (c == s), s) for c in range(3) for s in range(3)]
    second = [Row({"units": 9 + c}, 0.1, s) for c in range(3) for s in range(3)]
    found = answer(*two(first, second))
    assert found.estimate.difference == pytest.approx(0.3 - 0.1)
    assert found.corrected == pytest.approx(0.2 - 0.45)


def test_a_table_without_scores_has_no_answer(two):
    found = answer(*two(units([0.9, 0.8]), units([None, None])))
    assert found.estimate.difference is None
    assert found.n_lost == 2
    nothing = answer(*two(units([0.9, 0.8]), []))
    assert nothing.estimate.difference is None
    assert answer(*two([], [])).estimate.difference is None


def test_fresh_seeds_are_paired(two):
    first, second = two(units([0.9]), units([0.8], first=5))
    fresh = {"a": {7: 0.5, 8: 0.6, 9: 0.7}, "b": {7: 0.4, 8: 0.6}}
    found = answer_rescored(first, second, fresh)
    assert found.question is Question.RESCORED
    assert found.n_pairs == 2
    assert found.estimate.difference == pytest.approx(0.05)


def test_tables_of_other_programs_are_paired_by_their_params(tmp_path):
    ours = write(tmp_path / "ours", Made(units([0.9, 0.8, 0.7, 0.6, 0.5])))
    other = tmp_path / "other.csv"
    lines = [f"{float(unit)},{score}" for unit, score in enumerate((8, 7, 6, 5, 4), start=1)]
    other.write_text("units,val_accuracy\n" + "\n".join(lines) + "\n")
    compared = compare_tables([ours, other], Columns("val_accuracy", ("units",)))
    assert compared.n_pairs == 5
    assert compared.winner == "other"


def test_repetitions_without_seeds_are_averaged(tmp_path):
    for name, scores in (("a", (0.2, 0.4)), ("b", (0.1, 0.1))):
        text = "".join(f"1,{score}\n" for score in scores)
        (tmp_path / f"{name}.csv").write_text("units,acc\n" + text)
    compared = compare_tables(
        [tmp_path / "a.csv", tmp_path / "b.csv"], Columns("acc", ("units",), "maximize")
    )
    assert compared.difference == pytest.approx(0.2)
    assert compared.n_pairs == 1


@pytest.mark.parametrize(("shared", "pairs"), [(4, 0), (5, 5), (8, 8)])
def test_few_common_configs_do_not_speak_for_many(two, shared, pairs):
    scores = np.linspace(0.5, 0.9, 20).tolist()
    found = answer(*two(units(scores), units(scores, first=21 - shared)))
    assert found.question is (Question.PAIRED if pairs else Question.BEST)
    assert (found.n_pairs, found.n_lost) == (pairs, 0)
    assert found.n_shared == (0 if pairs else shared)


def test_few_of_very_many_are_few(two):
    scores = np.linspace(0.5, 0.9, 70).tolist()
    assert answer(*two(units(scores), units(scores, first=65))).question is Question.BEST


def test_configs_that_cannot_be_compared_do_not_make_the_others_few(two):
    """As of two halving searches, which stop most configs at different epochs."""
    scores = np.linspace(0.5, 0.9, 100).tolist()

    def rows(epochs):
        ends = [(Status.COMPLETED, 9)] * 6 + [(Status.STOPPED, epochs)] * 94
        return [
            Row({"units": unit}, score, status=status, epochs=count)
            for unit, (score, (status, count)) in enumerate(zip(scores, ends, strict=True), 1)
        ]

    found = answer(*two(rows(1), rows(3)))
    assert found.question is Question.PAIRED
    assert (found.n_pairs, found.n_lost) == (6, 94)
