"""Results tables with chosen scores, written as hpsearch writes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hpsearch.data.specs import Task
from hpsearch.space.execution import Curve, ExecutionResult, Status
from hpsearch.space.mlp import MLPConfig
from hpsearch.store.columns import Provenance, Record
from hpsearch.store.tables import curves_table, results_table, write_csv

ACCURACY = "val_accuracy:maximize:last"
LOSS = "val_loss:minimize:last"


@dataclass
class Row:
    """One execution; `score` None for one that has none.

    `shared_with` is the number of the row, from 1, whose training answered this one.
    """

    values: Mapping[str, Any]
    score: float | None
    seed: int = 0
    status: Status | None = None
    epochs: int = 1
    seconds: float = 1.0
    shared_with: int | None = None
    fold: int | None = None
    #: The metrics of its epochs; None for those that its score and epochs make.
    curve: Sequence[Mapping[str, float]] | None = None
    error: str = "it failed"
    weights: int | None = 10
    #: Empty for the one of its values.
    config: str = ""


@dataclass
class Made:
    """The contents of a table."""

    rows: Iterable[Row]
    metric: str = ACCURACY
    data: str = "d0123456789a"
    recipe: str = "rabcdef01234"
    software: tuple[str, str, str] = ("0.1.0", "2.21.0", "3.15.1")
    name: str = "made"
    method: str = "random"


def write(directory: Path, made: Made) -> Path:
    """Write results.csv and curves.csv to a directory, which is returned."""
    directory.mkdir(parents=True, exist_ok=True)
    where = Provenance(made.metric, made.name, made.data, made.recipe, *made.software)
    records = _records(list(made.rows), where, made.method)
    task = Task.MULTICLASS
    write_csv(results_table(records, task), directory / "results.csv")
    write_csv(curves_table(records, task), directory / "curves.csv")
    return directory


def write_two(
    home: Path, first: Iterable[Row], second: Iterable[Row], metric: str = ACCURACY, **made: Any
) -> list[Path]:
    """Write two tables of these rows, `a` and `b`, to a directory."""
    tables = (("a", first), ("b", second))
    return [write(home / name, Made(rows, metric, **made)) for name, rows in tables]


def _records(rows: Sequence[Row], where: Provenance, method: str) -> list[Record]:
    """Rows of one config are executions of one trial."""
    configs = [row.config or MLPConfig(row.values).id for row in rows]
    numbers: dict[str, int] = {}
    trials = [numbers.setdefault(config, len(numbers) + 1) for config in configs]
    shared = [None if row.shared_with is None else trials[row.shared_with - 1] for row in rows]
    return [
        Record(trial, config, row.seed, row.values, _result(row), where, row.fold, other, method)
        for trial, config, row, other in zip(trials, configs, rows, shared, strict=True)
    ]


def _result(row: Row) -> ExecutionResult:
    status = row.status or (Status.FAILED if row.score is None else Status.COMPLETED)
    epoch = {"loss": 0.5, "accuracy": 0.5, "val_loss": 0.5, "val_accuracy": row.score or 0.5}
    curve = (epoch,) * row.epochs if row.curve is None else row.curve
    scored = None if row.score is None else len(curve)
    return ExecutionResult(
        number=1,
        status=status,
        score=row.score,
        curve=Curve(curve),
        scored_epoch=scored,
        best_epoch=scored,
        best_score=row.score,
        seconds=row.seconds,
        trainer="native",
        weights=row.weights,
        error="" if row.score is not None else row.error,
    )


def units(scores: Iterable[float | None], first: int = 1, **values: Any) -> list[Row]:
    """A row a score, whose configs differ in their units: `first`, `first + 1`, ..."""
    return [Row({"units": first + index, **values}, score) for index, score in enumerate(scores)]


def seeded(rows: Iterable[Row], *effects: float) -> list[Row]:
    """Each row with seeds 0, 1, ..., whose effects are added to its score, and a little noise."""
    return [
        Row(row.values, None if row.score is None else row.score + effect + _noise(row, seed), seed)
        for row in rows
        for seed, effect in enumerate(effects)
    ]


def _noise(row: Row, seed: int) -> float:
    return 1e-7 * float(np.random.default_rng([int(1e6 * abs(row.score or 0)), seed]).normal())


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "a|b",
    "[click](javascript:alert(1))",
    "`code` *bold* _it_ #h",
    "[red]rich[/red]",
    "&amp;",
    "'; DROP TABLE trials; --",
]


def hostile_tables(home: Path) -> list[Path]:
    """Write two tables, not comparable, whose labels and values are markup."""

    def rows(gain: float) -> list[Row]:
        return [
            Row({"activation": name, "optimizer": f"x{name}", "units": width + i}, 0.5 + gain * i)
            for i, name in enumerate(HOSTILE)
            for width in (3, 30)
        ]

    first = write(home / "<b>one|two`", Made(rows(0.01), data="<i>data</i>"))
    return [first, write(home / "=cmd[two]", Made(rows(0.02)))]


def better_tables(home: Path) -> list[Path]:
    """Write two tables, `first` and `second`, of which the first is better."""
    scores = [0.5, 0.61, 0.7, 0.82, 0.9, 0.55]
    better = seeded(units([score + 0.1 + score / 50 for score in scores]), 0, 0.01)
    first = write(home / "first", Made(better))
    return [first, write(home / "second", Made(seeded(units(scores), 0, 0.011)))]
