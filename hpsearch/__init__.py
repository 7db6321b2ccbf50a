"""hpsearch: hyperparameter sweeps over Keras MLPs.

>>> import hpsearch
>>> results = hpsearch.run("sweeps/digits.yaml")
>>> len(results.table)
102

Importing it imports neither TensorFlow nor pandas.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpsearch.api import compare, load, optimize, run, tune
    from hpsearch.comparison.comparing import Comparison
    from hpsearch.errors import HpsearchError, Interrupted
    from hpsearch.results import Results
    from hpsearch.spec.sweep import Sweep

    __version__: str

__all__ = [
    "Comparison",
    "HpsearchError",
    "Interrupted",
    "Results",
    "Sweep",
    "__version__",
    "compare",
    "load",
    "optimize",
    "run",
    "tune",
]

_HOMES = {
    "Comparison": "hpsearch.comparison.comparing",
    "HpsearchError": "hpsearch.errors",
    "Interrupted": "hpsearch.errors",
    "Results": "hpsearch.results",
    "Sweep": "hpsearch.spec.sweep",
    "compare": "hpsearch.api",
    "load": "hpsearch.api",
    "optimize": "hpsearch.api",
    "run": "hpsearch.api",
    "tune": "hpsearch.api",
}


if not TYPE_CHECKING:
    # A type checker would take it for an attribute of any name.

    def __getattr__(name: str) -> Any:
        """Import a public name at its first use (PEP 562)."""
        if name == "__version__":
            return import_module("hpsearch.machine").version_of("hpsearch")
        if name in _HOMES:
            return getattr(import_module(_HOMES[name]), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
