"""Compare results tables: check that they can be compared, find the better one, or settle it."""

from __future__ import annotations

import json
import os
import shlex
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from hpsearch.comparison.findings import (
    Findings,
    Pair,
    best_of_table,
    dependences,
    equal_budgets,
    moves,
    verdicts,
)
from hpsearch.comparison.questions import (
    LEAST,
    Answer,
    Fresh,
    PairedScores,
    Question,
    answer,
    answer_settled,
    whole_scores,
)
from hpsearch.comparison.table import Columns, Table, read_tables
from hpsearch.engine.session import Listener, Settings, ignore
from hpsearch.engine.sweep import run_sweep
from hpsearch.errors import InputError, RefusedError
from hpsearch.runs.trial import require_trusted
from hpsearch.space.mlp import MLPConfig
from hpsearch.spec.sweep import Sweep, sweep_of_configs
from hpsearch.store.columns import value_of
from hpsearch.store.tables import hyperparameter_of, read_table
from hpsearch.store.trials import fresh_seeds, ranked_rows


def compare_tables(
    paths: Sequence[str | os.PathLike[str]],
    columns: Columns | None = None,
    *,
    anyway: bool = False,
    settle: Callable[[Sequence[Table]], Mapping[str, Fresh]] | None = None,
) -> Findings:
    """Compare results tables, as `hpsearch.compare` does.

    Args:
        settle: Such as a `Settler`: trains the best configs again; these scores replace those in
            the tables.
    """
    tables = read_tables(paths, columns)
    mismatches = differences(tables)
    require_comparable(tables, mismatches, anyway=anyway)
    fresh = settle(tables) if settle else {}
    pairs = _pairs(tables, fresh)
    return Findings(
        labels=tuple(table.label for table in tables),
        differences=tuple(mismatches),
        assumed=tuple(assumptions(tables)),
        notes=tuple(side_notes(tables)),
        metric=str(tables[0].metric),
        bests=tuple(best_of_table(table, fresh.get(table.label)) for table in tables),
        pairs=pairs,
        budgets=tuple(equal_budgets(tables)),
        advice=tuple(advice(tables, pairs, anyway=bool(mismatches))),
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
        replace(pair, effects=dependences(scores), moves=moves(scores)) if scores else pair
        for pair, (_, scores) in zip(judged, asked, strict=True)
    )


def advice(tables: Sequence[Table], pairs: Sequence[Pair], *, anyway: bool) -> Iterator[str]:
    """Return the commands, with `--anyway` if needed, that would lead to a missing verdict."""
    open_pairs = [pair.answer for pair in pairs if pair.winner is None]
    paths = [shlex.quote(str(table.path)) for table in tables]
    if any(given.question is Question.BEST for given in open_pairs):
        # Settling trains by the sweep's own metric.
        if all(t.retrainable and str(t.metric) in t.provenance["metric"] for t in tables):
            command = f"hpsearch compare {' '.join(paths)} --settle{' --anyway' * anyway}"
            yield f"train the best of each again with fresh seeds, which settles it: {command}"
    elif any(not given.estimate.bounded and min(given.n_draws) < 2 for given in open_pairs):
        for table, path in zip(tables, paths, strict=True):
            if table.retrainable and whole_scores(table).shape[1] < 2:
                sweep = shlex.quote(str(table.path / "sweep.yaml"))
                yield f"for more seeds: hpsearch run {sweep} --out {path} --set seeds=5"


#: Parts of a sweep file that belong to the recipe.
_RECIPE = ("seed", "early_stopping", "model")
_SOFTWARE = ("version", "tensorflow", "keras")


def differences(tables: Sequence[Table]) -> list[str]:
    """Return the differences that make the scores of these tables not comparable."""
    if mismatches := _provenance_differences(tables, ("data",)):
        mismatches += _sweep_differences(tables, ("data",))
    metrics = {table.label: table.metric for table in tables}
    names = {(metric.name, metric.goal) for metric in metrics.values()}
    epochs = {metric.epoch for metric in metrics.values() if metric.epoch}
    if len(names) > 1 or len(epochs) > 1:
        mismatches.append(_difference("metric", metrics))
    return mismatches


def require_comparable(tables: Sequence[Table], mismatches: Sequence[str], *, anyway: bool) -> None:
    """Check that tables with these `differences` are comparable; a RefusedError lists each one."""
    opposite = len({table.metric.goal for table in tables}) > 1
    if opposite or (mismatches and not anyway):
        advice = (
            "One metric is to be large and the other small; --score COLUMN picks one that all have"
            if opposite
            else "Data, split and metric must be the same, or the difference is theirs; --anyway "
            "compares all the same"
        )
        lines = ["the tables are not comparable:", *(f"  {line}" for line in mismatches), advice]
        raise RefusedError("\n".join(lines))


def assumptions(tables: Sequence[Table]) -> list[str]:
    """Return the assumptions where the tables say nothing."""
    lines = []
    if silent := [table.label for table in tables if not table.provenance.get("data")]:
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
    if recipe := _provenance_differences(tables, ("recipe",)):
        recipe = _sweep_differences(tables, _RECIPE) or recipe
    code = _provenance_differences(tables, ("program",))
    return [*code, *recipe, *_provenance_differences(tables, _SOFTWARE)]


