"""Handle the user's Keras callbacks: which need `fit`, how workers get them, and their calls."""

from __future__ import annotations

import hashlib
import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import keras
import numpy as np

from hpsearch.custom.building import Tailored, as_hypermodel, trains_itself
from hpsearch.custom.shipping import shipped
from hpsearch.errors import InputError
from hpsearch.importing import load_object
from hpsearch.training.trainer import KerasTrainer, State, Trainer, TrainerRequest

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
    if ends_diverging(callback) or isinstance(callback, keras.callbacks.BackupAndRestore):
        return True
    within = [n for n in _WITHIN_EPOCHS if not hasattr(getattr(callback, n), "_is_default")]
    if type(callback) is keras.callbacks.ModelCheckpoint and callback.save_freq == "epoch":
        within.remove("on_train_batch_end")
    return not within


def ends_diverging(callback: Any) -> bool:
    """Check if the callback only ends a diverging training, which happens anyway."""
    return type(callback) is keras.callbacks.TerminateOnNaN and not callback.raise_error


class UserCallbacks:
    """The `callbacks` of `hpsearch.tune`, one or several; they must be Keras' and picklable."""

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
        """Return a hypermodel that trains a model of `hpsearch.tune` with the callbacks."""
        hypermodel = as_hypermodel(load_object(model) if isinstance(model, str) else model, name)
        by_fit = trains_itself(hypermodel) or bool(within_epochs(self.callbacks))
        return Tailored(hypermodel, custom_fit=by_fit, callbacks=self.callbacks)

    def scored(self, metric: Metric) -> Metric:
        """Return the metric of trainings with these callbacks, as `hpsearch.tune` takes it.

        If a callback restores the best weights, the best epoch counts: by the metric, or by default
        by the value that the callback monitors.
        """
        restoring = [c for c in self.callbacks if getattr(c, "restore_best_weights", False)]
        if not restoring:
            return metric
        if isinstance(metric, Mapping) and metric.get("epoch", "best") != "best":
            raise InputError(
                f"callbacks: {described(restoring)} restores the weights of the best epoch, and "
                "metric scores the last one; leave metric's epoch out, or restore_best_weights"
            )
        if metric is None:
            goal = {"min": "minimize", "max": "maximize"}.get(restoring[0].mode)
            metric = {"name": restoring[0].monitor, **({"goal": goal} if goal else {})}
        return {**({"name": metric} if isinstance(metric, str) else metric), "epoch": "best"}


def require_callbacks(callbacks: Sequence[Any]) -> None:
    """Check that all are Keras callbacks."""
    for index, each in enumerate(callbacks):
        if not isinstance(each, keras.callbacks.Callback):
            raise InputError(
                f"callbacks[{index}]: must be a keras.callbacks.Callback, such as "
                f"keras.callbacks.EarlyStopping(patience=3), not {each!r}"
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


# Trainings without `fit`


class _Logs(keras.callbacks.History):  # type: ignore[misc]  # Keras has no types
    """A History of the numbers in the logs, which also keeps those of the last epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers: dict[str, float] = {}

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        arrays = {name: np.asarray(value) for name, value in (logs or {}).items()}
        self.numbers = {
            name: float(value)
            for name, value in arrays.items()
            if value.ndim == 0 and value.dtype.kind in "biuf"
        }
        super().on_epoch_end(epoch, self.numbers)


class CalledBack(KerasTrainer):
    """Trains with another trainer, and calls callbacks between the epochs as `fit` does.

    The weights and the score are the last epoch's, even if a callback restores other weights. As in
    the history of `fit`, an epoch's numbers include those that callbacks add to its logs. No
    training continues it: see `ModelHyperparameters.whole`.

    Args:
        trainer: The native or the compiled trainer, before its first epoch. Callbacks see its
            model.
        callbacks: They must not act within epochs, and for the native trainer they may only read
            numbers; see `custom.callbacks`.
        request: The training; it has a number of epochs.
        ends: Checks if an epoch with these numbers is the last one; see `Recipe.ends`.
        reads_weights: Whether to copy the trainer's weights to the model after each epoch, as the
            native trainer keeps them elsewhere.
    """

    def __init__(
        self,
        trainer: Trainer,
        callbacks: Sequence[Any],
        request: TrainerRequest,
        ends: Callable[[Mapping[str, float]], bool],
        *,
        reads_weights: bool = False,
    ) -> None:
        assert request.epochs is not None
        super().__init__(trainer.model)
        self.trainer, self.kind, self._epochs = trainer, trainer.kind, request.epochs
        # The native trainer does not read the model's learning rate.
        self._set_rate = getattr(trainer, "set_learning_rate", None)
        self._ends = ends
        self._last: State | None = None
        self._reads_weights = reads_weights
        self.history = _Logs()
        self._callbacks = keras.callbacks.CallbackList(
            [*callbacks, self.history],
            model=self.model,
            verbose=0,
            epochs=request.epochs,
            steps=math.ceil(len(request.arrays.x_train) / request.batch_size),
        )

    def run_epoch(self) -> Mapping[str, float] | None:
        """Train the next epoch; None after the last one or once a callback has stopped it."""
        if self._last is not None:
            return None
        if not self._epoch:
            self.model.stop_training = False
            self._callbacks.on_train_begin()
        self._callbacks.on_epoch_begin(self._epoch)
        if self._set_rate is not None:
            self._set_rate(float(self.model.optimizer.learning_rate))
        numbers = self.trainer.run_epoch()
        assert numbers is not None
        if self._reads_weights:
            self.model.set_weights(list(self.trainer.weights()))
        self._callbacks.on_epoch_end(self._epoch, dict(numbers))
        self._epoch += 1
        if self.model.stop_training or self._ends(numbers) or self._epoch >= self._epochs:
            self._last = self.trainer.weights()
            self._callbacks.on_train_end(dict(numbers))
        return self.history.numbers

    def weights(self) -> State:
        """Return the weights of the last epoch."""
        return self._last or self.trainer.weights()
