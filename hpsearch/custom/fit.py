"""Train by a hypermodel's own `fit`."""

from __future__ import annotations

import contextlib
import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
import keras_tuner

from hpsearch.custom.building import built_with, precision
from hpsearch.custom.called_back import CalledBack
from hpsearch.custom.fit_arguments import POSITIONS, NotOnEngine, Request, request_of
from hpsearch.data.dataset import unpacked
from hpsearch.errors import InputError
from hpsearch.models.mlp import seeded
from hpsearch.models.problem import Patience
from hpsearch.space.keras_names import OPTIMIZERS
from hpsearch.space.seeds import derive
from hpsearch.training.fit import mapped, validation_of
from hpsearch.training.native import NativeTrainer
from hpsearch.training.trainer import KerasTrainer, State, Trainer, TrainerRequest

if TYPE_CHECKING:
    from hpsearch.models.problem import Recipe

#: Keras' default batch size.
_BATCH_SIZE = 32
#: Arguments of `fit` that hold arrays.
_ARRAYS = ("x", "y", "sample_weight", "validation_data")


Make = Callable[[Request], "Trainer | None"]
"""Makes the trainer of a call of `fit`; None if the engine cannot train it."""


class EngineFit:
    """Replaces the `fit` of a model that a hypermodel's own `fit` trains.

    If possible, the native or the compiled trainer trains, with the callbacks between epochs.
    Otherwise, and in every call after the first, Keras' `fit` does.

    Args:
        model: The compiled model.
        make: Makes the trainer from the checked arguments.

    Attributes:
        kind: The kind of trainer that trained last.
    """

    def __init__(self, model: keras.Model, make: Make) -> None:
        self._model, self._make = model, make
        self.kind = "fit"
        self._fit: Callable[..., Any] = model.fit
        self._called = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Train as `keras.Model.fit` does, and return its History."""
        # Remove this object meanwhile: Keras and callbacks may inspect the model's methods.
        vars(self._model).pop("fit", None)
        try:
            if not self._called:
                return self._first(args, kwargs)
            self.kind = "fit"
            return self._keras(args, kwargs)
        finally:
            self._model.fit = self

    def _first(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        self._called = True
        trainer = None
        with contextlib.suppress(NotOnEngine):
            request = request_of(args, kwargs)
            trainer = self._make(request)
        if trainer is None:
            return self._keras(args, kwargs)
        self.kind = trainer.kind
        return self._train(trainer, request)

    def _keras(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        given = {**dict(zip(POSITIONS, args, strict=False)), **kwargs}
        if type(self._model).fit is not keras.Model.fit or len(args) > len(POSITIONS):
            return self._fit(*args, **kwargs)
        arrays = {name: mapped(given[name]) for name in _ARRAYS if name in given}
        return self._fit(**{**given, **arrays})

    def _train(self, trainer: Trainer, request: Request) -> keras.callbacks.History:
        rows = len(request.arrays.x_train)
        epochs = 1 if request.epochs is None else request.epochs
        steps = math.ceil(rows / (request.batch_size or _BATCH_SIZE))
        callbacks = list(request.callbacks)
        # The native trainer keeps weights, rate and state outside the model; the graph does not.
        native = isinstance(trainer, NativeTrainer)
        called = CalledBack(
            trainer,
            callbacks,
            ends=lambda _: False,
            epochs=epochs,
            steps=steps,
            reads_weights=native and bool(callbacks),
        )
        history = keras.callbacks.History()
        history.set_model(self._model)
        history.set_params({"verbose": 0, "epochs": epochs, "steps": steps})
        history.on_train_begin()
        while (numbers := called.run_epoch()) is not None:
            history.on_epoch_end(len(history.epoch), dict(numbers))
        if isinstance(trainer, NativeTrainer):
            if not callbacks:
                self._model.set_weights(list(trainer.weights()))
            _give_state(trainer, self._model)
        return history


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


def seed_of_fit(sweep_seed: int, seed: int) -> int:
    """Return the seed for running a user's `fit`."""
    return derive(sweep_seed, seed, _FIT)


