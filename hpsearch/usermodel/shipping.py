"""Functions and classes of the user's as bytes that a worker can load.

By reference where a worker can import their module, else by value: those of `__main__`, of a
notebook, lambdas, and what is defined within a function.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

from hpsearch.errors import InputError

__all__ = ["model_reference", "shipped"]


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
