"""Send a custom model to the workers, and describe the hyperparameters that it requests."""

from __future__ import annotations

import contextlib
import io
import re
import sys
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from pkgutil import resolve_name
from types import ModuleType
from typing import Any

import cloudpickle
import numpy as np
import numpy.typing as npt

from hpsearch.errors import InputError
from hpsearch.models.problem import Recipe
from hpsearch.space.constraints import Constraint
from hpsearch.space.mlp import DEFAULTS
from hpsearch.space.space import Choices, Kind, Parameter, Space


@dataclass(frozen=True)
class ModelHyperparameters:
    """The hyperparameters of a model.

    Attributes:
        parameters: In the order in which the model requests them.
        defaults: KerasTuner's default for each parameter.
        read: Names that the model reads without declaring their values.
        custom_fit: Whether its hypermodel has its own `fit`.
        whole: Whether no other training can continue from a training's state.
        code: A digest of the code that builds the model; see `importing.code_digest`.
    """

    parameters: tuple[Parameter, ...]
    defaults: Mapping[str, Any]
    read: frozenset[str] = frozenset()
    custom_fit: bool = False
    whole: bool = False
    code: str = ""

    @property
    def asked(self) -> tuple[str, ...]:
        """Which of `epochs` and `batch_size` the model requests itself."""
        return tuple(name for name in ("batch_size", "epochs") if name in self.defaults)

    @property
    def kind(self) -> Kind:
        """The kind of space, which says if `epochs` does more than end a training."""
        declared = "epochs" in self.defaults or "epochs" in self.read
        whole = self.whole or self.custom_fit or declared
        return Kind.WHOLE_MODEL if whole else Kind.MODEL


@dataclass(frozen=True)
class CustomModel:
    """A model from a Python program, in a form for the workers.

    Attributes:
        code, held: The function or hypermodel as `shipped`; empty if its name is enough.
        found: Its hyperparameters, if known.
        late: See `Recipe.late`; None for the method's default.
        tolerant, summed: See `Recipe`.
        files: The files that its callbacks write; see `Tailored.files`.
    """

    code: bytes = b""
    held: Any = None
    found: ModelHyperparameters | None = None
    late: str | None = None
    tolerant: bool = False
    summed: tuple[tuple[str, int], ...] = ()
    files: Mapping[int, tuple[str, str, str]] = field(default_factory=dict)

    def completed(self, recipe: Recipe) -> Recipe:
        """Return a sweep's recipe with the model's code."""
        late = self.late or recipe.late
        return replace(
            recipe, code=self.code, late=late, tolerant=self.tolerant, summed=self.summed
        )


def space_of(
    found: ModelHyperparameters, given: Sequence[Parameter], constraints: Iterable[Constraint] = ()
) -> Space:
    """Return the space of a model's hyperparameters.

    Args:
        given: Parameters of the sweep. A parameter replaces the model's parameter of the same
            name, and keeps its conditions unless it has others; or it gives the values of a name
            that the model only reads.
    """
    by_name = {parameter.name: parameter for parameter in given}
    parameters = []
    for parameter in found.parameters:
        replacement = by_name.pop(parameter.name, parameter)
        when = replacement.when or parameter.when
        parameters.append(replace(replacement, when=when))
    parameters += by_name.values()
    names = {parameter.name for parameter in parameters}
    # A hypermodel's own `fit` gets these two only if the sweep names them.
    missing = () if found.custom_fit else ("batch_size", "epochs")
    parameters += [Parameter(n, Choices((DEFAULTS[n],))) for n in missing if n not in names]
    return Space(tuple(parameters), tuple(constraints), found.kind)


def model_reference(model: Any) -> str:
    """Return `module:name` of a function or a hypermodel's class, as in a sweep file.

    Lambdas and local functions, which have no valid name, get a similar one.
    """
    named = model if hasattr(model, "__qualname__") else type(model)
    parts = [re.sub(r"\W", "", part) for part in named.__qualname__.split(".")]
    places = [re.sub(r"\W", "_", part) for part in str(named.__module__).split(".")]
    words = (".".join(re.sub(r"^(?=\d|$)", "_", part) for part in side) for side in (places, parts))
    return ":".join(words)


#: Larger arrays are not pickled for each training, but lie beside the data.
_MOST_PICKLED_BYTES = 1 << 20
#: Keras' registry of the classes and functions that its configs name.
_REGISTRY = "keras.src.saving.object_registration"


