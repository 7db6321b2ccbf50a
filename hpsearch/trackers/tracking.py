"""Log executions to TensorBoard's event files, MLflow's runs or W&B's, after a run or during it."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import queue
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol

from hpsearch.engine.session import Began, Listener, RunEvent, Stored
from hpsearch.errors import HpsearchError, InputError
from hpsearch.space.execution import label
from hpsearch.store.columns import Record, cell_of
from hpsearch.store.derived import tables_of
from hpsearch.store.directory import ResultsDirectory, require_free
from hpsearch.store.store import Store
from hpsearch.store.tables import column_of
from hpsearch.workers.protocol import Said


class TrackerError(InputError):
    """Raised if a tracker's library refuses an execution or cannot reach its store."""


class Tracker(Protocol):
    """Shows executions in another program; logging an execution again replaces its entry."""

    def log(self, record: Record) -> None:
        """Log an execution's hyperparameters, metrics by epoch and tags, or raise TrackerError."""
        ...


def run_name(record: Record) -> str:
    """Return the name of an execution's run: `trial-3`, `trial-3-seed-1`, `trial-3-fold-2`."""
    return re.sub(r"\W+", "-", label(record.trial, record.seed, record.fold))


def _file_name(name: str) -> str:
    """Return a sweep's name as that of a directory: a store from elsewhere may say `../x`."""
    safe = re.sub(r"[^\w .+-]", "-", name)[:_LONGEST_NAME]
    return f"-{safe}" if safe.strip(".") == "" else safe


def hyperparameters(record: Record) -> dict[str, bool | int | float | str]:
    """Return values by column, with lists and mappings as JSON, as in the table."""
    values: Mapping[str, Any] = record.values
    return {column_of(name): cell_of(value) for name, value in values.items()}


def tags(record: Record) -> dict[str, str]:
    """Return the other cells of the row that are not empty, as text."""
    cells = record.cells | {"scored_epoch": record.result.scored_epoch}
    return {
        name: str(value)
        for name, value in cells.items()
        if value not in (None, "") and name not in ("score", "method")
    }


#: In characters, of up to four bytes each; file systems allow 255 bytes.
_LONGEST_NAME = 60

_ROW, _RESULT = "hpsearch.row", "hpsearch.result"


@contextmanager
def _named_errors(target: str) -> Iterator[None]:
    """Turn whatever a library raises into a TrackerError of one line."""
    try:
        yield
    except Exception as error:  # the errors of such libraries have no common base
        raise TrackerError(f"{target}: {' '.join(str(error).split())}") from error


class MLflow:
    """Writes a run for each execution to a tracking URI; one with the same result is left alone."""

    def __init__(self, uri: str) -> None:
        self._uri = uri

    @cached_property
    def _client(self) -> Any:
        # Keep MLflow from reporting its use to its makers.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        # MLflow is an optional package.
        from mlflow import MlflowClient

        # Both would log the creation of tables.
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        return MlflowClient(tracking_uri=self._uri)

    def log(self, record: Record) -> None:
        """Write an execution's run, and delete an earlier one with another result."""
        with _named_errors(f"mlflow:{self._uri}"):
            self._log(record)

    def _log(self, record: Record) -> None:
        name = record.provenance.sweep
        experiment = self._client.get_experiment_by_name(name)
        number = experiment.experiment_id if experiment else self._client.create_experiment(name)
        marks = {_ROW: _row(record), _RESULT: _digest(record)}
        earlier = self._client.search_runs([number], f"tags.`{_ROW}` = '{marks[_ROW]}'")
        for run in earlier:
            if run.data.tags.get(_RESULT) == marks[_RESULT] and run.info.status != "RUNNING":
                return
            self._client.delete_run(run.info.run_id)
        self._write(number, record, marks)

    def _write(self, experiment: str, record: Record, marks: dict[str, str]) -> None:
        # MLflow is an optional package.
        from mlflow.entities import Metric, Param

        result, end = record.result, time.time()
        began = end - result.seconds
        run: str = self._client.create_run(
            experiment,
            run_name=run_name(record),
            start_time=round(began * 1000),
            tags=marks | {f"hpsearch.{name}": value for name, value in tags(record).items()},
        ).info.run_id
        params = [Param(name, str(value)) for name, value in hyperparameters(record).items()]
        total = len(result.curve)
        metrics = [
            Metric(name, value, round(1000 * (began + result.seconds * epoch / total)), epoch)
            for epoch, values in enumerate(result.curve, start=1)
            for name, value in values.items()
        ]
        if result.score is not None:
            place = (round(end * 1000), result.scored_epoch or 0)
            metrics.append(Metric("score", result.score, *place))
        self._client.log_batch(run, metrics, params)
        status = "FINISHED" if result.status.scored else "FAILED"
        self._client.set_terminated(run, status=status, end_time=round(end * 1000))


