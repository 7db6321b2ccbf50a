"""Keras callbacks around the epochs of a trainer that trains without `fit`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import keras

from hpsearch.training.native import NativeTrainer
from hpsearch.training.trainer import State, Trainer

#: What `fit` calls within an epoch.
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
#: Those that read logs and set the learning rate. EarlyStopping restores weights that nobody reads.
_FOR_NUMBERS: Final = (
    keras.callbacks.CSVLogger,
    keras.callbacks.EarlyStopping,
    keras.callbacks.History,
    keras.callbacks.LearningRateScheduler,
    keras.callbacks.ReduceLROnPlateau,
    keras.callbacks.TerminateOnNaN,
)


def within_epochs(callbacks: Iterable[Any]) -> list[str]:
    """Return the classes of the callbacks that act on batches, which only `fit` can call."""
    return [type(each).__name__ for each in callbacks if not _acts_between_epochs(each)]


def read_numbers(callbacks: Iterable[Any]) -> bool:
    """Return whether the callbacks need no weights, so that the native trainer can serve them."""
    return all(type(each) in _FOR_NUMBERS for each in callbacks)


def _acts_between_epochs(callback: Any) -> bool:
    if not isinstance(callback, keras.callbacks.Callback):
        return False
    if _ends_diverging(callback):
        return True
    within = [n for n in _WITHIN_EPOCHS if not hasattr(getattr(callback, n), "_is_default")]
    if type(callback) is keras.callbacks.ModelCheckpoint and callback.save_freq == "epoch":
        within.remove("on_train_batch_end")
    return not within


def _ends_diverging(callback: Any) -> bool:
    """Return whether the callback does what happens anyway: a diverging training ends."""
    return type(callback) is keras.callbacks.TerminateOnNaN and not callback.raise_error


class CalledBack:
    """Trains by another trainer, and calls callbacks between the epochs as `fit` does.

    The weights are those of the last epoch, as its score is, also if a callback restores others.
    As in the history of `fit`, an epoch's numbers include those that callbacks add.

    Args:
        trainer: The native or the compiled one, before its first epoch. Its model is what callbacks
            see; the native trainer takes the model's learning rate, and no weights.
        callbacks: See `within_epochs` and `read_numbers`.
        epochs: Of the whole training.
        steps: Of an epoch.
    """

    def __init__(
        self, trainer: Trainer, callbacks: Sequence[Any], *, epochs: int, steps: int
    ) -> None:
        self._trainer, self._epochs, self._epoch = trainer, epochs, 0
        self._last: State | None = None
        self._model = trainer.model
        self._history = keras.callbacks.History()
        self._callbacks = keras.callbacks.CallbackList(
            [*(each for each in callbacks if not _ends_diverging(each)), self._history],
            model=self._model,
            verbose=0,
            epochs=epochs,
            steps=steps,
        )

    @property
    def kind(self) -> str:
        return self._trainer.kind

    @property
    def weights_count(self) -> int | None:
        return self._trainer.weights_count

    @property
    def model(self) -> Any:
        return self._model

    def run_epoch(self) -> Mapping[str, float] | None:
        """Train the next epoch; None after the last one or once a callback has stopped it."""
        if self._last is not None:
            return None
        if not self._epoch:
            self._model.stop_training = False
            self._callbacks.on_train_begin()
        self._callbacks.on_epoch_begin(self._epoch)
        if isinstance(self._trainer, NativeTrainer):
            self._trainer.learning_rate = float(self._model.optimizer.learning_rate)
        numbers = self._trainer.run_epoch()
        assert numbers is not None
        self._callbacks.on_epoch_end(self._epoch, dict(numbers))
        self._epoch += 1
        diverged = not all(map(math.isfinite, numbers.values()))
        if self._model.stop_training or diverged or self._epoch >= self._epochs:
            self._last = self._trainer.weights()
            self._callbacks.on_train_end(dict(numbers))
        return {name: float(values[-1]) for name, values in self._history.history.items()}

    def weights(self) -> State:
        """Return the weights of the last epoch."""
        return self._last or self._trainer.weights()

    def state(self) -> State:
        """Return the trainer's state, without that of the callbacks."""
        return self._trainer.state()

    def resume(self, epoch: int, state: State) -> None:  # noqa: ARG002 - the protocol's
        """Refuse to resume, since callbacks have a state of their own.

        Raises:
            ValueError: Always.
        """
        raise ValueError("a training with callbacks cannot continue")
