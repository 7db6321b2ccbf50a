"""Intervals: against their formulas, and as often right as they say."""

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from hpsearch.data.specs import Target, Task
from hpsearch.models.problem import Recipe
from hpsearch.programs.repeat import StoredProgram
from hpsearch.runs.trial import StoredRun, Which, mean_interval, share_interval
from hpsearch.space.execution import Execution, ExecutionResult, Status
from hpsearch.space.space import Config
from hpsearch.store.facts import Measurement
from hpsearch.training.mlps import predictions
from hpsearch.workers.calls import answers

#: Of a standard normal distribution, two-sided.
_Z = 1.959963984540054


@pytest.mark.parametrize(("right", "rows"), [(0, 10), (3, 10), (350, 360), (360, 360), (1, 1)])
def test_a_share_has_wilsons_interval(right, rows):
    measured = share_interval(right, rows)
    share = right / rows
    middle = (share + _Z**2 / (2 * rows)) / (1 + _Z**2 / rows)
    width = _Z * math.sqrt(share * (1 - share) / rows + _Z**2 / (4 * rows**2)) / (1 + _Z**2 / rows)
    assert measured.value == share
    assert measured.low == pytest.approx(max(0.0, middle - width), abs=1e-12)
    assert measured.high == pytest.approx(min(1.0, middle + width), abs=1e-12)
    assert measured.method == "wilson"


def test_many_losses_have_students_interval():
    values = np.random.default_rng(0).exponential(size=5_000)
    measured = mean_interval(values)
    width = 1.9604386 * values.std(ddof=1) / math.sqrt(len(values))
    assert measured.method == "t"
    assert measured.value == pytest.approx(values.mean())
    assert measured.low == pytest.approx(values.mean() - width, rel=1e-5)
    assert measured.high == pytest.approx(values.mean() + width, rel=1e-5)


def test_few_losses_have_an_interval_that_stays_where_losses_are():
    values = np.array([0.001] * 14 + [2.0])
    measured = mean_interval(values)
    assert 0 < measured.low < measured.value < measured.high <= 2


@pytest.mark.parametrize("values", [[0.5], [math.nan, 1.0], [math.inf, 1.0]])
def test_what_has_no_spread_has_no_interval(values):
    measured = mean_interval(np.array(values))
    assert (measured.low, measured.high) == (None, None)


def test_equal_losses():
    assert mean_interval(np.full(9, 0.25)) == Measurement(0.25, 0.25, 0.25, "t")


def test_classes_give_a_matrix_of_true_and_predicted():
    target = Target(Task.MULTICLASS, 3, classes=("a", "b", "c"))
    y, predicted = np.array([0, 0, 1, 2, 2]), np.array([0.0, 1.0, 1.0, 2.0, 0.0])
    found = answers(predicted, y, target)
    assert found == {"confusion": ((1, 1, 0), (0, 1, 0), (1, 0, 1))}
    two = answers(np.array([0.0, 1.0]), np.array([1.0, 1.0]), Target(Task.BINARY, 1))
    assert two == {"confusion": ((0, 0), (1, 1))}


def test_targets_give_pairs_in_their_own_unit_spread_over_the_true_ones():
    target = Target(Task.REGRESSION, 1, mean=(100.0,), std=(10.0,))
    y = np.linspace(-1, 1, 1_000)[::-1].reshape(-1, 1)
    found = answers(y.ravel() * 10 + 101, y, target)["pairs"]
    assert len(found) == 300
    assert found[0] == (90, 91)
    assert found[-1] == (110, 111)
    lost = answers(np.array([np.nan, 2.0]), np.zeros((2, 1)), target)
    assert lost == {"pairs": ((100, 2),)}
    assert answers(np.full(2, np.nan), np.zeros((2, 1)), target) == {}


def test_what_is_not_known_or_too_much_is_left_out():
    many = Target(Task.MULTICLASS, 31, classes=tuple(map(str, range(31))))
    assert answers(np.zeros(2), np.zeros(2), many) == {}
    assert predictions(np.zeros((3, 2)), Target(Task.REGRESSION, 2)) is None


def test_a_seed_without_a_trial_is_one_of_the_best_trial():
    rows = {(1, 0): 0.9, (1, 1): 0.8, (2, 0): 0.5, (2, 1): 0.95}
    executions, results = [], {}
    for number, ((trial, seed), score) in enumerate(rows.items(), start=1):
        executions.append(Execution(number, trial, Config({"units": trial}), seed))
        results[number] = ExecutionResult(number, Status.COMPLETED, score, (), 1)
    recipe = Recipe(0, "", "", "val_accuracy", "maximize")
    run = StoredRun(Path(), None, None, recipe, executions, results, frozenset(), print)
    assert run.scored(Which(seed=1))[0].trial == run.scored(Which())[0].trial == 1
    assert run.scored(Which(trial=2))[0].seed == 1
    program = StoredProgram(Path(), SimpleNamespace(metric=recipe), executions, results)
    assert program.find(Which(seed=1)).trial == 1
