"""Make the trainers of custom models, and train by a hypermodel's own `fit`."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import keras
import keras_tuner
import numpy as np

from hpsearch.custom.building import (
    apart,
    build_model,
    built_with,
    callbacks_of,
    labels_for,
    load_hypermodel,
    rows_shape,
    trains_itself,
    untailored,
)
from hpsearch.custom.callbacks import CalledBack, ends_diverging, read_numbers, within_epochs
from hpsearch.custom.fit_arguments import POSITIONS, NotOnEngine, Request, request_of
from hpsearch.custom.native_model import dense_model
from hpsearch.data.dataset import unpacked
from hpsearch.data.specs import Arrays
from hpsearch.errors import InputError
from hpsearch.models.mlp import seeded
from hpsearch.models.problem import Patience, Recipe
from hpsearch.native.network import native_available
from hpsearch.space.keras_names import OPTIMIZERS
from hpsearch.space.seeds import derive
from hpsearch.training.compiled import CompiledTrainer, expressible
from hpsearch.training.keras_trainers import FitTrainer, mapped, validation_of
from hpsearch.training.measures import Measures
from hpsearch.training.native import NativeTrainer
from hpsearch.training.trainer import KerasTrainer, State, Trainer, TrainerRequest, suits_gpu

#: Arguments of `fit` that hold arrays.
_ARRAYS = ("x", "y", "sample_weight", "validation_data")


def custom_trainer(request: TrainerRequest, kind: str | None = None, folder: str = "") -> Trainer:
    """Build a custom model and its trainer: its own `fit`, the native one, a graph, or `fit`.

    Args:
        folder: The directory for what callbacks write.
        kind: `native`, `graph`, `fit`, or None, which chooses by the model and the data only.

    Raises:
        ValueError: The kind cannot train the model.
    """
    model = build_model(request.problem, request.values, request.seed)
    if (values := built_with(model)) is not None:
        values.folder = folder
    request = replace(request, arrays=_as_input(model, request))
    hypermodel = _hypermodel(request)
    if kind in (None, "fit") and trains_itself(hypermodel):
        return CustomFitTrainer(hypermodel, model, request)
    callbacks = [each for each in callbacks_of(hypermodel, folder) if not ends_diverging(each)]
    trainer: Trainer | None = None
    if kind in (None, "native") and read_numbers(callbacks):
        trainer = _native_trainer(model, request)
        if callbacks and trainer is not None:
            # Callbacks find out from the metrics which direction is better.
            _measures_of(model, request).build(
                request.arrays.x_train[:1], request.arrays.y_train[:1]
            )
    if trainer is None:
        if kind == "native":
            raise ValueError("the extension cannot train this model")
        if kind == "fit" or not expressible(model, request.problem):
            if callbacks:
                return CustomFitTrainer(hypermodel, model, request)
            return FitTrainer(model, request)
        # XLA might not support the model.
        trainer = CompiledTrainer(model, request, "graph", _measures_of(model, request))
    if not callbacks:
        return trainer
    return CalledBack(trainer, callbacks, request, request.problem.recipe.ends)


def _measures_of(model: keras.Model, request: TrainerRequest) -> Measures:
    return Measures(model, request.problem.recipe, request.problem.target)


def _as_input(model: keras.Model, request: TrainerRequest) -> Arrays:
    """Return the data with the shape of rows and the form of labels that the model takes."""
    arrays, target = request.arrays, request.problem.target
    shape = arrays.x_train.shape[1:]
    # A hypermodel's own `fit` gets images unchanged.
    if len(shape) == 1 or not trains_itself(untailored(_hypermodel(request))):
        shape = rows_shape(model, shape)
    one_hot = not target.parts and (
        labels_for(model, arrays.y_train[:1], target).ndim > arrays.y_train.ndim
    )
    return _fitted(arrays, shape, classes=target.outputs if one_hot else None)


@lru_cache(maxsize=1)
def _fitted(arrays: Arrays, shape: tuple[int, ...], *, classes: int | None) -> Arrays:
    """Return the data in the form that a custom model takes; the result is cached.

    Args:
        shape: Shape of a row; rows are not copied.
        classes: Number of classes for one-hot labels; None leaves the labels as they are.
    """
    if arrays.x_train.shape[1:] == shape and classes is None:
        return arrays
    y_train, y_val = arrays.y_train, arrays.y_val
    if classes is not None:
        y_train, y_val = (np.eye(classes, dtype=np.float32)[y] for y in (y_train, y_val))
    x_train, x_val = (x.reshape(-1, *shape) for x in (arrays.x_train, arrays.x_val))
    return replace(arrays, x_train=x_train, x_val=x_val, y_train=y_train, y_val=y_val)


# A hypermodel's `fit`


class EngineFit:
    """Replaces the `fit` of a model that a hypermodel's own `fit` trains.

    If possible, the native or the compiled trainer trains, with the callbacks between epochs.
    Otherwise, and in every call after the first, Keras' `fit` does.

    Attributes:
        kind: The kind of trainer that trained last.
    """

    def __init__(self, model: keras.Model, request: TrainerRequest) -> None:
        self._model, self._request = model, request
        self.kind = "fit"
        self._fit: Callable[..., Any] = model.fit
        self._called = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Train as `keras.Model.fit` does, and return its History."""
        # Remove this object meanwhile: Keras and callbacks may inspect the model's methods.
        vars(self._model).pop("fit", None)
        try:
            called = None if self._called else self._trainer(args, kwargs)
            if called is None:
                self.kind = "fit"
                return self._keras(args, kwargs)
            self.kind = called.kind
            while called.run_epoch() is not None:
                pass
            if isinstance(called.trainer, NativeTrainer):
                _give_state(called.trainer, self._model)
            return called.history
        finally:
            self._model.fit = self

    def _trainer(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> CalledBack | None:
        self._called = True
        try:
            return _for_fit(self._model, self._request, request_of(args, kwargs))
        except NotOnEngine as reason:
            print(f"model.fit trains by Keras, since {reason}")
            return None

    def _keras(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        given = {**dict(zip(POSITIONS, args, strict=False)), **kwargs}
        if type(self._model).fit is not keras.Model.fit or len(args) > len(POSITIONS):
            return self._fit(*args, **kwargs)
        arrays = {name: mapped(given[name]) for name in _ARRAYS if name in given}
        return self._fit(**{**given, **arrays})


def _give_state(trainer: NativeTrainer, model: keras.Model) -> None:
    """Copy the state of a trainer's optimizer to the model's, so that Keras can continue."""
    optimizer = model.optimizer
    optimizer.build(model.trainable_variables)
    slots = OPTIMIZERS[type(optimizer).__name__.lower()].slots
    for name, arrays in zip(slots, trainer.slots(), strict=False):
        for variable, array in zip(getattr(optimizer, name), arrays, strict=True):
            variable.assign(array)
    optimizer.iterations.assign(trainer.iterations)


#: The stream of `fit` in the derivation of seeds, different from a config's streams.
_FIT = 1

Epoch = dict[str, float]


class CustomFitTrainer(KerasTrainer):
    """Calls `fit(hp, model, x, y, validation_data=..., callbacks=...)` once for all its epochs.

    It passes `epochs` and `batch_size` if the config has them and the hypermodel does not request
    them itself. As in KerasTuner, `fit` may return a History, a score, metrics by name, or a list
    of those, which is averaged. A result that is not a History counts for every epoch. No training
    continues this one.
    """

    def __init__(
        self, hypermodel: keras_tuner.HyperModel, model: keras.Model, request: TrainerRequest
    ) -> None:
        super().__init__(model)
        self._engine: EngineFit | None = None
        self._hypermodel, self._request, self._arrays = hypermodel, request, request.arrays
        self._recipe, self._target = request.problem.recipe, request.problem.target
        self._inputs = request.problem.input.parts
        self._curve: list[Epoch] | None = None
        self._best: State | None = None

    @property
    def kind(self) -> str:
        """The kind of trainer that trained the model last; `fit` before any did."""
        return self._engine.kind if self._engine is not None else "fit"

    def run_epoch(self) -> Epoch | None:
        """Return the next epoch of the result of `fit`; None after the last one."""
        if self._curve is None:
            self._curve = self._fit()
        if self._epoch >= len(self._curve):
            return None
        self._epoch += 1
        return self._curve[self._epoch - 1]

    def weights(self) -> State:
        """Return the weights of the scored epoch if `fit` called the callbacks, else the last."""
        return self._best or super().weights()

    def _fit(self) -> list[Epoch]:
        watcher = Watcher(self._recipe)
        arguments = self._arguments()
        # Set on this model only: other models that user code builds keep Keras' method.
        self.model.fit = self._engine = EngineFit(self.model, self._request)
        with seeded(derive(self._recipe.sweep_seed, self._request.seed, _FIT)), apart():
            given = self._hypermodel.fit(
                built_with(self.model),
                self.model,
                unpacked(self._arrays.x_train, self._inputs),
                unpacked(self._arrays.y_train, self._target.parts),
                callbacks=[watcher],
                **arguments,
            )
        vars(self.model).pop("fit", None)
        self._best = watcher.best
        curve = _epochs(given, self._recipe)
        if isinstance(given, keras.callbacks.History):
            return curve
        # The result has one value for all epochs.
        return curve * int(arguments.get("epochs", 1))

    def _arguments(self) -> dict[str, Any]:
        values, epochs = self._request.values, self._request.epochs
        arguments: dict[str, Any] = {
            name: int(values[name])
            for name in ("batch_size", "epochs")
            if name in values and name not in self._recipe.asked
        }
        if "epochs" in arguments and epochs is not None:
            # The trial's epochs, or fewer if the method stops it earlier.
            arguments["epochs"] = epochs
        if self._arrays.w_train is not None:
            arguments["sample_weight"] = self._arrays.w_train
        if len(self._arrays.y_val):
            arguments["validation_data"] = validation_of(self._arrays, self._inputs, self._target)
        return arguments


class Watcher(keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps the weights of the best epoch, and stops the training early."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self._recipe = recipe
        self._score: float | None = None
        self._patience = Patience(recipe)
        self.best: State | None = None

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        del epoch
        numbers = self._recipe.with_sum(logs or {})
        score = float(numbers.get(self._recipe.metric, math.nan))
        if math.isnan(score):
            return
        if self._score is None or self._recipe.better(score, self._score):
            self._score = score
            if self._recipe.epoch == "best":
                self.best = tuple(self.model.get_weights())
        self._patience.see(score)
        # A user's training loop may never have set it.
        stops = getattr(self.model, "stop_training", False)
        self.model.stop_training = stops or self._patience.exhausted


def _epochs(given: Any, recipe: Recipe) -> list[Epoch]:
    """Return the result of `fit` as one mapping for each epoch."""
    if isinstance(given, keras.callbacks.History):
        longest = max(map(len, given.history.values()), default=0)
        columns = {name: row for name, row in given.history.items() if len(row) == longest}
        curve = [{n: float(row[e]) for n, row in columns.items()} for e in range(longest)]
        # A `fit` that continues an earlier model, as in Hyperband, begins with a later epoch. The
        # numbers of earlier epochs are unknown here: repeat its first one for them.
        begun = next(iter(getattr(given, "epoch", ())), 0) if recipe.tolerant else 0
        return [*curve[:1] * begun, *curve]
    if isinstance(given, Mapping):
        return [{str(name): float(value) for name, value in given.items()}]
    if isinstance(given, list) and given:
        return [_mean([_epochs(run, recipe) for run in given], recipe)]
    if isinstance(given, numbers.Real) and not isinstance(given, bool):
        return [{recipe.metric: float(given)}]
    raise InputError(
        "HyperModel.fit: must return a History, a score, metrics by name or a list of those, not "
        f"{type(given).__name__}"
    )


def _mean(runs: Sequence[Sequence[Epoch]], recipe: Recipe) -> Epoch:
    """Return the mean of the last epochs of several runs."""
    last = [recipe.with_sum(run[-1]) for run in runs if run]
    last = [epoch for epoch in last if recipe.metric in epoch]
    if not last:
        return {}
    return {name: sum(run[name] for run in last) / len(last) for name in last[0]}


#: Callbacks that read a model's weights but change neither them nor the optimizer.
_READS_WEIGHTS = (Watcher, keras.callbacks.ModelCheckpoint)


def _for_fit(model: keras.Model, request: TrainerRequest, asked: Request) -> CalledBack | None:
    """Return the trainer for a call of `fit` within a hypermodel's `fit`; None for Keras'."""
    arguments = asked.arguments.keys() - {"shuffle"}
    shuffled = asked.arguments.get("shuffle", True)
    if arguments or shuffled not in (True, False) or within_epochs(asked.callbacks):
        return None
    if not model.compiled or model.optimizer.use_ema or asked.epochs == 0:
        return None
    problem = replace(request.problem, input=asked.input, target=asked.target)
    values = {"batch_size": asked.batch_size or 32}
    wanted = TrainerRequest(
        problem,
        values,
        request.seed,
        asked.arrays,
        asked.epochs or 1,
        shuffled=shuffled,
        threads=request.threads,
    )
    if not (asked.parts or asked.inputs or model.built):
        model.build(asked.arrays.x_train.shape)
    reading = [callback for callback in asked.callbacks if not isinstance(callback, _READS_WEIGHTS)]
    native = _native_trainer(model, wanted) if read_numbers(reading) else None
    if native is None and not expressible(model, problem):
        return None
    trainer = native or CompiledTrainer(model, wanted, "graph", _measures_of(model, wanted))
    # The native trainer keeps weights, rate and state outside the model; the graph does not.
    return CalledBack(
        trainer, asked.callbacks, wanted, lambda _: False, reads_weights=native is not None
    )


def _native_trainer(model: keras.Model, request: TrainerRequest) -> NativeTrainer | None:
    """Return the native trainer, if it can train the model."""
    target = request.problem.target
    several = target.parts or request.problem.input.parts
    if not native_available() or several or target.standardised:
        return None
    made = dense_model(model, request.arrays, request.batch_size)
    if made is None or suits_gpu(made[0].widths, request.batch_size):
        return None
    network, arrays = made
    request = replace(request, arrays=arrays)
    return NativeTrainer(network, request, model=lambda: model, weights=model.get_weights())


def _hypermodel(request: TrainerRequest) -> keras_tuner.HyperModel:
    return load_hypermodel(request.problem.recipe.model, request.problem.recipe.code)
