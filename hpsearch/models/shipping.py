"""A user's own model as it crosses to workers, and the hyperparameters that it asked for."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

from hpsearch.errors import InputError
from hpsearch.space.constraints import Constraint
from hpsearch.space.mlp import DEFAULTS
from hpsearch.space.space import Choices, Kind, Parameter, Space


@dataclass(frozen=True)
class ModelHyperparameters:
    """The hyperparameters of a model.

    Attributes:
        parameters: In the order in which the model asks for them.
        defaults: Of each, as KerasTuner has it.
        read: Names that the model reads without saying what they can be.
        custom_fit: Whether its hypermodel trains it by a `fit` of its own.
    """

    parameters: tuple[Parameter, ...]
    defaults: Mapping[str, Any]
    read: frozenset[str] = frozenset()
    custom_fit: bool = False

    @property
    def asked(self) -> tuple[str, ...]:
        """Of `epochs` and `batch_size`, those that the model asks for by itself."""
        return tuple(name for name in ("batch_size", "epochs") if name in self.defaults)

    @property
    def kind(self) -> Kind:
        """Whether epochs are more than the end of a training."""
        whole = self.custom_fit or "epochs" in self.defaults or "epochs" in self.read
        return Kind.WHOLE_MODEL if whole else Kind.MODEL


@dataclass(frozen=True)
class CustomModel:
    """A model that a Python program has, as it crosses to workers.

    Attributes:
        code: Of the function or hypermodel, by cloudpickle; empty where its name is enough.
        found: What it asks for, where that is known.
        late: See `Recipe.late`; None for what the method implies.
    """

    code: bytes = b""
    found: ModelHyperparameters | None = None
    late: str | None = None


def space_of(
    found: ModelHyperparameters, given: Sequence[Parameter], constraints: Iterable[Constraint] = ()
) -> Space:
    """What can vary: what the model asks for, where `given` does not say otherwise.

    Args:
        given: Of the sweep: in place of what was found of that name, under the same conditions
            unless it has its own; or what the model reads without saying what it can be.
    """
    ours = {parameter.name: parameter for parameter in given}
    parameters = []
    for parameter in found.parameters:
        instead = ours.pop(parameter.name, None)
        if instead is not None and not instead.when:
            instead = replace(instead, when=parameter.when)
        parameters.append(instead or parameter)
    parameters += ours.values()
    names = {parameter.name for parameter in parameters}
    # A `fit` of one's own is told what the sweep names, and nothing else.
    missing = () if found.custom_fit else ("batch_size", "epochs")
    parameters += [Parameter(n, Choices((DEFAULTS[n],))) for n in missing if n not in names]
    return Space(tuple(parameters), tuple(constraints), found.kind)


def model_reference(model: Any) -> str:
    """`module:name` of a function, or of a hypermodel's class, as a sweep file names a model.

    A lambda, and what is defined within a function, has no such name: what comes nearest.
    """
    named = model if hasattr(model, "__qualname__") else type(model)
    parts = [re.sub(r"\W", "", part) for part in named.__qualname__.split(".")]
    places = [re.sub(r"\W", "_", part) for part in str(named.__module__).split(".")]
    return ":".join(".".join(_word(part) for part in each) for each in (places, parts))


def _word(text: str) -> str:
    return text if text and not text[0].isdigit() else f"_{text}"


def shipped(value: Any, name: str, of: Iterable[Any] = ()) -> bytes:
    """`value` by cloudpickle.

    Args:
        name: How messages call it.
        of: Objects within it that are the user's.

    Raises:
        InputError: It cannot cross to another process.
    """
    import cloudpickle

    names = {getattr(each, "__module__", None) for each in (value, *of)}
    modules = {name: sys.modules[name] for name in names if name in sys.modules}
    try:
        with contextlib.ExitStack() as stack:
            for module in modules.values():
                stack.enter_context(_by_value(module))
            return bytes(cloudpickle.dumps(value))
    except Exception as error:
        raise InputError(
            f"{name}: cannot be sent to the processes that train, {type(error).__name__}: "
            f"{error}; what it refers to must be picklable: make open files, locks and loaded "
            "data within it"
        ) from error


@contextlib.contextmanager
def _by_value(module: ModuleType) -> Iterator[None]:
    """Within it, what a module that workers cannot import defines is pickled whole."""
    import cloudpickle

    if module.__name__ == "__main__" or _is_importable(module):
        yield
        return
    cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        cloudpickle.unregister_pickle_by_value(module)


def _is_importable(module: ModuleType) -> bool:
    """Whether its name leads to the file that it was loaded from, by the paths that workers get."""
    # From the top down: a parent that is loaded here may be one that nobody else finds.
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
