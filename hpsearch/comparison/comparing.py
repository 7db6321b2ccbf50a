"""The whole comparison: comparable, better, at equal budget, and why."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

from hpsearch.comparison import sameness
from hpsearch.comparison.findings import Findings, best_of_table, equal_budgets, explained
from hpsearch.comparison.questions import Fresh, answer, answer_rescored
from hpsearch.comparison.table import Columns, Table, read_tables
from hpsearch.comparison.verdict import verdicts
from hpsearch.comparison.writing import as_dict, as_html, as_markdown, write_comparison

#: Trains the best config of each table with seeds that none has: label -> seed -> score.
Rescore = Callable[[Sequence[Table]], Mapping[str, Fresh]]


class Comparison(Findings):
    """What two or more results tables say about each other, as a user gets it."""

    def to_dict(self) -> dict[str, Any]:
        """Everything, as the JSON holds it."""
        return as_dict(self)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write it as .md, .json or .html.

        Raises:
            InputError: The suffix is none of these.
            HpsearchError: The file cannot be written.
        """
        write_comparison(self, path)

    def __str__(self) -> str:

        return as_markdown(self)

    def _repr_html_(self) -> str:

        return as_html(self)


def compare_tables(
    paths: Sequence[str | os.PathLike[str]],
    columns: Columns | None = None,
    *,
    anyway: bool = False,
    rescore: Rescore | None = None,
) -> Comparison:
    """Compare results tables.

    Args:
        paths: Results directories or CSV files, two or more.
        columns: Where tables of other programs have what.
        anyway: Compare what is not comparable, too, and say so.
        rescore: Trains the best configs again, in place of what their tables say of them.

    Raises:
        InputError: A table is missing, or is none.
        RefusedError: The tables are not comparable.
    """
    tables = read_tables(paths, columns)
    found = sameness.differences(tables)
    sameness.require_comparable(tables, found, anyway=anyway)
    fresh = rescore(tables) if rescore else None
    answers = [
        (one.label, two.label, answer_rescored(one, two, fresh) if fresh else answer(one, two))
        for one, two in combinations(tables, 2)
    ]
    by_label = {table.label: table for table in tables}
    return Comparison(
        labels=tuple(by_label),
        differences=tuple(map(str, found)),
        assumed=tuple(sameness.assumptions(tables)),
        notes=tuple(sameness.side_notes(tables)),
        metric=str(tables[0].metric),
        bests=tuple(best_of_table(table, (fresh or {}).get(table.label)) for table in tables),
        pairs=tuple(explained(pair, by_label) for pair in verdicts(answers)),
        budgets=tuple(equal_budgets(tables)),
    )
