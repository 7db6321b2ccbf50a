"""Shares of variance: functions whose shares are known, conditions, and another's evaluator."""

import itertools

import numpy as np
import pandas as pd
import pytest

from hpsearch.errors import InputError
from hpsearch.reporting import importance
from hpsearch.reporting.forest import axes_of, design, fit, fold, sample
from hpsearch.reporting.importance import importance_of
from hpsearch.space.space import Choices, Parameter, Range, Space


def table_of(columns, score, **changes):
    """A results table with what importance reads."""
    count = len(score)
    rows = pd.DataFrame({"trial": range(1, count + 1), "config": [f"c{i}" for i in range(count)]})
    rows = rows.assign(seed=0, status="completed", score=np.asarray(score, dtype=float))
    rows = rows.assign(**columns)
    rows = rows.assign(loss=0.0, epochs_trained=5, metric="val_loss:minimize:last")
    return rows.assign(**changes)


def test_an_interval_has_the_normal_quantile_of_90_percent():
    whole, halves = np.array([0.5]), np.array([[0.4], [0.5], [0.6]])
    low, high = importance._interval(whole, halves)
    assert [*(whole - low), *(high - whole)] == pytest.approx([0.1645, 0.1645])


def unit_space(names):
    return Space(tuple(Parameter(name, Range(0.0, 1.0)) for name in names))


def ishigami(x):
    """Ishigami and Homma 1990, a = 7, b = 0.1."""
    z = (2 * x - 1) * np.pi
    return np.sin(z[:, 0]) + 7 * np.sin(z[:, 1]) ** 2 + 0.1 * z[:, 2] ** 4 * np.sin(z[:, 0])


def linear(x):
    return x @ np.array([4.0, 2.0, 1.0, 0.5])


def sobol_g(x):
    """Saltelli and Sobol 1995, a = 0, 1, 4.5, 9."""
    a = np.array([0, 1, 4.5, 9])
    return ((abs(4 * x - 2) + a) / (1 + a)).prod(axis=1)


_G = 1 / (3 * (1 + np.array([0, 1, 4.5, 9])) ** 2)
_G_TOTAL = (1 + _G).prod() - 1
KNOWN = {
    "ishigami": (ishigami, 3, {(0,): 0.3139, (1,): 0.4424, (2,): 0.0, (0, 2): 0.2437}),
    "linear": (linear, 4, {(i,): w / 21.25 for i, w in enumerate([16, 4, 1, 0.25])}),
    "sobol_g": (
        sobol_g,
        4,
        {(i,): _G[i] / _G_TOTAL for i in range(4)}
        | {(i, j): _G[i] * _G[j] / _G_TOTAL for i, j in itertools.combinations(range(4), 2)},
    ),
}


@pytest.fixture
def few_trees(monkeypatch):
    """Small forests, where no share need be exact."""
    for name, count in (("_TREES", 24), ("_HALVES", 4), ("_HALF_TREES", 8)):
        monkeypatch.setattr(importance, name, count)


def shares_of(found):
    return {share.names: share for share in found.shares}


@pytest.mark.parametrize(("name", "noise"), [("ishigami", 0.0), ("linear", 0.3), ("sobol_g", 0.3)])
def test_known_shares_are_found(name, noise):
    function, size, known = KNOWN[name]
    rng = np.random.default_rng(3)
    x = rng.random((600, size))
    y = function(x)
    y = y + noise * y.std() * rng.normal(size=len(y))
    names = [f"x{i}" for i in range(size)]
    found = importance_of(table_of(dict(zip(names, x.T, strict=True)), y), unit_space(names))
    shares = shares_of(found)
    every = [(i,) for i in range(size)] + list(itertools.combinations(range(size), 2))
    for key in every:
        share = shares[tuple(names[i] for i in key)]
        truth = known.get(key, 0.0)
        # A share of a tenth is never taken for none.
        assert abs(share.share - truth) < 0.02 + 0.12 * truth, (key, share, truth)
        assert 0 <= share.low <= share.share <= share.high <= 1
    assert found.explained > (0.85 if noise == 0 else 0.7)
    assert sum(share.share for share in found.shares) <= 1 + 1e-9
    order = sorted((k for k in known if len(k) == 1), key=lambda k: -known[k])
    ours = sorted(order, key=lambda k: -shares[names[k[0]],].share)
    assert ours == order