def _difference(what: str, values: Mapping[str, Any]) -> str:
    return f"{what}: " + ", ".join(f"{label} {value}" for label, value in values.items())


def _provenance_differences(tables: Sequence[Table], columns: Sequence[str]) -> list[str]:
    mismatches = []
    for column in columns:
        values = {table.label: table.provenance.get(column, ()) for table in tables}
        if len({value for entries in values.values() for value in entries}) > 1:
            texts = {label: " and ".join(entries) or "-" for label, entries in values.items()}
            mismatches.append(_difference(column, texts))
    return mismatches


def _sweep_differences(tables: Sequence[Table], parts: Sequence[str]) -> list[str]:
    """Return the differences between the tables' sweep files; empty if one is not readable."""
    # The sweep file only helps to explain a difference; a comparison works without it.
    sweeps = {t.label: dict(_flat(t.sweep.raw(), "")) for t in tables if t.sweep is not None}
    if len(sweeps) < len(tables):
        return []
    mismatches = []
    for key in dict.fromkeys(key for sweep in sweeps.values() for key in sweep):
        if key.split(".")[0] in parts or ("seed" in parts and key == "data.scale"):
            values = {label: sweep.get(key, "-") for label, sweep in sweeps.items()}
            if len(set(values.values())) > 1:
                mismatches.append(_difference(key, values))
    return mismatches


def _flat(raw: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(raw, Mapping):
        for key, value in raw.items():
            yield from _flat(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, json.dumps(raw)


#: Columns in which the fresh rows must equal the table's.
_SAME = ("data", "metric", "recipe")


@dataclass(frozen=True)
class Settler:
    """Trains each table's best config again, with `count` fresh seeds.

    Attributes:
        workers: Number of parallel trainings; None for the sweep files' setting.
        trust: Functions that may run if the directories name them, as `package.module:name`.
    """

    count: int
    workers: int | None = None
    make_listener: Callable[[], Listener] = lambda: ignore
    trust: Collection[str] = ()

    def __post_init__(self) -> None:
        if self.count < LEAST:
            raise InputError(f"settle: must be {LEAST} fresh seeds or more, not {self.count}")

    def __call__(self, tables: Sequence[Table]) -> Mapping[str, Fresh]:
        """Return the fresh scores: label -> (seed, fold) -> score, NaN without one."""
        sweeps = {table.label: _sweep(table) for table in tables}
        used = (seed for table in tables for seed in table.executions["seed"].dropna())
        seeds = fresh_seeds(used, self.count)
        return {table.label: self._scores(table, sweeps[table.label], seeds) for table in tables}

    def _scores(self, table: Table, sweep: Sweep, seeds: Sequence[int]) -> Fresh:
        again = sweep_of_configs(sweep, [_values(table)], seeds, "-settled")
        require_trusted(Path(table.path), again.functions, self.trust)
        with tempfile.TemporaryDirectory(prefix="hpsearch-settle-") as scratch:
            settings = Settings(out=Path(scratch) / "results", workers=self.workers)
            outcome = run_sweep(again, settings, self.make_listener())
            rows = read_table(outcome.directory)
        _require_same(table, rows)
        scored = ranked_rows(rows)
        if scored.empty:
            reason = next(iter(rows["error"].dropna()), "no reason was given")
            raise InputError(f"{table.path}: no fresh seed of its best config completed: {reason}")
        scores = rows["score"].where(rows.index.isin(scored.index))
        draws = zip(rows["seed"], rows["fold"].fillna(0), scores, strict=True)
        return {f"{seed} fold {fold}": float(score) for seed, fold, score in draws}


def _sweep(table: Table) -> Sweep:
    if table.sweep is None or not table.retrainable:
        raise InputError(
            f"{table.path}: settling trains MLPs on data in files again, by the sweep.yaml beside "
            "the table: give the results directory, not a CSV"
        )
    if str(table.metric) not in table.provenance["metric"]:
        raise InputError(
            f"{table.path}: settling trains by the sweep's own metric, "
            f"{table.provenance['metric'][0]}, and not by {table.metric}: leave --score out"
        )
    if table.best is None:
        raise InputError(f"{table.path}: no trial has a score, so none is the best to train again")
    if not table.best.startswith("c"):
        raise InputError(f"{table.path}: settling trains a sweep's own configs: leave --params out")
    return table.sweep


def _values(table: Table) -> dict[str, Any]:
    """Return the best config's active hyperparameters, as in a sweep file."""
    import pandas as pd  # slow to import

    assert table.best is not None
    values = {
        hyperparameter_of(column): value_of(cell)
        for column, cell in table.values(table.best).items()
        if not pd.isna(cell)
    }
    config_id = MLPConfig(values).id
    if config_id != table.best:
        raise InputError(
            f"{table.path}: the cells of config {table.best} give {config_id}: results.csv was "
            "changed; run its sweep again, which writes it anew"
        )
    return values


def _require_same(table: Table, fresh: Any) -> None:
    for name in _SAME:
        now = set(map(str, fresh[name].dropna()))
        before = set(table.provenance.get(name, ()))
        if now != before:
            raise RefusedError(
                f"{table.path}: {name} was {' and '.join(sorted(before))}, and by its sweep.yaml "
                f"is now {' and '.join(sorted(now))}: the data or the file were changed, and fresh "
                "scores would not be of the same"
            )
