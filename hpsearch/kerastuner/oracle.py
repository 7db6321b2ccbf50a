"""Turn a space into KerasTuner's hyperparameters, and a strategy into its oracle.

This module holds the workarounds for KerasTuner 1.4.8.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import keras_tuner

from hpsearch.custom import kerastuner_names as kt
from hpsearch.search.strategy import Outcome, Proposal, Strategy
from hpsearch.space.space import Choices, Config, Parameter, Range, Space, matches
from hpsearch.wording import is_number

STATUS = kt.TrialStatus
#: The names of KerasTuner's own values, which its Hyperband writes.
EPOCHS, INITIAL_EPOCH, TRIAL_ID = "tuner/epochs", "tuner/initial_epoch", "tuner/trial_id"


def _codes(parameter: Parameter) -> dict[Any, Any] | None:
    """Map KerasTuner's values to a parameter's choices; None for a continuous parameter.

    KerasTuner takes numbers, texts or booleans, all of one type; other values become JSON.
    """
    if parameter.choices is None:
        return None
    kinds = set(map(type, parameter.choices))
    if kinds in ({int}, {float}, {str}) or (kinds == {bool} and len(parameter.choices) == 2):
        return {value: value for value in parameter.choices}
    return {_text(value): value for value in parameter.choices}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _code(parameter: Parameter, value: Any) -> Any:
    codes = _codes(parameter)
    if codes is None or (not isinstance(value, list | dict) and value in codes):
        return value
    return _text(value)


def hyperparameters_of(space: Space) -> keras_tuner.HyperParameters:
    """Return the space as KerasTuner's hyperparameters, with all conditions it can express."""
    hp = keras_tuner.HyperParameters()
    by_name = {parameter.name: parameter for parameter in space.parameters}
    for parameter in space.by_dependence:
        with ExitStack() as scopes:
            for parent, accepted in parameter.when.items():
                choices = by_name[parent].choices if parent in by_name else None
                met = [_code(by_name[parent], c) for c in choices or () if matches(c, accepted)]
                if met:
                    scopes.enter_context(hp.conditional_scope(parent, met))
            _declare(hp, parameter)
    return hp


def _declare(hp: keras_tuner.HyperParameters, parameter: Parameter) -> None:
    name, domain, codes = parameter.name, parameter.domain, _codes(parameter)
    if codes is not None:
        if all(isinstance(code, bool) for code in codes):
            hp.Boolean(name)
        else:
            hp.Choice(name, list(codes), ordered=not isinstance(domain, Choices))
        return
    assert isinstance(domain, Range)
    sampling = "log" if domain.log else "linear"
    if domain.integer:
        hp.Int(name, int(domain.min), int(domain.max), sampling=sampling)
    else:
        hp.Float(name, float(domain.min), float(domain.max), sampling=sampling)


def values_of(space: Space, config: Config) -> dict[str, Any]:
    """Return a config's values as KerasTuner's; the inverse of `config_from`."""
    return {
        parameter.name: _code(parameter, config.values[parameter.name])
        for parameter in space.parameters
        if parameter.name in config.values
    }


def config_from(space: Space, values: Mapping[str, Any]) -> Config | None:
    """Return the config of KerasTuner's values; None if a constraint fails.

    Raises:
        ValueError: A value is missing or lies outside the space; the message names it.
    """
    assignment = {}
    for parameter in space.parameters:
        if parameter.name in values:
            assignment[parameter.name] = _value(parameter, values[parameter.name])
        elif parameter.choices is not None and len(parameter.choices) == 1:
            assignment[parameter.name] = parameter.choices[0]
    whole = {parameter.name: parameter.at(0.0) for parameter in space.parameters} | assignment
    for name in space.active(whole):
        if name in space.names and name not in assignment:
            raise ValueError(f"it gave no value for {name!r}")
    return space.config(assignment)


def _value(parameter: Parameter, value: Any) -> Any:
    codes, domain = _codes(parameter), parameter.domain
    if codes is not None:
        if not isinstance(value, list | dict) and value in codes:
            return codes[value]
        # A program's own hyperparameters may have values that `hyperparameters_of` encodes, and
        # KerasTuner adds steps without rounding.
        for choice in codes.values():
            if type(choice) is not type(value):
                continue
            rounds = isinstance(value, float) and math.isclose(choice, value, abs_tol=1e-12)
            if rounds or choice == value:
                return choice
        raise ValueError(f"{value!r} is no value of {parameter.name!r}")
    assert isinstance(domain, Range)
    if not is_number(value) or not domain.min <= value <= domain.max:
        raise ValueError(
            f"{value!r} is no value of {parameter.name!r}, from {domain.min:g} to {domain.max:g}"
        )
    return int(value) if domain.integer else float(value)


