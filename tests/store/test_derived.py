"""The derived files: whole, current, and within their share of the time."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tables import PROVENANCE

from hpsearch.data.specs import Task
from hpsearch.errors import HpsearchError, RefusedError
from hpsearch.space.execution import Execution, ExecutionResult, Repetition, Status
from hpsearch.space.space import Config
from hpsearch.store import derived
from hpsearch.store.derived import Tables
from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.trials import best_execution

CURVE = ({"loss": 0.5, "accuracy": 0.5, "val_loss": 0.5, "val_accuracy": 0.5},)


def execution(number: int, units: int, seed: int = 0) -> Execution:
    return Execution(number, units // 10, Config({"units": units}), seed)


def scored(number: int, score: float | None, status: Status = Status.COMPLETED) -> ExecutionResult:
    return ExecutionResult(number, status, score, CURVE, 1)


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return Tables(ResultsDirectory(tmp_path), Task.MULTICLASS, ["dropout", "units"], PROVENANCE)


EXECUTIONS = [execution(1, 10), execution(2, 20), execution(3, 30)]


def test_a_row_never_lacks_its_curve(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    monkeypatch.setattr(derived, "write_csv", lambda _, path, *__: written.append(path.name))
    tables.write(EXECUTIONS, {1: scored(1, 0.75)})
    assert written == ["curves.csv", "results.csv"]


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
    tables.write(EXECUTIONS, {})
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
            tables.write(EXECUTIONS, {})
            spent, writes = spent + now - before, writes + 1
    assert writes > 30
    assert spent + 2 <= 0.02 * 3600


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_files(
    tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    tables.write(EXECUTIONS, {1: scored(1, 0.5)})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, function, full)
    with pytest.raises(HpsearchError, match=r"No space left.*safe in the store"):
        tables.write(EXECUTIONS, {1: scored(1, 0.5), 2: scored(2, 0.5)})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_of_equal_executions_the_first_seed_and_fold_is_best() -> None:
    config, folds = Config({"units": 10}), [(1, 1), (0, 2), (0, 1)]
    executions = [Execution(n, 1, config, *each) for n, each in enumerate(folds, 1)]
    best = best_execution(executions, {n: scored(n, 0.5) for n in (1, 2, 3)}, "maximize")
    assert best is not None
    assert best[0].repetition == Repetition(0, 1)


def test_rows_that_the_store_lacks_are_told(tables: Tables, tmp_path: Path) -> None:
    tables.write(EXECUTIONS, {number: scored(number, 0.5) for number in (1, 2, 3)})
    tables.require_known([each.key for each in (*EXECUTIONS, execution(4, 40))])
    lost = (
        r"sweep\.db: the store lacks 2 results that results\.csv has .* trial 1\).*"
        r"its log, sweep\.db-wal, was lost"
    )
    with pytest.raises(RefusedError, match=lost):
        tables.require_known({EXECUTIONS[1].key})
    # The key is config, seed and fold.
    changed = (tmp_path / "results.csv").read_text().replace("\n3,", "\n7,")
    (tmp_path / "results.csv").write_text(changed)
    tables.require_known([each.key for each in EXECUTIONS])
    with pytest.raises(RefusedError, match="lacks 2 results"):
        tables.require_known({EXECUTIONS[1].key})


@pytest.mark.parametrize("text", ["", "trial,config,seed,fold\n"])
def test_a_table_without_rows_lacks_none(tables: Tables, tmp_path: Path, text: str) -> None:
    (tmp_path / "results.csv").write_text(text)
    tables.require_known(())


@pytest.mark.parametrize("text", ["number\n1\n", "trial\nx\n", "trial,a\n1,2\n", "a\0\nb\0\n"])
def test_a_table_that_is_none_is_refused(tables: Tables, tmp_path: Path, text: str) -> None:
    (tmp_path / "results.csv").write_text(text)
    with pytest.raises(RefusedError, match=r"row 1 is not as a run writes it .*move the table"):
        tables.require_known(())
