"""Build a custom model of a config, and the full model, which takes raw rows."""

from __future__ import annotations

import contextlib
import hashlib
import math
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import keras_tuner
import numpy as np
import numpy.typing as npt
from keras.src.backend.common import global_state

from hpsearch.custom.hypermodels import load_hypermodel, trains_itself
from hpsearch.data.dataset import unpacked
from hpsearch.data.specs import InputSpec, Target, Task, n_features, row_shape
from hpsearch.errors import InputError
from hpsearch.models.mlp import (
    compile_model,
    input_model,
    output_layers,
    seeded,
    several_inputs,
)
from hpsearch.models.problem import Problem, Recipe
from hpsearch.space.mlp import hashed
from hpsearch.space.seeds import derive

Choose = Callable[[Any], Any]


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


def build_model(problem: Problem, values: Mapping[str, Any], seed: int) -> keras.Model:
    """Return the compiled model of one training.

    A compiled model keeps its optimizer, loss and metrics; others get the sweep's. An unbuilt model
    gets weights, unless the rows have no shape because only its own `fit` has them.

    Raises:
        InputError: The function cannot be loaded, or returns a wrong type.
    """
    recipe = problem.recipe
    model = build_alone(recipe, values, seed)
    with seeded(derive(recipe.sweep_seed, seed)):
        is_own_task = problem.target.task is Task.OWN
        if not model.compiled and not (
            is_own_task and trains_itself(load_hypermodel(recipe.model, recipe.code))
        ):
            if is_own_task:
                raise InputError(f"{recipe.model}: must return a compiled model")
            compile_model(model, values, problem)
        if not model.built and problem.input.shape:
            _give_weights_for(model, problem.input)
    return model


def build_alone(recipe: Recipe, values: Mapping[str, Any], seed: int) -> keras.Model:
    """Build the model that the values describe, whatever the data, and return it unchanged.

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
    """Return the hyperparameters of a model from `build_model`; None for other models."""
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


def _give_weights_for(model: keras.Model, spec: InputSpec) -> None:
    if not spec.parts:
        give_weights(model, rows_shape(model, row_shape(spec)))
        return
    model(unpacked(np.zeros((1, n_features(spec)), np.float32), spec.parts))


def rows_shape(model: keras.Model, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape in which a model takes rows of the given shape.

    This is the model's input shape if it has as many numbers, so that an image of 28 x 28 pixels
    fits an input of (28, 28, 1) or (784,). Otherwise it is the given shape, and the model will
    report the mismatch.
    """
    try:
        wanted = model.input_shape
    except AttributeError:
        return shape
    if not isinstance(wanted, tuple) or not all(isinstance(n, int) for n in wanted[1:]):
        return shape
    return wanted[1:] if math.prod(wanted[1:]) == math.prod(shape) else shape


def give_weights(model: keras.Model, shape: tuple[int, ...]) -> None:
    """Create the weights of an unbuilt model, for rows of the given shape."""
    if isinstance(model, keras.Sequential):
        model.build((None, *shape))
    else:
        model(keras.ops.zeros((1, *shape)))


def full_model(trained: keras.Model, problem: Problem) -> keras.Model:
    """Return a model from raw rows to predictions in the target's own units; see `models.mlp`.

    Args:
        trained: A model from `build_model`.
    """
    spec, target = problem.input, problem.target
    if spec.parts:
        inputs, x = several_inputs(spec)
    else:
        features = input_model(spec)
        inputs, x = features.input, features.output
        shape = rows_shape(trained, row_shape(spec))
        x = x if x.shape[1:] == shape else keras.layers.Reshape(shape)(x)
    x = _named(_without_optimizer(trained)(x), trained)
    # The model predicts in the target's own units unless the sweep standardised the target.
    for layer in output_layers(target) if target.standardised else ():
        x = layer(x)
    model = keras.Model(inputs, x, name="hpsearch")
    model.compile(**_compile_arguments(trained))
    # Keras warns when it loads an optimizer that was saved without its variables.
    model.optimizer.build(model.trainable_variables)
    return model


def _compile_arguments(model: keras.Model) -> dict[str, Any]:
    """Return a model's compile arguments: the user's objects, and a copy of the optimizer."""
    arguments = dict(model._compile_config.config)  # the public form is JSON
    optimizer = model.optimizer
    return {**arguments, "optimizer": type(optimizer).from_config(optimizer.get_config())}


def _without_optimizer(trained: keras.Model) -> keras.Model:
    """Return a model of the same layers, which does not save the optimizer's state."""
    if not getattr(trained, "inputs", None):
        return trained
    outputs = _one(trained.outputs)
    if len(trained.outputs) > 1:
        # Keep the names of outputs, if they have names.
        outputs = getattr(trained, "_outputs_struct", outputs)
    return keras.Model(_one(trained.inputs), outputs, name=trained.name)


def _named(outputs: Any, trained: keras.Model) -> Any:
    """Give several outputs the names that losses and metrics may use."""
    names = getattr(trained, "output_names", None)
    if not isinstance(outputs, list | tuple) or names is None or len(names) != len(outputs):
        return outputs
    return [
        keras.layers.Identity(name=name)(each) for name, each in zip(names, outputs, strict=True)
    ]


def _one(tensors: Sequence[Any]) -> Any:
    """Unpack a single tensor; Sequential models have no `input` before they are called."""
    return tensors[0] if len(tensors) == 1 else list(tensors)
