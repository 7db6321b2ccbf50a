"""Load hypermodels, and build their models of a config, and full models, which take raw rows."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import math
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import cloudpickle
import keras
import keras_tuner
import numpy as np
import numpy.typing as npt
from keras.src.backend.common import global_state

from hpsearch.custom import kerastuner_names as kt
from hpsearch.data.dataset import unpacked
from hpsearch.data.specs import Target, Task, n_features, row_shape
from hpsearch.errors import InputError
from hpsearch.importing import load_object
from hpsearch.models.mlp import (
    compile_model,
    compiled_like,
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
        folder: The directory for what callbacks write in the training.
        late: The values that `choose` returned, by name.
        read: Names that were read by `get` or `[]`.
    """

    def __init__(self, values: Mapping[str, Any], choose: Choose) -> None:
        super().__init__()
        self.values = dict(values)
        self.place = self.folder = ""
        self.late: dict[str, Any] = {}
        self.read: set[str] = set()
        self._choose = choose

    def get(self, name: str) -> Any:
        """Return the value of a hyperparameter."""
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
        if not model.built and problem.input.parts:
            row = np.zeros((1, n_features(problem.input)), np.float32)
            model(unpacked(row, problem.input.parts))
        elif not model.built and problem.input.shape:
            give_weights(model, rows_shape(model, row_shape(problem.input)))
    return model


def build_alone(recipe: Recipe, values: Mapping[str, Any], seed: int) -> keras.Model:
    """Build the model that the values describe, whatever the data, and return it unchanged."""
    hypermodel = load_hypermodel(recipe.model, recipe.code)
    hp = TrackedHyperParameters(values, _late(recipe, values))
    with seeded(derive(recipe.sweep_seed, seed)), apart():
        model = hypermodel.build(hp)
    hp.place = f"{hashed(dict(values))}/execution{seed}"
    require_model(model, recipe.model)
    _BUILT_WITH[model] = hp
    return model


def require_model(model: Any, name: str) -> None:
    """Check that a function returned a model."""
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
    return np.eye(target.outputs, dtype=np.float32)[y]


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
    before, policy = global_state.get_global_attribute(key), keras.config.dtype_policy()
    global_state.set_global_attribute(key, None)
    try:
        yield
    finally:
        global_state.set_global_attribute(key, before)
        # Otherwise a config would train in the precision that another config requested.
        keras.config.set_dtype_policy(policy)