@contextmanager
def released(oracle: keras_tuner.Oracle) -> Iterator[None]:
    """Release KerasTuner's lock at the end, even after an exception."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=DeprecationWarning, module="keras_tuner")
            yield
    finally:
        kt.THREADS[oracle] = None
        lock = kt.LOCKS[oracle]
        if lock.locked():
            lock.release()


class StrategyOracle(keras_tuner.Oracle):
    """Passes a strategy's proposals to KerasTuner's trials, and their scores back.

    Args:
        strategy: New or just restored; from now on only the oracle may call it.
        goal: `maximize` or `minimize`.
    """

    def __init__(
        self, strategy: Strategy, space: Space, *, metric: str, goal: str, seed: int = 0
    ) -> None:
        self.space = space
        self.strategy = strategy
        #: The proposal of each trial.
        self.proposals: dict[str, Proposal] = {}
        direction = "max" if goal == "maximize" else "min"
        super().__init__(
            objective=keras_tuner.Objective(metric, direction),
            hyperparameters=hyperparameters_of(space),
            allow_new_entries=False,
            tune_new_entries=True,
            # KerasTuner would replace the seed 0 by a random one.
            seed=seed + 1,
            max_consecutive_failed_trials=None,
        )
        self.verbose = 0

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Return the values of the next trial, or a status.

        The status is IDLE to wait for a trial in training, STOPPED if no trial will come.
        """
        proposals = self.strategy.ask(1)
        if not proposals:
            waits = self.ongoing_trials and (self.strategy.rungs or not self.strategy.exhausted)
            return {"status": STATUS.IDLE if waits else STATUS.STOPPED}
        (proposal,) = proposals
        self.proposals[trial_id] = proposal
        return {"status": STATUS.RUNNING, "values": values_of(self.space, proposal.config)}

    @keras_tuner.synchronized  # type: ignore[untyped-decorator]
    def end_trial(self, trial: kt.Trial) -> None:
        """Report to the strategy a trial that has ended; KerasTuner does not repeat it."""
        super().end_trial(trial)
        ended, proposal = self.trials[trial.trial_id], self.proposals[trial.trial_id]
        score = ended.score if ended.status == STATUS.COMPLETED else None
        self.strategy.tell([Outcome(proposal.config, score, proposal.epochs)])

    def correct(self, trial: kt.Trial | None, outcome: Outcome) -> None:
        """Record a later outcome of an ended trial; None if no trial had the config."""
        if trial is not None:
            metrics = metrics_of(self, outcome)
            _score(self, trial, metrics, outcome.error)
            if trial.status == STATUS.COMPLETED:
                self.score_trial(trial)
        self.strategy.tell([outcome])

    def _record_values(self, trial: kt.Trial) -> None:
        """Do nothing: a config's id finds duplicates, not KerasTuner's hash of values."""

    def _check_consecutive_failures(self) -> None:
        """Do nothing: the engine decides, and KerasTuner would go through all trials each time."""

    def save(self, *_: Any) -> None:
        """Do nothing: the store keeps everything."""

    _save_trial = save


def metrics_of(oracle: keras_tuner.Oracle, outcome: Outcome) -> dict[str, float]:
    """Return an outcome's score as the metric of the objective; empty without a score."""
    if outcome.score is None or not math.isfinite(outcome.score):
        return {}
    return {oracle.objective.name: outcome.score}


def complete(trial: kt.Trial, objective: Any, metrics: Mapping[str, float], step: int) -> None:
    """Complete a trial with the metrics of its best step, among them the objective."""
    trial.status, trial.metrics = STATUS.COMPLETED, kt.MetricsTracker()
    for name, value in metrics.items():
        trial.metrics.register(name, objective.direction if name == objective.name else None)
        trial.metrics.update(name, value, step=step)
    trial.score, trial.best_step = metrics[objective.name], step


def end(
    oracle: keras_tuner.Oracle,
    trial: kt.Trial,
    metrics: Mapping[str, float],
    error: str = "",
    *,
    step: int = 0,
) -> None:
    """End an oracle's trial with its metrics; without metrics, as failed."""
    _score(oracle, trial, metrics, error, step)
    oracle.end_trial(trial)


def _score(
    oracle: keras_tuner.Oracle,
    trial: kt.Trial,
    metrics: Mapping[str, float],
    error: str,
    step: int = 0,
) -> None:
    trial.metrics = kt.MetricsTracker()
    if metrics:
        oracle.update_trial(trial.trial_id, metrics, step)
        trial.status = STATUS.COMPLETED
    else:
        trial.status, trial.message = STATUS.FAILED, error or "it has no score"


def epochs_of(values: Mapping[str, Any]) -> int | None:
    """Return the epochs at which KerasTuner's Hyperband halts a trial, or None."""
    epochs = values.get(EPOCHS)
    return None if epochs is None else int(epochs)
