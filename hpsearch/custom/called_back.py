"""Call Keras callbacks around the epochs of a trainer that trains without `fit`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from hpsearch.training.trainer import State, Trainer


class _Logs(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Keeps the numbers in the last epoch's logs."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers: dict[str, float] = {}

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        del epoch
        arrays = {name: np.asarray(value) for name, value in (logs or {}).items()}
        self.numbers = {
            name: float(value)
            for name, value in arrays.items()
            if value.ndim == 0 and value.dtype.kind in "biuf"
        }


class CalledBack:
    """Trains with another trainer, and calls callbacks between the epochs as `fit` does.

    The weights and the score are the last epoch's, even if a callback restores other weights. As in
    the history of `fit`, an epoch's numbers include those that callbacks add to its logs.

    Args:
        trainer: The native or the compiled trainer, before its first epoch. Callbacks see its
            model.
        callbacks: They must not act within epochs, and for the native trainer they may only read
            numbers; see `custom.callbacks`.
        ends: Checks if an epoch with these numbers is the last one; see `Recipe.ends`.
        epochs: Number of epochs in the training.
        steps: Number of steps in an epoch.
        reads_weights: Whether to copy the trainer's weights to the model after each epoch, as the
            native trainer keeps them elsewhere.
    """

    def __init__(
        self,
        trainer: Trainer,
        callbacks: Sequence[Any],
        *,
        ends: Callable[[Mapping[str, float]], bool],
        epochs: int,
        steps: int,
        reads_weights: bool = False,
    ) -> None:
        self._trainer, self._epochs, self._epoch = trainer, epochs, 0
        # The native trainer does not read the model's learning rate.
        self._set_rate = getattr(trainer, "set_learning_rate", None)
        self._ends = ends
        self._last: State | None = None
        self._reads_weights = reads_weights
        self._model = trainer.model
        self._logs = _Logs()
        self._callbacks = keras.callbacks.CallbackList(
            [*callbacks, keras.callbacks.History(), self._logs],
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
        if self._set_rate is not None:
            self._set_rate(float(self._model.optimizer.learning_rate))
        numbers = self._trainer.run_epoch()
        assert numbers is not None
        if self._reads_weights:
            self._model.set_weights(list(self._trainer.weights()))
        self._callbacks.on_epoch_end(self._epoch, dict(numbers))
        self._epoch += 1
        if self._model.stop_training or self._ends(numbers) or self._epoch >= self._epochs:
            self._last = self._trainer.weights()
            self._callbacks.on_train_end(dict(numbers))
        return self._logs.numbers

    def weights(self) -> State:
        """Return the weights of the last epoch."""
        return self._last or self._trainer.weights()

    def state(self) -> State:
        """Return the trainer's state, without that of the callbacks."""
        return self._trainer.state()

    def resume(self, epoch: int, state: State) -> None:  # noqa: ARG002 - the protocol's
        """Refuse to resume, since callbacks have a state that is not stored.

        Raises:
            ValueError: Always.
        """
        raise ValueError("a training with callbacks cannot continue")
