"""A custom model on its way to the workers, and the hyperparameters that it requests."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import cloudpickle

from hpsearch.errors import InputError
from hpsearch.space.constraints import Constraint
from hpsearch.space.mlp import DEFAULTS
from hpsearch.space.space import Choices, Kind, Parameter, Space


@dataclass(frozen=True)
class ModelHyperparameters:
    """The hyperparameters of a model.

    Attributes:
        parameters: In the order in which the model requests them.
        defaults: KerasTuner's default of each.
        read: Names that the model reads without declaring their values.
        custom_fit: Whether its hypermodel has its own `fit`.
        whole: Whether a training has a state that no other training can continue from.
    """

    parameters: tuple[Parameter, ...]
    defaults: Mapping[str, Any]
    read: frozenset[str] = frozenset()
    custom_fit: bool = False
    whole: bool = False

    @property
    def asked(self) -> tuple[str, ...]:
        """Which of `epochs` and `batch_size` the model requests itself."""
        return tuple(name for name in ("batch_size", "epochs") if name in self.defaults)

    @property
    def kind(self) -> Kind:
        """The kind of space, by whether `epochs` only says when a training ends."""
        declared = "epochs" in self.defaults or "epochs" in self.read
        whole = self.whole or self.custom_fit or declared
        return Kind.WHOLE_MODEL if whole else Kind.MODEL


@dataclass(frozen=True)
class CustomModel:
    """A model from a Python program, on its way to the workers.

    Attributes:
        code: The function or hypermodel by cloudpickle; empty if its name is enough.
        found: Its hyperparameters, if known.
        late: See `Recipe.late`; None for the method's default.
        tolerant, summed: See `Recipe`.
    """

    code: bytes = b""
    found: ModelHyperparameters | None = None
    late: str | None = None
    tolerant: bool = False
    summed: tuple[tuple[str, int], ...] = ()


def space_of(
    found: ModelHyperparameters, given: Sequence[Parameter], constraints: Iterable[Constraint] = ()
) -> Space:
    """Return the space of a model's hyperparameters.

    Args:
        given: Parameters of the sweep. Each replaces the model's own of the same name, under the
            same conditions unless it has its own, or gives the values of a name that the model
            only reads.
    """
    rest = {parameter.name: parameter for parameter in given}
    parameters = []
    for parameter in found.parameters:
        replacement = rest.pop(parameter.name, parameter)
        when = replacement.when or parameter.when
        parameters.append(replace(replacement, when=when))
    parameters += rest.values()
    names = {parameter.name for parameter in parameters}
    # A hypermodel's own `fit` gets only what the sweep names.
    missing = () if found.custom_fit else ("batch_size", "epochs")
    parameters += [Parameter(n, Choices((DEFAULTS[n],))) for n in missing if n not in names]
    return Space(tuple(parameters), tuple(constraints), found.kind)


def model_reference(model: Any) -> str:
    """Return `module:name` of a function or of a hypermodel's class, as a sweep file names it.

    Lambdas and local functions have no such name and get a similar one.
    """
    named = model if hasattr(model, "__qualname__") else type(model)
    parts = [re.sub(r"\W", "", part) for part in named.__qualname__.split(".")]
    places = [re.sub(r"\W", "_", part) for part in str(named.__module__).split(".")]
    return ":".join(".".join(_word(part) for part in each) for each in (places, parts))


def _word(text: str) -> str:
    return text if text and not text[0].isdigit() else f"_{text}"


def shipped(
    value: Any,
    name: str,
    of: Iterable[Any] = (),
    dumps: Callable[[Any], bytes] = cloudpickle.dumps,
) -> bytes:
    """Return `value` by cloudpickle, with all of its modules that workers cannot import.

    Args:
        name: Its name in messages.
        of: The user's objects within it.
        dumps: Pickles it.

    Raises:
        InputError: It cannot be sent to another process.
    """
    names = {getattr(each, "__module__", None) for each in (value, *of)}
    modules = {name: sys.modules[name] for name in names if name in sys.modules}
    try:
        with contextlib.ExitStack() as stack:
            for module in modules.values():
                if module.__name__ != "__main__" and not _is_importable(module):
                    cloudpickle.register_pickle_by_value(module)
                    stack.callback(cloudpickle.unregister_pickle_by_value, module)
            return bytes(dumps(value))
    except Exception as error:
        raise InputError(
            f"{name}: cannot be sent to the processes that train, {type(error).__name__}: "
            f"{error}; everything it refers to must be picklable: create open files, locks "
            "and loaded data inside it"
        ) from error


def _is_importable(module: ModuleType) -> bool:
    """Return whether a worker would import a module from the file it was loaded from."""
    # From the top down: a parent that is loaded here may not be importable elsewhere.
    finders = [finder.find_spec for finder in sys.meta_path if hasattr(finder, "find_spec")]
    parts, path, found = module.__name__.split("."), None, None
    try:
        for length in range(1, len(parts) + 1):
            name = ".".join(parts[:length])
            found = next((s for f in finders if (s := f(name, path)) is not None), None)
            if found is None:
                return False
            path = found.submodule_search_locations
    except (ImportError, AttributeError, ValueError):
        return False
    origin = getattr(module, "__file__", None)
    return found is not None and (origin is None or found.origin == origin)
