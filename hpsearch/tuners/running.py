"""A hypermodel's own `fit`, and a tuner's own `run_trial`, in a worker."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import keras_tuner
from keras_tuner.src.engine import trial as kt_trial

#: What a tuner has in its own process only.
_LEFT = ("_hpsearch", "hypermodel", "oracle")


class AsGiven(keras_tuner.HyperModel):  # type: ignore[misc]  # KerasTuner has no types
    """A hypermodel whose `fit` gets the rows as `search` did, by position or by name.

    Args:
        tuner: Its attributes and hypermodel are copied; its oracle stays where it is.
        positions: How many arguments `search` was given by position.
        own_run: Whether the `fit` is the tuner's own `run_trial`, and not the hypermodel's.
    """

    def __init__(self, tuner: keras_tuner.Tuner, positions: int, *, own_run: bool) -> None:
        super().__init__()
        self._hypermodel, self._objective = tuner.hypermodel, tuner.oracle.objective
        self._positions = positions
        self._tuner_class = type(tuner) if own_run else None
        held = {name: each for name, each in vars(tuner).items() if name not in _LEFT}
        self._attributes = held if own_run else {}

    def build(self, hp: keras_tuner.HyperParameters) -> Any:
        """Build the user's model."""
        return self._hypermodel.build(hp)

    def fit(self, hp: keras_tuner.HyperParameters, model: Any, *args: Any, **kwargs: Any) -> Any:
        """Call the user's method for a model that is built."""
        given = {**dict(zip(("x", "y"), args, strict=False)), **kwargs}
        first = [given.pop(name) for name in ("x", "y")[: self._positions]]
        if self._tuner_class is None:
            return self._hypermodel.fit(hp, model, *first, **given)
        tuner = object.__new__(self._tuner_class)
        vars(tuner).update(copy.copy(self._attributes))
        tuner.hypermodel = _Built(self._hypermodel, model)
        tuner.oracle = _Told(self._objective)
        # In a worker there is no engine to search with.
        tuner._hpsearch = None
        trial = kt_trial.Trial(hp, status=kt_trial.TrialStatus.RUNNING)
        returned = tuner.run_trial(trial, *first, **given)
        return tuner.oracle.metrics if returned is None else returned


class _Built(keras_tuner.HyperModel):  # type: ignore[misc]
    """A hypermodel whose first model exists already."""

    def __init__(self, hypermodel: keras_tuner.HyperModel, model: Any) -> None:
        super().__init__()
        self._hypermodel, self._models = hypermodel, [model]

    def build(self, hp: keras_tuner.HyperParameters) -> Any:
        return self._models.pop() if self._models else self._hypermodel.build(hp)

    def fit(self, hp: keras_tuner.HyperParameters, model: Any, *args: Any, **kwargs: Any) -> Any:
        return self._hypermodel.fit(hp, model, *args, **kwargs)


class _Told:
    """An oracle that is told metrics, as `run_trial` did it in KerasTuner's first versions."""

    def __init__(self, objective: Any) -> None:
        self.objective = objective
        self.metrics: dict[str, float] = {}

    def update_trial(self, trial_id: str, metrics: Mapping[str, float], step: int = 0) -> None:
        del trial_id, step
        self.metrics = {name: float(value) for name, value in metrics.items()}
