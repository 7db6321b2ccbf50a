"""Which hyperparameters explain a difference, and which configs moved."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from made_tables import LOSS, Made, Row, write

from hpsearch.comparison.findings import between_bests, moves, within_pairs
from hpsearch.comparison.questions import config_differences
from hpsearch.comparison.table import read_tables

GRID = list(itertools.product(["adam", "sgd"], [8, 16, 32], ["relu", "tanh"]))


def grid(score, grid_=GRID):
    return [Row({"optimizer": o, "units": u, "activation": a}, score(o, u, a)) for o, u, a in grid_]


def tables(tmp_path, first, second, metric="val_accuracy:maximize:last"):
    return read_tables(
        [write(tmp_path / name, Made(r, metric)) for name, r in (("a", first), ("b", second))]
    )


def test_the_hyperparameter_that_makes_the_difference_comes_first(tmp_path):
    rng = np.random.default_rng(0)
    plain = {each: rng.random() for each in GRID}
    noise = {each: rng.normal(0, 0.01) for each in GRID}
    first = grid(lambda o, u, a: plain[o, u, a] + 0.1 * (o == "sgd") + noise[o, u, a])
    one, two = tables(tmp_path, first, grid(lambda o, u, a: plain[o, u, a]))
    effects = within_pairs(one, config_differences(one, two))
    assert {effect.name for effect in effects} == {"optimizer", "units", "activation"}
    optimizer, *rest = effects
    assert optimizer.name == "optimizer"
    assert optimizer.share > 0.9
    assert optimizer.p_value < 0.001
    assert all(effect.p_value > 0.05 for effect in rest)
    estimate, count = optimizer.by_value["sgd"]
    assert count == 6
    assert estimate.low < 0.1 < estimate.high
    assert abs(optimizer.by_value["adam"][0].difference) < 0.02
    assert list(next(e for e in rest if e.name == "units").by_value) == ["8", "16", "32"]


def test_equal_tables_depend_on_nothing(tmp_path):
    rows = grid(lambda _o, u, _a: u / 100)
    one, two = tables(tmp_path, rows, rows)
    differences = config_differences(one, two)
    assert within_pairs(one, differences) == []
    assert moves(one, differences) == []


def test_many_numbers_are_quarters(tmp_path):
    rng = np.random.default_rng(1)
    rates = rng.uniform(1e-4, 1e-1, 40).tolist()
    first = [Row({"learning_rate": r}, 0.5 + r + rng.normal(0, 0.001)) for r in rates]
    second = [Row({"learning_rate": r}, 0.5) for r in rates]
    one, two = tables(tmp_path, first, second)
    (effect,) = within_pairs(one, config_differences(one, two))
    assert effect.name == "learning_rate"
    assert len(effect.by_value) == 4
    means = [estimate.difference for estimate, _ in effect.by_value.values()]
    assert means == sorted(means)


def test_what_the_bests_have_otherwise_is_worth_what_the_model_says(tmp_path):
    def score(o, u, a):
        return 0.5 + 0.2 * (o == "adam") + 0.03 * (a == "relu") + u / 1000

    # The first table has adam mostly with few units: means alone would hide what it is worth.
    first = grid(score, [(o, u, a) for o, u, a in GRID if (o, u) in {("adam", 8), ("sgd", 16)}])
    second = grid(
        score, [(o, u, a) for o, u, a in GRID if (o, u) == ("sgd", 32)] + [("adam", 16, "tanh")]
    )
    rng = np.random.default_rng(2)
    for row in (*first, *second):
        row.score += rng.normal(0, 1e-4)
    one, two = tables(tmp_path, first, second)
    assert one.values(one.best)["units"] == 8
    assert two.values(two.best)["units"] == 16
    changes = {change.name: change for change in between_bests(one, two)}
    assert set(changes) == {"units", "activation"}
    for name, worth in (("units", -0.008), ("activation", 0.03)):
        estimate = changes[name].estimate
        assert estimate.difference == pytest.approx(worth, abs=5e-4)
    assert (changes["activation"].first, changes["activation"].second) == ("relu", "tanh")
    assert changes["activation"].counts == (3, 4)


@pytest.mark.slow
def test_the_interval_of_a_worth_covers_it(tmp_path):
    rng = np.random.default_rng(5)
    covered = 0
    for repetition in range(60):
        rows = [
            grid(lambda o, _u, _a: 0.5 + 0.1 * (o == "adam") + rng.normal(0, 0.05), part)
            for part in (GRID[:9], GRID[9:])
        ]
        rows[0].append(Row({"optimizer": "adam", "units": 64, "activation": "tanh"}, 2.0))
        rows[1].append(Row({"optimizer": "sgd", "units": 64, "activation": "tanh"}, 1.9))
        one, two = tables(tmp_path / str(repetition), *rows)
        (change,) = [c for c in between_bests(one, two) if c.name == "optimizer"]
        covered += change.estimate.low <= 0.1 <= change.estimate.high
    assert covered >= 53


def test_what_was_only_tried_together_cannot_be_told_apart(tmp_path):
    first = [Row({"optimizer": "adam", "units": 8 + i}, 0.5 + i / 10) for i in range(3)]
    second = [Row({"optimizer": "sgd", "units": 20 + i}, 0.5 + i / 9) for i in range(3)]
    changes = between_bests(*tables(tmp_path, first, second))
    assert {change.name for change in changes} == {"optimizer", "units"}
    assert all(change.estimate.difference is None for change in changes)


def test_configs_that_moved_most_come_first_with_their_ranks(tmp_path):
    first = grid(lambda _o, u, _a: u / 100)
    second = grid(lambda o, u, a: u / 100 + 0.5 * ((o, u, a) == ("sgd", 8, "relu")))
    one, two = tables(tmp_path, first, second)
    (top,) = moves(one, config_differences(one, two))
    assert top.difference == pytest.approx(-0.5)
    assert top.values == {"units": "8", "activation": "relu", "optimizer": "sgd"}
    # Of twelve, four had the fewest units; now it is the best.
    assert top.ranks == (9, 1)
    turned, other = tables(tmp_path / "loss", first, second, LOSS)
    (top,) = moves(turned, config_differences(turned, other))
    assert top.difference == pytest.approx(0.5)
    assert top.ranks == (1, 12)


def test_optimizers_read_as_calls(tmp_path):
    mapping = {"name": "sgd", "learning_rate": 0.1}
    first = [Row({"optimizer": mapping, "units": 8 + i}, 0.5 + i / 9) for i in range(4)]
    second = [Row({"optimizer": "adam", "units": 8 + i}, 0.6 + i / 9) for i in range(4)]
    (change,) = between_bests(*tables(tmp_path, first, second))
    assert change.first == "sgd(learning_rate=0.1)"
    assert change.estimate.difference == pytest.approx(-0.1)
