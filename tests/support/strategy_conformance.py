"""The promises of every strategy, in one suite for strategies and their oracles.

A class that inherits it defines a fixture `make`, a function from a method's name, a space and
keywords to an object with `ask` and `tell`.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence

import pytest
from search_spaces import CONFIGS, CONTINUOUS, FINITE, FUNCTION, MIXED, score_of

from hpsearch.search.strategy import Outcome, Proposal, Strategy
from hpsearch.space.space import Choices, Config, Parameter, Space
from hpsearch.spec.method import METHODS

Make = Callable[..., Strategy]

#: Methods that need scores to propose everything, since a rung waits for those below it.
HALVING = {"asha", "hyperband"}
#: `auto` is one of the others, as test_conformance.py shows.
METHODS_ONCE = [method for method in METHODS if method != "auto"]
SPACES = {"finite": FINITE, "mixed": MIXED, "continuous": CONTINUOUS, "function": FUNCTION}


def ids(proposals: Sequence[Proposal]) -> list[str]:
    return [proposal.config.id for proposal in proposals]


def outcome(proposal: Proposal) -> Outcome:
    return Outcome(proposal.config, score_of(proposal.config, proposal.epochs), proposal.epochs)


def search(strategy: Strategy, steps: int, *, width: int = 1) -> list[Proposal]:
    """Return at most `steps` proposals; ask for `width` of them, tell them, and repeat."""
    made: list[Proposal] = []
    while len(made) < steps:
        asked = strategy.ask(min(width, steps - len(made)))
        if not asked:
            break
        made += asked
        strategy.tell([outcome(proposal) for proposal in asked])
    return made


def restored(strategy: Strategy, asked: Sequence[Proposal], told: Sequence[Outcome]) -> Strategy:
    configs = {proposal.config.id: proposal.config for proposal in asked}
    strategy.restore(list(configs.values()), told)
    return strategy


def spaces_of(method: str, *, all_of_them: bool = True) -> dict[str, Space]:
    """Spaces for a method; tests of many searches take few, or one if the method is slow."""
    few = {"grid": ["finite"], "bayesian": ["mixed"]}.get(method, ["finite", "mixed", "function"])
    names = few if method == "grid" or not all_of_them else [*SPACES]
    return {name: SPACES[name] for name in names}


class Conformance:
    """Tests of a method; a class that inherits it is parametrized with `method`."""

    def test_it_proposes_exactly_a_finite_space(self, make: Make, method: str) -> None:
        strategy = make(method, FINITE)
        assert not strategy.exhausted
        asked = search(strategy, 10_000, width=7)
        assert sorted(set(ids(asked))) == sorted(config.id for config in CONFIGS)
        assert all(FINITE.contains(proposal.config) for proposal in asked)
        assert strategy.exhausted
        assert strategy.ask(3) == []

    def test_no_proposal_comes_twice_and_all_lie_in_the_space(
        self, make: Make, method: str
    ) -> None:
        for space in spaces_of(method).values():
            asked = search(make(method, space), 32, width=8)
            assert len({(p.config.id, p.epochs) for p in asked}) == len(asked) > 20
            assert all(space.contains(proposal.config) for proposal in asked)
            if method not in HALVING:
                assert len(asked) == min(32, len(CONFIGS) if space is FINITE else 32)

    def test_eight_under_way_are_different(self, make: Make, method: str) -> None:
        for space in spaces_of(method).values():
            strategy = make(method, space)
            search(strategy, 15)
            asked = strategy.ask(8)
            assert len(asked) == 8
            assert len({(p.config.id, p.epochs) for p in asked}) == 8

    def test_nothing_needs_to_be_told(self, make: Make, method: str) -> None:
        for space in spaces_of(method).values():
            strategy = make(method, space)
            assert len({*ids(strategy.ask(9)), *ids(strategy.ask(9))}) == 18

    def test_only_the_seed_makes_a_difference(self, make: Make, method: str) -> None:
        """Neither global random streams nor the number asked for at a time matter."""
        for space in spaces_of(method, all_of_them=False).values():
            first = search(make(method, space, seed=5), 18, width=6)
            random.seed(99)
            again = make(method, space, seed=5)
            for step in range(0, 18, 6):
                one, two = again.ask(2), again.ask(4)
                assert [*one, *two] == first[step : step + 6]
                again.tell([outcome(proposal) for proposal in [*two, *one]])
            other = search(make(method, space, seed=6), 12, width=6)
            assert (other != first[:12]) == (method != "grid")
            assert len(make(method, space, seed=2**32 - 1).ask(5)) == 5

    def test_the_order_of_telling_makes_none(self, make: Make, method: str) -> None:
        for name, space in spaces_of(method, all_of_them=False).items():
            forth, back = make(method, space), make(method, space)
            told = []
            for _ in range(3):
                asked = forth.ask(7)
                assert back.ask(7) == asked
                outcomes = [outcome(proposal) for proposal in asked]
                told += outcomes
                forth.tell(outcomes)
                for each in reversed(outcomes):
                    back.tell([each])
            assert back.ask(3) == forth.ask(3), name

    def test_killed_anywhere_it_goes_on(self, make: Make, method: str) -> None:
        """With every outcome known, and with the last proposal still in training."""
        for space in spaces_of(method, all_of_them=False).values():
            whole = search(make(method, space), 26)
            told = [outcome(proposal) for proposal in whole]
            for cut in range(0, len(whole), 5):
                again = restored(make(method, space), whole[:cut], told[:cut])
                assert again.ask(1) == whole[cut : cut + 1], cut
            for cut in range(1, len(whole), 8):
                again = restored(make(method, space), whole[:cut], told[: cut - 1])
                again.tell(told[cut - 1 : cut])
                assert again.ask(1) == whole[cut : cut + 1], cut

    def test_failures_are_told(self, make: Make, method: str) -> None:
        """All trials may fail, with every kind of number that is no score."""
        for score in (None, math.nan, math.inf, -math.inf):
            strategy = make(method, FINITE)
            asked = 0
            while proposals := strategy.ask(5):
                asked += len(proposals)
                strategy.tell([Outcome(p.config, score, p.epochs) for p in proposals])
            assert asked == len(CONFIGS)

    @pytest.mark.parametrize("goal", ["maximize", "minimize"])
    def test_scores_of_any_size(self, make: Make, method: str, goal: str) -> None:
        strategy = make(method, FINITE, goal=goal)
        sizes = [1e308, -1e308, 1e-320, 0.0, -0.0, 1e30, 0.5, 0.5, 0.5, 1e16, 1e16 + 2]
        asked = 0
        while proposals := strategy.ask(3):
            strategy.tell(
                [
                    Outcome(p.config, sizes[(asked + i) % 11], p.epochs)
                    for i, p in enumerate(proposals)
                ]
            )
            asked += len(proposals)
        assert asked >= len(CONFIGS)

    def test_told_again_the_last_counts(self, make: Make, method: str) -> None:
        """More seeds change a mean."""
        for space in spaces_of(method, all_of_them=False).values():
            once, twice = make(method, space), make(method, space)
            for _ in range(3):
                asked = once.ask(5)
                assert twice.ask(5) == asked
                once.tell([outcome(proposal) for proposal in asked])
                twice.tell([Outcome(p.config, None, p.epochs) for p in asked])
                twice.tell([Outcome(p.config, 0.75, p.epochs) for p in asked[:2]])
                twice.tell([outcome(proposal) for proposal in asked])
            assert once.ask(4) == twice.ask(4)

    def test_others_outcomes_do_no_harm(self, make: Make, method: str) -> None:
        """Outcomes of configs that were never proposed, inside and outside the space."""
        strategy = make(method, FINITE)
        strategy.tell([])
        strategy.tell(
            [
                Outcome(Config({"units": 77, "optimizer": ["odd"], "l2": "text"}), 0.5),
                Outcome(Config({"nothing": None}, FUNCTION.kind), 1e9),
                Outcome(CONFIGS[3], 0.25, 9),
            ]
        )
        asked = search(strategy, 10_000, width=4)
        assert set(ids(asked)) >= {c.id for c in CONFIGS} - {CONFIGS[3].id}

    def test_listed_ones_come_first(self, make: Make, method: str) -> None:
        outside = Config({"hidden_layers": 1, "units": 77, "epochs": 9})
        listed = [CONFIGS[5], outside, CONFIGS[2], CONFIGS[5]]
        strategy = make(method, FINITE, listed)
        asked = strategy.ask(6)
        expected = [CONFIGS[5].id, outside.id, CONFIGS[2].id]
        assert ids(asked)[:3] == expected
        assert len(set(ids(asked))) == 6
        again = make(method, FINITE, listed)
        again.restore([CONFIGS[5]], [Outcome(CONFIGS[5], 0.5, asked[0].epochs)])
        assert ids(again.ask(2)) == expected[1:]

    def test_a_space_that_grew_proposes_what_is_new(self, make: Make, method: str) -> None:
        small = Space((Parameter("units", Choices((1, 2, 3))), Parameter("epochs", Choices((9,)))))
        large = Space(
            (Parameter("units", Choices((1, 9, 2, 3, 8))), Parameter("epochs", Choices((9,))))
        )
        before = search(make(method, small), 10_000)
        configs = list({p.config.id: p.config for p in before}.values())
        told = {(p.config.id, p.epochs): outcome(p) for p in before}
        strategy = make(method, large)
        strategy.restore(configs, list(told.values()))
        known = {config.id for config in configs}
        asked = [p for p in search(strategy, 10_000) if p.config.id not in known]
        assert {p.config.values["units"] for p in asked} == {8, 9}

    def test_spaces_without_a_choice(self, make: Make, method: str) -> None:
        nothing = Space(())
        fixed = Space((Parameter("units", Choices((3,))),))
        for space in (nothing, fixed):
            strategy = make(method, space)
            asked = search(strategy, 10_000, width=5)
            assert len(set(ids(asked))) == 1
            assert strategy.exhausted

    def test_it_does_not_spin(self, make: Make, method: str) -> None:
        """A hundred asks of an exhausted strategy return at once."""
        strategy = make(method, FINITE)
        search(strategy, 10_000, width=5)
        began = time.process_time()
        assert all(strategy.ask(8) == [] for _ in range(100))
        assert time.process_time() - began < 1.0
