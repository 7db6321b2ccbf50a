"""Models of searches with rungs: a score counts as one of its rung."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hpsearch.search.adaptive import EveryRung, HighestRung, RungHistory
from hpsearch.search.encoding import Encoding
from hpsearch.search.halving import HalvingStrategy
from hpsearch.search.methods import make_strategy
from hpsearch.search.strategy import Outcome, Proposal
from hpsearch.search.tpe import TPEStrategy
from hpsearch.space.space import ENDLESS, Choices, Config, Kind, Parameter, Range, Space
from hpsearch.spec.method import MethodSpec

SPACE = Space(
    (
        Parameter("x", Range(0.0, 1.0)),
        Parameter("y", Range(0.0, 1.0)),
        Parameter("epochs", Choices((27,))),
    ),
    kind=Kind.FUNCTION,
)
EARLY, LATE = 0.2, 0.8


def number(config: Config, name: str = "x") -> float:
    value = config.values[name]
    assert isinstance(value, float)
    return value


def crossing(config: Config, epochs: int) -> float:
    """A loss that is best near EARLY at first, and near LATE in the end."""
    best = {3: EARLY, 9: (EARLY + LATE) / 2, 27: LATE}[epochs]
    return (number(config) - best) ** 2 + 0.1 * (number(config, "y") - 0.5) ** 2


def halving(method: str, **options: object) -> HalvingStrategy:
    spec = MethodSpec(method, {"min_epochs": 3, **options})
    strategy = make_strategy(spec, SPACE, goal="minimize", seed=2, trials=50)
    assert isinstance(strategy, HalvingStrategy)
    return strategy


def begun(
    strategy: HalvingStrategy, score: Callable[[Config, int], float | None], configs: int
) -> list[Proposal]:
    """Run a search until so many configs have begun, and return the first proposal of each."""
    found: dict[str, Proposal] = {}
    while len(found) < configs:
        (proposal,) = strategy.ask(1)
        found.setdefault(proposal.config.id, proposal)
        assert proposal.epochs is not None
        strategy.tell([Outcome(proposal.config, score(proposal.config, proposal.epochs),
                               proposal.epochs)])  # fmt: skip
    return list(found.values())


@pytest.mark.parametrize("proposals", ["bayesian", "tpe"])
def test_proposals_go_where_the_last_scores_are_good(proposals: str) -> None:
    """Where brackets begin at the top, the model knows late scores of configs bad at first."""
    last = begun(halving("hyperband", proposals=proposals), crossing, 50)[-15:]
    near = [abs(number(proposal.config) - LATE) < 0.2 for proposal in last]
    early = [abs(number(proposal.config) - EARLY) < 0.2 for proposal in last]
    assert sum(near) >= 8
    assert sum(near) > 2 * sum(early)


@pytest.mark.parametrize("proposals", ["bayesian", "tpe"])
def test_a_score_is_one_of_its_rung(proposals: str) -> None:
    """The same scores, but as of the lowest rung or as of the top, lead to other proposals."""

    def next_after(epochs: int) -> Config:
        strategy = halving("hyperband", proposals=proposals)
        asked = [p.config for p in strategy.ask(24)]
        strategy.tell([Outcome(config, crossing(config, 27), 27) for config in asked[:12]])
        strategy.tell([Outcome(config, crossing(config, 3), epochs) for config in asked[12:]])
        strategy.close()
        return strategy._proposer.ask(1)[0].config

    low, top = next_after(3), next_after(27)
    assert low != top


@pytest.mark.parametrize("proposals", ["bayesian", "tpe"])
def test_failures_and_other_epochs_do_no_harm(proposals: str) -> None:
    def score(config: Config, epochs: int) -> float | None:
        return None if number(config) < 0.4 else crossing(config, epochs)

    strategy = halving("hyperband", proposals=proposals)
    asked = [proposal.config for proposal in strategy.ask(3)]
    strategy.tell([Outcome(c, 0.5, epochs) for c, epochs in zip(asked, (1, 40, None), strict=True)])
    found = begun(strategy, score, 40)
    failed = [number(proposal.config) < 0.4 for proposal in found]
    assert sum(failed[-15:]) <= 5


@pytest.mark.parametrize("history", [HighestRung, EveryRung])
def test_configs_are_compared_at_the_highest_rung_that_both_have_reached(
    history: type[RungHistory],
) -> None:
    known = history(Encoding(SPACE), (3, 9, 27), maximize=True)
    one, two, failed, new = (Config({"x": x, "y": 0.5, "epochs": 27}) for x in (0.1, 0.2, 0.3, 0.4))
    known.tell([Outcome(one, 0.5, 3), Outcome(one, 0.9, 27), Outcome(two, 0.6, 3)])
    known.tell([Outcome(failed, 0.9, 3), Outcome(failed, None, 9)])
    assert known.beats(two.id, one.id)
    assert not known.beats(one.id, two.id)
    assert known.beats(two.id, failed.id)
    assert not known.beats(failed.id, two.id)
    assert not known.beats(new.id, one.id)
    assert not known.beats(one.id, new.id)


def test_the_highest_rung_that_a_program_reached_is_the_top() -> None:
    history = EveryRung(Encoding(SPACE), (3, 9, 27, 81, ENDLESS), maximize=True)
    one, two = (Config({"x": x, "y": 0.5, "epochs": 27}) for x in (0.1, 0.2))
    for config in (one, two):
        history.propose(config)
    history.tell([Outcome(one, 0.5, 3), Outcome(two, 0.4, 3)])
    assert history.observations().places.tolist() == [1, 1]
    history.tell([Outcome(one, 0.6, 9), Outcome(one, 0.7, 27)])
    assert history.observations().places.tolist() == [0, 0.5, 1, 0]


def test_one_in_four_of_ashas_new_configs_is_random() -> None:
    first, drawn = begun(halving("asha"), crossing, 20), halving("asha", proposals="random")
    by = ["bayesian"] * 3
    assert [each.by for each in first] == [*[""] * 10, *by[1:], "", *by, "", *by]
    of_asha = [each for each in first if not each.by]
    assert [each.config for each in of_asha] == [each.config for each in drawn.ask(12)]
    assert {each.epochs for each in first} == {3}
    many = make_strategy(MethodSpec("asha"), SPACE, trials=1_001)
    assert isinstance(many, HalvingStrategy)
    assert isinstance(many._proposer, TPEStrategy)
