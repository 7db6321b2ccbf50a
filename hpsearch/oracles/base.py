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
- It prints tables to the screen: the display is off.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import keras_tuner
from keras_tuner.src.engine import oracle as kt_oracle
from keras_tuner.src.engine import trial as kt_trial

from hpsearch.proposal import Outcome, Proposal
from hpsearch.sampling import Draw
from hpsearch.space import Choices, Config, Parameter, Space

__all__ = ["DrawingOracle", "SweepOracle", "config_from", "hyperparameters_of"]

_RUNNING = kt_trial.TrialStatus.RUNNING


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
    """Proposes configs; subclasses say which in `next_config`.

    Args:
        space: What can vary.
        goal: `maximize` or `minimize`.
        seed: Of the proposals; proposal k derives from (seed, k).
    """

    #: Whether proposals depend on outcomes.
    adaptive: ClassVar[bool] = False

    def __init__(self, space: Space, *, goal: str = "maximize", seed: int = 0) -> None:
        self.space = space
        self.exhausted = False
        self._proposals: dict[str, kt_trial.Trial] = {}
        self._configs: dict[str, Config] = {}
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

    def next_config(self) -> tuple[Config, dict[str, Any]] | None:
        """The next config, and its values by the names of `hyperparameters_of`.

        None where the space holds no further one.
        """
        raise NotImplementedError

    def ask(self, count: int) -> list[Proposal]:
        """At most `count` configs that were not proposed before; fewer once it is exhausted."""
        proposals: list[Proposal] = []
        with _released(self):
            while len(proposals) < count and not self.exhausted:
                trial = self.create_trial(f"slot-{len(self._proposals)}")
                if trial.status == _RUNNING:
                    config = self._configs[trial.trial_id]
                    self._proposals[config.id] = trial
                    proposals.append(Proposal(config))
                else:
                    self.exhausted = True
        return proposals

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Learn what came of proposed configs; those of others' are ignored."""
        with _released(self):
            for outcome in outcomes:
                trial = self._proposals.get(outcome.config.id)
                if trial is not None:
                    self._end(trial, outcome.score)

    def _end(self, trial: kt_trial.Trial, score: float | None) -> None:
        if score is not None and math.isfinite(score):
            self.update_trial(trial.trial_id, {"score": score})
            trial.status = kt_trial.TrialStatus.COMPLETED
        else:
            trial.status = kt_trial.TrialStatus.FAILED
        self.end_trial(trial)

    # What KerasTuner calls

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """KerasTuner's hook: the values of the next trial, or that there is none."""
        proposal = self.next_config()
        if proposal is None:
            return {"status": kt_trial.TrialStatus.STOPPED}
        self._configs[trial_id], values = proposal
        return {"status": _RUNNING, "values": values}

    def _record_values(self, trial: kt_trial.Trial) -> None:
        """Duplicates are found by the config's identity, not by KerasTuner's hash of values."""

    def _check_consecutive_failures(self) -> None:
        """The driver owns that policy; KerasTuner's walks over all trials at each end."""

    def save(self) -> None:
        """Keep nothing: the store is the truth."""

    def _save_trial(self, trial: kt_trial.Trial) -> None:
        """Keep nothing: the store is the truth."""


class DrawingOracle(SweepOracle):
    """Proposes the draws of `sampling`: the same configs that a `Source` of them hands out.

    Args:
        drawn: Configs and the assignments that give them.
    """

    def __init__(
        self, space: Space, drawn: Iterator[Draw], *, goal: str = "maximize", seed: int = 0
    ) -> None:
        super().__init__(space, goal=goal, seed=seed)
        self._draws = drawn

    def next_config(self) -> tuple[Config, dict[str, Any]] | None:
        """The next draw; None once there is none left."""
        drawn = next(self._draws, None)
        return drawn and (drawn[0], _indices_of(self.space, drawn[1]))


def _indices_of(space: Space, assignment: Mapping[str, Any]) -> dict[str, Any]:
    """Values as `hyperparameters_of` names them: indices where a parameter is finite."""
    return {
        p.name: assignment[p.name] if p.choices is None else p.choices.index(assignment[p.name])
        for p in space.parameters
        if p.name in assignment
    }
