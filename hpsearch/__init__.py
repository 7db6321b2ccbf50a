"""hpsearch: hyperparameter sweeps over Keras MLPs.

>>> import hpsearch
>>> results = hpsearch.run("sweeps/digits.yaml")
>>> len(results.table)
102

Importing hpsearch imports neither TensorFlow nor pandas.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpsearch.api import compare, load, optimize, run, tune
    from hpsearch.errors import HpsearchError, Interrupted
    from hpsearch.functions.asking import Search
    from hpsearch.programs.report import report
    from hpsearch.reporting.comparison_page import Comparison
    from hpsearch.results import Results
    from hpsearch.spec.sweep import Sweep

    __version__: str

__all__ = [
    "Comparison",
    "HpsearchError",
    "Interrupted",
    "Results",
    "Search",
    "Sweep",
    "__version__",
    "compare",
    "load",
    "optimize",
    "report",
    "run",
    "tune",
]

_MODULES = {
    **dict.fromkeys(["compare", "load", "optimize", "run", "tune"], "hpsearch.api"),
    **dict.fromkeys(["HpsearchError", "Interrupted"], "hpsearch.errors"),
    "report": "hpsearch.programs.report",
    "Comparison": "hpsearch.reporting.comparison_page",
    "Results": "hpsearch.results",
    "Search": "hpsearch.functions.asking",
    "Sweep": "hpsearch.spec.sweep",
}


if not TYPE_CHECKING:
    # Hidden from type checkers, which would conclude that the module has every attribute.

    def __getattr__(name: str) -> Any:
        """Import a public name on first use (PEP 562)."""
        if name == "__version__":
            return import_module("hpsearch.machine").version_of("hpsearch")
        if name in _MODULES:
            return getattr(import_module(_MODULES[name]), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


if "HPSEARCH_REPORT" in os.environ:
    # The program of a trial will report, so other output is not judged from now on.
    import_module("hpsearch.programs.report")
