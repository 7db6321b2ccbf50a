"""Any strategy as a `keras_tuner.Oracle`, with workarounds for KerasTuner 1.4.8."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import keras_tuner
from keras_tuner.src.engine import metrics_tracking as kt_metrics
from keras_tuner.src.engine import oracle as kt_oracle
from keras_tuner.src.engine import trial as kt_trial

from hpsearch.search.strategy import Outcome, Proposal, Strategy
from hpsearch.space.space import Config, Range, Space

_RUNNING = kt_trial.TrialStatus.RUNNING
_OVER = (kt_trial.TrialStatus.COMPLETED, kt_trial.TrialStatus.FAILED)


def hyperparameters_of(space: Space) -> keras_tuner.HyperParameters:
    """Return the space as KerasTuner's; a finite parameter becomes the indices of its values."""
    hp = keras_tuner.HyperParameters()
    for parameter in space.parameters:
        name, domain = parameter.name, parameter.domain
        if parameter.choices is not None:
            hp.Choice(name, list(range(len(parameter.choices))), ordered=False)
            continue
        assert isinstance(domain, Range)
        sampling = "log" if domain.log else "linear"
        if domain.integer:
            hp.Int(name, int(domain.min), int(domain.max), sampling=sampling)
        else:
            hp.Float(name, float(domain.min), float(domain.max), sampling=sampling)
    return hp


def config_from(space: Space, values: Mapping[str, Any]) -> Config | None:
    """Return the config of KerasTuner's values; None if a constraint fails."""
    assignment = {}
    for parameter in space.parameters:
        value = values[parameter.name]
        choices = parameter.choices
        assignment[parameter.name] = value if choices is None else choices[value]
    return space.config(assignment)


def _values_of(space: Space, config: Config) -> dict[str, Any]:
    """Return the inverse of `config_from`; empty if the config is not in the space."""
    assignment = space.assignment(config)
    if assignment is None:
        return {}
    values = {}
    for parameter in space.parameters:
        value, choices = assignment[parameter.name], parameter.choices
        values[parameter.name] = value if choices is None else choices.index(value)
    return values


@contextmanager
def _released(oracle: kt_oracle.Oracle) -> Iterator[None]:
    """Release KerasTuner's lock at the end, which an exception would leave held."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=DeprecationWarning, module="keras_tuner")
            yield
    finally:
        kt_oracle.THREADS[oracle] = None
        lock = kt_oracle.LOCKS[oracle]
        if lock.locked():
            lock.release()


class StrategyOracle(keras_tuner.Oracle):  # type: ignore[misc]  # KerasTuner has no types
    """Passes a strategy's proposals to KerasTuner's trials, and their scores back.

    It is a `Strategy` itself. A proposal to train for a number of epochs has KerasTuner's own
    values, as its Hyperband writes them: `tuner/epochs`, `tuner/initial_epoch` and, to continue an
    earlier trial, `tuner/trial_id`.

    Args:
        strategy: New, or just restored; from now on only the oracle asks and tells it.
        goal: `maximize` or `minimize`.
        seed: Seed of the proposals.
    """

    def __init__(
        self, strategy: Strategy, space: Space, *, goal: str = "maximize", seed: int = 0
    ) -> None:
        self.space = space
        self._strategy = strategy
        self._started: dict[str, Proposal] = {}
        self._trial_ids: dict[tuple[str, int | None], str] = {}
        self._reached: dict[str, tuple[int, str]] = {}
        direction = "max" if goal == "maximize" else "min"
        super().__init__(
            objective=keras_tuner.Objective("score", direction),
            hyperparameters=hyperparameters_of(space),
            allow_new_entries=False,
            tune_new_entries=True,
            # KerasTuner takes 0 for "choose one at random".
            seed=seed + 1,
            max_consecutive_failed_trials=None,
        )
        self.verbose = 0

    @property
    def exhausted(self) -> bool:
        """See `Strategy.exhausted`."""
        return self._strategy.exhausted

    @property
    def adaptive(self) -> bool:
        """See `Strategy.adaptive`."""
        return self._strategy.adaptive

    @property
    def rungs(self) -> tuple[int, ...]:
        """See `Strategy.rungs`."""
        return self._strategy.rungs

    def ask(self, count: int) -> list[Proposal]:
        """Return at most `count` proposals; fewer if it waits for outcomes or is exhausted."""
        proposals: list[Proposal] = []
        with _released(self):
            while len(proposals) < count:
                trial = self.create_trial(f"slot-{len(self.trials)}")
                if trial.status != _RUNNING:
                    break
                proposals.append(self._started[trial.trial_id])
        return proposals

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Learn the outcomes of proposals, or of configs that were never proposed."""
        with _released(self):
            for outcome in outcomes:
                trial_id = self._trial_ids.get((outcome.config.id, outcome.epochs))
                if trial_id is None:
                    self._strategy.tell([outcome])
                else:
                    self._end(self.trials[trial_id], outcome.score)

    def _end(self, trial: kt_trial.Trial, score: float | None) -> None:
        trial.metrics = kt_metrics.MetricsTracker()
        if score is not None and math.isfinite(score):
            self.update_trial(trial.trial_id, {"score": score})
            trial.status = kt_trial.TrialStatus.COMPLETED
        else:
            trial.status = kt_trial.TrialStatus.FAILED
        self.end_trial(trial)

    def restore(self, configs: Sequence[Config], outcomes: Sequence[Outcome]) -> None:
        """Resume a search; the configs that were proposed before get no trials of KerasTuner."""
        self._strategy.restore(configs, outcomes)

    # KerasTuner's hooks

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Return the values of the next trial.

        Or a status: IDLE to wait for a trial in training, STOPPED if no trial will come.
        """
        proposals = self._strategy.ask(1)
        if not proposals:
            waits = self.ongoing_trials and (self.rungs or not self.exhausted)
            status = kt_trial.TrialStatus.IDLE if waits else kt_trial.TrialStatus.STOPPED
            return {"status": status}
        (proposal,) = proposals
        self._started[trial_id] = proposal
        self._trial_ids[proposal.config.id, proposal.epochs] = trial_id
        values = _values_of(self.space, proposal.config) | self._epochs(trial_id, proposal)
        return {"status": _RUNNING, "values": values}

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

    @keras_tuner.synchronized  # type: ignore[untyped-decorator]
    def end_trial(self, trial: kt_trial.Trial) -> None:
        """Tell the strategy of a trial that has ended, unless it is to be retried."""
        super().end_trial(trial)
        ended, proposal = self.trials[trial.trial_id], self._started[trial.trial_id]
        if ended.status in _OVER:
            completed = ended.status == kt_trial.TrialStatus.COMPLETED
            score = ended.score if completed else None
            self._strategy.tell([Outcome(proposal.config, score, proposal.epochs)])

    def _record_values(self, trial: kt_trial.Trial) -> None:
        """Do nothing: a config's identity finds duplicates, not KerasTuner's hash of values."""

    def _check_consecutive_failures(self) -> None:
        """Do nothing: the driver decides; KerasTuner's would walk over all trials each time."""

    def save(self) -> None:
        """Do nothing: the store keeps everything."""

    def _save_trial(self, trial: kt_trial.Trial) -> None:
        """Do nothing: the store keeps everything."""