def _row(record: Record) -> str:
    """Return a key that identifies an execution with its data and recipe."""
    where = record.provenance
    draw = str(record.seed) if record.fold is None else f"{record.seed}-{record.fold}"
    return f"{where.data}/{where.recipe}/{record.config}/{draw}"


def _digest(record: Record) -> str:
    result = record.result
    facts = [result.status, result.score, [dict(epoch) for epoch in result.curve], tags(record)]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


#: One file for each run, replaced as a whole; TensorBoard reads any name with `tfevents`.
_FILE = "events.out.tfevents.hpsearch"


class TensorBoard:
    """Writes LOGDIR/SWEEP/RUN, as in `run_name`; a trial's executions form a group of sessions."""

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)

    def log(self, record: Record) -> None:
        """Write the event file of an execution's run, replacing an earlier one."""
        # TensorBoard is an optional package.
        from tensorboard.summary.writer.record_writer import RecordWriter

        run = self._directory / _file_name(record.provenance.sweep) / run_name(record)
        unfinished = run / ".unfinished"
        try:
            run.mkdir(parents=True, exist_ok=True)
            with unfinished.open("wb") as file:
                writer = RecordWriter(file)
                for event in _events(record):
                    writer.write(event.SerializeToString())
            unfinished.replace(run / _FILE)
        except OSError as error:
            raise TrackerError(f"{run}: cannot be written: {error.strerror}") from error


def _events(record: Record) -> Iterator[Any]:
    # TensorBoard is an optional package.
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb
    from tensorboard.plugins.scalar.summary_v2 import scalar_pb
    from tensorboard.plugins.text.summary_v2 import text_pb

    result, end = record.result, time.time()
    began = end - result.seconds
    yield Event(wall_time=began, file_version="brain.Event:2")
    session = hparams_pb(hyperparameters(record), trial_id=record.config, start_time_secs=began)
    yield Event(wall_time=began, summary=session)
    yield Event(wall_time=began, summary=text_pb("tags", _markdown(tags(record))))
    for epoch, metrics in enumerate(result.curve, start=1):
        at = began + result.seconds * epoch / len(result.curve)
        for name, value in metrics.items():
            yield Event(wall_time=at, step=epoch, summary=scalar_pb(name, value))
    if result.score is not None:
        score = scalar_pb("score", result.score)
        yield Event(wall_time=end, step=result.scored_epoch, summary=score)


def _markdown(rows: dict[str, str]) -> str:
    cells = ((name, value.replace("|", "\\|")) for name, value in rows.items())
    return "\n".join(["|tag|value|", "|---|---|", *(f"|{name}|{value}|" for name, value in cells)])


class WandB:
    """Writes a run for each execution to a project of W&B; one with the same result stays.

    Args:
        project: `PROJECT` or `ENTITY/PROJECT`.
    """

    def __init__(self, project: str) -> None:
        self._target = f"wandb:{project}"
        *entity, self._project = project.split("/", 1)
        self._entity = next(iter(entity), None)

    @cached_property
    def _ready(self) -> bool:
        # W&B is an optional package.
        import wandb

        online = wandb.setup().settings.mode == "online"
        return not online or wandb.run is not None or bool(wandb.login(prompt=False))

    def log(self, record: Record) -> None:
        """Write an execution's run, in place of an earlier one with another result."""
        with _named_errors(self._target):
            self._log(record)

    def _log(self, record: Record) -> None:
        if not self._ready:
            raise TrackerError("not logged in; run `wandb login`, or set WANDB_MODE=offline")
        digest, code = _digest(record), 0 if record.result.status.scored else 1
        run = self._begin(record, resume="allow")
        if run.resumed:
            logged = run.summary.get(_RESULT) == digest
            run.finish(exit_code=code)
            if logged:
                return
            # W&B empties a run that begins again without being resumed.
            run = self._begin(record)
        for epoch, metrics in enumerate(record.result.curve, start=1):
            run.log(dict(metrics), step=epoch)
        if record.result.score is not None:
            run.summary["score"] = record.result.score
        # Written last: without it, a run that was cut short is written anew.
        run.summary[_RESULT] = digest
        run.finish(exit_code=code)

    def _begin(self, record: Record, resume: Literal["allow"] | None = None) -> Any:
        # W&B is an optional package.
        import wandb

        sweep = record.provenance.sweep
        return wandb.init(
            project=self._project,
            entity=self._entity,
            id=hashlib.sha256(f"{sweep}/{_row(record)}".encode()).hexdigest()[:16],
            name=run_name(record),
            group=sweep,
            config={**hyperparameters(record), "hpsearch": tags(record)},
            resume=resume,
            reinit="create_new",
            settings=wandb.Settings(
                silent=True, console="off", disable_git=True, save_code=False, x_disable_stats=True
            ),
        )


