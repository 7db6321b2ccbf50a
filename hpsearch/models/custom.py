"""Models of the user's own: KerasTuner hypermodels, loaded, built and tracked."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import math
import random
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import cloudpickle
import keras
import keras_tuner
import numpy as np
import numpy.typing as npt
from keras.src.backend.common import global_state
from keras_tuner.src.engine.hypermodel import get_hypermodel
from keras_tuner.src.engine.hyperparameters import hp_types

from hpsearch.data.dataset import unpacked
from hpsearch.data.specs import Target, Task
from hpsearch.errors import InputError
from hpsearch.models.layers import load_object
from hpsearch.models.problem import Recipe
from hpsearch.space.mlp import hashed
from hpsearch.space.seeds import derive

Choose = Callable[[Any], Any]


class AnyChoice(hp_types.Choice):  # type: ignore[misc]  # KerasTuner has no types
    """A choice among values that KerasTuner's refuses, or turns into others.

    None, values of several types, lists; truth values stay what they are.
    """

    def __init__(
        self,
        name: str,
        values: Sequence[Any],
        ordered: bool | None = None,
        default: Any = None,
        **kwargs: Any,
    ) -> None:
        del ordered
        super().__init__(name, list(range(len(values))), ordered=False, **kwargs)
        self._values = list(values)
        self._default = default

    @property
    def default(self) -> Any:
        """As KerasTuner says: None where it is one of the values, else the first."""
        if self._default is not None:
            return self._default
        return None if None in self._values else self._values[0]


# KerasTuner copies hyperparameters by way of their configs, and finds the classes here.
hp_types.ALL_CLASSES.setdefault(AnyChoice.__name__, AnyChoice)


class TrackedHyperParameters(keras_tuner.HyperParameters):  # type: ignore[misc]
    """What a model is built with.

    Args:
        values: By name; those that live.
        choose: The value of a hyperparameter that has none.

    Attributes:
        late: What was chosen.
        read: Names that were read, by `get` or `[]`.
    """

    def __init__(self, values: Mapping[str, Any], choose: Choose) -> None:
        super().__init__()
        self.values = dict(values)
        self.late: dict[str, Any] = {}
        self.read: set[str] = set()
        self._choose = choose

    def get(self, name: str) -> Any:
        """The value of a name.

        Raises:
            KeyError, ValueError: It has none.
        """
        self.read.add(self._get_name(name))
        return super().get(name)

    def Choice(  # noqa: N802, PLR0917 - KerasTuner's
        self,
        name: str,
        values: Sequence[Any],
        ordered: bool | None = None,
        default: Any = None,
        parent_name: str | None = None,
        parent_values: Any = None,
    ) -> Any:
        """KerasTuner's, for any values."""
        types = {type(value) for value in values}
        if len(types) == 1 and not types & {bool, type(None), list, tuple, dict}:
            return super().Choice(name, values, ordered, default, parent_name, parent_values)
        with self._maybe_conditional_scope(parent_name, parent_values):
            return self._retrieve(
                AnyChoice(
                    self._get_name(name), values, default=default, conditions=self._conditions
                )
            )

    def _register(self, hyperparameter: Any, overwrite: bool = False) -> Any:
        name = hyperparameter.name
        missing = name not in self.values
        if missing and self._conditions_are_active(hyperparameter.conditions):
            self.values[name] = self.late[name] = self._choose(hyperparameter)
        return super()._register(hyperparameter, overwrite)


class Tailored(keras_tuner.HyperModel):  # type: ignore[misc]  # KerasTuner has no types
    """Builds and fits as another hypermodel does.

    Args:
        hypermodel: The other one.
        custom_fit: Whether models are trained by its `fit`.
        optimizer, loss, metrics: In place of those that a model was compiled with; None keeps them.
        most_weights: A larger model is refused; None for none.
        callbacks: Of each training a copy.
        arguments: Of `fit`, beside the data.
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
    ) -> None:
        super().__init__()
        self._hypermodel = hypermodel
        #: See `loading.trains_itself`.
        self.custom_fit = custom_fit
        self._instead = {"optimizer": optimizer, "loss": loss, "metrics": metrics}
        self._most_weights = most_weights
        self._callbacks, self._arguments = list(callbacks), dict(arguments or {})

    def build(self, hp: Any) -> Any:
        """A model of the other hypermodel, compiled with what stands in place of its own.

        Raises:
            InputError: It has too many weights.
        """
        model = self._hypermodel.build(hp)
        if not isinstance(model, keras.Model):
            return model
        compiled_anew(model, **self._instead)
        if self._most_weights and model.built:
            count = sum(math.prod(weight.shape) for weight in model.trainable_weights)
            if count > self._most_weights:
                raise InputError(
                    f"max_model_size: the model has {count} weights, more than {self._most_weights}"
                )
        return model

    def fit(self, hp: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
        """What the other hypermodel's `fit` gives."""
        callbacks = [*copy.deepcopy(self._callbacks), *kwargs.pop("callbacks", ())]
        return self._hypermodel.fit(
            hp, model, *args, callbacks=callbacks, **{**self._arguments, **kwargs}
        )


def compiled_anew(
    model: Any, *, optimizer: Any = None, loss: Any = None, metrics: Any = None
) -> None:
    """Compiles a model with what is given, and with what it had where nothing is."""
    if optimizer is None and loss is None and metrics is None:
        return
    arguments = dict(model._compile_config.config) if model.compiled else {}  # noqa: SLF001
    if optimizer is not None and not isinstance(optimizer, str):
        # Each model needs one of its own.
        optimizer = type(optimizer).from_config(optimizer.get_config())
    instead = {"optimizer": optimizer, "loss": loss, "metrics": copy.deepcopy(metrics)}
    arguments.update((name, value) for name, value in instead.items() if value is not None)
    model.compile(**arguments)


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
_VALUES: weakref.WeakKeyDictionary[keras.Model, TrackedHyperParameters] = (
    weakref.WeakKeyDictionary()
)


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
        return hypermodel.custom_fit
    inherited = type(hypermodel).fit is keras_tuner.HyperModel.fit
    return not inherited or "fit" in vars(hypermodel)


def build_custom_model(recipe: Recipe, values: Mapping[str, Any], seed: int) -> keras.Model:
    """The model that the values describe, as its function leaves it.

    Raises:
        InputError: It cannot be loaded, or gives something else than a model.
    """
    hypermodel = hypermodel_of(recipe)
    given = TrackedHyperParameters(values, _late(recipe, values))
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


def built_with(model: keras.Model) -> TrackedHyperParameters | None:
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