#: The large arrays of the code that this process runs, by name.
_held: dict[str, npt.NDArray[Any]] = {}


@dataclass(frozen=True)
class _Call:
    """A call that the process makes that unpickles it."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]

    def __reduce__(self) -> Any:
        return self.function, self.arguments


def _hold(arrays: Mapping[str, npt.NDArray[Any]]) -> _Call:
    """Keep the arrays for the code that refers to them."""
    _held.clear()
    _held.update(arrays)
    return _Call(_hold, (arrays,))


def _array(name: str) -> npt.NDArray[Any]:
    return _held[name]


def _register(objects: Mapping[str, Any]) -> None:
    """Register objects with Keras under their names."""
    resolve_name(f"{_REGISTRY}:GLOBAL_CUSTOM_OBJECTS").update(objects)
    names = {item: name for name, item in objects.items()}
    resolve_name(f"{_REGISTRY}:GLOBAL_CUSTOM_NAMES").update(names)


def _registered() -> dict[str, Any]:
    """Return what the user's code has registered with Keras, by name, if it can be pickled."""
    objects = {}
    for name, item in getattr(sys.modules.get(_REGISTRY), "GLOBAL_CUSTOM_OBJECTS", {}).items():
        if not name.startswith("keras_tuner>"):
            with contextlib.suppress(Exception):  # user code may raise anything
                _Pickler().dump(item)
                objects[name] = item
    return objects


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """Pickles a user's code, and leaves out its large arrays."""

    def __init__(self) -> None:
        self.file = io.BytesIO()
        self.held: dict[str, npt.NDArray[Any]] = {}
        super().__init__(self.file)

    def reducer_override(self, obj: Any) -> Any:
        """Return how to rebuild an object; see `pickle`."""
        if type(obj) in (np.ndarray, np.memmap) and not obj.dtype.hasobject:
            if obj.nbytes > _MOST_PICKLED_BYTES:
                name = uuid.uuid4().hex
                self.held[name] = obj
                return _array, (name,)
        elif type(obj).__name__ == "KerasTensor":
            raise TypeError(f"Keras' tensor {obj.name!r} was made outside of it")
        return super().reducer_override(obj)


def shipped(value: Any, name: str, of: Iterable[Any] = ()) -> tuple[bytes, Any]:
    """Pickle `value` by cloudpickle, including its modules that workers cannot import.

    Args:
        of: The user's objects within the value.

    Returns:
        The pickle, and the large arrays, which a process is to unpickle before it.
    """
    registered = _registered()
    names = {getattr(item, "__module__", None) for item in (value, *of, *registered.values())}
    modules = {name: sys.modules[name] for name in names if name in sys.modules}
    try:
        with contextlib.ExitStack() as stack:
            for module in modules.values():
                if module.__name__ != "__main__" and not _is_importable(module):
                    cloudpickle.register_pickle_by_value(module)
                    stack.callback(cloudpickle.unregister_pickle_by_value, module)
            pickler = _Pickler()
            if registered:
                # Register first: Keras may need the objects to rebuild its own in the value.
                value = _Call(itemgetter(1), ((_Call(_register, (registered,)), value),))
            pickler.dump(value)
            return pickler.file.getvalue(), _Call(_hold, (pickler.held,))
    except Exception as error:
        raise InputError(
            f"{name}: cannot be sent to the processes that train, {type(error).__name__}: "
            f"{error}; everything it refers to must be picklable: create open files, locks "
            "and loaded data inside it"
        ) from error


def _is_importable(module: ModuleType) -> bool:
    """Check if a worker would import a module from the same file as this process."""
    # Start at the top package: a parent loaded here may not be importable elsewhere.
    finders = [finder.find_spec for finder in sys.meta_path if hasattr(finder, "find_spec")]
    parts, path, spec = module.__name__.split("."), None, None
    try:
        for length in range(1, len(parts) + 1):
            name = ".".join(parts[:length])
            spec = next((s for f in finders if (s := f(name, path)) is not None), None)
            if spec is None:
                return False
            path = spec.submodule_search_locations
    except (ImportError, AttributeError, ValueError):
        return False
    origin = getattr(module, "__file__", None)
    return spec is not None and (origin is None or spec.origin == origin)
