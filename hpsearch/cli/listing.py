"""`hpsearch list`: the names that a sweep file may use, those of installed packages included."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hpsearch import extensions
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
    yield from _added(extensions.DATASETS, datasets())


def _methods() -> Rows:
    from hpsearch.sweep import METHODS

    texts = {
        "grid": "every config of the space, in file order",
        "random": "uniform points, no config twice",
        "sobol": "evenly spread points: a scrambled Sobol sequence",
        "bayesian": "where a Gaussian process expects the greatest improvement",
        "tpe": "where good configs are dense and others are not: Parzen estimators",
        "hyperband": "successive halving in brackets: many configs for few epochs, the best go on",
        "asha": "asynchronous successive halving",
        "auto": "bayesian up to 200 trials, else tpe",
    }
    yield from ((name, texts[name]) for name in METHODS)
    yield from _added(extensions.METHODS, METHODS)


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
    yield from _added(extensions.LAYER_TYPES, LAYER_TYPES)
    yield "package.module:function", "one's own: function(x, units, activation, ...) -> tensor"


def _engines() -> Rows:
    from hpsearch.sweep.settings import ENGINES

    yield "local", "workers on this machine, forked"
    yield "ray", "workers on the nodes of a Ray cluster, with hpsearch[ray]"
    yield from _added(extensions.EXECUTORS, ENGINES)


def _added(group: str, built_in: Collection[str]) -> Rows:
    """What packages add, and what of it cannot be used."""
    every = [extension.name for extension in extensions.installed(group)]
    for extension in extensions.installed(group):
        note = ""
        if extension.name in built_in:
            note = "; not used: the built-in one has that name"
        elif every.count(extension.name) > 1:
            note = "; not used: two packages declare that name"
        source = f"{extension.package} {extension.version}"
        yield extension.name, f"of {source}: {extension.reference}{note}"


_LISTS: dict[str, Callable[[], Rows]] = {
    "datasets": _datasets,
    "methods": _methods,
    "activations": _activations,
    "optimizers": _optimizers,
    "layer-types": _layer_types,
    "engines": _engines,
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
