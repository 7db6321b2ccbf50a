"""Find the configs that are equal in two tables, apart from what distinguishes the tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpsearch.comparison.table import Table, exact_texts, joined
from hpsearch.store.cells import text_of

if TYPE_CHECKING:
    import pandas as pd


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
    import pandas as pd  # slow to import

    cells = [exact_texts(table.firsts) for table in (first, second)]
    names = list(dict.fromkeys(str(name) for table in cells for name in table))
    cells = [table.reindex(columns=names, fill_value="") for table in cells]
    changed = [name for name in names if _distinguishes(*(table[name] for table in cells))]
    shared = cells[0].index.intersection(cells[1].index, sort=False)
    if not changed:
        return Pairing({config: config for config in shared})
    keys = [name for name in names if name not in changed]
    one, two = (joined(table.drop(index=shared)[keys]) for table in cells)
    partners = pd.Series(two.index, index=two)
    paired = one[one.isin(two)]
    return Pairing(
        dict(zip(paired.index, partners[paired], strict=True)),
        tuple(Change(name, _value(first, name), _value(second, name)) for name in changed),
        len(shared),
    )


def _distinguishes(first: pd.Series[str], second: pd.Series[str]) -> bool:
    values = [set(texts) - {""} for texts in (first, second)]
    return max(map(len, values)) == 1 and values[0] != values[1]


def _value(table: Table, name: str) -> str:
    """Return the text of a hyperparameter's only value; empty if the table does not set it."""
    cells = list(table.firsts[name].dropna()) if name in table.firsts else []
    return text_of(cells[0]) if cells else ""
