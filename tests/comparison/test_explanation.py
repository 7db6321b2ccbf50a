"""Which hyperparameters explain a difference, and which configs moved."""

import itertools

import numpy as np
import pytest
from made_tables import LOSS, Row, seeded, write_two

from hpsearch.comparison.findings import dependences, moves
from hpsearch.comparison.questions import pair_configs, paired_scores
from hpsearch.comparison.table import read_tables

GRID = list(itertools.product(["adam", "sgd"], [8, 16, 32], ["relu", "tanh"]))


def grid(score, grid_=GRID):
    return [Row({"optimizer": o, "units": u, "activation": a}, score(o, u, a)) for o, u, a in grid_]


def scores(tmp_path, first, second, metric="val_accuracy:maximize:last"):
    tables = read_tables(write_two(tmp_path, first, second, metric))
    return paired_scores(*tables, pair_configs(*tables))


def test_the_hyperparameter_that_makes_the_difference_comes_first(tmp_path):
    rng = np.random.default_rng(0)
    plain = {each: rng.random() for each in GRID}
    noise = {each: rng.normal(0, 0.01) for each in GRID}
    first = grid(lambda o, u, a: plain[o, u, a] + 0.1 * (o == "sgd") + noise[o, u, a])
    second = grid(lambda o, u, a: plain[o, u, a])
    found = scores(tmp_path, seeded(first, 0.0, 0.01), seeded(second, 0.0, 0.012))
    optimizer, *others = dependences(found)
    assert optimizer.name == "optimizer"
    assert optimizer.share > 0.9
    assert all(effect.share < 0.3 for effect in others)
    estimate, count = optimizer.by_value["sgd"]
    assert count == 6
    assert estimate.low < 0.1 < estimate.high
    assert abs(optimizer.by_value["adam"][0].difference) < 0.02


def test_many_values_explain_no_noise(tmp_path):
    noise = np.random.default_rng(2).normal(0, 0.01, (2, 40))
    names = [{"activation": f"a{i % 20:02}", "units": i} for i in range(40)]
    tables = [
        [Row(values, 0.5 + draw) for values, draw in zip(names, row, strict=True)] for row in noise
    ]
    assert all(effect.share < 0.3 for effect in dependences(scores(tmp_path, *tables)))


def test_equal_tables_depend_on_nothing(tmp_path):
    rows = grid(lambda _o, u, _a: u / 100)
    found = scores(tmp_path, rows, rows)
    assert dependences(found) == []
    assert moves(found) == []


def test_many_numbers_are_quarters(tmp_path):
    rng = np.random.default_rng(1)
    rates = rng.uniform(1e-4, 1e-1, 40).tolist()
    first = [Row({"learning_rate": r}, 0.5 + r + rng.normal(0, 0.001)) for r in rates]
    second = [Row({"learning_rate": r}, 0.5) for r in rates]
    (effect,) = dependences(scores(tmp_path, first, second))
    assert effect.name == "learning_rate"
    assert len(effect.by_value) == 4
    means = [estimate.difference for estimate, _ in effect.by_value.values()]
    assert means == sorted(means)


def test_configs_that_moved_most_come_first_with_their_ranks(tmp_path):
    first = grid(lambda _o, u, _a: u / 100)
    second = grid(lambda o, u, a: u / 100 + 0.5 * ((o, u, a) == ("sgd", 8, "relu")))
    (top,) = moves(scores(tmp_path, first, second))
    assert top.difference == pytest.approx(-0.5)
    assert top.values == {"units": "8", "activation": "relu", "optimizer": "sgd"}
    # Of twelve, four had the fewest units; now it is the best.
    assert top.ranks == (9, 1)
    (top,) = moves(scores(tmp_path / "loss", first, second, LOSS))
    assert top.difference == pytest.approx(0.5)
    assert top.ranks == (1, 12)