def exact_shares(levels, function):
    """By brute force over the whole space: shares of one and of two."""
    names = list(levels)
    grid = list(itertools.product(*levels.values()))
    scores = np.array([function(dict(zip(names, point, strict=True))) for point in grid])
    cube = scores.reshape([len(v) for v in levels.values()])
    every, mean, total = range(len(names)), cube.mean(), cube.var()
    one = {
        i: cube.mean(axis=tuple(j for j in every if j != i), keepdims=True) - mean for i in every
    }
    shares = {(names[i],): one[i].var() / total for i in every}
    for i, j in itertools.combinations(every, 2):
        both = cube.mean(axis=tuple(k for k in every if k not in (i, j)), keepdims=True)
        shares[names[i], names[j]] = (both - mean - one[i] - one[j]).var() / total
    return shares


def conditional(config):
    """Dropout acts in layers of its type alone."""
    base = {"dense": 0.6, "dropout": 0.7, "batch_norm": 0.65}[config["layer_type"]]
    drop = 0.8 * (config["dropout"] - 0.1) ** 2 if config["layer_type"] == "dropout" else 0.0
    return base - drop + 0.05 * config["depth"]


def test_a_conditional_hyperparameter_has_its_share_of_the_whole_space():
    levels = {
        "layer_type": ["dense", "dropout", "batch_norm"],
        "dropout": [0.1, 0.3, 0.5, 0.7],
        "depth": [1, 2, 3],
    }
    truth = exact_shares(levels, conditional)
    assert truth["dropout",] > 0.1
    assert truth["layer_type", "dropout"] > 0.2
    rng = np.random.default_rng(0)
    rows = [{name: v[rng.integers(len(v))] for name, v in levels.items()} for _ in range(300)]
    score = [conditional(row) for row in rows]
    table = table_of(
        {
            "layer_type": [row["layer_type"] for row in rows],
            "dropout": [r["dropout"] if r["layer_type"] == "dropout" else np.nan for r in rows],
            "depth": pd.array([row["depth"] for row in rows], dtype="Int64"),
        },
        score,
    )
    shares = shares_of(importance_of(table))
    assert set(shares) == set(truth)
    for key, share in shares.items():
        assert abs(share.share - truth[key]) < 0.06, (key, share.share, truth[key])
    # The same cells with one value for inactive ones would give the condition's effect to both.
    assert shares["layer_type",].share == pytest.approx(truth["layer_type",], abs=0.06)


def mixed_table(count=80):
    rng = np.random.default_rng(0)
    columns = {
        "units": pd.array(rng.choice([32, 64, 128], count), dtype="Int64"),
        "activation": rng.choice(["relu", "tanh", "elu"], count),
        "rate": 10 ** rng.uniform(-4, -1, count),
        "flag": pd.Series(rng.choice([True, False], count)).astype(object),
    }
    score = rng.normal(size=count) + (columns["activation"] == "relu") * np.log(columns["rate"])
    return table_of(columns, score)


def test_a_forests_means_are_exact():
    """By leaves, and by asking the forest at every point of the space."""
    axes = axes_of(mixed_table())
    assert [(a.name, a.size, a.numeric) for a in axes] == [
        ("units", 3, True), ("activation", 3, False), ("rate", 24, True), ("flag", 2, False),
    ]  # fmt: skip
    codes = np.stack([axis.codes for axis in axes], axis=1)
    forest = fit(design(axes, codes), mixed_table()["score"].to_numpy(), 8, 0)
    leaves = fold(forest, axes)
    points, weights = sample(axes)
    assert len(points) == 3 * 3 * 24 * 2
    cube = forest.predict(design(axes, points)).reshape([axis.size for axis in axes])
    assert weights.sum() == pytest.approx(1)
    assert leaves.means().mean() == pytest.approx(cube.mean())
    for i in range(4):
        others = tuple(k for k in range(4) if k != i)
        np.testing.assert_allclose(leaves.marginals(i).mean(axis=0), cube.mean(axis=others))
    for i, j in itertools.combinations(range(4), 2):
        others = tuple(k for k in range(4) if k not in (i, j))
        np.testing.assert_allclose(leaves.joints(i, j).mean(axis=0), cube.mean(axis=others))


def test_ranges_come_from_the_sweep_and_widen_for_old_rows():
    rates = 10 ** np.random.default_rng(0).uniform(-3, -2, 50)
    space = Space((Parameter("rate", Range(1e-4, 1e-1, log=True)), Parameter("x", Choices((1,)))))
    (axis,) = axes_of(table_of({"rate": rates, "x": 1}, rates), space)
    assert axis.log
    assert axis.levels[0] == pytest.approx(1e-4 * 10 ** (1.5 / 24))
    assert axis.levels[-1] == pytest.approx(1e-1 / 10 ** (1.5 / 24))
    few = [0.01, 0.02, 0.09]
    assert axes_of(table_of({"rate": few}, few), space)[0].log
    narrow = Space((Parameter("rate", Range(2e-3, 3e-3)),))
    (wide,) = axes_of(table_of({"rate": rates}, rates), narrow)
    assert not wide.log
    assert wide.levels[0] < 2e-3
    assert wide.levels[-1] > 3e-3
    assert axes_of(table_of({"rate": 10 ** np.linspace(-4, -1, 50)}, rates))[0].log