_TRACKERS: dict[str, Callable[[str], Tracker]] = {
    "tensorboard": TensorBoard,
    "mlflow": MLflow,
    "wandb": WandB,
}


def make_tracker(target: str) -> Tracker:
    """Return the tracker that a target such as `tensorboard:DIR` names; nothing is written yet."""
    kind, _, where = target.partition(":")
    if kind not in _TRACKERS or not all(where.split("/") if kind == "wandb" else [where]):
        raise InputError(
            f"{target!r}: must be tensorboard:DIR, mlflow:URI or wandb:PROJECT, such as "
            "tensorboard:logs, mlflow:sqlite:///mlflow.db or wandb:team/digits"
        )
    require_free(Path(where.removeprefix("sqlite:///")))
    if find_spec(kind) is None:
        raise InputError(
            f"{target}: the library {kind} is not installed; pip install 'hpsearch[{kind}]'"
        )
    return _TRACKERS[kind](where)


def log_results(directory: Path, tracker: Tracker) -> int:
    """Log every execution that has a result; return the number of executions."""
    where = ResultsDirectory(directory)
    where.require_store()
    records = _stored(where)
    for record in records:
        tracker.log(record)
    return len(records)


def _stored(where: ResultsDirectory) -> list[Record]:
    with Store(where.store, read_only=True) as store:
        facts = store.facts()
        # A run that has just begun has no identity yet.
        if facts.identity is None:
            return []
        return tables_of(where, facts).records(store.executions(), store.results())


@contextmanager
def tracked(listener: Listener, trackers: Sequence[Tracker]) -> Iterator[Listener]:
    """Yield a listener that also logs to trackers; at the end, wait until all is logged.

    After an interruption there is no wait; the next run logs what is missing.
    """
    if not trackers:
        yield listener
        return
    tracking = _Tracking(listener, trackers)
    try:
        yield tracking
    except BaseException:
        tracking.abandoned.set()
        raise
    finally:
        tracking.results.put(None)
    tracking.wait()


@dataclass
class _Tracking:
    """Logs in a thread, so that a slow tracker keeps no worker waiting.

    Attributes:
        results: New results for the thread; None ends it.
        abandoned: Set to stop logging.
    """

    listener: Listener
    trackers: Sequence[Tracker]
    results: queue.SimpleQueue[Stored | None] = field(default_factory=queue.SimpleQueue)
    _failures: queue.SimpleQueue[str] = field(default_factory=queue.SimpleQueue)
    abandoned: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __call__(self, event: RunEvent) -> None:
        match event:
            case Began():
                where = ResultsDirectory(Path(event.directory))
                self._thread = threading.Thread(target=self._log_all, args=(where,), daemon=True)
                self._thread.start()
            case Stored():
                self.results.put(event)
        self.listener(event)
        self._say_failures()

    def wait(self) -> None:
        """Wait until everything is logged."""
        if self._thread is not None:
            self._thread.join()
        self._say_failures()

    def _say_failures(self) -> None:
        while not self._failures.empty():
            self.listener(Said(self._failures.get(), warning=True))

    def _log_all(self, where: ResultsDirectory) -> None:
        active = list(self.trackers)
        for record in self._records(where):
            for tracker in list(active):
                if self.abandoned.is_set():
                    return
                try:
                    tracker.log(record)
                except Exception as error:  # noqa: BLE001 - whatever a library cannot take
                    active.remove(tracker)
                    self._failures.put(
                        f"{error}; nothing more is logged there; `hpsearch log {where.path} --to "
                        "...` logs everything later"
                    )

    def _records(self, where: ResultsDirectory) -> Iterator[Record]:
        """Yield the records of earlier runs, which may be unlogged, then those of this run."""
        try:
            yield from _stored(where)
            yield from self._new(where)
        except HpsearchError as error:
            self._failures.put(str(error))

    def _new(self, where: ResultsDirectory) -> Iterator[Record]:
        with Store(where.store, read_only=True) as store:
            tables = tables_of(where, store.facts())
        trials: dict[int, int] = {}
        while (new := self.results.get()) is not None:
            execution, result = new.execution, new.result
            trials[execution.number] = execution.trial
            if result.shared_with is not None and result.shared_with not in trials:
                # The shared training is running; planned executions are stored before training.
                with Store(where.store, read_only=True) as store:
                    trials = {stored.number: stored.trial for stored in store.executions()}
            yield tables.record(execution, result, trials)
