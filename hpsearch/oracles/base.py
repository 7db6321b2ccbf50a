"""KerasTuner's Oracle, with what KerasTuner 1.4.8 does to its users kept in this one module.

What is handled here, each with a test in `tests/oracles/test_base.py`:

- `seed=0` would mean random: seeds are shifted by one.
- Choice refuses None, lists and mixed types, and turns booleans into integers: hyperparameters
  are declared as indices of our values.
- A name under two conditions breaks, and late-discovered names get unseeded values: all are
  declared first, without conditions; `Space.config` decides what is alive.
- An exception inside a synchronized method leaves the lock held: `ask` and `tell` release it.
- Locks go by thread name, and `threading.currentThread` warns at each call.
- `create_trial` twice with one tuner id returns the same trial: one id a proposal.
- Its JSON files are written in place, and dominate the cost of small trials: nothing is saved;
  the store is the truth.
- Three failures in a row would raise inside `end_trial`: the driver owns that policy.
- An infinite score would count as completed, and win; a trial's score would be its best step:
  the score is decided by the driver, and only finite ones are told.
- A score that is told again would be averaged with the one before: only the last counts.
- It prints tables to the screen: the display is off.
"""

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

from hpsearch.proposal import Outcome, Proposal
from hpsearch.space import Choices, Config, Parameter, Space

__all__ = ["SweepOracle", "config_from", "hyperparameters_of", "values_of"]

_RUNNING = kt_trial.TrialStatus.RUNNING
_OVER = (kt_trial.TrialStatus.COMPLETED, kt_trial.TrialStatus.FAILED)


def hyperparameters_of(space: Space) -> keras_tuner.HyperParameters:
    """The space as KerasTuner's: each finite parameter as indices of its values."""
    hp = keras_tuner.HyperParameters()
    for parameter in space.parameters:
        _declare(hp, parameter)
    return hp


def _declare(hp: keras_tuner.HyperParameters, parameter: Parameter) -> None:
    domain, choices = parameter.domain, parameter.choices
    if isinstance(domain, Choices) or choices is not None:
        hp.Choice(parameter.name, list(range(len(choices or ()))), ordered=False)
        return
    sampling = "log" if domain.log else "linear"
    if domain.integer:
        hp.Int(parameter.name, int(domain.min), int(domain.max), sampling=sampling)
    else:
        hp.Float(parameter.name, float(domain.min), float(domain.max), sampling=sampling)


def config_from(space: Space, values: Mapping[str, Any]) -> Config | None:
    """The config of KerasTuner's values; None where a constraint fails."""
    assignment = {}
    for parameter in space.parameters:
        value = values[parameter.name]
        choices = parameter.choices
        assignment[parameter.name] = value if choices is None else choices[value]
    return space.config(assignment)


def values_of(space: Space, config: Config) -> dict[str, Any]:
    """A config's values by the names of `hyperparameters_of`; none where it lies outside."""
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
    """Leaves no lock behind, whatever happens."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=DeprecationWarning, module="keras_tuner")
            yield
    finally:
        kt_oracle.THREADS[oracle] = None
        lock = kt_oracle.LOCKS[oracle]
        if lock.locked():
            lock.release()


class SweepOracle(keras_tuner.Oracle):  # type: ignore[misc]  # KerasTuner has no types
    """Asks and tells as a strategy does, on top of KerasTuner's trials.

    Subclasses say in `populate_space` what a trial tries, by `_start`, and learn in `_learn`.

    Args:
        space: What can vary.
        goal: `maximize` or `minimize`.
        seed: Of the proposals.
    """

    def __init__(self, space: Space, *, goal: str = "maximize", seed: int = 0) -> None:
        self.space = space
        self._started: dict[str, Proposal] = {}
        self._trial_ids: dict[tuple[str, int | None], str] = {}
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

    def ask(self, count: int) -> list[Proposal]:
        """At most `count` proposals; fewer where none can be made, for now or for ever."""
        proposals: list[Proposal] = []
        with _released(self):
            while len(proposals) < count:
                trial = self.create_trial(f"slot-{len(self.trials)}")
                if trial.status != _RUNNING:
                    break
                proposals.append(self._started[trial.trial_id])
        return proposals

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Learn what came of proposals, or of configs that were never proposed."""
        with _released(self):
            for outcome in outcomes:
                trial_id = self._trial_ids.get((outcome.config.id, outcome.epochs))
                if trial_id is None:
                    self._learn(outcome)
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

    def _start(self, trial_id: str, proposal: Proposal) -> None:
        """Note which proposal a trial is about."""
        self._started[trial_id] = proposal
        self._trial_ids[proposal.config.id, proposal.epochs] = trial_id

    def _learn(self, outcome: Outcome) -> None:
        """What came of a config, whether it was proposed or not."""
        raise NotImplementedError

    # What KerasTuner calls

    @keras_tuner.synchronized  # type: ignore[untyped-decorator]
    def end_trial(self, trial: kt_trial.Trial) -> None:
        """KerasTuner's hook: a trial has ended, or is to be tried once more."""
        super().end_trial(trial)
        ended, proposal = self.trials[trial.trial_id], self._started[trial.trial_id]
        if ended.status in _OVER:
            completed = ended.status == kt_trial.TrialStatus.COMPLETED
            score = ended.score if completed else None
            self._learn(Outcome(proposal.config, score, proposal.epochs))

    def _record_values(self, trial: kt_trial.Trial) -> None:
        """Duplicates are found by the config's identity, not by KerasTuner's hash of values."""

    def _check_consecutive_failures(self) -> None:
        """The driver owns that policy; KerasTuner's walks over all trials at each end."""

    def save(self) -> None:
        """Keep nothing: the store is the truth."""

    def _save_trial(self, trial: kt_trial.Trial) -> None:
        """Keep nothing: the store is the truth."""
