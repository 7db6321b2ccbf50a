"""Any strategy as KerasTuner's Oracle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras_tuner.src.engine import trial as kt_trial

from hpsearch.oracles.base import SweepOracle, values_of
from hpsearch.proposal import Outcome, Proposal
from hpsearch.space import Config, Space
from hpsearch.strategies import Strategy

__all__ = ["StrategyOracle"]


class StrategyOracle(SweepOracle):
    """Hands a strategy's proposals to KerasTuner's trials, and their scores back.

    A proposal to train for a number of epochs carries KerasTuner's own values, as its Hyperband
    writes them: `tuner/epochs`, `tuner/initial_epoch` and, where an earlier trial is to go on,
    `tuner/trial_id`.

    Args:
        strategy: New, or just restored; the oracle asks and tells it from now on.
    """

    def __init__(
        self, strategy: Strategy, space: Space, *, goal: str = "maximize", seed: int = 0
    ) -> None:
        self._strategy = strategy
        self._reached: dict[str, tuple[int, str]] = {}
        super().__init__(space, goal=goal, seed=seed)

    @property
    def exhausted(self) -> bool:
        """Whether no further config will come, whatever is told."""
        return self._strategy.exhausted

    @property
    def adaptive(self) -> bool:
        """Whether proposals depend on outcomes."""
        return self._strategy.adaptive

    @property
    def rungs(self) -> tuple[int, ...]:
        """Epochs at which trainings halt, ascending; empty where all run to their end."""
        return self._strategy.rungs

    def restore(self, configs: Sequence[Config], outcomes: Sequence[Outcome]) -> None:
        """Take up a search; of what was proposed before, KerasTuner has no trials."""
        self._strategy.restore(configs, outcomes)

    def _learn(self, outcome: Outcome) -> None:
        self._strategy.tell([outcome])

    # What KerasTuner calls

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """KerasTuner's hook: the values of the next trial.

        Or that it has to wait (IDLE) for a trial under way, or that none will come (STOPPED).
        """
        proposals = self._strategy.ask(1)
        if not proposals:
            waits = self.ongoing_trials and (self.rungs or not self.exhausted)
            status = kt_trial.TrialStatus.IDLE if waits else kt_trial.TrialStatus.STOPPED
            return {"status": status}
        (proposal,) = proposals
        self._start(trial_id, proposal)
        values = values_of(self.space, proposal.config) | self._epochs(trial_id, proposal)
        return {"status": kt_trial.TrialStatus.RUNNING, "values": values}

    def _epochs(self, trial_id: str, proposal: Proposal) -> dict[str, Any]:
        if proposal.epochs is None:
            return {}
        before = self._reached.get(proposal.config.id)
        self._reached[proposal.config.id] = proposal.epochs, trial_id
        values = {
            "tuner/epochs": proposal.epochs,
            "tuner/initial_epoch": before[0] if before else 0,
        }
        return values | ({"tuner/trial_id": before[1]} if before else {})
