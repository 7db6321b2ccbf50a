"""From a name, or code that crossed a pipe, to a KerasTuner hypermodel, and to a model of it."""

from __future__ import annotations

import contextlib
import hashlib
import random
import weakref
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import cloudpickle
import keras
import keras_tuner
import numpy as np
import numpy.typing as npt
from keras.src.backend.common import global_state
from keras_tuner.src.engine.hypermodel import get_hypermodel

from hpsearch.data.several import unpacked
from hpsearch.errors import InputError
from hpsearch.hyperparameters import hashed
from hpsearch.layer_types import load_object
from hpsearch.seeds import derive
from hpsearch.trial import Recipe, Target, Task
from hpsearch.usermodel.tailoring import Tailored
from hpsearch.usermodel.values import Values

__all__ = [
    "build",
    "hypermodel_of",
    "labels_for",
    "named_anew",
    "require_model",
    "seeded",
    "trains_itself",
    "values_of",
]

#: Keras' losses of one-hot classes.
_ONE_HOT = frozenset(
    {
        "categorical_crossentropy",
        "categorical_focal_crossentropy",
        "categorical_hinge",
        "kl_divergence",
    }
)
#: What each model was built with, for as long as there is one.
_VALUES: weakref.WeakKeyDictionary[keras.Model, Values] = weakref.WeakKeyDictionary()


def hypermodel_of(recipe: Recipe) -> keras_tuner.HyperModel:
    """What the recipe's model names, as a hypermodel; the same one each time in a process.

    Raises:
        InputError: It cannot be loaded, or is neither a function nor a hypermodel.
    """
    return _hypermodel(recipe.model, recipe.code)


@lru_cache(maxsize=8)
def _hypermodel(name: str, code: bytes) -> keras_tuner.HyperModel:
    given: Any = cloudpickle.loads(code) if code else load_object(name)
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
    """Whether it has a `fit` of its own."""
    if isinstance(hypermodel, Tailored):
        return hypermodel.own_fit
    inherited = type(hypermodel).fit is keras_tuner.HyperModel.fit
    return not inherited or "fit" in vars(hypermodel)


def build(recipe: Recipe, values: Mapping[str, Any], seed: int) -> keras.Model:
    """The model that the values describe, as its function leaves it.

    Raises:
        InputError: It cannot be loaded, or gives something else than a model.
    """
    hypermodel = hypermodel_of(recipe)
    given = Values(values, _late(recipe, values))
    with seeded(derive(recipe.sweep_seed, seed)), named_anew():
        model = hypermodel.build(given)
    require_model(model, recipe.model)
    _VALUES[model] = given
    return model


def require_model(model: Any, name: str) -> None:
    """Check what a function gave.

    Raises:
        InputError: It is no model.
    """
    if not isinstance(model, keras.Model):
        raise InputError(f"{name}: must return a keras.Model, not {type(model).__name__}")


def values_of(model: keras.Model) -> Values | None:
    """What `build` built a model with; None of another model."""
    return _VALUES.get(model)


def labels_for(model: keras.Model, y: npt.NDArray[Any], target: Target) -> Any:
    """Class indices `(n_samples,)` as the loss that a model was compiled with takes them.

    One-hot, float32 `(n_samples, outputs)`, for losses that want probabilities of all classes.
    Of several targets' columns, these by name, or as a list.
    """
    if target.parts:
        return unpacked(y, target.parts)
    loss = getattr(model, "loss", None)
    name = loss if isinstance(loss, str) else getattr(loss, "name", getattr(loss, "__name__", ""))
    if target.task is not Task.MULTICLASS or name not in _ONE_HOT or y.ndim != 1:
        return y
    one_hot: npt.NDArray[Any] = np.eye(target.outputs, dtype=np.float32)[y]
    return one_hot


def _late(recipe: Recipe, values: Mapping[str, Any]) -> Callable[[Any], Any]:
    """The value of a hyperparameter that the space does not hold.

    Drawn, it is a function of the config and the sweep's seed: the same in every worker, and again.
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
    """Keras' seeds from `seed`; the caller's Python and NumPy streams are left as they were."""
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        keras.utils.set_random_seed(seed)
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002


@contextlib.contextmanager
def named_anew() -> Iterator[None]:
    """Layers and metrics get the names that a fresh process would give them.

    A metric without a name of its own would be `auc` in a process' first model and `auc_1` in the
    next, and the score is read by name. `keras.utils.clear_session` would take much more away.
    """
    key = "object_name_uids"
    before = global_state.get_global_attribute(key)
    global_state.set_global_attribute(key, None)
    try:
        yield
    finally:
        global_state.set_global_attribute(key, before)