def rows_shape(model: keras.Model, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape in which a model takes rows of the given shape.

    This is the model's input shape if it has as many numbers, so that an image of 28 x 28 pixels
    fits an input of (28, 28, 1) or (784,). Otherwise it is the given shape, and the model will
    report the mismatch.
    """
    wanted = getattr(model, "input_shape", None)
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
    """Return a model from raw rows to predictions in the target's own units; see `models.mlp`."""
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
    return compiled_like(trained, keras.Model(inputs, x, name="hpsearch"))


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


# Hypermodels


#: Keras' callbacks that write a file, and their attributes with its path.
_PATHS = ((keras.callbacks.ModelCheckpoint, "filepath"), (keras.callbacks.CSVLogger, "filename"))


@dataclass(eq=False)
class Tailored(keras_tuner.HyperModel):  # type: ignore[misc]  # KerasTuner has no types
    """A hypermodel that applies a tuner's settings to another one.

    Attributes:
        hypermodel: Builds and fits the models.
        custom_fit: Whether its own `fit` must train the models; see `trains_itself`.
        optimizer, loss, metrics: Replace those that a model was compiled with; None keeps them.
        most_weights: Largest number of weights of a model; None for no limit.
        callbacks: Passed to `fit`; each training gets a copy.
        arguments: Further arguments of `fit`.
        renamed: Returns the directory of a training's files from its `place`.
    """

    hypermodel: keras_tuner.HyperModel
    custom_fit: bool
    optimizer: Any = None
    loss: Any = None
    metrics: Any = None
    most_weights: int | None = None
    callbacks: Sequence[Any] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    renamed: Callable[[str], str] = str

    def __post_init__(self) -> None:
        super().__init__()

    @cached_property
    def files(self) -> dict[int, tuple[str, str, str]]:
        """The files whose paths the user gives to callbacks.

        By the callback's index: the attribute that holds the path, a directory, and a path below
        it, in which Keras may fill in `{epoch}` and the like.
        """
        files = {}
        for index, callback in enumerate(self.callbacks):
            attribute = next((name for kind, name in _PATHS if isinstance(callback, kind)), "")
            path = getattr(callback, attribute, "://")
            if "://" in path:  # Keras' remote file systems stay as they are.
                continue
            parts = Path(path).parts
            first = next((n for n, part in enumerate(parts) if "{" in part), len(parts) - 1)
            folder = Path(*parts[:first]).absolute()
            files[index] = (attribute, str(folder), str(Path(*parts[first:])))
        return files

    def copied_callbacks(self, folder: str) -> list[Any]:
        """Return copies of the callbacks for one training, which write below `folder`, if given."""
        copies = [*copy.deepcopy(self.callbacks)]
        for index, (attribute, _, name) in (self.files if folder else {}).items():
            own = Path(folder, str(index))
            own.mkdir(exist_ok=True)
            # ModelCheckpoint formats its path.
            literal = str(own).replace("{", "{{").replace("}", "}}")
            path = f"{literal if attribute == 'filepath' else own}/{name}"
            setattr(copies[index], attribute, path)
        # A killed training begins anew here, so a backup has no use.
        return [c for c in copies if not isinstance(c, keras.callbacks.BackupAndRestore)]

    def build(self, hp: Any) -> Any:
        """Build a model and compile it again with the replacements."""
        model = self.hypermodel.build(hp)
        if not isinstance(model, keras.Model):
            return model
        self._compile(model)
        if self.most_weights and model.built:
            count = sum(math.prod(weight.shape) for weight in model.trainable_weights)
            if count > self.most_weights:
                raise InputError(
                    f"max_model_size: the model has {count} weights, more than {self.most_weights}"
                )
        return model

    def fit(self, hp: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
        """Call the hypermodel's `fit` with the callbacks and arguments added."""
        board, copies = self.renamed(hp.place), self.copied_callbacks(hp.folder)
        callbacks = [*_logging_to(copies, hp, board), *kwargs.pop("callbacks", ())]
        return self.hypermodel.fit(
            hp, model, *args, callbacks=callbacks, **{**self.arguments, **kwargs}
        )

    def _compile(self, model: keras.Model) -> None:
        optimizer = self.optimizer
        if optimizer is None and self.loss is None and self.metrics is None:
            return
        arguments = dict(model._compile_config.config) if model.compiled else {}
        if optimizer is not None and not isinstance(optimizer, str):
            # An optimizer's variables belong to one model.
            optimizer = type(optimizer).from_config(optimizer.get_config())
        metrics = copy.deepcopy(self.metrics)
        replacements = {"optimizer": optimizer, "loss": self.loss, "metrics": metrics}
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

            hparams = kt.convert_hyperparams_to_hparams(hp, api)
            callbacks = [*callbacks, api.KerasCallback(writer=board.log_dir, hparams=hparams)]
    return callbacks


@lru_cache(maxsize=8)
def load_hypermodel(name: str, code: bytes) -> keras_tuner.HyperModel:
    """Return a recipe's model as a hypermodel, the same object throughout a training."""
    return as_hypermodel(cloudpickle.loads(code) if code else load_object(name), name)


def as_hypermodel(given: Any, name: str) -> keras_tuner.HyperModel:
    """Return a function, a hypermodel or its class as a hypermodel; `name` is for messages."""
    if isinstance(given, type) and issubclass(given, keras_tuner.HyperModel):
        try:
            given = given()
        except TypeError as error:
            raise InputError(
                f"{name}: the class cannot be made without arguments ({error}); name an instance "
                "of it"
            ) from error
    is_function = callable(given) and not isinstance(given, type)
    if not is_function and not isinstance(given, keras_tuner.HyperModel):
        raise InputError(
            f"{name}: must be a function of hp or a keras_tuner.HyperModel, not {given!r:.80}"
        )
    return kt.get_hypermodel(given)


def trains_itself(hypermodel: keras_tuner.HyperModel) -> bool:
    """Check if a hypermodel has its own `fit`."""
    if isinstance(hypermodel, Tailored):
        return hypermodel.custom_fit
    inherited = type(hypermodel).fit is keras_tuner.HyperModel.fit
    return not inherited or "fit" in vars(hypermodel)


def untailored(hypermodel: keras_tuner.HyperModel) -> keras_tuner.HyperModel:
    """Return the user's hypermodel without a `Tailored` around it."""
    return hypermodel.hypermodel if isinstance(hypermodel, Tailored) else hypermodel


def callbacks_of(hypermodel: keras_tuner.HyperModel, folder: str = "") -> list[Any]:
    """Return copies of a hypermodel's callbacks for one training; see `copied_callbacks`."""
    return hypermodel.copied_callbacks(folder) if isinstance(hypermodel, Tailored) else []
