"""The tracker protocol, and its kinds: TensorBoard's event files and MLflow's runs."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from hpsearch.errors import InputError
from hpsearch.space.execution import Status, label
from hpsearch.store.cells import cell_of
from hpsearch.store.columns import Record, cells_of
from hpsearch.store.tables import column_of


class TrackerError(InputError):
    """Raised if a tracker's library refuses an execution or cannot reach its store."""


class Tracker(Protocol):
    """Shows executions in another program; logging an execution again replaces its entry."""

    def log(self, record: Record) -> None:
        """Log one execution: hyperparameters, metrics by epoch, tags.

        Raises:
            TrackerError: With the library's message.
        """
        ...


def run_name(record: Record) -> str:
    """Return the name of an execution's run: `trial-3`, `trial-3-seed-1`, `trial-3-fold-2`."""
    return re.sub(r"\W+", "-", label(record.trial, record.seed, record.fold))


def hyperparameters(record: Record) -> dict[str, bool | int | float | str]:
    """Return values by column, with lists and mappings as JSON, as in the table."""
    values: Mapping[str, Any] = record.values
    return {column_of(name): cell_of(value) for name, value in values.items()}


def tags(record: Record) -> dict[str, str]:
    """Return the other cells of the row that are not empty, as text."""
    cells = cells_of(record) | {"scored_epoch": record.result.scored_epoch}
    return {
        name: str(value)
        for name, value in cells.items()
        if value not in (None, "") and name not in ("score", "method")
    }


#: MLflow's limit for one call.
_RUNS_A_CALL = 1_000
_ROW, _RESULT = "hpsearch.row", "hpsearch.result"
_RUN_STATUS = {
    Status.COMPLETED: "FINISHED",
    Status.STOPPED: "FINISHED",
    Status.KILLED: "KILLED",
    Status.TIMEOUT: "KILLED",
}


class MLflow:
    """Writes one run for each execution; a run with the same result is left alone.

    Args:
        uri: A tracking URI, such as `sqlite:///mlflow.db` or `http://127.0.0.1:5000`.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._experiments: dict[str, str] = {}
        #: Row -> its run, and the digest of the result that the run shows; empty if unfinished.
        self._runs: dict[str, tuple[str, str]] = {}

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
        try:
            self._log(record)
        except Exception as error:  # the errors of MLflow's libraries have no common base
            said = " ".join(str(error).split())
            raise TrackerError(f"mlflow:{self._uri}: {said}") from error

    def _log(self, record: Record) -> None:
        experiment = self._experiment(record.provenance.sweep)
        row, result = _row(record), _digest(record)
        run, shown = self._runs.get(row, ("", ""))
        if shown == result:
            return
        if run:
            self._client.delete_run(run)
        marks = {_ROW: row, _RESULT: result}
        self._runs[row] = self._write(experiment, record, marks), result

    def _experiment(self, name: str) -> str:
        if name not in self._experiments:
            experiment = self._client.get_experiment_by_name(name)
            made = experiment.experiment_id if experiment else self._client.create_experiment(name)
            self._experiments[name] = made
            self._runs |= dict(self._stored_runs(made))
        return self._experiments[name]

    def _stored_runs(self, experiment: str) -> Iterator[tuple[str, tuple[str, str]]]:
        token = None
        while True:
            page = self._client.search_runs(
                [experiment], max_results=_RUNS_A_CALL, page_token=token
            )
            for run in page:
                marks = run.data.tags
                if _ROW in marks:
                    shown = "" if run.info.status == "RUNNING" else marks.get(_RESULT, "")
                    yield marks[_ROW], (run.info.run_id, shown)
            token = page.token
            if not token:
                return

    def _write(self, experiment: str, record: Record, marks: dict[str, str]) -> str:
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
            last = Metric("score", result.score, round(end * 1000), result.scored_epoch or 0)
            metrics.append(last)
        self._client.log_batch(run, metrics, params)
        status = _RUN_STATUS.get(result.status, "FAILED")
        self._client.set_terminated(run, status=status, end_time=round(end * 1000))
        return run


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
    """Writes DIR/SWEEP/RUN, as in `run_name`; a trial's executions form one group of sessions.

    Args:
        directory: The `--logdir` of `tensorboard`.
    """

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)

    def log(self, record: Record) -> None:
        """Write the event file of an execution's run, replacing an earlier one."""
        # TensorBoard is an optional package.
        from tensorboard.summary.writer.record_writer import RecordWriter

        run = self._directory / record.provenance.sweep / run_name(record)
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
    yield Event(wall_time=end, summary=_session_end(end, scored=result.status.scored))


def _markdown(rows: dict[str, str]) -> str:
    cells = ((name, value.replace("|", "\\|")) for name, value in rows.items())
    return "\n".join(["|tag|value|", "|---|---|", *(f"|{name}|{value}|" for name, value in cells)])


def _session_end(end: float, *, scored: bool) -> Any:
    """Do the same as `hparams.summary.session_end_pb`, whose module needs TensorFlow."""
    # TensorBoard is an optional package.
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    status = api_pb2.STATUS_SUCCESS if scored else api_pb2.STATUS_FAILURE
    info = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=end)
    data = plugin_data_pb2.HParamsPluginData(session_end_info=info)
    summary = Summary()
    summary.value.add(
        tag=metadata.SESSION_END_INFO_TAG,
        metadata=metadata.create_summary_metadata(data),
        tensor=metadata.NULL_TENSOR,
    )
    return summary


def make_tracker(target: str) -> Tracker:
    """Return the tracker that `tensorboard:DIR` or `mlflow:URI` names; nothing is written yet.

    Raises:
        InputError: There is no such tracker, or its library is not installed.
    """
    kind, _, where = target.partition(":")
    if kind not in ("tensorboard", "mlflow") or not where:
        raise InputError(
            f"{target!r}: must be tensorboard:DIR or mlflow:URI, such as tensorboard:logs or "
            "mlflow:sqlite:///mlflow.db"
        )
    if find_spec(kind) is None:
        raise InputError(
            f"{target}: the library {kind} is not installed; pip install 'hpsearch[{kind}]'"
        )
    return TensorBoard(where) if kind == "tensorboard" else MLflow(where)
