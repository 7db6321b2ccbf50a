"""Which question is asked of two tables, and of what."""

import math

import numpy as np
import pandas as pd
import pytest
from made_tables import LOSS, Made, Row, seeded, units, write, write_two

from hpsearch.comparison.comparing import compare_tables
from hpsearch.comparison.questions import Question, answer_settled, pair_configs, paired_scores
from hpsearch.comparison.questions import answer as answer_of
from hpsearch.comparison.table import Columns, read_tables
from hpsearch.comparison.writing import as_markdown
from hpsearch.space.execution import Status
from hpsearch.store.tables import adaptive_methods

#: Fresh scores of two configs.
FRESH = tuple({str(s): gain * (1 + s / 1000) for s in range(10, 16)} for gain in (0.9, 0.5))


def answer(first, second):
    return answer_of(first, second)[0]


def pairs(first, second):
    return paired_scores(first, second, pair_configs(first, second))


@pytest.fixture
def with_sweeps(tmp_path):
    """Six configs with two seeds in a table of another recipe for each sweep file's text."""

    def write_all(*texts):
        paths = []
        for name, text in zip("abc", texts, strict=False):
            rows = seeded(units([0.5 + i / 100 for i in range(6)]), 0.0, 0.1)
            paths.append(write(tmp_path / name, Made(rows, recipe=f"r{name}")))
            (paths[-1] / "sweep.yaml").write_text(f"data: {{dataset: digits}}\n{text}\n")
        return paths

    return write_all


@pytest.fixture
def two(tmp_path):
    """Two tables of some rows."""

    return lambda *rows: read_tables(write_two(tmp_path, *rows))


def test_methods_are_drawn_or_chosen_by_scores():
    chosen = ("tpe", "bayesian", "auto", "hyperband", "my:Oracle")
    drawn = ("random", "grid", "sobol", "", "keras_tuner.oracles:RandomSearchOracle")
    assert adaptive_methods(pd.DataFrame({"method": [*chosen, *drawn]})) == chosen


@pytest.mark.parametrize("method", ["tpe", "my:Oracle"])
def test_bests_of_configs_chosen_by_scores_get_no_interval(tmp_path, method):
    first = write(tmp_path / "a", Made(units([0.9 + i / 1000 for i in range(20)]), method=method))
    second = write(tmp_path / "b", Made(units([0.5 + i / 1000 for i in range(20)], first=50)))
    for path in (first, second):
        (path / "sweep.yaml").write_text("data: {dataset: digits}\nparameters: {units: [1]}\n")
    found = compare_tables([first, second])
    assert found.winner is None
    assert found.difference == pytest.approx(0.4)
    assert found.interval == (-math.inf, math.inf)
    text = as_markdown(found).replace("\\", "")
    assert f"the configs were chosen by the scores of others ({method})" in text
    assert "0.4000 (no interval), no test" in text
    assert f"hpsearch compare {first} {second} --settle" in text
    found = compare_tables([first, second], settle=lambda _: {"a": FRESH[0], "b": FRESH[1]})
    assert found.winner == "a"


@pytest.mark.parametrize("method", ["random", ""])
def test_bests_of_configs_that_were_drawn_get_an_interval(tmp_path, method):
    scores = [[gain + i / 1000 for i in range(20)] for gain in (0.9, 0.5)]
    rows = [seeded(units(scores[0]), 0.0, 0.01), seeded(units(scores[1], 50), 0.0, 0.01)]
    first = write(tmp_path / "a", Made(rows[0], method=method))
    second = write(tmp_path / "b", Made(rows[1]))
    assert compare_tables([first, second]).winner == "a"
    paths = [write(tmp_path / name, Made(part[::2])) for name, part in zip("cd", rows, strict=True)]
    found = compare_tables(paths)
    assert found.winner is None
    assert "no winner, one seed" in as_markdown(found)


def test_one_seed_says_nothing_of_others(tmp_path):
    rows = (units([gain + i / 1000 for i in range(20)]) for gain in (0.9, 0.5))
    paths = write_two(tmp_path, *rows)
    text = "data: {dataset: digits}\nparameters: {units: [1, 2]}\n"
    (paths[0] / "sweep.yaml").write_text(text)
    found = compare_tables(paths)
    assert (found.winner, found.interval, found.n_pairs) == (None, (-math.inf, math.inf), 20)
    assert "no winner, one seed: it moves all configs of a table together" in as_markdown(found)
    assert found.advice == (
        f"for more seeds: hpsearch run {paths[0]}/sweep.yaml --out {paths[0]} --set seeds=5",
    )


