"""The C extension that trains dense networks, if it was built and the processor can run it."""

from __future__ import annotations

import importlib
from types import ModuleType

#: The extension's codes of losses (`hpsearch/native/src/network.h`).
SOFTMAX_LOSS, SIGMOID_LOSS, SQUARED_LOSS, ABSOLUTE_LOSS, HUBER_LOSS = range(5)

try:
    _EXTENSION: ModuleType | None = importlib.import_module("hpsearch.native._native")
except ImportError:
    # Installed without a compiler: TensorFlow trains everything.
    _EXTENSION = None


def native_extension() -> ModuleType:
    """Return the extension; see `_native.pyi`.

    Raises:
        RuntimeError: It was not built.
    """
    if _EXTENSION is None:
        raise RuntimeError("hpsearch was installed without its extension in C")
    return _EXTENSION


def native_built() -> bool:
    """Return whether the extension was built, whatever the processor."""
    return _EXTENSION is not None


def native_engines() -> tuple[str, ...]:
    """Return the instruction sets that this processor supports, the best first."""
    return tuple(_EXTENSION.engines()) if _EXTENSION is not None else ()


def native_available() -> bool:
    """Return whether the extension can train networks here."""
    return bool(native_engines())
