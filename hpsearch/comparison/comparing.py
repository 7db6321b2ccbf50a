"""Compare results tables: check that they are comparable, then find and explain the better one."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from hpsearch.comparison.findings import (
    Findings,
    Pair,
    best_of_table,
    equal_budgets,
    explained,
    verdicts,
)
from hpsearch.comparison.pairing import Change
from hpsearch.comparison.questions import (
    Answer,
    Fresh,
    PairedScores,
    Question,
    answer,
    answer_settled,
    whole_scores,
)
from hpsearch.comparison.table import Columns, Table, read_tables
from hpsearch.errors import RefusedError

#: Function that trains each table's best config with seeds that no table has: label -> draw ->
#: score.
Settle = Callable[[Sequence[Table]], Mapping[str, Fresh]]


def compare_tables(
    paths: Sequence[str | os.PathLike[str]],
    columns: Columns | None = None,
    *,
    anyway: bool = False,
    settle: Settle | None = None,
) -> Findings:
    """Compare results tables.

    Args:
        paths: Results directories or CSV files, two or more.
        columns: The columns to use in tables of other programs.
        anyway: Also compare tables that are not comparable; the comparison then says so.
        settle: Trains the best configs again; these scores replace those in the tables.

    Raises:
        InputError: A table is missing, or is not a results table.
        RefusedError: The tables are not comparable.
    """
    tables = read_tables(paths, columns)
    mismatches = differences(tables)
    require_comparable(tables, mismatches, anyway=anyway)
    fresh = settle(tables) if settle else {}
    pairs = _pairs(tables, fresh)
    return Findings(
        labels=tuple(table.label for table in tables),
        differences=tuple(map(str, mismatches)),
        assumed=tuple(assumptions(tables)),
        notes=tuple(side_notes(tables)),
        metric=str(tables[0].metric),
        bests=tuple(best_of_table(table, fresh.get(table.label)) for table in tables),
        pairs=pairs,
        budgets=tuple(equal_budgets(tables)),
        advice=tuple(advice(tables, pairs)),
        draw="execution" if any(table.overlap for table in tables) else "seed",
    )


def _pairs(tables: Sequence[Table], fresh: Mapping[str, Fresh]) -> tuple[Pair, ...]:
    both = list(combinations(tables, 2))
    asked: list[tuple[Answer, PairedScores | None]] = [
        (answer_settled(one, two, fresh), None) if fresh else answer(one, two) for one, two in both
    ]
    judged = verdicts(
        [(one.label, two.label, given) for (one, two), (given, _) in zip(both, asked, strict=True)]
    )
    return tuple(
        explained(pair, scores, _settings(one, two))
        for pair, (one, two), (_, scores) in zip(judged, both, asked, strict=True)
    )


def _settings(first: Table, second: Table) -> list[Change]:
    """Return the settings in which two sweep files differ, except the space and the seeds."""
    if first.provenance.get("recipe") == second.provenance.get("recipe"):
        return []
    parts = _sweep_differences((first, second), _RECIPE)
    changed = {
        part.what: ["" if text == "-" else text.strip('"') for text in part.values.values()]
        for part in parts
        if part.what != "seed"
    }
    return [Change(name, *values) for name, values in changed.items()]


def advice(tables: Sequence[Table], pairs: Sequence[Pair]) -> Iterator[str]:
    """Return the commands that would lead to a verdict where it is missing."""
    open_pairs = [pair.answer for pair in pairs if pair.winner is None]
    unbounded = [given for given in open_pairs if not given.estimate.bounded]
    foreign = [table.label for table in tables if not table.provenance]
    if foreign and unbounded:
        yield (
            f"if the configs of {' and '.join(foreign)} are random draws, and each row was trained "
            "with random numbers of its own, add --random"
        )
    paths = [shlex.quote(str(table.path)) for table in tables]
    if any(given.question is Question.BEST for given in open_pairs):
        if all(table.retrainable for table in tables):
            command = f"hpsearch compare {' '.join(paths)} --settle"
            yield f"train the best of each again with fresh seeds, which settles it: {command}"
        else:
            yield "give results directories of MLPs on data in files, and --settle settles it"
    elif any(min(given.n_draws) < 2 for given in unbounded):
        for table, path in zip(tables, paths, strict=True):
            if table.retrainable and whole_scores(table).shape[1] < 2:
                sweep = shlex.quote(str(table.path / "sweep.yaml"))
                yield f"for more seeds: hpsearch run {sweep} --out {path} --set seeds=5"


#: Parts of a sweep file that belong to the recipe.
_RECIPE = ("seed", "early_stopping", "model")
_SOFTWARE = ("version", "tensorflow", "keras")
_MEANING = {
    "data": "other values, labels or another split",
    "program": "the program's files differ",
}


@dataclass(frozen=True)
class Difference:
    """A property that is not the same in all tables: label -> its value in that table."""

    what: str
    values: Mapping[str, str]

    def __str__(self) -> str:
        values = ", ".join(f"{label} {value}" for label, value in self.values.items())
        meaning = _MEANING.get(self.what)
        return f"{self.what}: {values}" + (f" ({meaning})" if meaning else "")


def differences(tables: Sequence[Table]) -> list[Difference]:
    """Return the differences that make the scores of these tables not comparable."""
    mismatches = _provenance_differences(tables, ("data",))
    if mismatches:
        mismatches += _sweep_differences(tables, ("data",))
    metrics = {table.label: table.metric for table in tables}
    names = {(metric.name, metric.goal) for metric in metrics.values()}
    epochs = {metric.epoch for metric in metrics.values() if metric.epoch}
    if len(names) > 1 or len(epochs) > 1:
        mismatches.append(Difference("metric", {label: str(m) for label, m in metrics.items()}))
    return mismatches


def require_comparable(
    tables: Sequence[Table], found: Sequence[Difference], *, anyway: bool
) -> None:
    """Check that a comparison of these tables is meaningful.

    Args:
        tables: All of the comparison's tables.
        found: Their `differences`.
        anyway: Whether the user wants the comparison despite differences.

    Raises:
        RefusedError: The tables are not comparable; the message lists each difference.
    """
    refusal = "the tables are not comparable:\n" + "\n".join(
        f"  {difference}" for difference in found
    )
    if len({table.metric.goal for table in tables}) > 1:
        raise RefusedError(
            refusal + "\nWhere one is to be large and the other small, even --anyway has "
            "nothing to subtract; --score COLUMN picks a metric that all of them have"
        )
    if found and not anyway:
        raise RefusedError(
            refusal + "\nData, split and metric must be the same, or the difference is "
            "theirs. Run one of the sweeps again with the other's, or look at the numbers all "
            "the same with --anyway"
        )


def assumptions(tables: Sequence[Table]) -> list[str]:
    """Return the assumptions where the tables say nothing."""
    silent = [table.label for table in tables if not table.provenance.get("data")]
    lines = []
    if silent:
        lines = [f"data and split: not told by {', '.join(silent)}; taken to be the same"]
    recipes = {table.provenance["recipe"] for table in tables if "recipe" in table.provenance}
    unknown = [table.label for table in tables if table.sweep_seed is None]
    if len(recipes) > 1 and unknown:
        lines.append(
            f"the sweep's seed: not known of {', '.join(unknown)}; equal seeds of executions are "
            "taken to give equal random numbers"
        )
    return lines


def side_notes(tables: Sequence[Table]) -> list[str]:
    """Return other differences, in recipe and software, that may be the reason of a result."""
    code = _provenance_differences(tables, ("program",))
    mismatches = _provenance_differences(tables, ("recipe",))
    if mismatches:
        mismatches = _sweep_differences(tables, _RECIPE) or mismatches
    return [
        str(difference)
        for difference in (*code, *mismatches, *_provenance_differences(tables, _SOFTWARE))
    ]


def _provenance_differences(tables: Sequence[Table], columns: Sequence[str]) -> list[Difference]:
    mismatches = []
    for column in columns:
        values = {table.label: table.provenance.get(column, ()) for table in tables}
        if len({value for entries in values.values() for value in entries}) > 1:
            texts = {label: " and ".join(entries) or "-" for label, entries in values.items()}
            mismatches.append(Difference(column, texts))
    return mismatches


def _sweep_differences(tables: Sequence[Table], parts: Sequence[str]) -> list[Difference]:
    """Return the differences between the tables' sweep files; empty if one is not readable."""
    sweeps: dict[str, dict[str, str]] = {}
    for table in tables:
        # The sweep file only helps to explain a difference; a comparison works without it.
        if table.sweep is None:
            return []
        sweeps[table.label] = dict(_flat(table.sweep.raw(), ""))
    mismatches = []
    for key in dict.fromkeys(key for sweep in sweeps.values() for key in sweep):
        if key.split(".")[0] in parts or ("seed" in parts and key == "data.scale"):
            values = {label: sweep.get(key, "-") for label, sweep in sweeps.items()}
            if len(set(values.values())) > 1:
                mismatches.append(Difference(key, values))
    return mismatches


def _flat(raw: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(raw, Mapping):
        for key, value in raw.items():
            yield from _flat(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, json.dumps(raw)