@pytest.mark.parametrize(("first", "question"), [(1, Question.PAIRED), (9, Question.BEST)])
def test_smaller_is_better_where_it_is_minimised(two, first, question):
    found = answer(*two(units([0.1, 0.2]), units([0.3, 0.4], first), LOSS))
    assert found.question is question
    assert found.estimate.difference == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("first", "second", "paired", "gain"),
    [
        # Seeds 1 and 2: 0.1 and 0.2. The means over all would differ by more.
        ({0: 0.5, 1: 0.7, 2: 0.9}, {1: 0.6, 2: 0.7, 3: 0.1}, True, 0.15),
        # One seed in common is not used where there are more.
        ({0: 0.5, 1: 0.7}, {1: 0.6, 2: 0.8}, False, -0.1),
        ({0: 0.5, 1: 0.7}, {7: 0.5}, False, 0.1),
        ({0: 0.5, 1: 0.7}, {7: 0.5, 8: 0.6, 9: 0.4}, False, 0.1),
    ],
)
def test_seeds_that_both_have_are_paired_else_means_are_compared(two, first, second, paired, gain):
    rows = [[Row({"units": 1}, s, seed) for seed, s in part.items()] for part in (first, second)]
    found = pairs(*two(*rows))
    assert found.same_draws == paired
    assert found.gains == pytest.approx([gain])
    # Both means are of the seeds that were compared.
    (mean,), (other,) = found.means
    assert mean - other == pytest.approx(gain)


def test_seeds_of_sweeps_with_another_seed_are_others(with_sweeps):
    """The same numbers, 0 and 1, but other weights and another order of the rows."""
    texts = (f"seed: {seed}\nparameters: {{units: [1, 2]}}" for seed in (5, 6, 5))
    first, second, third = read_tables(with_sweeps(*texts))
    assert not answer(first, second).same_draws
    assert answer(first, third).same_draws
    assert answer(first, second).n_draws == (2, 2)


