"""Methods that learn find better configs than random search does with the same epochs."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import pytest
from marks import slow
from search_spaces import smooth

from hpsearch.search import tpe
from hpsearch.search.methods import make_strategy
from hpsearch.search.strategy import Outcome
from hpsearch.space.space import Choices, Config, Parameter, Range, Space
from hpsearch.spec.method import MethodSpec

TOP = 27
BUDGET_EPOCHS = 30 * TOP
SPACE = Space(
    (
        Parameter("hidden_layers", Choices((1, 2, 3))),
        Parameter("units", Range(4, 512, log=True, integer=True)),
        Parameter("activation", Choices(("relu", "tanh", "selu"))),
        Parameter("learning_rate", Range(1e-4, 1.0, log=True)),
        Parameter("l2", Range(1e-6, 1e-2, log=True)),
        Parameter("epochs", Choices((TOP,))),
    )
)


def on_unit_scale(config: Config) -> tuple[float, float, float]:
    """Learning rate, units and l2 on [0, 1]."""
    values = config.values
    rate, l2 = math.log10(values["learning_rate"]), math.log10(values["l2"])
    return (rate + 4) / 4, (math.log2(values["units"]) - 2) / 7, (l2 + 6) / 4


def valley(config: Config) -> float:
    """Best along a narrow curve of rates and units."""
    rate, units, _ = on_unit_scale(config)
    wrong = config.values.get("activation", "relu") != "tanh"
    return -10 * (units - rate**2) ** 2 - (rate - 0.6) ** 2 - 0.1 * wrong


def interaction(config: Config) -> float:
    """Each activation has its own best rate and units."""
    rate, units, l2 = on_unit_scale(config)
    best = {"relu": 0.7, "tanh": 0.4, "selu": 0.2}[config.values.get("activation", "relu")]
    return -abs(rate - best) - 0.3 * abs(units - best) - 0.1 * abs(l2 - 0.5)


#: The best score of each is 0.
FUNCTIONS = {"smooth": smooth, "valley": valley, "interaction": interaction}


def regret(method: str, function: Callable[[Config], float], seed: int) -> float:
    """How far below 0 the best fully trained config is; scores rise with epochs, at own rates."""
    strategy = make_strategy(MethodSpec(method), SPACE, seed=seed, trials=BUDGET_EPOCHS // TOP)
    spent, best, reached = 0, -math.inf, {}
    while spent < BUDGET_EPOCHS:
        (proposal,) = strategy.ask(1)
        config, epochs = proposal.config, proposal.epochs or TOP
        spent += epochs - reached.get(config.id, 0)
        reached[config.id] = epochs
        rate, _, _ = on_unit_scale(config)
        score = function(config) - (0.3 + 0.7 * rate) / epochs
        strategy.tell([Outcome(config, score, proposal.epochs)])
        if epochs == TOP:
            best = max(best, function(config))
    return -best


def test_configs_in_training_are_no_good_ones_to_tpe(monkeypatch: pytest.MonkeyPatch) -> None:
    strategy = make_strategy(MethodSpec("tpe", {"prior": "none"}), SPACE, seed=0, trials=40)
    asked = strategy.ask(12)
    strategy.tell([Outcome(p.config, smooth(p.config), p.epochs) for p in asked[:-2]])
    counts = []

    class Counted(tpe.Parzen):
        def __init__(self, encoding, rows, *args):
            counts.append(len(rows))
            super().__init__(encoding, rows, *args)

    monkeypatch.setattr(tpe, "Parzen", Counted)
    strategy.ask(1)
    assert sum(counts) == 12


@cache
def regrets(method: str, name: str, seeds: int) -> list[float]:
    return [regret(method, FUNCTIONS[name], seed) for seed in range(seeds)]


@pytest.mark.parametrize(
    ("method", "seeds"),
    [("tpe", 8), *(slow(method, 6) for method in ("bayesian", "asha", "hyperband"))],
)
def test_it_learns(method, seeds):
    """Regret of at most three quarters of random search's, and better in two of three pairs."""
    better = 0
    for name in FUNCTIONS:
        ours, theirs = regrets(method, name, seeds), regrets("random", name, seeds)
        assert sum(ours) <= 0.75 * sum(theirs), name
        better += sum(a < b for a, b in zip(ours, theirs, strict=True))
    assert better >= 2 * seeds
