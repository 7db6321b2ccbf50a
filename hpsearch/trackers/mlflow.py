"""Log executions as runs in an MLflow tracking store."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hpsearch.space.execution import Status
from hpsearch.store.tables import Record
from hpsearch.trackers.tracker import TrackerError, hyperparameters, run_name, tags

#: MLflow's limit for one call.
_RUNS_A_CALL = 1_000
_ROW, _RESULT = "hpsearch.row", "hpsearch.result"
_RUN_STATUS = {
    Status.COMPLETED: "FINISHED",
    Status.STOPPED: "FINISHED",
    Status.KILLED: "KILLED",
    Status.TIMEOUT: "KILLED",
}


@dataclass(frozen=True)
class _Run:
    """A stored run: its id, the digest of its result, and whether it is complete."""

    id: str
    result: str
    complete: bool


class MLflow:
    """Writes one run for each execution; a run with the same result is left alone.

    Args:
        uri: A tracking URI, such as `sqlite:///mlflow.db` or `http://127.0.0.1:5000`.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._experiments: dict[str, str] = {}
        self._runs: dict[str, _Run] = {}

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
        known = self._runs.get(row)
        if known is not None:
            if known.complete and known.result == result:
                return
            self._client.delete_run(known.id)
        run = self._write(experiment, record, {_ROW: row, _RESULT: result})
        self._runs[row] = _Run(run, result, complete=True)

    def _experiment(self, name: str) -> str:
        if name not in self._experiments:
            found = self._client.get_experiment_by_name(name)
            made = found.experiment_id if found else self._client.create_experiment(name)
            self._experiments[name] = made
            self._runs |= dict(self._stored_runs(made))
        return self._experiments[name]

    def _stored_runs(self, experiment: str) -> Iterator[tuple[str, _Run]]:
        token = None
        while True:
            page = self._client.search_runs(
                [experiment], max_results=_RUNS_A_CALL, page_token=token
            )
            for run in page:
                marks = run.data.tags
                if _ROW in marks:
                    complete = run.info.status != "RUNNING"
                    yield marks[_ROW], _Run(run.info.run_id, marks.get(_RESULT, ""), complete)
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
