"""Find the configs that are equal in two tables, apart from what distinguishes the tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpsearch.comparison.table import Table, exact_texts, joined
from hpsearch.store.columns import text_of

if TYPE_CHECKING:
    import pandas as pd


_FIRST_CONFIGS = 100


@dataclass(frozen=True)
class Change:
    """A setting that has one value in the first table and another in the second.

    Attributes:
        first, second: Its value; empty where the table does not set it.
    """

    name: str
    first: str
    second: str


@dataclass(frozen=True)
class Pairing:
    """The configs that two tables have in common.

    Attributes:
        configs: The first table's config -> the second's, in the first's order.
        changes: The hyperparameters that distinguish the tables; the configs of a pair are equal
            in all others.
        n_equal: With `changes`: the number of configs that both tables have unchanged, such as
            networks without hidden layers if the layer type changes. They are not paired.
    """

    configs: Mapping[str, str]
    changes: tuple[Change, ...] = ()
    n_equal: int = 0


def pair_configs(first: Table, second: Table) -> Pairing:
    """Pair the configs of two tables that agree in all hyperparameters that vary within a table.

    A hyperparameter with a single value in each table, but not the same one, is left out: the
    tables were made to compare it.
    """
    shared = first.firsts.index.intersection(second.firsts.index, sort=False)
    equal = Pairing({config: config for config in shared})
    one, two = _texts(first, second, _constants(first, second))
    if changed := _distinguishing(one, two):
        # A config's id does not depend on how its values are spelt.
        spelt = one.loc[shared, changed].ne(two.loc[shared, changed]).any()
        changed = [name for name in changed if not spelt[name]]
    if not changed:
        return equal
    one, two = _texts(first, second)
    frames = [table.drop(index=shared).drop(columns=changed) for table in (one, two)]
    pairs = _equal_rows(*frames)
    if len(pairs) < len(shared):
        return equal
    changes = (Change(name, _value(first, name), _value(second, name)) for name in changed)
    return Pairing(pairs, tuple(changes), len(shared))


def _constants(first: Table, second: Table) -> list[str]:
    """Return the hyperparameters without two values in the first configs of a table.

    Others distinguish no tables. A continuous one of many configs takes long to write as texts.
    """
    heads = _texts(first, second, configs=_FIRST_CONFIGS)
    return [str(n) for n in heads[0] if all(len({*head[n]} - {""}) < 2 for head in heads)]


def _texts(
    first: Table, second: Table, names: list[str] | None = None, configs: int | None = None
) -> list[pd.DataFrame]:
    """Return the cells of both tables as texts, with the same columns.

    Args:
        names: The hyperparameters; by default those of either table.
        configs: The number of configs, from the first; by default all.
    """
    cells = [table.firsts.head(configs) if configs else table.firsts for table in (first, second)]
    if names is None:
        names = list(dict.fromkeys(str(name) for table in cells for name in table))
    return [exact_texts(table.reindex(columns=names)) for table in cells]


def _distinguishing(first: pd.DataFrame, second: pd.DataFrame) -> list[str]:
    """The hyperparameters with one value in each table, and not the same one.

    One that only one table sets is among them if it has a value in all of its configs, or wherever
    another one of them has one.
    """
    sides = [{str(n): set(table[n]) - {""} for n in table} for table in (first, second)]
    values = {name: (sides[0][name], sides[1][name]) for name in sides[0]}
    both = [n for n, (a, b) in values.items() if len(a) == len(b) == 1 and a != b]
    single = [n for n, (a, b) in values.items() if sorted((len(a), len(b))) == [0, 1]]
    for name in single:
        table = first if values[name][0] else second
        alive = table[name] != ""
        if alive.all() or any(alive.equals(table[other] != "") for other in both):
            both.append(name)
    return [name for name in values if name in both]


def _equal_rows(first: pd.DataFrame, second: pd.DataFrame) -> dict[str, str]:
    """The rows of both tables that are equal, and of which each table has one."""
    import pandas as pd  # slow to import

    one, two = (joined(table) for table in (first, second))
    one, two = (texts[~texts.duplicated(keep=False)] for texts in (one, two))
    partners = pd.Series(two.index, index=two)
    paired = one[one.isin(two)]
    return dict(zip(paired.index, partners[paired], strict=True))


def _value(table: Table, name: str) -> str:
    """Return the text of a hyperparameter's only value; empty if the table does not set it."""
    cells = list(table.firsts[name].dropna()) if name in table.firsts else []
    if not cells:
        return ""
    return f"{cells[0]:.15g}" if isinstance(cells[0], float) else text_of(cells[0])
