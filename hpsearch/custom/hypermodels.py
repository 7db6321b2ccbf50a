"""Custom models: KerasTuner hypermodels, loaded, built and tracked."""

from __future__ import annotations

import contextlib
import copy
import math
import os
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from types import MethodType
from typing import Any

import cloudpickle
import keras
import keras_tuner
from keras_tuner.src.engine import tuner_utils
from keras_tuner.src.engine.hypermodel import get_hypermodel

from hpsearch.errors import InputError
from hpsearch.importing import load_object


class Tailored(keras_tuner.HyperModel):  # type: ignore[misc]  # KerasTuner has no types
    """A hypermodel that applies a tuner's settings to another one.

    Args:
        hypermodel: Builds and fits the models.
        custom_fit: Whether its own `fit` must train the models; see `trains_itself`.
        optimizer, loss, metrics: Replace those that a model was compiled with; None keeps them.
        most_weights: Largest number of weights of a model; None for no limit.
        callbacks: Passed to `fit`; each training gets a copy.
        arguments: Further arguments of `fit`.
        renamed: Returns the directory of a training's files from its `place`; None uses the place.
    """

    def __init__(
        self,
        hypermodel: keras_tuner.HyperModel,
        *,
        custom_fit: bool,
        optimizer: Any = None,
        loss: Any = None,
        metrics: Any = None,
        most_weights: int | None = None,
        callbacks: Sequence[Any] = (),
        arguments: Mapping[str, Any] | None = None,
        renamed: Callable[[str], str] | None = None,
    ) -> None:
        super().__init__()
        self.hypermodel = hypermodel
        self.custom_fit = custom_fit
        self._renamed = renamed
        self._optimizer, self._loss, self._metrics = optimizer, loss, metrics
        self._most_weights = most_weights
        self._callbacks, self._arguments = list(callbacks), dict(arguments or {})

    @property
    def callbacks(self) -> list[Any]:
        """Copies of the callbacks for one training."""
        copies = copy.deepcopy(self._callbacks)
        for callback in copies:
            # All trainings share its path, and several may run at a time.
            if type(callback) is keras.callbacks.ModelCheckpoint:
                # A bound method, so that a further deep copy binds it to the new callback.
                callback._save_model = MethodType(_save_at_once, callback)
        return copies

    def build(self, hp: Any) -> Any:
        """Build a model and compile it again with the replacements.

        Raises:
            InputError: The model has too many weights.
        """
        model = self.hypermodel.build(hp)
        if not isinstance(model, keras.Model):
            return model
        self._compile(model)
        if self._most_weights and model.built:
            count = sum(math.prod(weight.shape) for weight in model.trainable_weights)
            if count > self._most_weights:
                raise InputError(
                    f"max_model_size: the model has {count} weights, more than {self._most_weights}"
                )
        return model

    def fit(self, hp: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
        """Call the hypermodel's `fit` with the callbacks and arguments added."""
        trial_place = getattr(hp, "place", "")
        folder = self._renamed(trial_place) if self._renamed is not None else trial_place
        callbacks = [*_logging_to(self.callbacks, hp, folder), *kwargs.pop("callbacks", ())]
        return self.hypermodel.fit(
            hp, model, *args, callbacks=callbacks, **{**self._arguments, **kwargs}
        )

    def _compile(self, model: keras.Model) -> None:
        optimizer = self._optimizer
        if optimizer is None and self._loss is None and self._metrics is None:
            return
        arguments = dict(model._compile_config.config) if model.compiled else {}
        if optimizer is not None and not isinstance(optimizer, str):
            # An optimizer's variables belong to one model.
            optimizer = type(optimizer).from_config(optimizer.get_config())
        metrics = copy.deepcopy(self._metrics)
        replacements = {"optimizer": optimizer, "loss": self._loss, "metrics": metrics}
        arguments.update({name: value for name, value in replacements.items() if value is not None})
        model.compile(**arguments)


def _logging_to(callbacks: list[Any], hp: Any, folder: str) -> list[Any]:
    """Give TensorBoard a separate directory for each training, and return the callbacks.

    As in KerasTuner, a further callback logs the hyperparameters for TensorBoard's dashboard.
    """
    boards = [board for board in callbacks if isinstance(board, keras.callbacks.TensorBoard)]
    for board in boards:
        board.log_dir = str(Path(board.log_dir, folder))
        with contextlib.suppress(ImportError):
            from tensorboard.plugins.hparams import api

            hparams = tuner_utils.convert_hyperparams_to_hparams(hp, api)
            callbacks = [*callbacks, api.KerasCallback(writer=board.log_dir, hparams=hparams)]
    return callbacks


def _save_at_once(
    checkpoint: keras.callbacks.ModelCheckpoint, epoch: int, batch: int | None, logs: Any
) -> None:
    """Save as ModelCheckpoint does, but replace the file atomically, since trainings share it."""
    save = partial(keras.callbacks.ModelCheckpoint._save_model, checkpoint, epoch, batch, logs)
    given = str(checkpoint._get_file_path(epoch, batch, logs))
    if "://" in given:  # Keras' remote file systems cannot replace a file atomically.
        save()
        return
    path = Path(given)
    written = path.with_name(f".{os.getpid()}-{path.name}")
    checkpoint._get_file_path = lambda *_: str(written)
    try:
        save()
    finally:
        del checkpoint._get_file_path
    if written.exists():
        written.replace(path)


@lru_cache(maxsize=8)
def load_hypermodel(name: str, code: bytes) -> keras_tuner.HyperModel:
    """Return a recipe's model as a hypermodel, the same object throughout a process.

    Args:
        name, code: `Recipe.model` and `Recipe.code`.

    Raises:
        InputError: It cannot be loaded, or is neither a function nor a hypermodel.
    """
    return as_hypermodel(cloudpickle.loads(code) if code else load_object(name), name)


def as_hypermodel(given: Any, name: str) -> keras_tuner.HyperModel:
    """Return a function, a hypermodel or its class as a hypermodel.

    Args:
        name: The model's name in messages.

    Raises:
        InputError: The model is something else.
    """
    if isinstance(given, type):
        if not issubclass(given, keras_tuner.HyperModel):
            raise InputError(
                f"{name}: must be a function of hp, or a keras_tuner.HyperModel (a class or an "
                f"instance), not the class {given.__name__}"
            )
        try:
            given = given()
        except TypeError as error:
            raise InputError(
                f"{name}: the class cannot be made without arguments ({error}); name an instance "
                "of it"
            ) from error
    if not callable(given) and not isinstance(given, keras_tuner.HyperModel):
        raise InputError(
            f"{name}: must be a function of hp or a keras_tuner.HyperModel, not "
            f"{type(given).__name__}"
        )
    return get_hypermodel(given)


def trains_itself(hypermodel: keras_tuner.HyperModel) -> bool:
    """Check if a hypermodel has its own `fit`."""
    if isinstance(hypermodel, Tailored):
        return hypermodel.custom_fit
    inherited = type(hypermodel).fit is keras_tuner.HyperModel.fit
    return not inherited or "fit" in vars(hypermodel)


def untailored(hypermodel: keras_tuner.HyperModel) -> keras_tuner.HyperModel:
    """Return the user's hypermodel without a `Tailored` around it."""
    return hypermodel.hypermodel if isinstance(hypermodel, Tailored) else hypermodel


def callbacks_of(hypermodel: keras_tuner.HyperModel) -> list[Any]:
    """Return copies of the callbacks for a hypermodel's trainings."""
    return hypermodel.callbacks if isinstance(hypermodel, Tailored) else []
