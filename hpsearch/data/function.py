"""Data from the user's own function."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Callable
from operator import attrgetter
from typing import Any

from hpsearch import extensions
from hpsearch.data.arrays import array_part, image_unit
from hpsearch.data.dataset import Part, Source
from hpsearch.data.files import suggestion
from hpsearch.data.spec import Kind
from hpsearch.data.tables import text_warnings
from hpsearch.errors import DataError

__all__ = ["Pair", "pairs_source", "read_extension", "read_function"]

Pair = tuple[Any, Any] | tuple[Any, Any, Any]
"""Rows `x`, their targets `y`, and maybe their weights in the loss."""

_SHAPES = (
    "return (x, y), ((x_train, y_train), (x_val, y_val)), or that with (x_test, y_test) as a third"
)


def read_function(reference: str, task: Kind | None = None) -> Source:
    """Call `package.module:function` and read what it returns.

    Returns:
        A source with the parts of `(x, y)`, `((x_train, y_train), (x_val, y_val))`, or the
        same with a test pair; each of arrays, lists or pandas objects.

    Raises:
        DataError: It cannot be imported, fails, or returns something else.
    """
    name = reference.rpartition(":")[2]
    return _called(_function(reference), reference, name, task)


def read_extension(extension: extensions.Extension, task: Kind | None = None) -> Source:
    """Call what a package declares as a dataset, and read what it returns, as `read_function`.

    Raises:
        InputError: It cannot be loaded.
        DataError: It fails, or returns something else.
    """
    return _called(extension.load(), str(extension), extension.name, task)


def _called(function: Callable[[], Any], where: str, name: str, task: Kind | None) -> Source:
    try:
        value = function()
    except Exception as error:
        raise DataError(f"{where}: the function failed: {_words(error)}") from error
    train, validation, test = _pairs(value, where)
    return pairs_source(train, validation, test, where=where, name=name, task=task)


def pairs_source(
    train: Pair,
    validation: Pair | None,
    test: Pair | None,
    *,
    where: str,
    name: str,
    task: Kind | None,
) -> Source:
    """A source from pairs of x and y.

    Raises:
        DataError: Shapes or types that no dataset can have.
    """
    first = array_part(train[0], train[1], where, task, weights=_weights(train))

    def other(pair: Pair | None, part: str) -> Part | None:
        if pair is None:
            return None
        place, weights = f"{where}: {part}", _weights(pair)
        return array_part(pair[0], pair[1], place, task, first, weights=weights)

    return Source(
        name=name,
        where=where,
        train=first,
        validation=other(validation, "validation"),
        test=other(test, "test"),
        unit=image_unit(first.x),
        feature_names=tuple(first.x) if isinstance(first.x, dict) else (),
        warnings=text_warnings(first.x, where),
    )


def _weights(pair: Pair) -> Any:
    return pair[2] if len(pair) == 3 else None


def _function(reference: str) -> Callable[[], Any]:
    module_name, colon, name = reference.partition(":")
    if not colon or not module_name or not name:
        raise DataError(f"python: {reference!r} is not of the form package.module:function")
    # A console script starts without the working directory on its path, `python -m` with it.
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    importlib.invalidate_caches()
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise DataError(
            f"{reference}: module {module_name!r} cannot be imported from {os.getcwd()} or the "
            f"installed packages: {_words(error)}"
        ) from error
    try:
        function = attrgetter(name)(module)
    except AttributeError:
        near = suggestion(name, [each for each in vars(module) if not each.startswith("_")])
        raise DataError(f"{reference}: module {module_name!r} has no {name!r}{near}") from None
    if not callable(function):
        raise DataError(f"{reference}: is a {type(function).__name__}, not a function")
    return function  # type: ignore[no-any-return]


def _words(error: Exception) -> str:
    """The exception, and the last line of code it passed."""
    frames = traceback.extract_tb(error.__traceback__)
    at = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{at}"


def _pairs(value: Any, where: str) -> tuple[Pair, Pair | None, Pair | None]:
    if isinstance(value, (tuple, list)) and len(value) in (2, 3):
        if all(_is_pair(each) for each in value):
            pairs = [(each[0], each[1]) for each in value]
            return pairs[0], pairs[1], pairs[2] if len(pairs) == 3 else None
        if len(value) == 2 and not isinstance(value[0], tuple):
            return (value[0], value[1]), None, None
    found = type(value).__name__
    if isinstance(value, (tuple, list)):
        found += f" of {len(value)} ({', '.join(type(each).__name__ for each in value[:5])})"
    raise DataError(f"{where}: returned a {found}; {_SHAPES}")


def _is_pair(value: Any) -> bool:
    """Whether `value` is (x, y), not a list that happens to have two rows."""
    return (
        isinstance(value, (tuple, list))
        and len(value) == 2
        and all(hasattr(each, "__len__") and not isinstance(each, str) for each in value)
    )