def in_pairs(scores, first=1):
    """Rows of which two and two shared a training."""
    return [
        Row({"units": first + i // 2, "epochs": 1 + i % 2}, score, shared_with=(i + 2, None)[i % 2])
        for i, score in enumerate(scores)
    ]


def test_configs_that_shared_a_training_are_one_cluster(two):
    first, second = np.random.default_rng(1).random((2, 12))
    found = answer(*two(in_pairs(first.tolist()), in_pairs(second.tolist())))
    assert found.n_pairs == 12
    assert found.n_units == (6, 6)
    assert found.estimate.difference == pytest.approx((first - second).mean())


def test_of_trainings_that_several_configs_shared_the_best_counts(two):
    scores = [0.5 + i / 100 for i in range(12)]
    found = answer(*two(in_pairs(scores), in_pairs(scores, first=50)))
    assert found.question is Question.BEST
    assert found.n_configs == (12, 12)
    assert found.n_units == (6, 6)


def test_failed_configs_are_counted_not_guessed(two):
    first = units([0.9, None, 0.7])
    second = units([0.8, 0.7, None])
    found = answer(*two(first, second))
    assert (found.n_pairs, found.n_lost) == (1, 2)


def ended(ends, scores):
    """A row a score, whose trainings ended with a status after some epochs."""
    return [
        Row({"units": unit}, score, status=status, epochs=epochs)
        for unit, (score, (status, epochs)) in enumerate(zip(scores, ends, strict=True), start=1)
    ]


def test_configs_that_were_halted_pair_with_those_halted_alike(two):
    stopped, completed = Status.STOPPED, Status.COMPLETED
    first = ((stopped, 1), (stopped, 3), (stopped, 3), (completed, 9), (completed, 9))
    second = ((stopped, 1), (stopped, 1), (completed, 3), (completed, 9), (completed, 7))
    tables = two(ended(first, [0.5] * 5), ended(second, [0.5] * 5))
    assert pairs(*tables).configs == [tables[0].executions["config"][i] for i in (0, 3, 4)]
    found = answer(*tables)
    assert (found.n_pairs, found.n_lost) == (3, 2)


def test_configs_that_cannot_be_compared_do_not_make_the_others_few(two):
    """As of two halving searches, which stop most configs at different epochs."""
    scores = np.linspace(0.5, 0.9, 100).tolist()
    ends = ([(Status.COMPLETED, 9)] * 6 + [(Status.STOPPED, epochs)] * 94 for epochs in (1, 3))
    found = answer(*two(*(ended(part, scores) for part in ends)))
    assert found.question is Question.PAIRED
    assert (found.n_pairs, found.n_lost) == (6, 94)


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
    assert found.n_draws == (1, 1)
    assert found.estimate.difference == pytest.approx(0.9 - 0.8)


def test_luck_is_taken_off_where_seeds_tell(two):
    first = [Row({"units": 1 + c}, 0.9 * (c == s), s) for c in range(3) for s in range(3)]
    second = [Row({"units": 9 + c}, 0.1, s) for c in range(3) for s in range(3)]
    found = answer(*two(first, second))
    assert found.estimate.difference == pytest.approx(0.3 - 0.1)
    assert found.corrected == pytest.approx(0.2 - 0.45)


@pytest.mark.parametrize(
    ("count", "shared", "pairs"), [(20, 4, 0), (20, 5, 5), (20, 8, 8), (70, 6, 0)]
)
def test_few_common_configs_do_not_speak_for_many(two, count, shared, pairs):
    scores = np.linspace(0.5, 0.9, count).tolist()
    found = answer(*two(units(scores), units(scores, first=count + 1 - shared)))
    assert found.question is (Question.PAIRED if pairs else Question.BEST)
    assert (found.n_pairs, found.n_lost) == (pairs, 0)


@pytest.mark.parametrize(("further", "question"), [(0, Question.PAIRED), (4, Question.BEST)])
def test_trainings_that_both_tables_have_are_no_answer_if_there_are_others(two, further, question):
    scores = np.linspace(0.5, 0.9, 8).tolist()
    found = answer(*two(units(scores + [0.95] * further), units(scores)))
    assert found.question is question
    assert found.estimate.difference == pytest.approx(0.05 if further else 0)


def test_an_ablation_is_paired_by_what_both_tables_vary(tmp_path):
    layers = [1, 1, 2, 2, 3, 3]
    rows = [
        seeded(
            [
                Row({"hidden_layers": n, "units": 8 + i, **kind}, 0.5 + gain + i / 50)
                for i, n in enumerate(layers)
            ],
            0.0,
            0.02,
        )
        for kind, gain in (
            ({"layer_type": "dense"}, 0.1),
            ({"layer_type": "dropout", "dropout": 0.3}, 0.0),
        )
    ]
    plain = [Row({"hidden_layers": 0}, 0.4, seed) for seed in (0, 1)]
    paths = [write(tmp_path / n, Made(plain + r)) for n, r in zip("ab", rows, strict=True)]
    first, second = read_tables(paths)
    found = answer(first, second)
    assert (found.n_pairs, found.n_equal, found.same_draws) == (6, 1, True)
    assert [(c.name, c.first, c.second) for c in found.changes] == [
        ("layer_type", "dense", "dropout"),
        ("dropout", "", "0.3"),
    ]
    compared = compare_tables(paths)
    assert compared.winner == "a"
    assert (
        "with layer_type dropout and dropout 0.3 instead of layer_type dense: a is better than b "
        "by 0.1000"
    ) in as_markdown(compared).replace("\\", "")
    assert "6 configs x the same 2 executions" in as_markdown(compared)


def test_numbers_that_are_almost_equal_are_other_configs(two):
    first = [Row({"learning_rate": 0.1 + i * 1e-9, "units": 8}, 0.5) for i in range(6)]
    second = [Row({"learning_rate": 0.1 + i * 1e-9, "units": 9}, 0.4) for i in range(6)]
    found = answer(*two(first, second))
    assert (found.n_pairs, [c.name for c in found.changes]) == (6, ["units"])


def null_tables(two, rng, seeds):
    """Two tables without a difference, whose configs have the seeds that `seeds` returns."""
    shifts = 0.05 * rng.standard_normal((2, 10))
    rows = [
        [
            Row({"units": 1 + c}, 0.5 + shift[s] + 0.01 * rng.standard_normal(), s)
            for c in range(20)
            for s in range(seeds(c))
        ]
        for shift in shifts
    ]
    return answer(*two(*rows))


@pytest.mark.parametrize(
    ("seeds", "draws"),
    [
        (lambda c: 5 if c == 0 else 1, 1),  # a run with more seeds that was interrupted
        (lambda c: 6 if c < 4 else 2, 2),  # a race
        (lambda c: 4 - (c == 0), 4),  # a failure
    ],
)
def test_draws_of_few_configs_are_not_those_of_the_table(two, seeds, draws):
    rng = np.random.default_rng(8)
    found = [null_tables(two, rng, seeds) for _ in range(3)]
    assert {(each.n_configs, each.n_draws) for each in found} == {((20, 20), (draws, draws))}
    assert {each.estimate.bounded for each in found} == {draws > 1}
    assert sum(each.estimate.excludes_zero for each in found) <= 1


def test_values_that_are_spelt_otherwise_are_the_same(two):
    spelt = ["momentum", {"name": "sgd", "momentum": 0.9}]
    rows = [[Row({"optimizer": o, "units": 1 + i}, 0.5 + i / 50) for i in range(6)] for o in spelt]
    found = answer(*two(*(seeded(part, 0, 0.1) for part in rows)))
    assert (found.question, found.n_pairs, found.changes) == (Question.PAIRED, 6, ())


def test_a_space_that_is_wider_is_no_ablation(two):
    dense = [Row({"layer_type": "dense", "units": 1 + i}, 0.5 + i / 50) for i in range(6)]
    dropped = {"layer_type": "dropout", "dropout": 0.3}
    wider = [*dense, *(Row({"units": 1 + i, **dropped}, 0.4) for i in range(6))]
    found = answer(*two(seeded(dense, 0, 0.1), seeded(wider, 0, 0.1)))
    assert (found.question, found.n_pairs, found.changes) == (Question.BEST, 0, ())


def test_large_whole_numbers_are_told_apart(tmp_path):
    for name in ("a", "b"):
        lines = [f"{2**62 + i},{0.5 + i / 100}" for i in range(10)] + [f"{10**400},0.9"]
        (tmp_path / f"{name}.csv").write_text("u,acc\n" + "\n".join(lines) + "\n")
    paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
    assert compare_tables(paths, Columns("acc", ("u",), "maximize")).n_pairs == 11


def test_one_config_against_another_is_answered_by_its_seeds(two):
    rng = np.random.default_rng(10)
    noise = 0.01 * rng.standard_normal((2, 6))
    rows = [[Row({"units": u}, u + noise[u - 1, s], s) for s in range(6)] for u in (1, 2)]
    found = answer(*two(*rows))
    assert (found.n_pairs, found.count) == (1, 6)
    assert found.estimate.high < 0


def test_only_what_decides_a_score_is_told(with_sweeps):
    """The scale of a range is no setting of the data."""
    texts = (
        "budget: {trials: 6}\nmethod: random\n"
        f"early_stopping: {{patience: {patience}}}\n"
        f"parameters: {{learning_rate: {{min: 0.1, max: 0.2, scale: {scale}}}}}"
        for scale, patience in (("log", 3), ("linear", 4))
    )
    assert compare_tables(with_sweeps(*texts)).notes == ("early_stopping.patience: a 3, b 4",)


def test_random_numbers_of_csv_files_are_assumed(with_sweeps):
    paths = [path / "results.csv" for path in with_sweeps("", "")]
    assert "the sweep's seed: not known of a, b" in str(compare_tables(paths))


def test_fresh_seeds_are_paired(two):
    first, second = two(units([0.9]), units([0.8], first=5))
    fresh = {"a": {"7": 0.5, "8": 0.6, "9": 0.7}, "b": {"7": 0.4, "8": 0.6, "9": math.nan}}
    found = answer_settled(first, second, fresh)
    assert found.question is Question.SETTLED
    assert (found.n_pairs, found.n_lost) == (2, 1)
    assert found.estimate.difference == pytest.approx(0.05)


def test_tables_of_other_programs_are_paired_by_their_params(tmp_path):
    ours = write(tmp_path / "ours", Made(units([0.9, 0.8, 0.7, 0.6, 0.5])))
    other = tmp_path / "other.csv"
    # The sixth has no partner.
    lines = [f"{float(unit)},{score}" for unit, score in enumerate((8, 7, 6, 5, 4, 3), start=1)]
    other.write_text("units,val_accuracy\n" + "\n".join(lines) + "\n")
    compared = compare_tables([ours, other], Columns("val_accuracy", ("units",)))
    assert compared.assumed == ("data and split: not told by other; taken to be the same",)
    assert compared.n_pairs == 5
    assert compared.difference == pytest.approx(0.7 - 6)
    assert compared.winner is None


def test_scores_of_folds_are_executions(tmp_path):
    rows = [
        Row({"units": n}, n / 10 + fold / 100, fold=fold) for n in range(1, 7) for fold in (1, 2)
    ]
    paths = [write(tmp_path / name, Made(rows)) for name in "ab"]
    assert "6 configs x the same 2 executions" in as_markdown(compare_tables(paths))
