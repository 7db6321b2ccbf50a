"""Training by `keras.Model.fit`, or by a hypermodel's own `fit`, where no graph can express it."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import numpy.typing as npt

from hpsearch.data.dataset import unpacked
from hpsearch.data.specs import Arrays, Target, Task
from hpsearch.errors import InputError
from hpsearch.models.custom import built_with, seeded
from hpsearch.models.problem import Patience
from hpsearch.space.seeds import derive
from hpsearch.training.trainer import State, read, write

if TYPE_CHECKING:
    from collections.abc import Callable

    import keras_tuner

    from hpsearch.models.problem import Problem, Recipe

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


#: Beside those of a config, in the derivation of a training's seed.
_FIT = 1

Epoch = dict[str, float]


class CustomFitTrainer:
    """Calls `fit(hp, model, x, y, validation_data=..., callbacks=...)` for all its epochs at once.

    With `epochs` and `batch_size` where the config has them and the hypermodel does not ask for
    them by itself. What it gives, as KerasTuner takes it: a History, a score, metrics by name, or
    a list of those, which are averaged. What is no History stands for every epoch that it was told.

    Args:
        hypermodel: With a `fit` of its own.
        model: That it built, by `build_custom_model`.
        problem: The metric, when to stop early, and what is predicted.
        values, seed: Of the trial.
        arrays: Rows to train on and to validate on.
        epochs: How many to train.
    """

    kind = "fit"

    def __init__(  # noqa: PLR0917 - named at the one call
        self,
        hypermodel: keras_tuner.HyperModel,
        model: keras.Model,
        problem: Problem,
        values: Mapping[str, Any],
        seed: int,
        arrays: Arrays,
        *,
        epochs: int | None,
    ) -> None:
        self.model = model
        self._hypermodel, self._arrays = hypermodel, arrays
        self._recipe, self._target = problem.recipe, problem.target
        self._values, self._seed, self._epochs = values, seed, epochs
        self._done = 0
        self._curve: list[Epoch] | None = None
        self._best: State | None = None

    @property
    def weights_count(self) -> int:
        return int(self.model.count_params())

    def run_epoch(self) -> Epoch | None:
        """The next epoch of what `fit` gave; None where it ended before."""
        if self._curve is None:
            self._curve = self._fit()
        if self._done >= len(self._curve):
            return None
        self._done += 1
        return self._curve[self._done - 1]

    def weights(self) -> State:
        """Those at the epoch that is scored, where Keras' callbacks were at work; else the last."""
        return self._best or tuple(self.model.get_weights())

    def set_weights(self, weights: Sequence[npt.NDArray[np.generic]]) -> None:
        self.model.set_weights(list(weights))

    def state(self) -> State:
        """The model's variables: nobody goes on from it, since `fit` is told all its epochs."""
        return read(self.model.variables)

    def resume(self, epoch: int, state: State) -> None:  # noqa: ARG002 - of a trainer
        """Cannot be.

        Raises:
            ValueError: Always.
        """
        raise ValueError("a fit of one's own does not go on from where it halted")

    def _fit(self) -> list[Epoch]:
        hp = built_with(self.model)
        assert hp is not None
        watcher = _Watcher(self._recipe)
        arrays = self._arrays
        y_train, y_val = arrays.y_train, arrays.y_val
        if self._target.parts:
            y_train, y_val = (unpacked(y, self._target.parts) for y in (y_train, y_val))
        validation = (arrays.x_val, y_val)
        with seeded(derive(self._recipe.sweep_seed, self._seed, _FIT)):
            given = self._hypermodel.fit(
                hp,
                self.model,
                arrays.x_train,
                y_train,
                validation_data=validation if arrays.w_val is None else (*validation, arrays.w_val),
                callbacks=[watcher],
                **self._told(),
            )
        self._best = watcher.best
        curve = _epochs(given, self._recipe.metric)
        if isinstance(given, keras.callbacks.History):
            return curve
        # It did not say what each epoch gave: halved, it is as far as it was told to go.
        return curve * int(self._told().get("epochs", 1))

    def _told(self) -> dict[str, Any]:
        told: dict[str, Any] = {
            name: int(self._values[name])
            for name in ("batch_size", "epochs")
            if name in self._values and name not in self._recipe.asked
        }
        if "epochs" in told and self._epochs is not None:
            # As many as the trial, or fewer where the method halts it before.
            told["epochs"] = self._epochs
        if self._arrays.w_train is not None:
            told["sample_weight"] = self._arrays.w_train
        return told


class _Watcher(keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps the weights of the best epoch, and ends a training that stops early."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self._recipe = recipe
        self._score: float | None = None
        rule = recipe.early_stopping
        self._patience = Patience(recipe, rule) if rule is not None else None
        self.best: State | None = None

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        del epoch
        score = float((logs or {}).get(self._recipe.metric, math.nan))
        if math.isnan(score):
            return
        if self._score is None or self._recipe.better(score, self._score):
            self._score = score
            if self._recipe.epoch == "best":
                self.best = tuple(self.model.get_weights())
        if self._patience is not None:
            self._patience.see(score)
            self.model.stop_training = self.model.stop_training or self._patience.exhausted


def _epochs(given: Any, metric: str) -> list[Epoch]:
    """What `fit` gave, as one mapping an epoch.

    Raises:
        InputError: It gave something else.
    """
    if isinstance(given, keras.callbacks.History):
        columns = {name: list(values) for name, values in given.history.items()}
        longest = max(map(len, columns.values()), default=0)
        whole = {name: values for name, values in columns.items() if len(values) == longest}
        return [
            {name: float(values[place]) for name, values in whole.items()}
            for place in range(longest)
        ]
    if isinstance(given, Mapping):
        return [{str(name): float(value) for name, value in given.items()}]
    if isinstance(given, list) and given:
        return [_mean([_epochs(each, metric) for each in given], metric)]
    if isinstance(given, numbers.Real) and not isinstance(given, bool):
        return [{metric: float(given)}]
    raise InputError(
        "HyperModel.fit: must return a History, a score, metrics by name or a list of those, not "
        f"{type(given).__name__}"
    )


def _mean(runs: Sequence[Sequence[Epoch]], metric: str) -> Epoch:
    """The mean of the last epochs of several runs."""
    last = [run[-1] for run in runs if run and metric in run[-1]]
    if not last:
        return {}
    return {name: sum(run[name] for run in last) / len(last) for name in last[0]}
