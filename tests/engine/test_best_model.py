"""best.keras: written by a worker, whole or not at all, or with a word why not."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hpsearch
from hpsearch.data.specs import Arrays, InputSpec, Target, Task, TrainingData
from hpsearch.engine.best_model import BestModel, Retrainer
from hpsearch.errors import HpsearchError
from hpsearch.models.problem import Recipe
from hpsearch.space.execution import Execution, ExecutionResult, Status
from hpsearch.space.space import Config
from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.store import Store
from hpsearch.training.mlps import MLPs
from hpsearch.training.subjects import Job
from hpsearch.workers.calls import write_best_model
from hpsearch.workers.executors import InProcessExecutor
from hpsearch.workers.protocol import Call, Called, Event, Executor, Started

RECIPE = Recipe(3, "binary_crossentropy", "sigmoid", "val_accuracy", "maximize")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 2)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.float32)
DATASET = TrainingData(
    InputSpec((2,), "float32"),
    Target(Task.BINARY, 1, ("no", "yes")),
    Arrays(X[:40], Y[:40], X[40:], Y[40:]),
)


def trial_of(number: int, **values: Any) -> Execution:
    values = {"hidden_layers": 1, "units": 4, "epochs": 1, "optimizer": "adam"} | values
    return Execution(number, number, Config(values), 0)


TRIAL = trial_of(1)


def retrainer_on(executor: Any, check: Any = lambda: None) -> Retrainer:
    return Retrainer(executor, MLPs(), RECIPE, DATASET, check)


class Directory:
    """A results directory with one trained trial, and what keeps its model."""

    def __init__(self, path: Path, result: ExecutionResult) -> None:
        self.where = ResultsDirectory(path)
        self.store = Store(self.where.store)
        self.executor: Any = InProcessExecutor(DATASET)
        self.result = result
        self.store.add_executions([TRIAL])
        self.store.add_results([result])

    def keeper(self, **changes: Any) -> BestModel:
        return BestModel(self.where, self.store, retrainer_on(self.executor, **changes))

    def save(self, **changes: Any) -> str:
        keep = changes.pop("keep", ())
        return self.keeper(**changes).save(TRIAL, self.result, keep)

    def files(self) -> set[str]:
        return {path.name for path in self.where.path.iterdir() if path.name != "sweep.db-shm"}


@pytest.fixture(scope="module")
def result() -> ExecutionResult:
    trained = retrainer_on(InProcessExecutor(DATASET)).train(TRIAL, TRIAL.epochs)
    assert trained.status is Status.COMPLETED
    return trained


@pytest.fixture
def directory(tmp_path: Path, result: ExecutionResult) -> Iterator[Directory]:
    made = Directory(tmp_path, result)
    yield made
    made.store.close()


def accuracy(path: Path) -> float:
    import keras

    predicted = keras.models.load_model(path).predict(X[40:], verbose=0)[:, 0]
    return float(np.float32(((predicted > 0.5) == Y[40:]).mean()))


def test_it_is_written_once(directory: Directory) -> None:
    assert directory.save() == ""
    model = directory.where.model
    assert accuracy(model) == pytest.approx(directory.result.score)
    assert directory.files() == {"best.keras", "sweep.db", "sweep.db-wal"}
    # Beside it, what it predicts of the validation split.
    kept = directory.store.facts().predictions
    assert kept is not None
    (right, _), (_, also) = kept.confusion
    assert (right + also) / kept.rows == pytest.approx(directory.result.score)
    before = model.stat().st_mtime_ns
    directory.executor = Refusing()
    assert directory.save() == ""
    assert model.stat().st_mtime_ns == before


def test_what_replaced_it_is_moved_aside(directory: Directory) -> None:
    assert directory.save() == ""
    model = directory.where.model
    written = directory.store.facts().best_digest
    assert written == hashlib.sha256(model.read_bytes()).hexdigest()
    model.write_bytes(b"of a user")
    assert directory.save() == (
        f"{model}: was replaced since the run wrote it; what was there is best-replaced.keras now"
    )
    model.write_bytes(b"of another")
    assert "best-replaced-2.keras" in directory.save()
    assert model.with_name("best-replaced.keras").read_bytes() == b"of a user"
    assert model.with_name("best-replaced-2.keras").read_bytes() == b"of another"
    assert accuracy(model) == pytest.approx(directory.result.score)


def test_a_kill_before_its_digest_is_stored_leaves_no_old_one(
    directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert directory.save() == ""
    directory.store.set_facts(best_model="7:c0")

    def killed(_: Path) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("hpsearch.engine.best_model._is_recorded", lambda *_: True)
    monkeypatch.setattr("hpsearch.engine.best_model.file_digest", killed)
    with pytest.raises(KeyboardInterrupt):
        directory.save()
    monkeypatch.undo()
    assert directory.where.model.exists()
    assert directory.save() == ""
    assert directory.files() == {"best.keras", "sweep.db", "sweep.db-wal"}


class Refusing:
    """Takes nothing."""

    free = 1

    def submit(self, work: Job | Call) -> None:
        raise AssertionError(work)


def test_weights_that_are_gone_are_trained_again(directory: Directory) -> None:
    directory.store.keep_weights([])
    assert directory.save() == ""
    weights = directory.store.weights(1)
    assert weights is not None
    for ours, theirs in zip(weights, directory.result.state, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_another_score_is_another_model(directory: Directory) -> None:
    directory.store.keep_weights([])
    directory.where.model.write_bytes(b"an earlier one")
    told = ExecutionResult(1, Status.COMPLETED, 2.0)
    said = directory.keeper().save(TRIAL, told)
    assert "best.keras is not written: trial 1 did not give its row's " in said
    assert not directory.where.model.exists()


def test_no_layers_are_built_that_only_the_row_names(directory: Directory) -> None:
    hostile = trial_of(2, layer_type="hostile:layer")
    kept = replace(directory.result, number=2)
    directory.store.add_executions([hostile])
    directory.store.add_results([kept])
    directory.executor = Refusing()
    said = directory.keeper().save(hostile, kept)
    assert said == (
        f"{directory.where.model} is not written: the layers of trial 2 are built by "
        '"hostile:layer", which the sweep does not name (any more), so it is not run; add it to '
        "layer_type, or use hpsearch export --trust hostile:layer"
    )
    assert "hostile:layer" in directory.keeper().keep(hostile, kept)


def full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("place", "function", "words"),
    [
        ("keras.Model.save", full, "No space left on device"),
        ("hpsearch.models.mlp.full_model", lambda *_: 1 / 0, "ZeroDivisionError: division by zero"),
        ("os.replace", full, "No space left on device"),
        ("os.mkdir", full, "No space left on device"),
    ],
)
def test_what_cannot_be_written_is_a_warning(
    directory: Directory, monkeypatch: pytest.MonkeyPatch, place: str, function: Any, words: str
) -> None:
    directory.where.model.write_bytes(b"an earlier one")
    before = directory.store.facts().meta
    monkeypatch.setattr(place, function)
    assert directory.save() == f"{directory.where.model} cannot be written: {words}"
    monkeypatch.undo()
    assert directory.files() == {"sweep.db", "sweep.db-wal"}
    assert directory.store.facts().meta == before
    assert directory.save() == ""


def test_predictions_that_fail_leave_the_model(
    directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And those of an earlier model go with it."""
    assert directory.save() == ""
    directory.store.set_facts(best_model="7:c0")
    monkeypatch.setattr("hpsearch.workers.calls.answers", lambda *_: 1 / 0)
    assert directory.save() == ""
    facts = directory.store.facts()
    assert facts.best_model == f"1:{TRIAL.config.id}"
    assert facts.best_digest == hashlib.sha256(directory.where.model.read_bytes()).hexdigest()
    assert facts.predictions is None


