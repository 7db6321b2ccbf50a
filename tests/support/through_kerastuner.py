"""A strategy that is asked and told through KerasTuner's trials, as a run does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras_tuner

from hpsearch.kerastuner.oracle import StrategyOracle
from hpsearch.kerastuner.sweep_tuner import SweepTuner
from hpsearch.search.strategy import Inquiry, Outcome, Proposal, Strategy
from hpsearch.space.space import Config, Space

_OF_STRATEGY = ("adaptive", "exhausted", "foreseen", "rungs", "close", "first_epochs")


class Through:
    """A `Strategy` around another one; other attributes are the oracle's."""

    def __init__(self, strategy: Strategy, space: Space, goal: str = "maximize", seed: int = 0):
        self.oracle = StrategyOracle(strategy, space, metric="score", goal=goal, seed=seed)
        self.tuner = SweepTuner(self.oracle, keras_tuner.HyperModel(), space)

    def _answered(self, request: Inquiry) -> tuple[Proposal, ...]:
        answer = self.tuner.answer(request)
        if answer.error:
            raise RuntimeError(answer.error)
        return answer.proposals

    def ask(self, count: int) -> list[Proposal]:
        return list(self._answered(Inquiry((), count)))

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        self._answered(Inquiry(tuple(outcomes), 0))

    def restore(self, configs: Sequence[Config], outcomes: Sequence[Outcome]) -> None:
        self.oracle.strategy.restore(configs, outcomes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.oracle.strategy if name in _OF_STRATEGY else self.oracle, name)
