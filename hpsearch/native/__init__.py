"""Dense networks trained by an extension in C: a whole epoch is one call.

The extension needs no TensorFlow. It is built on installation where there is a C compiler, and
runs on processors with AVX2 and FMA, or AVX-512, or 64-bit ARM; `available` says whether it can.
Results are the same to the bit on all of these.
"""

from __future__ import annotations

import importlib
from types import ModuleType

__all__ = ["available", "engines", "extension"]

try:
    _EXTENSION: ModuleType | None = importlib.import_module("hpsearch.native._native")
except ImportError:
    # Installed without a compiler: TensorFlow trains all there is.
    _EXTENSION = None


def extension() -> ModuleType:
    """The extension; see `_native.pyi`.

    Raises:
        RuntimeError: It was not built.
    """
    if _EXTENSION is None:
        raise RuntimeError("hpsearch was installed without its extension in C")
    return _EXTENSION


def engines() -> tuple[str, ...]:
    """Names of the instruction sets that this processor can use, the best first."""
    return tuple(_EXTENSION.engines()) if _EXTENSION is not None else ()


def available() -> bool:
    """Whether networks can be trained here."""
    return bool(engines())
