"""Import a user's code by its name, and notice that it was edited."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from pkgutil import resolve_name
from types import CodeType, FunctionType
from typing import Any

from hpsearch.errors import InputError


@contextlib.contextmanager
def contained() -> Iterator[None]:
    """Run a user's code, but keep it from moving or duplicating this process.

    The working directory is restored; a forked process that returns here ends.
    """
    process, here = os.getpid(), _working_directory()
    try:
        yield
    finally:
        if os.getpid() != process:
            os._exit(0)
        if here is not None:
            with contextlib.suppress(OSError):
                os.chdir(here)


def _working_directory() -> Path | None:
    # Its removal says nothing about the user's code.
    with contextlib.suppress(OSError):
        return Path.cwd()
    return None


def load_object(path: str) -> Any:
    """Return the object that `package.module:name` names, also of the working directory."""
    here = _working_directory()
    if here is not None and str(here) not in sys.path:
        # Last, and only now: packages try to import optional others, and a file of that name would
        # run.
        sys.path.append(str(here))
    importlib.invalidate_caches()
    try:
        return resolve_name(path)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"{path}: cannot be loaded: {error}") from error


def code_digest(user_object: Any) -> str:
    """Return a digest of the code of a function, or of an object's methods.

    An edit changes it, but not one of comments or of functions that the code calls. Digests of
    different versions of Python cannot be compared, so they begin with the version.
    """
    parts = [user_object]
    if not hasattr(user_object, "__code__"):
        parts = [*vars(type(user_object)).values(), *getattr(user_object, "__dict__", {}).values()]
    codes = (part.__code__ for part in parts if isinstance(part, FunctionType))
    digest = hashlib.sha256(repr([*_code_parts(codes)]).encode())
    return f"{sys.version_info.major}.{sys.version_info.minor}:{digest.hexdigest()[:16]}"


def _code_parts(constants: Iterable[Any]) -> Iterator[Any]:
    for constant in constants:
        if isinstance(constant, CodeType):
            yield constant.co_code, constant.co_names
            yield from _code_parts(constant.co_consts)
        elif isinstance(constant, frozenset):
            # The order of its texts is another one in each process.
            yield sorted(map(repr, constant))
        else:
            yield constant