class Scripted(Executor):
    """Gives events that were written down, then none."""

    free = 1

    def __init__(self, *events: Event) -> None:
        self._events = list(events)
        self.submitted: list[Job | Call] = []

    def submit(self, work: Job | Call) -> None:
        self.submitted.append(work)

    def events(self, timeout_seconds: float) -> Sequence[Event]:
        del timeout_seconds
        events, self._events = self._events, []
        return events


def test_a_worker_that_ends_is_a_warning(directory: Directory) -> None:
    directory.executor = Scripted(Called(1, "the worker ended (SIGKILL)"))
    assert directory.save().endswith("cannot be written: the worker ended (SIGKILL)")
    (call,) = directory.executor.submitted
    assert call.function is write_best_model
    assert call.tensorflow


@pytest.mark.parametrize(("gone", "free"), [(True, 1), (False, 1), (False, 0)])
def test_an_interruption_ends_it_and_leaves_nothing_half_written(
    directory: Directory, gone: bool, free: int
) -> None:
    """Also while no worker is free."""
    if gone:
        directory.store.keep_weights([])
    directory.executor = Scripted(Started(1, None))  # type: ignore[arg-type]
    directory.executor.free = free

    def check() -> None:
        raise HpsearchError("interrupted")

    with pytest.raises(HpsearchError, match="interrupted"):
        directory.save(check=check)
    assert directory.files() == {"sweep.db", "sweep.db-wal"}


@pytest.mark.parametrize(("keep", "stays"), [(None, True), ([], False), ([2], True)])
def test_whose_weights_stay(directory: Directory, keep: Any, *, stays: bool) -> None:
    other = trial_of(2, units=5)
    directory.store.add_executions([other])
    directory.store.add_results([ExecutionResult(2, Status.COMPLETED, 0.0, state=(X,))])
    assert directory.save(keep=keep) == ""
    assert (directory.store.weights(2) is not None) == stays
    assert directory.store.weights(1) is not None


@pytest.mark.slow
@pytest.mark.parametrize(("task", "name"), [("regression", "val_mae"), ("images", "val_accuracy")])
def test_the_predictions_that_are_kept_give_the_score(tmp_path: Path, task: str, name: str) -> None:
    """Targets in their own unit, and raw images, which the model itself scales."""
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=200)
    x = rng.integers(60, size=(200, 5, 4), dtype=np.uint8) + 60 * y[:, None, None].astype(np.uint8)
    given = (x, y) if task == "images" else (x.reshape(200, -1) / 9.0, 100.0 + 10.0 * y)
    results = hpsearch.tune(
        *given, parameters={"units": [4], "epochs": [6]}, metric=name, out=tmp_path / "out"
    )
    with Store(tmp_path / "out" / "sweep.db", read_only=True) as store:
        kept = store.facts().predictions
    assert kept is not None
    if task == "images":
        found = np.trace(np.array(kept.confusion)) / kept.rows
    else:
        found = np.abs(np.diff(kept.pairs, axis=1)).mean()
    assert found == pytest.approx(results.best["score"], rel=1e-5)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert f'"title":"validation split, {kept.rows} rows, trial 1"' in page
