"""Successive halving: which configs continue, when, and how a search resumes."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from typing import Any

import pytest

from hpsearch.search.halving import HalvingStrategy, Rung, at_top
from hpsearch.search.methods import make_strategy
from hpsearch.search.strategy import Outcome, Proposal
from hpsearch.space.space import Choices, Config, Parameter, Range, Space
from hpsearch.spec.method import MethodSpec

SPACE = Space(
    (Parameter("units", Range(1, 10_000, integer=True)), Parameter("epochs", Choices((9, 27))))
)


def made(
    name: str, space: Space = SPACE, *, goal: str = "maximize", **options: Any
) -> HalvingStrategy:
    """By default with random configs, rungs from the first epoch on, and one bracket of ASHA."""
    options = {"min_epochs": 1, "proposals": "random", "brackets": 1} | options
    options = {name: value for name, value in options.items() if value is not None}
    strategy = make_strategy(MethodSpec(name, options), space, goal=goal, seed=3)
    assert isinstance(strategy, HalvingStrategy)
    return strategy


def quality(config: Config) -> float:
    return random.Random(config.values["units"]).random()


def run(
    strategy: HalvingStrategy,
    score_of: Callable[[Config], float | None] = quality,
    *,
    configs: int = 60,
) -> Iterator[Proposal]:
    """Yield one proposal at a time until `configs` have begun and none may continue."""
    begun: set[str] = set()
    while True:
        if len(begun) >= configs:
            strategy.close()
        proposals = strategy.ask(1)
        if not proposals:
            return
        (proposal,) = proposals
        begun.add(proposal.config.id)
        yield proposal
        strategy.tell([Outcome(proposal.config, score_of(proposal.config), proposal.epochs)])


def test_a_rung_ranks_the_first_of_equals_first_and_failures_last() -> None:
    configs = [Config({"units": n}) for n in range(6)]
    rung = Rung(maximize=False)
    for order, score in enumerate((0.5, None, 0.25, 0.5, float("nan"), float("inf"))):
        rung.enter(configs[order], order, score)
    assert list(rung.best(6)) == [configs[2], configs[0], configs[3]]
    rung.enter(configs[2], 2, 0.75)
    assert list(rung.best(2)) == [configs[0], configs[3]]
    assert len(rung) == 6


def test_asha_promotes_a_third_of_each_rung() -> None:
    proposals = list(run(made("asha"), configs=81))
    # The first may continue as soon as it is the best of three.
    assert [proposal.epochs for proposal in proposals[:4]] == [1, 1, 1, 3]
    reached = Counter(proposal.epochs for proposal in proposals)
    assert reached[1] == 81
    # Without a barrier, some continue that are not among the best third in the end.
    assert 27 <= reached[3] <= 40
    assert 9 <= reached[9] <= 14
    assert 3 <= reached[27] <= 5
    best = max(proposals, key=lambda p: quality(p.config)).config
    assert [p.epochs for p in proposals if p.config == best] == [1, 3, 9, 27]


def test_hyperband_waits_for_a_whole_rung() -> None:
    strategy = made("hyperband", hyperband_iterations=1)
    proposals = list(run(strategy, configs=10_000))
    reached = Counter(proposal.epochs for proposal in proposals)
    # The paper's brackets for R = 27, eta = 3: 27, 12, 6 and 4 configs.
    assert sum(reached.values()) == 27 + 9 + 3 + 1 + 12 + 4 + 1 + 6 + 2 + 4
    assert [p.epochs for p in proposals[:40]] == [1] * 27 + [3] * 9 + [9] * 3 + [27]
    first = proposals[:27]
    best = sorted(first, key=lambda p: -quality(p.config))[:9]
    assert [p.config for p in proposals[27:36]] == [p.config for p in best]
    assert strategy.exhausted
    assert strategy.ask(5) == []


def test_hyperband_begins_another_bracket_while_one_waits() -> None:
    strategy = made("hyperband")
    proposals = strategy.ask(39)
    assert [p.epochs for p in proposals] == [1] * 27 + [3] * 12
    strategy.tell([Outcome(p.config, quality(p.config), p.epochs) for p in proposals[:26]])
    (unfinished,) = strategy.ask(1)
    assert unfinished.epochs == 9  # a new one, of the third bracket
    strategy.tell([Outcome(proposals[26].config, 0.5, 1)])
    assert {p.epochs for p in strategy.ask(9)} == {3}


def test_hyperband_waits_for_the_promoted_beside_those_that_passed_a_rung() -> None:
    strategy = made("hyperband", hyperband_iterations=1)
    began = strategy.ask(27)
    strategy.tell([Outcome(p.config, quality(p.config), 1) for p in began])
    promoted = [p.config for p in strategy.ask(9)]
    others = [p.config for p in began if p.config not in promoted]
    # Nine programs ended after three epochs, before they could be halted after one.
    strategy.tell([Outcome(config, 0.9, 3) for config in others[:9]])
    strategy.tell([Outcome(config, 0.1 + quality(config), 3) for config in promoted[:8]])
    assert {p.epochs for p in strategy.ask(1)} == {3}
    strategy.tell([Outcome(promoted[8], 1.0, 3)])
    best = sorted(promoted[:8], key=quality)[-2:]
    assert {p.config.id for p in strategy.ask(3)} == {c.id for c in (promoted[8], *best)}


@pytest.mark.parametrize("name", ["asha", "hyperband"])
def test_failures_do_not_go_on_and_hold_nobody_up(name: str) -> None:
    def score_of(config: Config) -> float | None:
        return None if config.values["units"] % 2 else quality(config)

    proposals = list(run(made(name), score_of, configs=60))
    times = Counter(p.config.values["units"] for p in proposals)
    assert all(count == 1 for units, count in times.items() if units % 2)
    assert max(times.values()) == 4
    assert all(list(run(made(name), lambda _: None, configs=60)))


@pytest.mark.parametrize("name", ["asha", "hyperband"])
def test_it_minimizes_too(name: str) -> None:
    low = list(run(made(name, goal="minimize"), lambda c: -quality(c)))
    assert low == list(run(made(name)))


def test_brackets_begin_at_different_rungs() -> None:
    strategy = made("asha", brackets=3)
    proposals = list(run(strategy, configs=300))
    first = {}
    for proposal in proposals:
        first.setdefault(proposal.config.id, proposal.epochs)
        assert first[proposal.config.id] == strategy.first_epochs(proposal.config)
    began = Counter(first.values())
    assert began[1] > began[3] > began[9] > 0


def test_rungs_grow_by_the_factor_up_to_the_top_and_epochs_are_the_tops() -> None:
    without = Space((Parameter("units", Choices((1, 2))),))
    assert made("asha", without, min_epochs=2, factor=4).rungs == (2, 8, 10)
    assert made("asha", without, min_epochs=12).rungs == (10,)
    assert made("asha", without).rungs == (1, 3, 9, 10)
    assert at_top(SPACE).parameters[1].domain == Choices((27,))
    assert {p.config.values["epochs"] for p in made("asha").ask(20)} == {27}
    ranged = Space((Parameter("epochs", Range(2, 50, integer=True)),))
    assert made("hyperband", ranged, min_epochs=5).rungs == (5, 15, 45, 50)


@pytest.mark.parametrize(
    ("top", "rungs"),
    [(1, (1,)), (2, (1, 2)), (4, (1, 4)), (5, (1, 2, 5)), (20, (2, 7, 20)), (81, (9, 27, 81))],
)
def test_trainings_halt_twice_with_hyperband_and_once_with_asha(
    top: int, rungs: tuple[int, ...]
) -> None:
    space = Space((Parameter("units", Choices((1, 2))), Parameter("epochs", Choices((top,)))))
    assert made("hyperband", space, min_epochs=None).rungs == rungs
    assert made("asha", space, min_epochs=None).rungs == rungs[-2:]


def test_hyperbands_configs_are_tpes() -> None:
    own, tpe, random_ones = (
        list(run(made("hyperband", **options), configs=40))
        for options in ({"proposals": None}, {"proposals": "tpe"}, {})
    )
    assert own == tpe
    assert own != random_ones


def test_words_of_wandb_are_rungs_without_a_barrier() -> None:
    low = made("hyperband", early_terminate={"type": "hyperband", "min_iter": 2})
    assert low.rungs == (2, 6, 18, 27)
    high = made(
        "hyperband", early_terminate={"type": "hyperband", "max_iter": 18, "s": 2, "eta": 3}
    )
    assert high.rungs == (2, 6, 18, 27)
    assert [p.epochs for p in run(low, configs=4)][:4] == [2, 2, 2, 6]


def test_an_early_end_counts_at_the_rung_where_the_config_began() -> None:
    strategy = made("asha", brackets=4)
    proposals = strategy.ask(40)
    late = next(p for p in proposals if p.epochs == 9)
    again = made("asha", brackets=4)
    again.restore([p.config for p in proposals], [Outcome(late.config, 0.5, 3)])
    strategy.tell([Outcome(late.config, 0.5, 9)])
    assert [len(b.rungs[2]) for b in again._brackets] == [
        len(b.rungs[2]) for b in strategy._brackets
    ]


def test_an_ask_stays_cheap() -> None:
    """Count the configs that are looked at, since a stopwatch would be unreliable."""
    looked: list[Config] = []

    class Counting(Rung):
        def best(self, count: int, among: Collection[str] | None = None) -> Iterator[Config]:
            for config in super().best(count, among):
                looked.append(config)
                yield config

    def count(configs: int) -> int:
        looked.clear()
        strategy = made("hyperband")
        strategy._new_rungs = lambda: [Counting(maximize=True) for _ in strategy.rungs]  # type: ignore[method-assign]
        list(run(strategy, configs=configs))
        return len(looked)

    assert 0 < count(1200) < 3 * count(600)
