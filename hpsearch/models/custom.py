"""Custom models: KerasTuner hypermodels, loaded, built and tracked."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import math
import os
import random
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from types import MethodType
from typing import Any, Final

import cloudpickle
import keras
import keras_tuner
import numpy as np
import numpy.typing as npt
from keras.src.backend.common import global_state
from keras_tuner.src.engine import tuner_utils
from keras_tuner.src.engine.hypermodel import get_hypermodel

from hpsearch.data.dataset import unpacked
from hpsearch.data.specs import Target, Task
from hpsearch.errors import InputError
from hpsearch.importing import load_object
from hpsearch.models.problem import Recipe
from hpsearch.space.mlp import hashed
from hpsearch.space.seeds import derive

Choose = Callable[[Any], Any]

#: Methods that `fit` calls and that a model may override.
FIT_METHODS: Final = frozenset(
    {
        "compute_metrics",
        "evaluate",
        "fit",
        "make_test_function",
        "make_train_function",
        "test_step",
        "train_step",
    }
)


class TrackedHyperParameters(keras_tuner.HyperParameters):  # type: ignore[misc]
    """The hyperparameters of a model's build, which record how it uses them.

    Args:
        values: Values of the active hyperparameters, by name.
        choose: Returns the value of a hyperparameter without one.

    Attributes:
        place: A path made of the config and its seed, different for each training.
        policy: The dtype policy after the build.
        late: The values that `choose` returned, by name.
        read: Names that were read by `get` or `[]`.
    """

    def __init__(self, values: Mapping[str, Any], choose: Choose) -> None:
        super().__init__()
        self.values = dict(values)
        self.place = ""
        self.policy: Any = None
        self.late: dict[str, Any] = {}
        self.read: set[str] = set()
        self._choose = choose

    def get(self, name: str) -> Any:
        """Return the value of a hyperparameter.

        Raises:
            KeyError, ValueError: It has no value.
        """
        self.read.add(self._get_name(name))
        return super().get(name)

    def _register(self, hyperparameter: Any, overwrite: bool = False) -> Any:
        name = hyperparameter.name
        missing = name not in self.values
        if missing and self._conditions_are_active(hyperparameter.conditions):
            self.values[name] = self.late[name] = self._choose(hyperparameter)
        return super()._register(hyperparameter, overwrite)


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
        for each in copies:
            # All trainings share its path, and several may run at a time.
            if type(each) is keras.callbacks.ModelCheckpoint:
                # A bound method, so that a further deep copy binds it to the new callback.
                each._save_model = MethodType(_save_at_once, each)  # noqa: SLF001
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
        place = getattr(hp, "place", "")
        folder = self._renamed(place) if self._renamed is not None else place
        callbacks = [*_logging_to(self.callbacks, hp, folder), *kwargs.pop("callbacks", ())]
        return self.hypermodel.fit(
            hp, model, *args, callbacks=callbacks, **{**self._arguments, **kwargs}
        )

    def _compile(self, model: keras.Model) -> None:
        optimizer = self._optimizer
        if optimizer is None and self._loss is None and self._metrics is None:
            return
        arguments = dict(model._compile_config.config) if model.compiled else {}  # noqa: SLF001
        if optimizer is not None and not isinstance(optimizer, str):
            # An optimizer's variables belong to one model.
            optimizer = type(optimizer).from_config(optimizer.get_config())
        metrics = copy.deepcopy(self._metrics)
        replacements = {"optimizer": optimizer, "loss": self._loss, "metrics": metrics}
        arguments.update({name: each for name, each in replacements.items() if each is not None})
        model.compile(**arguments)


def _logging_to(callbacks: list[Any], hp: Any, folder: str) -> list[Any]:
    """Give TensorBoard a separate directory for each training, and return the callbacks.

    As in KerasTuner, a further callback logs the hyperparameters for TensorBoard's dashboard.
    """
    boards = [each for each in callbacks if isinstance(each, keras.callbacks.TensorBoard)]
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
    save = partial(keras.callbacks.ModelCheckpoint._save_model, checkpoint, epoch, batch, logs)  # noqa: SLF001
    given = str(checkpoint._get_file_path(epoch, batch, logs))  # noqa: SLF001
    if "://" in given:  # Keras' remote file systems cannot replace a file atomically.
        save()
        return
    path = Path(given)
    written = path.with_name(f".{os.getpid()}-{path.name}")
    checkpoint._get_file_path = lambda *_: str(written)  # noqa: SLF001
    try:
        save()
    finally:
        del checkpoint._get_file_path  # noqa: SLF001
    if written.exists():
        written.replace(path)


#: Keras losses that take one-hot classes.
_ONE_HOT = frozenset(
    {
        "categorical_crossentropy",
        "categorical_focal_crossentropy",
        "categorical_hinge",
        "kl_divergence",
    }
)
#: Each existing model -> the hyperparameters that it was built with.
_BUILT_WITH: weakref.WeakKeyDictionary[keras.Model, TrackedHyperParameters] = (
    weakref.WeakKeyDictionary()
)


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


def build_custom_model(recipe: Recipe, values: Mapping[str, Any], seed: int) -> keras.Model:
    """Build the model that the values describe, and return it unchanged.

    Raises:
        InputError: The function cannot be loaded or does not return a model.
    """
    hypermodel = load_hypermodel(recipe.model, recipe.code)
    hp = TrackedHyperParameters(values, _late(recipe, values))
    with seeded(derive(recipe.sweep_seed, seed)), apart():
        model = hypermodel.build(hp)
        hp.policy = keras.config.dtype_policy()
    hp.place = f"{hashed(dict(values))}/execution{seed}"
    require_model(model, recipe.model)
    _BUILT_WITH[model] = hp
    return model


def require_model(model: Any, name: str) -> None:
    """Check that a function returned a model.

    Raises:
        InputError: It returned something else.
    """
    if not isinstance(model, keras.Model):
        raise InputError(f"{name}: must return a keras.Model, not {type(model).__name__}")


def built_with(model: keras.Model) -> TrackedHyperParameters | None:
    """Return the hyperparameters of a model from `build_custom_model`; None for other models."""
    return _BUILT_WITH.get(model)


def labels_for(model: keras.Model, y: npt.NDArray[Any], target: Target) -> Any:
    """Return targets in the form that a compiled model's loss takes.

    For losses that need it, class indices `(n_samples,)` become one-hot, float32 `(n_samples,
    outputs)`. Columns of several targets become a mapping by name or a list.
    """
    if target.parts:
        return unpacked(y, target.parts)
    loss = getattr(model, "loss", None)
    name = loss if isinstance(loss, str) else getattr(loss, "name", getattr(loss, "__name__", ""))
    if target.task is not Task.MULTICLASS or name not in _ONE_HOT or y.ndim != 1:
        return y
    one_hot: npt.NDArray[Any] = np.eye(target.outputs, dtype=np.float32)[y]
    return one_hot


def _late(recipe: Recipe, values: Mapping[str, Any]) -> Choose:
    """Return the function that chooses values for hyperparameters outside the space.

    Drawn values depend on the config and the sweep's seed only, so all workers draw the same.
    """
    if recipe.late == "default":
        return lambda hyperparameter: hyperparameter.default
    config = hashed({name: value for name, value in values.items() if name != "epochs"})

    def drawn(hyperparameter: Any) -> Any:
        stream = hashlib.sha256(f"{config}:{hyperparameter.name}".encode()).digest()[:8]
        position = derive(recipe.sweep_seed, int.from_bytes(stream, "little")) / 2**32
        return hyperparameter.prob_to_value(position)

    return drawn


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Set Keras' seeds; at the end, restore the random states of Python and NumPy."""
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        keras.utils.set_random_seed(seed)
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002


@contextlib.contextmanager
def apart() -> Iterator[None]:
    """Name layers and metrics as in a new process, and undo a dtype policy that code sets.

    Otherwise an unnamed metric would be `auc` in a process's first model and `auc_1` in the next,
    although the score is read by name. `keras.utils.clear_session` would reset much more.
    """
    key = "object_name_uids"
    before = global_state.get_global_attribute(key)
    global_state.set_global_attribute(key, None)
    try:
        with precision():
            yield
    finally:
        global_state.set_global_attribute(key, before)


@contextlib.contextmanager
def precision(policy: Any = None) -> Iterator[None]:
    """Set a dtype policy, if given; at the end, undo it and any other that code has set.

    Otherwise a config would train in the precision that another config requested.
    """
    before = keras.config.dtype_policy()
    try:
        if policy is not None:
            keras.config.set_dtype_policy(policy)
        yield
    finally:
        keras.config.set_dtype_policy(before)
