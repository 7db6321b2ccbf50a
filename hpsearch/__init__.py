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
    from hpsearch.api import Results, Sweep, compare, load, run
    from hpsearch.comparison import Comparison
    from hpsearch.driver import Interrupted
    from hpsearch.errors import HpsearchError
    from hpsearch.functions import optimize
    from hpsearch.tuning import tune

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
    "Comparison": "hpsearch.comparison",
    "HpsearchError": "hpsearch.errors",
    "Interrupted": "hpsearch.driver",
    "Results": "hpsearch.api",
    "Sweep": "hpsearch.api",
    "compare": "hpsearch.api",
    "load": "hpsearch.api",
    "optimize": "hpsearch.functions",
    "run": "hpsearch.api",
    "tune": "hpsearch.tuning",
}


if not TYPE_CHECKING:
    # A type checker would take it for an attribute of any name.

    def __getattr__(name: str) -> Any:
        """Import what is asked for when it is asked for (PEP 562)."""
        if name == "__version__":
            from hpsearch.versions import version_of

            return version_of("hpsearch")
        if name in _HOMES:
            return getattr(import_module(_HOMES[name]), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
