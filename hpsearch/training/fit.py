"""The fallback: `keras.Model.fit`, an epoch at a time, with the same order of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import numpy.typing as npt

from hpsearch.data.several import unpacked
from hpsearch.errors import InputError
from hpsearch.training.state import State, read, write
from hpsearch.trial import Arrays, Target, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["FitTrainer"]

_OWN_LOSS = "own_units_loss"
_OWN_MAE = "own_units_mae"
_SCALED_LOSS = "standardised_loss"


class FitTrainer:
    """Trains what cannot be one graph.

    For regression, additional metrics in the target's own units replace Keras' numbers, which
    are on standardised targets; a model's own training step must then update the compiled
    metrics (`self.compute_metrics`).

    Args:
        model: Compiled.
        arrays: Rows to train on and to validate on.
        target: What is predicted.
        batch_size: Rows a step.
        order: Epoch (from 1) -> permutation of the training rows, int32.
    """

    kind = "fit"

    def __init__(
        self,
        model: keras.Model,
        arrays: Arrays,
        target: Target,
        batch_size: int,
        order: Callable[[int], npt.NDArray[np.int32]],
    ) -> None:
        self.model = model
        self._arrays = arrays
        self._batch_size = batch_size
        self._order = order
        self._epoch = 0
        self._parts = target.parts
        self._restores = target.task is Task.REGRESSION and target.standardised
        if self._restores:
            _measure_in_own_units(model, target)
        # An epoch's end is not the training's: weights must not become their average here.
        model.optimizer.finalize_variable_values = lambda *_: None

    @property
    def weights_count(self) -> int:
        return int(self.model.count_params())

    def run_epoch(self) -> dict[str, float]:
        order, arrays = self._order(self._epoch + 1), self._arrays
        y_train, y_val = arrays.y_train[order], arrays.y_val
        if self._parts:
            y_train, y_val = (unpacked(y, self._parts) for y in (y_train, y_val))
        validation = (arrays.x_val, y_val)
        history = self.model.fit(
            arrays.x_train[order],
            y_train,
            batch_size=self._batch_size,
            initial_epoch=self._epoch,
            epochs=self._epoch + 1,
            shuffle=False,
            sample_weight=None if arrays.w_train is None else arrays.w_train[order],
            validation_data=validation if arrays.w_val is None else (*validation, arrays.w_val),
            verbose=0,
        )
        self._epoch += 1
        numbers = {name: float(values[-1]) for name, values in history.history.items()}
        return _in_own_units(numbers) if self._restores else numbers

    def weights(self) -> tuple[npt.NDArray[np.generic], ...]:
        return tuple(self.model.get_weights())

    def set_weights(self, weights: Sequence[npt.NDArray[np.generic]]) -> None:
        self.model.set_weights(list(weights))

    def state(self) -> State:
        """See `Trainer`; what a layer keeps outside Keras' variables is not in it."""
        return read(self._state_variables())

    def resume(self, epoch: int, state: State) -> None:
        write(self._state_variables(), epoch, state)
        self._epoch = epoch

    def _state_variables(self) -> list[Any]:
        if not self.model.built:
            self.model(self._arrays.x_train[:1])
        self.model.optimizer.build(self.model.trainable_variables)
        return [*self.model.variables, *self.model.optimizer.variables]


def _measure_in_own_units(model: keras.Model, target: Target) -> None:
    loss = keras.losses.get(model.loss)
    std, mean = np.asarray(target.std, np.float32), np.asarray(target.mean, np.float32)

    def measured(name: str, function: Callable[[Any, Any], Any], *, restore: bool) -> Any:
        def restored(y_true: Any, y_pred: Any) -> Any:
            y_true = keras.ops.reshape(y_true, keras.ops.shape(y_pred))
            if restore:
                y_true, y_pred = y_true * std + mean, y_pred * std + mean
            return function(y_true, y_pred)

        return keras.metrics.MeanMetricWrapper(restored, name=name)

    model.compile(
        optimizer=model.optimizer,
        loss=model.loss,
        metrics=[
            measured(_OWN_LOSS, loss, restore=True),
            measured(_OWN_MAE, keras.metrics.mean_absolute_error, restore=True),
            measured(_SCALED_LOSS, loss, restore=False),
        ],
        run_eagerly=model.run_eagerly,
        jit_compile=False,
    )


def _in_own_units(numbers: dict[str, float]) -> dict[str, float]:
    """Loss and mae in the target's units; what the loss has above its mean is regularisation."""
    restored = {}
    for prefix in ("", "val_"):
        try:
            own = numbers[prefix + _OWN_LOSS]
            mae = numbers[prefix + _OWN_MAE]
            regularisation = numbers[f"{prefix}loss"] - numbers[prefix + _SCALED_LOSS]
        except KeyError as error:
            raise InputError(
                "a model with its own training step must update and return the compiled metrics "
                f"(self.compute_metrics) for a regression target; {error} is missing"
            ) from error
        restored[f"{prefix}loss"] = own + regularisation
        restored[f"{prefix}mae"] = mae
    return restored
