"""Oracles of a user, good and bad."""

from __future__ import annotations

import os
import random
from typing import Any

import keras_tuner


class Mine(keras_tuner.Oracle):  # type: ignore[misc]  # KerasTuner has no types
    """Random values for a few trials, then changes of the best trial's."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        rng = random.Random(self.seed * 1000 + int(trial_id))
        best = self.get_best_trials(1)
        keep = best[0].hyperparameters.values if len(self.end_order) > 4 and best else {}
        known = [trial.hyperparameters.values for trial in self.trials.values()]
        values = self._drawn(rng, keep)
        while values in known:
            values = self._drawn(rng, {})
        return {"status": "RUNNING", "values": values}

    def _drawn(self, rng: random.Random, keep: dict[str, Any]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for hp in self.hyperparameters.space:
            if all(condition.is_active(values) for condition in hp.conditions):
                drawn = hp.random_sample(rng.randrange(10**6))
                values[hp.name] = keep[hp.name] if hp.name in keep and rng.random() < 0.5 else drawn
        return values


class Unseeded(Mine):
    def populate_space(self, trial_id: str) -> dict[str, Any]:
        self.seed = random.SystemRandom().randrange(10**9)
        return super().populate_space(trial_id)


class Raises(Mine):
    def populate_space(self, trial_id: str) -> dict[str, Any]:
        if len(self.trials) == 3:
            raise RuntimeError("no idea\nfor a trial")
        return super().populate_space(trial_id)


class RaisesWhenTold(Mine):
    def end_trial(self, trial: Any) -> None:
        raise KeyError(trial.trial_id)


class Outside(Mine):
    def populate_space(self, trial_id: str) -> dict[str, Any]:
        found = super().populate_space(trial_id)
        if len(self.trials) == 3:
            found["values"]["units"] = 7
        return found


class Waits(Mine):
    def populate_space(self, trial_id: str) -> dict[str, Any]:
        return {"status": "IDLE"}


class Exits(Mine):
    def populate_space(self, trial_id: str) -> dict[str, Any]:
        os._exit(7)


class Unmakeable(Mine):
    def __init__(self, needed: int, **arguments: Any) -> None:
        super().__init__(**arguments)


def made(objective: Any, max_trials: int, **others: Any) -> Mine:
    return Mine(objective=objective, max_trials=max_trials, **others)


def nothing(**_: Any) -> None:
    return None
