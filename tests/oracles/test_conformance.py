"""What every oracle promises, whatever its method."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from hpsearch.constraints import parse
from hpsearch.errors import NotSupportedError
from hpsearch.oracles import METHODS, FixedOracle, SweepOracle, make_oracle
from hpsearch.sampling import grid_draws
from hpsearch.space import Choices, Config, Parameter, Range, Space
from hpsearch.trial import Outcome

#: Dead keys, conditions, lists, mappings, a constraint.
SPACE = Space(
    (
        Parameter("hidden_layers", Choices((0, 1, 2))),
        Parameter("units", Choices((10, [20, 5], [10, 10]))),
        Parameter("layer_type", Choices(("dense", "dropout"))),
        Parameter("dropout", Choices((0.1, 0.3)), {"layer_type": ("dropout",)}),
        Parameter("optimizer", Choices(("adam", {"name": "sgd", "momentum": 0.9}))),
        Parameter("learning_rate", Range(0.1, 0.2, 0.1), {"optimizer": ("adam",)}),
    ),
    (parse("hidden_layers * units <= 40"),),
)
ALL = [config for config, _ in grid_draws(SPACE)]
CONTINUOUS = Space(
    (
        Parameter("units", Range(1, 500, integer=True)),
        Parameter("learning_rate", Range(1e-4, 0.1, log=True)),
    )
)


@dataclass(frozen=True)
class Kind:
    """An oracle to test.

    Attributes:
        make: From a space and a seed.
        seeded: Whether the seed makes a difference.
        continuous: Whether it takes a range without a step.
    """

    make: Callable[..., SweepOracle]
    seeded: bool
    continuous: bool


def fixed(space: Space, **settings: Any) -> FixedOracle:
    configs = [config for config, _ in grid_draws(space)]
    return FixedOracle(space, [*configs, *configs[:3]], **settings)


KINDS = {
    name: Kind(method, seeded=name != "grid", continuous=name != "grid")
    for name, method in METHODS.items()
} | {"configs": Kind(fixed, seeded=False, continuous=False)}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


def ids(configs: list[Config]) -> list[str]:
    return [config.id for config in configs]


def tell(oracle: SweepOracle, configs: list[Config], score: float | None = 0.5) -> None:
    oracle.tell([Outcome(config.id, score) for config in configs])


def test_methods_are_tested() -> None:
    assert KINDS.keys() == {"configs", *METHODS}
    assert len({config.id for config in ALL}) == len(ALL) > 20


def test_ask_returns_as_many_until_there_are_no_more(kind: Kind) -> None:
    oracle = kind.make(SPACE)
    assert oracle.ask(0) == []
    found: list[Config] = []
    while len(found) < len(ALL):
        assert not oracle.exhausted
        count = min(7, len(ALL) - len(found))
        asked = oracle.ask(count)
        assert len(asked) == count
        found += asked
    assert oracle.ask(3) == []
    assert oracle.exhausted
    assert oracle.ask(3) == []
    assert len(set(ids(found))) == len(found)


def test_the_last_ones_come_with_the_flag(kind: Kind) -> None:
    oracle = kind.make(SPACE)
    assert len(oracle.ask(10_000)) == len(ALL)
    assert oracle.exhausted


def test_it_proposes_exactly_the_space(kind: Kind) -> None:
    proposed = kind.make(SPACE).ask(10_000)
    # By identity: [10, 10] in two layers may also be written as 10.
    assert sorted(ids(proposed)) == sorted(ids(ALL))
    assert all(SPACE.contains(config) for config in proposed)


def test_proposals_depend_on_the_seed_alone(kind: Kind) -> None:
    """Not on the global streams, nor on how many are asked for at a time."""
    first = ids(kind.make(SPACE, seed=0).ask(20))
    random.seed(99)
    again = kind.make(SPACE, seed=0)
    assert [config.id for _ in range(20) for config in again.ask(1)] == first
    third = kind.make(SPACE, seed=0)
    assert ids([*third.ask(3), *third.ask(17)]) == first
    assert (ids(kind.make(SPACE, seed=1).ask(20)) != first) == kind.seeded
    assert len(kind.make(SPACE, seed=2**32 - 1).ask(5)) == 5


@pytest.mark.parametrize("goal", ["maximize", "minimize"])
@pytest.mark.parametrize("score", [None, math.nan, math.inf, -math.inf, 1e308, -0.0])
def test_any_score_may_be_told_and_none_but_a_finite_one_wins(
    kind: Kind, goal: str, score: float | None
) -> None:
    oracle = kind.make(SPACE, goal=goal)
    configs = oracle.ask(8)
    tell(oracle, configs[:1], 0.25)
    tell(oracle, configs[1:], score)
    trial = oracle.get_best_trials(1)[0]
    finite = score is not None and math.isfinite(score)
    assert finite or oracle._configs[trial.trial_id] == configs[0]
    assert all(math.isfinite(t.score) for t in oracle.trials.values() if t.status == "COMPLETED")
    assert not oracle.ongoing_trials
    rest = oracle.ask(10_000)
    assert len({*ids(configs), *ids(rest)}) == len(ALL)


def test_outcomes_in_any_order_again_and_of_others(kind: Kind) -> None:
    oracle = kind.make(SPACE)
    configs = oracle.ask(6)
    tell(oracle, configs[::-1])
    # Trained again with --retry, or its seeds extended.
    tell(oracle, configs[:2], 0.75)
    tell(oracle, configs[:2], None)
    tell(oracle, [Config({"units": 77})])
    oracle.tell([])
    rest = oracle.ask(10_000)
    assert len({*ids(configs), *ids(rest)}) == len(ALL) == len(configs) + len(rest)


def test_nothing_needs_to_be_told(kind: Kind) -> None:
    """Of pending configs, as many as there are workers."""
    oracle = kind.make(SPACE)
    assert len(oracle.ask(9)) == len(oracle.ask(9)) == 9


def test_a_space_of_one_config(kind: Kind) -> None:
    oracle = kind.make(Space(()))
    assert len(oracle.ask(5)) == 1
    assert oracle.exhausted


def test_a_continuous_space(kind: Kind) -> None:
    if not kind.continuous:
        with pytest.raises(ValueError, match="a grid needs values"):
            kind.make(CONTINUOUS).ask(1)
        return
    configs = kind.make(CONTINUOUS).ask(200)
    assert len({config.id for config in configs}) == 200
    assert all(CONTINUOUS.contains(config) for config in configs)


def test_make_oracle() -> None:
    for name, method in METHODS.items():
        assert type(make_oracle(name, SPACE, (), goal="maximize", seed=0)) is method
    listed = make_oracle("configs", SPACE, ALL[3:5], goal="minimize", seed=0)
    assert listed.ask(9) == ALL[3:5]
    with pytest.raises(NotSupportedError, match="tpe is not there yet"):
        make_oracle("tpe", SPACE, (), goal="maximize", seed=0)
