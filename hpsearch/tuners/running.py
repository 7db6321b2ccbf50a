"""A hypermodel's own `fit`, and a tuner's own `run_trial`, in a worker."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import keras
import keras_tuner
from keras_tuner.src.engine import trial as kt_trial

from hpsearch.training.fit import Watcher

#: What a tuner has in its own process only.
_LEFT = ("_hpsearch", "hypermodel", "oracle")


class AsGiven(keras_tuner.HyperModel):  # type: ignore[misc]  # KerasTuner has no types
    """A hypermodel whose `fit` gets the arguments as `search` did, by position or by name.

    Args:
        tuner: Its attributes and hypermodel are copied; its oracle stays where it is.
        positions: How many arguments `search` was given by position, x and y at most.
        names: The names of the others.
        own_run: Whether the `fit` is the tuner's own `run_trial`, and not the hypermodel's.
    """

    def __init__(
        self,
        tuner: keras_tuner.Tuner,
        positions: int,
        names: Collection[str],
        *,
        own_run: bool,
    ) -> None:
        super().__init__()
        self._hypermodel, self._objective = tuner.hypermodel, tuner.oracle.objective
        self._positions, self._names = positions, frozenset(names)
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
        # Each training begins with what the program had, whatever others have changed.
        tuner = object.__new__(self._tuner_class)
        vars(tuner).update(copy.deepcopy(self._attributes))
        callbacks = given.pop("callbacks", [])
        tuner._watching = [each for each in callbacks if isinstance(each, Watcher)]
        if "callbacks" in self._names:
            given["callbacks"] = [each for each in callbacks if each not in tuner._watching]
        split = {"validation_data"} if "validation_split" in self._names else set()
        names = self._names | split
        tuner._given = {name: each for name, each in given.items() if name not in names}
        return self._run(tuner, hp, model, first, {n: given[n] for n in given if n in names})

    def _run(
        self, tuner: Any, hp: Any, model: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        trial = kt_trial.Trial(hp, hp.place.replace("/", "-"), kt_trial.TrialStatus.RUNNING)
        tuner.hypermodel = _Built(self._hypermodel, model)
        tuner.oracle = _Told(self._objective, trial)
        # In a worker there is no engine to search with.
        vars(tuner)["_hpsearch"] = None
        returned = tuner.run_trial(trial, *args, **kwargs)
        return tuner.oracle.history if returned is None else returned


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

    def __init__(self, objective: Any, trial: Any) -> None:
        self.objective = objective
        self._trial = trial
        #: Metric -> step -> values.
        self._reports: dict[str, dict[int, list[float]]] = {}

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"{name}: run_trial runs in another process, where the oracle has only objective, "
            "get_trial and update_trial"
        )

    def get_trial(self, trial_id: str) -> Any:
        """Return the trial that runs."""
        del trial_id
        return self._trial

    def update_trial(self, trial_id: str, metrics: Mapping[str, float], step: int = 0) -> Any:
        """Take metrics of a step; the best step counts, by the mean of what it was given."""
        del trial_id
        for name, value in metrics.items():
            self._reports.setdefault(name, {}).setdefault(step, []).append(float(value))
        return self._trial

    @property
    def history(self) -> keras.callbacks.History:
        """The steps as the epochs of a training."""
        history = keras.callbacks.History()
        history.history = {
            name: [sum(steps[step]) / len(steps[step]) for step in sorted(steps)]
            for name, steps in self._reports.items()
        }
        return history
