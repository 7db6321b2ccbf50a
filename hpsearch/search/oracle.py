"""Any strategy as a `keras_tuner.Oracle`; the traps of KerasTuner 1.4.8 are dealt with here."""

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

from hpsearch.search.methods import make_strategy
from hpsearch.search.strategy import Outcome, Proposal, Strategy
from hpsearch.space.space import Choices, Config, Parameter, Space
from hpsearch.spec.method import MethodSpec

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


def make_oracle(
    method: MethodSpec,
    space: Space,
    listed: Sequence[Config] = (),
    *,
    goal: str = "maximize",
    seed: int = 0,
    trials: int | None = None,
) -> StrategyOracle:
    """KerasTuner's oracle of a method; arguments as of `strategies.make_strategy`.

    Raises:
        NotSupportedError: The method has no execution in this version.
        ValueError: A grid's parameter is continuous.
    """
    strategy = make_strategy(method, space, listed, goal=goal, seed=seed, trials=trials)
    return StrategyOracle(strategy, space, goal=goal, seed=seed)
