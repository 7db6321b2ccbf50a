"""Trackers as a run goes: nothing is missed, nobody waits, no failure ends a run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import commands
import pytest
from here import Notes

from hpsearch.data.specs import Task
from hpsearch.engine.session import Began, Ended, Listener, Stored, ignore
from hpsearch.errors import InputError
from hpsearch.models.problem import Recipe
from hpsearch.space.execution import Execution, ExecutionResult, Status
from hpsearch.space.space import Config, Kind
from hpsearch.store.columns import Record
from hpsearch.store.facts import Identity
from hpsearch.store.store import Store
from hpsearch.trackers.tracking import TrackerError, log_results, tracked

RECIPE = Recipe(0, "mse", "linear", "val_loss", "minimize")
IDENTITY = Identity("d0", {"validation": 0.2}, "val_loss:minimize:last", {"seed": 0})
SWEEP = "name: s\ndata: {dataset: iris}\nparameters: {units: [1, 2, 3, 4]}\n"
EXECUTIONS = [Execution(number, number, Config({"units": number}), 0) for number in range(1, 5)]


def result_of(number: int) -> ExecutionResult:
    return ExecutionResult(number, Status.COMPLETED, score=float(number), curve=({"loss": 1.0},))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Four trials, of which the first two have results."""
    with Store(tmp_path / "sweep.db") as store:
        store.set_facts(identity=IDENTITY, sweep=SWEEP, task=Task.REGRESSION)
        store.add_executions(EXECUTIONS)
        store.add_results([result_of(1), result_of(2)])
    return tmp_path


class Kept:
    """Keeps what it is told; fails, or waits, at one trial."""

    def __init__(self, failing: int = 0, waiting: int = 0) -> None:
        self.told: list[Record] = []
        self.failing, self.waiting = failing, waiting
        self.gate = threading.Event()

    @property
    def trials(self) -> list[int]:
        return [record.trial for record in self.told]

    def log(self, record: Record) -> None:
        if record.trial == self.waiting:
            self.gate.wait(30)
        if record.trial == self.failing:
            raise TrackerError("no room left")
        self.told.append(record)


@contextmanager
def begun(directory: Path, *trackers: Kept, shown: Any = ignore) -> Iterator[Listener]:
    with tracked(shown, trackers) as listener:
        listener(Began("s", str(directory), RECIPE, 1))
        yield listener


def store_others(listener: Listener) -> None:
    """Store the results of the last two trials."""
    for execution in EXECUTIONS[2:]:
        listener(Stored(execution, result_of(execution.number)))
    listener(Ended())


def a_run(directory: Path, *trackers: Kept, shown: Any = ignore) -> None:
    with begun(directory, *trackers, shown=shown) as listener:
        store_others(listener)


def test_a_run_that_is_over(directory: Path) -> None:
    tracker = Kept()
    assert log_results(directory, tracker) == 2
    assert tracker.trials == [1, 2]
    (first, _) = tracker.told
    assert first.config == EXECUTIONS[0].config.id
    assert first.result == result_of(1)
    assert (first.provenance.sweep, first.provenance.data) == ("s", "d0")
    assert first.provenance.metric == "val_loss:minimize:last"


def test_no_results(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no results directory"):
        log_results(tmp_path, Kept())
    with Store(tmp_path / "sweep.db"):
        assert log_results(tmp_path, Kept()) == 0


def test_a_search_over_a_function_is_called_as_its_directory(tmp_path: Path) -> None:
    with Store(tmp_path / "sweep.db") as store:
        store.set_facts(identity=IDENTITY, kind=Kind.FUNCTION, task=Task.OBJECTIVE)
        store.add_executions(EXECUTIONS[:1])
        store.add_results([result_of(1)])
    tracker = Kept()
    log_results(tmp_path, tracker)
    assert tracker.told[0].provenance.sweep == tmp_path.name


def test_earlier_results_and_new_ones(directory: Path) -> None:
    with tracked(ignore, []) as listener:
        assert listener is ignore
    trackers = Kept(), Kept()
    a_run(directory, *trackers)
    for tracker in trackers:
        assert tracker.trials == [1, 2, 3, 4]
        assert tracker.told[3].result == result_of(4)
        assert tracker.told[3].provenance.data == "d0"


def test_a_training_that_is_planned_after_the_run_began(directory: Path) -> None:
    """Its longest execution, which names it, has no result yet."""
    tracker = Kept()
    shared, longest = (Execution(n, n - 1, Config({"units": 9, "epochs": n}), 0) for n in (5, 6))
    with begun(directory, tracker) as listener:
        commands.wait_for(lambda: len(tracker.told) == 2, what="earlier results")
        with Store(directory / "sweep.db") as store:
            store.add_executions([shared, longest])
        listener(Stored(shared, replace(result_of(5), shared_with=6)))
        listener(Stored(longest, result_of(6)))
        listener(Ended())
    assert [(record.trial, record.shared_with) for record in tracker.told[2:]] == [
        (4, 5),
        (5, None),
    ]


def test_a_tracker_that_fails_is_told_once_and_the_other_goes_on(directory: Path) -> None:
    failing, sound, notes = Kept(failing=2), Kept(), Notes()
    a_run(directory, failing, sound, shown=notes)
    assert failing.trials == [1]
    assert sound.trials == [1, 2, 3, 4]
    (note,) = notes.said
    assert note.startswith("warning: no room left; nothing more is logged there")
    assert f"hpsearch log {directory} --to" in note


def test_a_slow_tracker_keeps_nobody_waiting(directory: Path) -> None:
    slow = Kept(waiting=1)
    with begun(directory, slow) as listener:
        store_others(listener)
        assert slow.trials == []
        slow.gate.set()
    assert slow.trials == [1, 2, 3, 4]


def test_after_an_interruption_nobody_waits(directory: Path) -> None:
    slow = Kept(waiting=1)
    with pytest.raises(KeyboardInterrupt), begun(directory, slow):
        raise KeyboardInterrupt
    assert slow.trials == []
    slow.gate.set()


def test_a_damaged_store_is_a_warning(directory: Path) -> None:
    with Store(directory / "sweep.db") as store:
        store._db.execute("UPDATE results SET record = '{}' WHERE execution = 1")
    notes = Notes()
    a_run(directory, Kept(), shown=notes)
    (note,) = notes.said
    assert "does not match its checksum" in note