def test_what_was_stopped_early_is_told_apart_from_what_is_bad():
    """Half of the trials are stopped after an epoch, with a score that is low for that alone."""
    rng = np.random.default_rng(0)
    x, z = rng.random(300), rng.random(300)
    stopped = rng.random(300) < 0.5
    table = table_of(
        {"x": x, "z": z},
        x + 0.05 * rng.normal(size=300) - 5 * stopped,
        status=np.where(stopped, "stopped", "completed"),
        epochs_trained=pd.array(np.where(stopped, 1, 9), dtype="Int64"),
    )
    found = importance_of(table)
    assert {name for share in found.shares for name in share.names} == {"x", "z"}
    assert shares_of(found)["x",].share > 0.8
    assert found.effects["x"].mean.min() > -0.5


@pytest.mark.usefixtures("few_trees")
def test_failures_do_not_count_and_seeds_stay_together():
    table = mixed_table(60)
    twice = pd.concat([table, table.assign(trial=table["trial"] + 60, seed=1)], ignore_index=True)
    lost = table.assign(trial=table["trial"] + 200, status="failed", score=np.nan)
    with_lost = pd.concat([twice, lost], ignore_index=True)
    assert importance_of(with_lost).shares == importance_of(twice).shares
    assert importance_of(twice).trials == 60
    # All rows of a config are in a half, or none: twice the rows are no more configs.
    once, two = shares_of(importance_of(table)), shares_of(importance_of(twice))
    key = max(once, key=lambda k: once[k].share)
    assert two[key].high - two[key].low > 0.3 * (once[key].high - once[key].low)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t.head(7), "7 trials with a score, and 8 are needed"),
        (lambda t: t.head(0), "0 trials with a score"),
        (lambda t: t.assign(score=1.0), "all scores are equal"),
        (lambda t: t.assign(units=1, activation="a", rate=1, flag=1), "no hyperparameter takes"),
    ],
)
def test_what_cannot_be_known_is_said(change, reason):
    found = importance_of(change(mixed_table()))
    assert reason in found.reason
    assert not found.shares
    assert len(found.table) == 0
    assert reason in repr(found)
    with pytest.raises(InputError, match="no column score"):
        importance_of(mixed_table().drop(columns="score"))


@pytest.mark.usefixtures("few_trees")
def test_the_same_trials_give_the_same_shares_and_rows_are_limited():
    table = mixed_table(120)
    first, second = importance_of(table), importance_of(table)
    assert first.shares == second.shares
    pd.testing.assert_frame_equal(first.table, second.table)
    assert list(first.table.columns) == ["hyperparameter", "with", "share", "low", "high"]
    assert importance_of(table, most_rows=50).trials == 50


@pytest.mark.usefixtures("few_trees")
@pytest.mark.parametrize("power", [-900, 900])
def test_scores_of_any_size_have_the_same_shares(power):
    x = np.random.default_rng(1).random((30, 2))
    columns = {"a": x[:, 0], "b": x[:, 1]}
    score = x[:, 0] + x[:, 0] * x[:, 1]
    found = importance_of(table_of(columns, score), unit_space("ab"))
    other = importance_of(table_of(columns, np.ldexp(score, power)), unit_space("ab"))
    assert other.shares == found.shares
    assert other.explained == found.explained
    np.testing.assert_array_equal(other.effects["a"].mean, np.ldexp(found.effects["a"].mean, power))


@pytest.mark.usefixtures("few_trees")
def test_scores_of_which_most_are_equal_give_no_warning():
    x = np.random.default_rng(1).random((10, 2))
    for seed in range(6):
        score = np.zeros(10)
        score[[seed, seed + 3]] = 1.0
        found = importance_of(table_of({"a": x[:, 0], "b": x[:, 1]}, score), unit_space("ab"))
        assert all(0 <= share.low <= share.high <= 1 for share in found.shares)


def test_a_training_that_nearly_diverged_is_not_all_of_the_variance():
    random = np.random.default_rng(0)
    x = random.random((200, 2))
    score = linear(np.column_stack([x, np.zeros((200, 2))]))
    columns = {"x0": x[:, 0], "x1": x[:, 1]}
    plain = importance_of(table_of(columns, score), unit_space(columns))
    score[7] = 1e13
    found = importance_of(table_of(columns, score), unit_space(columns))
    assert found.explained > 0.5
    assert found.span[1] < 100
    shares = shares_of(plain)
    assert all(abs(shares[each.names].share - each.share) < 0.15 for each in found.shares)
