"""Import the C extension that trains dense networks, if it was built and can run here."""

from __future__ import annotations

import importlib
from types import ModuleType

#: The extension's codes of losses (`hpsearch/native/src/network.h`).
SOFTMAX_LOSS, SIGMOID_LOSS, SQUARED_LOSS, ABSOLUTE_LOSS, HUBER_LOSS = range(5)

try:
    _EXTENSION: ModuleType | None = importlib.import_module("hpsearch.native._native")
except ImportError:
    # hpsearch was installed without a compiler, so TensorFlow trains everything.
    _EXTENSION = None


def native_extension() -> ModuleType:
    """Return the extension; see `_native.pyi`.

    Raises:
        RuntimeError: The extension was not built.
    """
    if _EXTENSION is None:
        raise RuntimeError("hpsearch was installed without its extension in C")
    return _EXTENSION


def native_built() -> bool:
    """Check if the extension was built, even if this processor cannot run it."""
    return _EXTENSION is not None


def native_engines() -> tuple[str, ...]:
    """Return the supported instruction sets of this processor, the best first."""
    return tuple(_EXTENSION.engines()) if _EXTENSION is not None else ()


def native_available() -> bool:
    """Check if the extension can train networks here."""
    return bool(native_engines())
