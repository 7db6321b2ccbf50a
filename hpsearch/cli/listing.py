"""`hpsearch list`: the names that a sweep file may use."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hpsearch.errors import InputError
from hpsearch.sweep.wording import did_you_mean

__all__ = ["print_list"]

Rows = Iterable[tuple[str, str]]


def _datasets() -> Rows:
    from hpsearch.data import datasets

    for name, known in datasets().items():
        test = f" + {known.test_rows:,} test" if known.test_rows else ""
        shape = "x".join(map(str, known.shape))
        yield name, f"{known.rows:,}{test} rows of {shape}, {known.task}; {known.source}"


def _methods() -> Rows:
    from hpsearch.sweep import METHODS

    texts = {
        "grid": "every config of the space, in file order",
        "random": "uniform points, no config twice",
        "sobol": "a scrambled Sobol sequence (not there yet)",
        "bayesian": "KerasTuner's Gaussian process (not there yet)",
        "tpe": "Optuna's tree-structured Parzen estimator (not there yet)",
        "hyperband": "successive halving in brackets (not there yet)",
        "asha": "asynchronous successive halving (not there yet)",
        "auto": "the best choice for the space and budget (not there yet)",
    }
    return ((name, texts[name]) for name in METHODS)


def _activations() -> Rows:
    from hpsearch.keras_names import ACTIVATIONS

    return ((name, "") for name in ACTIVATIONS)


def _optimizers() -> Rows:
    from hpsearch.hyperparameters import OPTIMIZER_ALIASES
    from hpsearch.keras_names import OPTIMIZERS

    for alias, (name, settings) in OPTIMIZER_ALIASES.items():
        yield alias, f"{name} with " + ", ".join(f"{k}={v}" for k, v in settings.items())
    for name, arguments in OPTIMIZERS.items():
        yield name, ", ".join(f"{k}={v}" for k, v in list(arguments.items())[:6])


def _layer_types() -> Rows:
    from hpsearch.layer_types import LAYER_TYPES

    yield from LAYER_TYPES.items()
    yield "package.module:function", "one's own: function(x, units, activation, ...) -> tensor"


_LISTS: dict[str, Callable[[], Rows]] = {
    "datasets": _datasets,
    "methods": _methods,
    "activations": _activations,
    "optimizers": _optimizers,
    "layer-types": _layer_types,
}


def print_list(what: str, console: Console) -> None:
    """Print one list, a name a line.

    Raises:
        InputError: There is no such list.
    """
    if what not in _LISTS:
        hint = did_you_mean(what, _LISTS)
        raise InputError(f"list: there is no list of {what!r}; there are {', '.join(_LISTS)}{hint}")
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column()
    for name, text in _LISTS[what]():
        table.add_row(Text(name), Text(text))
    console.print(table)
