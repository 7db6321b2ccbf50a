"""The table of trials: a line for each config, with the means of its executions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import PROVENANCE

from hpsearch.data.specs import Task
from hpsearch.space.execution import Execution, ExecutionResult, Status
from hpsearch.space.space import Config
from hpsearch.store.columns import Record
from hpsearch.store.tables import results_table
from hpsearch.store.trials import (
    best_execution,
    best_trial,
    mean,
    ranked,
    ranked_rows,
    ranked_trials,
    trials_of,
)


@dataclass
class Row:
    """One execution."""

    trial: int
    score: float | None
    seed: int = 0
    fold: int | None = None
    status: Status | None = None
    seconds: float = 1.0
    epochs: int = 2


def table_of(*rows: Row, goal: str = "maximize") -> pd.DataFrame:
    where = replace(PROVENANCE, metric=f"val_accuracy:{goal}:last")
    records = []
    for row in rows:
        status = row.status or (Status.FAILED if row.score is None else Status.COMPLETED)
        known = 0.0 if row.score is None else row.score
        epoch = {"loss": 1 - known, "accuracy": 0.5, "val_loss": 0.5, "val_accuracy": known}
        result = ExecutionResult(
            1, status, row.score, [epoch] * row.epochs, row.epochs, row.epochs, row.score,
            row.seconds, trainer="native", weights=10, error="" if status.scored else "no luck",
        )  # fmt: skip
        values = {"units": 8 * row.trial, "dropout": 0.5} if row.trial % 2 else {"units": 16}
        config = f"c{row.trial:011x}"
        records.append(Record(row.trial, config, row.seed, values, result, where, row.fold))
    return results_table(records, Task.MULTICLASS)


def column(table: pd.DataFrame, name: str) -> list[Any]:
    return [None if pd.isna(cell) else cell for cell in table[name]]


def test_one_execution_a_trial_leaves_every_row_as_it_is() -> None:
    table = table_of(Row(1, 0.5), Row(2, None), Row(3, 0.75, status=Status.STOPPED))
    trials = trials_of(table)
    pd.testing.assert_frame_equal(trials[table.columns], table)
    assert list(trials.columns) == [*table.columns, "std", "executions"]
    assert column(trials, "std") == [None, None, None]
    assert trials["executions"].tolist() == [1, 0, 1]


def test_seeds_are_averaged() -> None:
    table = table_of(
        Row(1, 0.5, 0, seconds=1, epochs=2), Row(1, 0.75, 7, seconds=2, epochs=4),
        Row(2, 0.25, 0, seconds=4), Row(2, 0.25, 7, seconds=8),
    )  # fmt: skip
    trials = trials_of(table)
    assert list(trials.columns) == [*table.columns, "std", "executions"]
    assert trials["trial"].tolist() == [1, 2]
    assert trials["config"].tolist() == table["config"].unique().tolist()
    assert trials["score"].tolist() == trials["val_accuracy"].tolist() == [0.625, 0.25]
    assert trials["loss"].tolist() == [0.375, 0.75]
    assert trials["std"].tolist() == pytest.approx([0.25 / math.sqrt(2), 0])
    assert trials["executions"].tolist() == [2, 2]
    assert trials["epochs_trained"].tolist() == [3, 2]
    assert trials["seconds"].tolist() == [3, 12]
    # What differs among the executions has no cell, what they share has.
    assert column(trials, "seed") == [None, None]
    assert column(trials, "fold") == [None, None]
    assert trials["units"].tolist() == [8, 16]
    assert column(trials, "dropout") == [0.5, None]
    assert trials["status"].tolist() == ["completed", "completed"]
    assert set(trials["metric"]) == {"val_accuracy:maximize:last"}


def test_failures_have_no_part_in_the_means_and_are_said() -> None:
    table = table_of(
        Row(1, 0.5, 0), Row(1, None, 1, status=Status.TIMEOUT), Row(1, 0.75, 2),
        Row(2, None, 0), Row(2, None, 1, status=Status.KILLED), Row(2, None, 2),
        Row(3, 0.25, 0), Row(3, 0.5, 1, status=Status.STOPPED), Row(3, 0.5, 2),
    )  # fmt: skip
    trials = trials_of(table)
    assert column(trials, "score") == [0.625, None, pytest.approx(1.25 / 3)]
    assert trials["executions"].tolist() == [2, 0, 3]
    assert trials["status"].tolist() == ["timeout", "failed", "stopped"]
    assert column(trials, "error")[0] == "no luck"
    assert column(trials, "val_accuracy")[1] is None
    assert trials["seconds"].tolist() == [3, 3, 3]


def test_the_score_of_a_diverged_execution_does_not_count() -> None:
    table = table_of(Row(1, 0.5, 0), Row(1, 9.0, 1, status=Status.DIVERGED))
    (line,) = trials_of(table).to_dict("records")
    assert (line["score"], line["executions"], line["status"]) == (0.5, 1, "diverged")
    assert math.isnan(line["std"])


def test_no_rows() -> None:
    table = results_table([], Task.MULTICLASS)
    assert list(trials_of(table).columns) == [*table.columns, "std", "executions"]
    assert len(trials_of(table)) == len(ranked_rows(table)) == len(ranked_trials(table)) == 0
    assert best_trial(table) is None


ROWS = st.lists(
    st.builds(
        Row,
        st.integers(1, 4),
        st.none() | st.integers(0, 8).map(lambda eighths: eighths / 8),
        st.integers(0, 2),
        st.none(),
    ),
    unique_by=lambda row: (row.trial, row.seed),
    max_size=12,
)


@settings(max_examples=25)
@given(ROWS, st.sampled_from(["maximize", "minimize"]))
def test_the_lines_are_ranked_as_their_scores_are(rows: Sequence[Row], goal: str) -> None:
    """`show` reads the table, best.keras comes from the store: both name one trial."""
    table = table_of(*rows, goal=goal)
    scores: dict[int, list[float]] = {}
    for row in rows:
        if row.score is not None:
            scores.setdefault(row.trial, []).append(row.score)
    lines, order = ranked_trials(table), ranked(scores, goal)
    assert lines["trial"].tolist() == order
    assert ranked_rows(table)["trial"].tolist() == [t for t in order for _ in scores[t]]
    assert lines["score"].tolist() == [mean(scores[trial]) for trial in order]
    assert lines["executions"].tolist() == [len(scores[trial]) for trial in order]
    assert trials_of(table)["trial"].tolist() == sorted({row.trial for row in rows})
    executions = [
        Execution(n, r.trial, Config({"units": r.trial}), r.seed) for n, r in enumerate(rows)
    ]
    results = {
        n: ExecutionResult(n, Status.FAILED if r.score is None else Status.COMPLETED, r.score)
        for n, r in enumerate(rows)
    }
    best = best_execution(executions, results, goal)
    assert ([] if best is None else [best[0].trial]) == order[:1]
    assert best is None or best[1] == mean(scores[order[0]])
