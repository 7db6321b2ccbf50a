"""The C extension that trains dense networks, where it was built and the processor can run it."""

from __future__ import annotations

import importlib
from types import ModuleType

try:
    _EXTENSION: ModuleType | None = importlib.import_module("hpsearch.native._native")
except ImportError:
    # Installed without a compiler: TensorFlow trains all there is.
    _EXTENSION = None


def native_extension() -> ModuleType:
    """The extension; see `_native.pyi`.

    Raises:
        RuntimeError: It was not built.
    """
    if _EXTENSION is None:
        raise RuntimeError("hpsearch was installed without its extension in C")
    return _EXTENSION


def native_engines() -> tuple[str, ...]:
    """Names of the instruction sets that this processor can use, the best first."""
    return tuple(_EXTENSION.engines()) if _EXTENSION is not None else ()


def native_available() -> bool:
    """Whether networks can be trained here."""
    return bool(native_engines())