Epoch = dict[str, float]


class CustomFitTrainer(KerasTrainer):
    """Calls `fit(hp, model, x, y, validation_data=..., callbacks=...)` once for all its epochs.

    It passes `epochs` and `batch_size` if the config has them and the hypermodel does not request
    them itself. As in KerasTuner, `fit` may return a History, a score, metrics by name, or a list
    of those, which is averaged. A result that is not a History counts for every epoch. If the
    recipe is tolerant, the metrics of an epoch without validation are NaN.

    Args:
        hypermodel: Has its own `fit`.
        model: Built by `building.build_model`.
        request: The training.
        make: Makes the trainer for a call of the model's `fit`; see `EngineFit`.
    """

    def __init__(
        self,
        hypermodel: keras_tuner.HyperModel,
        model: keras.Model,
        request: TrainerRequest,
        make: Make,
    ) -> None:
        super().__init__(model)
        self._make = make
        self._engine: EngineFit | None = None
        self._hypermodel, self._request, self._arrays = hypermodel, request, request.arrays
        problem = request.problem
        self._recipe, self._target = problem.recipe, problem.target
        self._inputs = problem.input.parts
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

    def resume(self, epoch: int, state: State) -> None:  # noqa: ARG002 - the protocol's
        """Refuse to resume, since `fit` trains all its epochs at once.

        Raises:
            ValueError: Always.
        """
        raise ValueError("a custom fit cannot continue a training")

    def _state_variables(self) -> list[Any]:
        return list(self.model.variables)

    def _fit(self) -> list[Epoch]:
        watcher = Watcher(self._recipe)
        arguments = self._arguments()
        # Set on this model only: other models that user code builds keep Keras' method.
        self.model.fit = self._engine = EngineFit(self.model, self._make)
        hp = built_with(self.model)
        policy = hp.policy if hp is not None else None
        with seeded(seed_of_fit(self._recipe.sweep_seed, self._request.seed)), precision(policy):
            given = self._hypermodel.fit(
                hp,
                self.model,
                unpacked(self._arrays.x_train, self._inputs),
                unpacked(self._arrays.y_train, self._target.parts),
                callbacks=[watcher],
                **arguments,
            )
        vars(self.model).pop("fit", None)
        self._best = watcher.best
        curve = _epochs(given, self._recipe, watcher.logged if self._recipe.tolerant else ())
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
        #: The names in the logs of each epoch.
        self.logged: list[frozenset[str]] = []

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        del epoch
        self.logged.append(frozenset(logs or ()))
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


def _epochs(given: Any, recipe: Recipe, logged: Sequence[frozenset[str]] = ()) -> list[Epoch]:
    """Return the result of `fit` as one mapping for each epoch.

    Args:
        logged: The names in each epoch's logs, as far as known.

    Raises:
        InputError: The result has a wrong type.
    """
    if isinstance(given, keras.callbacks.History):
        curve = _of_history(given.history, logged)
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


def _of_history(
    history: Mapping[str, Sequence[Any]], logged: Sequence[frozenset[str]]
) -> list[Epoch]:
    """Return the columns of a History as one mapping for each epoch.

    `logged` shows the epochs without validation, which `validation_freq` causes; without it,
    shorter columns are left out.
    """
    longest = max(map(len, history.values()), default=0)
    fits = all(len(values) == sum(n in names for names in logged) for n, values in history.items())
    if not fits or len(logged) != longest:
        history = {name: values for name, values in history.items() if len(values) == longest}
        logged = [frozenset(history)] * longest
    columns = {name: iter(values) for name, values in history.items()}
    return [
        {n: float(next(column)) if n in names else math.nan for n, column in columns.items()}
        for names in logged
    ]


def _mean(runs: Sequence[Sequence[Epoch]], recipe: Recipe) -> Epoch:
    """Return the mean of the last epochs of several runs."""
    last = [recipe.with_sum(run[-1]) for run in runs if run]
    last = [epoch for epoch in last if recipe.metric in epoch]
    if not last:
        return {}
    return {name: sum(run[name] for run in last) / len(last) for name in last[0]}
