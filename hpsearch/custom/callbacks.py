"""Handle the user's Keras callbacks: which of them need `fit`, and how workers get them."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import keras
import numpy as np

from hpsearch.custom.hypermodels import Tailored, as_hypermodel, trains_itself
from hpsearch.custom.shipping import shipped
from hpsearch.errors import InputError
from hpsearch.importing import load_object
from hpsearch.space.keras_names import METRICS
from hpsearch.spec import words
from hpsearch.wording import unknown_hint

#: The methods that `fit` calls within an epoch.
_WITHIN_EPOCHS: Final = (
    "on_batch_begin",
    "on_batch_end",
    "on_train_batch_begin",
    "on_train_batch_end",
    "on_test_begin",
    "on_test_end",
    "on_test_batch_begin",
    "on_test_batch_end",
)
#: Callbacks that read logs and set the learning rate. Weights restored by EarlyStopping are unused.
_FOR_NUMBERS: Final = (
    keras.callbacks.CSVLogger,
    keras.callbacks.EarlyStopping,
    keras.callbacks.History,
    keras.callbacks.LearningRateScheduler,
    keras.callbacks.ReduceLROnPlateau,
    keras.callbacks.TerminateOnNaN,
)


#: The attributes that Keras itself keeps in a callback.
_OF_KERAS: Final = ("params", "_model", "validation_data")
Metric = str | Mapping[str, Any] | None
"""A metric as `hpsearch.tune` takes it."""


def within_epochs(callbacks: Iterable[Any]) -> list[str]:
    """Return the class names of callbacks that act on batches, which only `fit` can call."""
    return [type(callback).__name__ for callback in callbacks if not _acts_between_epochs(callback)]


def read_numbers(callbacks: Iterable[Any]) -> bool:
    """Check if the callbacks need no weights, so that the native trainer can call them."""
    return all(type(callback) in _FOR_NUMBERS for callback in callbacks)


def _acts_between_epochs(callback: Any) -> bool:
    if not isinstance(callback, keras.callbacks.Callback):
        return False
    if ends_diverging(callback):
        return True
    within = [n for n in _WITHIN_EPOCHS if not hasattr(getattr(callback, n), "_is_default")]
    if type(callback) is keras.callbacks.ModelCheckpoint and callback.save_freq == "epoch":
        within.remove("on_train_batch_end")
    return not within


def ends_diverging(callback: Any) -> bool:
    """Check if the callback only ends a diverging training, which happens anyway."""
    return type(callback) is keras.callbacks.TerminateOnNaN and not callback.raise_error


class UserCallbacks:
    """The `callbacks` of `hpsearch.tune`.

    Args:
        given: One callback or several.

    Attributes:
        callbacks: A list of them.

    Raises:
        InputError: One is no Keras callback, or cannot be sent to a worker.
    """

    def __init__(self, given: Any) -> None:
        self.callbacks = list(given) if isinstance(given, list | tuple) else [given]
        for index, callback in enumerate(self.callbacks):
            shipped(callback, f"callbacks[{index}]", of=[callback])
        require_callbacks(self.callbacks)

    @property
    def description(self) -> str:
        """Their classes and arguments."""
        return described(self.callbacks)

    def around(self, model: Any, name: str) -> Tailored:
        """Return a hypermodel that trains with the callbacks.

        Args:
            model: As `hpsearch.tune` takes it.
            name: The model's `package.module:name`.

        Raises:
            InputError: The model cannot be loaded.
        """
        hypermodel = as_hypermodel(load_object(model) if isinstance(model, str) else model, name)
        by_fit = trains_itself(hypermodel) or bool(within_epochs(self.callbacks))
        return Tailored(hypermodel, custom_fit=by_fit, callbacks=self.callbacks)

    def scored(self, metric: Metric) -> Metric:
        """Return the metric of trainings with these callbacks, as `hpsearch.tune` takes it.

        If a callback restores the best weights, the best epoch counts: by the metric, or by default
        by the value that the callback monitors.

        Raises:
            InputError: The metric asks for the last epoch of such a training.
        """
        restoring = [
            each for each in self.callbacks if getattr(each, "restore_best_weights", False)
        ]
        if not restoring:
            return metric
        if isinstance(metric, Mapping) and metric.get("epoch", "best") != "best":
            raise InputError(
                f"callbacks: {described(restoring)} restores the weights of the best epoch, and "
                "metric scores the last one; leave metric's epoch out, or restore_best_weights"
            )
        if metric is None:
            name = restoring[0].monitor
            goal = {"min": "minimize", "max": "maximize"}.get(restoring[0].mode)
            if goal is None and name not in METRICS:
                raise InputError(
                    f"callbacks: {described(restoring[:1])} monitors {name!r}, which is no known "
                    "metric and so needs mode='min' or 'max', if the model reports it"
                    f"{unknown_hint(name, words.METRICS, METRICS)}"
                )
            metric = {"name": name, **({"goal": goal} if goal else {})}
        return {**({"name": metric} if isinstance(metric, str) else metric), "epoch": "best"}


def require_callbacks(callbacks: Sequence[Any]) -> None:
    """Check that all are Keras callbacks.

    Raises:
        InputError: One is not.
    """
    for index, each in enumerate(callbacks):
        if not isinstance(each, keras.callbacks.Callback):
            given = "the class " * isinstance(each, type) + getattr(each, "__name__", repr(each))
            raise InputError(
                f"callbacks[{index}]: must be a keras.callbacks.Callback, such as "
                f"keras.callbacks.EarlyStopping(patience=3), not {given}"
            )


def described(callbacks: Iterable[Any]) -> str:
    """Describe callbacks by their classes and arguments, such as `EarlyStopping(patience=3)`."""
    return ", ".join(f"{type(each).__qualname__}({_arguments(each)})" for each in callbacks)


def _arguments(callback: Any) -> str:
    """Return arguments that differ from their defaults; for a user's class, all attributes."""
    if type(callback).__module__.partition(".")[0] != "keras":
        given = {n: value for n, value in vars(callback).items() if n not in _OF_KERAS}
        return ", ".join(f"{name.lstrip('_')}={_told(value)}" for name, value in given.items())
    shown = []
    for name, parameter in inspect.signature(type(callback)).parameters.items():
        value = getattr(callback, name, parameter.empty)
        if value is not parameter.empty and _told(value) != _told(parameter.default):
            shown.append(f"{name}={_told(value)}")
    return ", ".join(shown)


def _told(value: Any) -> str:
    """Return a text that is equal for equal values, in any process."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray):
        # The bytes of an array of objects would be addresses.
        content = np.ascontiguousarray(value).tobytes()
        if value.dtype.hasobject:
            content = _told(value.tolist()).encode()
        digest = hashlib.sha256(content).hexdigest()[:8]
        return f"{value.dtype}{list(value.shape)}:{digest}"
    if isinstance(value, list | tuple | set | frozenset):
        texts = [_told(item) for item in value]
        return f"[{', '.join(sorted(texts) if isinstance(value, set | frozenset) else texts)}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_told(item)}" for name, item in value.items()) + "}"
    if value is None or isinstance(value, str | int | float):
        return str(value)
    # The text of any other object may contain its address.
    return str(getattr(value, "__qualname__", type(value).__qualname__))
