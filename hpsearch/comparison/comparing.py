"""The whole comparison: are they comparable, which is better, at equal budget, why."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from hpsearch.comparison import sameness
from hpsearch.comparison.best import optimism
from hpsearch.comparison.budget import EqualBudget, equal_budgets
from hpsearch.comparison.explanation import between_bests, moves, within_pairs
from hpsearch.comparison.questions import (
    Fresh,
    Question,
    answer,
    answer_rescored,
    config_differences,
)
from hpsearch.comparison.reading import Columns, read_tables
from hpsearch.comparison.table import Table
from hpsearch.comparison.verdict import Pair, deciding, overall_winner, verdicts
from hpsearch.values import text_of

__all__ = ["Best", "Comparison", "Rescore", "compare"]

#: Trains the best config of each table with seeds that none has: label -> seed -> score.
Rescore = Callable[[Sequence[Table]], Mapping[str, Fresh]]


@dataclass(frozen=True)
class Best:
    """A table and its best config.

    Attributes:
        trials, scored, configs: How many it has, have a score, and have one between them.
        config: The best one's id, None where none has a score.
        values: Its hyperparameters.
        mean, sd, seeds: Of its scores; sd None for one seed.
        optimism: How much better than it is it looks for being the best; None where one seed
            cannot tell.
        fresh: Its mean over fresh seeds, None where it was not trained again.
    """

    label: str
    trials: int
    scored: int
    configs: int
    config: str | None = None
    values: Mapping[str, str] | None = None
    mean: float | None = None
    sd: float | None = None
    seeds: int = 0
    optimism: float | None = None
    fresh: float | None = None


@dataclass(frozen=True)
class Comparison:
    """What two or more results tables say about each other.

    Attributes:
        differences: What makes them not comparable; empty where they are.
        assumed: What the tables do not say and was taken to be so.
        notes: What else differs and may be the reason.
        metric: `name:goal:epoch` of the first table.
        pairs: Each two tables, in their order.
    """

    labels: tuple[str, ...]
    differences: tuple[str, ...]
    assumed: tuple[str, ...]
    notes: tuple[str, ...]
    metric: str
    bests: tuple[Best, ...]
    pairs: tuple[Pair, ...]
    budgets: tuple[EqualBudget, ...]

    @property
    def comparable(self) -> bool:
        """Whether data, split and metric are the same, as far as the tables say."""
        return not self.differences

    @property
    def decisive(self) -> Pair:
        """The pair that the verdict rests on: with two tables, the only one."""
        return deciding(self.pairs)

    @property
    def winner(self) -> str | None:
        """The label of the table that is better than each other one; None for a tie."""
        return overall_winner(self.pairs)

    @property
    def difference(self) -> float | None:
        """The first less the second of `decisive`, positive where the first is better."""
        return self.decisive.estimate.difference

    @property
    def interval(self) -> tuple[float, float]:
        """The difference's 95% interval; infinite ends where the data do not bound it."""
        return self.decisive.estimate.low, self.decisive.estimate.high

    @property
    def p_value(self) -> float:
        """Of no difference, adjusted for the number of pairs."""
        return self.decisive.p_value

    @property
    def n_pairs(self) -> int:
        """How many configs of `decisive` were paired; of fresh seeds, these; else 0."""
        return self.decisive.answer.n_pairs

    def to_dict(self) -> dict[str, Any]:
        """Everything, as the JSON holds it."""
        from hpsearch.comparison.writing import as_dict

        return as_dict(self)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write it as .md, .json or .html.

        Raises:
            InputError: The suffix is none of these.
            HpsearchError: The file cannot be written.
        """
        from hpsearch.comparison.writing import write

        write(self, path)

    def __str__(self) -> str:
        from hpsearch.comparison.writing import as_markdown

        return as_markdown(self)

    def _repr_html_(self) -> str:
        from hpsearch.comparison.writing import as_html

        return as_html(self)


def compare(
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
        bests=tuple(_best(table, (fresh or {}).get(table.label)) for table in tables),
        pairs=tuple(_explained(pair, by_label) for pair in verdicts(answers)),
        budgets=tuple(equal_budgets(tables)),
    )


def _best(table: Table, fresh: Fresh | None) -> Best:
    counts = Best(table.label, len(table.trials), len(table.scored), len(table.means))
    if table.best is None:
        return counts
    mean, sd, seeds = (float(table.means[name][table.best]) for name in ("mean", "sd", "seeds"))
    scores = table.draws(table.eligible.index, int(seeds), frozenset())
    return replace(
        counts,
        config=table.best,
        values={name: text_of(cell) for name, cell in table.values(table.best).items()},
        mean=mean,
        sd=sd if seeds > 1 else None,
        seeds=int(seeds),
        optimism=optimism(table.sign * scores),
        fresh=sum(fresh.values()) / len(fresh) if fresh else None,
    )


def _explained(pair: Pair, tables: Mapping[str, Table]) -> Pair:
    first, second = tables[pair.first], tables[pair.second]
    if pair.answer.question is not Question.PAIRED:
        return replace(pair, changes=between_bests(first, second))
    differences = config_differences(first, second)
    return replace(pair, effects=within_pairs(first, differences), moves=moves(first, differences))
