"""The derived files: whole, current, and within their share of the time."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.data.specs import Task
from hpsearch.errors import HpsearchError, RefusedError
from hpsearch.models.problem import Recipe
from hpsearch.space.execution import Execution, ExecutionResult, Status
from hpsearch.space.space import Config
from hpsearch.store import derived
from hpsearch.store.derived import Tables, best_trial
from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.tables import Provenance, best_row, read_table

PROVENANCE = Provenance("val_accuracy:maximize:last", "s", "d1", "r1", "0.1.0", "2.21.0", "3.15.1")
RECIPE = Recipe(0, "mse", "linear", "val_accuracy", "maximize")
CURVE = ({"loss": 0.5, "accuracy": 0.5, "val_loss": 0.5, "val_accuracy": 0.5},)


def trial(number: int, units: int, seed: int = 0) -> Execution:
    return Execution(number, number, Config({"units": units}), seed)


def scored(number: int, score: float | None, status: Status = Status.COMPLETED) -> ExecutionResult:
    return ExecutionResult(number, status, score, CURVE, 1)


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return Tables(ResultsDirectory(tmp_path), Task.MULTICLASS, ["dropout", "units"], PROVENANCE)


TRIALS = [trial(1, 10), trial(2, 20), trial(3, 30)]


def test_files_hold_what_has_a_result(tables: Tables, tmp_path: Path) -> None:
    tables.write(TRIALS, {3: scored(3, 0.25), 1: scored(1, 0.75)})
    table = read_table(tmp_path)
    assert table[["trial", "config", "score"]].to_numpy().tolist() == [
        [1, TRIALS[0].config.id, 0.75],
        [3, TRIALS[2].config.id, 0.25],
    ]
    assert list(table.columns)[:13] == [
        "trial", "config", "seed", "status", "score", "hidden_layers", "units", "activation",
        "layer_type", "batch_size", "epochs", "optimizer", "dropout",
    ]  # fmt: skip
    assert set(table["metric"]) == {PROVENANCE.metric}
    assert read_table(tmp_path / "curves.csv")["trial"].tolist() == [1, 3]
    assert {path.name for path in tmp_path.iterdir()} == {"curves.csv", "results.csv"}


def test_without_results_there_are_headers(tables: Tables, tmp_path: Path) -> None:
    tables.write(TRIALS, {})
    assert len(read_table(tmp_path)) == len(pd.read_csv(tmp_path / "curves.csv")) == 0


def test_the_sweep_is_written(tables: Tables, tmp_path: Path) -> None:
    tables.write_sweep("name: é\n")
    assert (tmp_path / "sweep.yaml").read_bytes() == "name: é\n".encode()


def test_writing_takes_two_percent_of_the_time(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(derived, "time", SimpleNamespace(monotonic=lambda: now))
    tables._began = now

    def slow(*_: Any) -> None:
        nonlocal now
        now += 1.0

    monkeypatch.setattr(derived, "write_csv", slow)
    assert not tables.due(0)
    now += 1
    assert tables.due(0)
    tables.write(TRIALS, {})
    assert not tables.due(0)
    # Two seconds are spent, and two more are to be.
    now = 1000.0 + 199
    assert not tables.due(0)
    now = 1000.0 + 201
    assert tables.due(0)
    assert not tables.due(1000)
    # A run of an hour with a write at every chance.
    spent = writes = 0.0
    while now < 4600:
        now += 0.5
        if tables.due(0):
            before = now
            tables.write(TRIALS, {})
            spent, writes = spent + now - before, writes + 1
    assert writes > 30
    assert spent + 2 <= 0.02 * 3600


def test_a_failed_write_leaves_the_old_files(
    tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables.write(TRIALS, {1: scored(1, 0.5)})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(HpsearchError, match=r"No space left.*safe in the store"):
        tables.write(TRIALS, {1: scored(1, 0.5), 2: scored(2, 0.5)})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(("goal", "number"), [("maximize", 2), ("minimize", 1)])
def test_best_of_single_seeds(goal: str, number: int) -> None:
    found = {1: scored(1, 0.25), 2: scored(2, 0.75), 3: scored(3, 0.75)}
    best = best_trial(TRIALS, found, replace(RECIPE, goal=goal))
    assert best is not None
    assert (best[0].number, best[1]) == (number, found[number].score)


def test_only_what_counts_can_win() -> None:
    found = {
        1: scored(1, 0.25, Status.STOPPED),
        2: scored(2, 0.75, Status.DIVERGED),
        3: scored(3, None, Status.FAILED),
    }
    best = best_trial(TRIALS, found, RECIPE)
    assert best is not None
    assert best[0].number == 1
    del found[1]
    assert best_trial(TRIALS, found, RECIPE) is None
    assert best_trial([], {}, RECIPE) is None


def test_best_mean_of_all_seeds() -> None:
    trials = [trial(1, 10), trial(2, 10, 1), trial(3, 20), trial(4, 20, 1), trial(5, 30)]
    scores = {1: 0.5, 2: 0.75, 3: 0.875, 4: 0.25, 5: 1.0}
    found = {number: scored(number, score) for number, score in scores.items()}
    best = best_trial(trials, found, RECIPE)
    assert best is not None
    assert (best[0].number, best[1]) == (2, 0.625)


SCORES = st.lists(
    st.tuples(
        st.integers(1, 4),
        st.one_of(st.none(), st.integers(-8, 8).map(lambda eighths: eighths / 8)),
    ),
    max_size=12,
)


@given(SCORES, st.sampled_from(["maximize", "minimize"]))
def test_the_tables_best_row_is_the_same_trial(
    scores: list[tuple[int, float | None]], goal: str
) -> None:
    """`show` reads the table, `best.keras` comes from the store: both name one trial."""
    trials = [trial(n, units, seed=n) for n, (units, _) in enumerate(scores, 1)]
    found = {
        n: scored(n, score, Status.FAILED if score is None else Status.COMPLETED)
        for n, (_, score) in enumerate(scores, 1)
    }
    where = ResultsDirectory(Path("nowhere"))
    shared = replace(PROVENANCE, metric=f"val_accuracy:{goal}:last")
    tables = Tables(where, Task.MULTICLASS, [], shared)
    row = best_row(tables.results(tables.records(trials, found)))
    best = best_trial(trials, found, replace(RECIPE, goal=goal))
    assert (None if row is None else row["trial"]) == (None if best is None else best[0].number)


def test_rows_that_the_store_lacks_are_told(tables: Tables, tmp_path: Path) -> None:
    tables.write(TRIALS, {number: scored(number, 0.5) for number in (1, 2, 3)})
    tables.require_known({1, 2, 3, 4})
    with pytest.raises(
        RefusedError, match=r"lacks 2 results that results\.csv has \(trials 1, 3\)"
    ):
        tables.require_known({2})


@pytest.mark.parametrize("text", ["", "number\n1\n", "trial\nx\n", '"trial\n', "trial,a\n\n"])
def test_a_table_that_is_none_has_no_rows(tables: Tables, tmp_path: Path, text: str) -> None:
    """The next rewrite replaces it."""
    (tmp_path / "results.csv").write_text(text)
    tables.require_known(())
