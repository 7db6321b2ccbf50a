"""Runs in an MLflow tracking store."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hpsearch.space.trial import Status
from hpsearch.store.tables import Record
from hpsearch.trackers.tracker import TrackerError, hyperparameters, tags

#: MLflow's own limits of one call.
_METRICS_A_CALL = 1_000
_PARAMS_A_CALL = 100
_RUNS_A_CALL = 1_000
_ROW, _RESULT = "hpsearch.row", "hpsearch.result"
_ENDS = {
    Status.COMPLETED: "FINISHED",
    Status.STOPPED: "FINISHED",
    Status.KILLED: "KILLED",
    Status.TIMEOUT: "KILLED",
}


@dataclass(frozen=True)
class _Known:
    """A run that is there: what it told, and whether it was told whole."""

    run: str
    result: str
    ended: bool


class MLflow:
    """Writes runs; one that is there, with the same result, is left alone.

    Args:
        uri: A tracking URI, such as `sqlite:///mlflow.db` or `http://127.0.0.1:5000`.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._experiments: dict[str, str] = {}
        self._known: dict[str, _Known] = {}

    @cached_property
    def _client(self) -> Any:
        # Nobody is told of a sweep but the store that the user names.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow import MlflowClient

        # How its tables are made is no user's concern.
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        return MlflowClient(tracking_uri=self._uri)

    def log(self, record: Record) -> None:
        """Write a trial's run, in place of one with another result."""
        with self._explained():
            experiment = self._experiment(record.provenance.sweep)
            row, result = _row(record), _digest(record)
            known = self._known.get(row)
            if known is not None:
                if known.ended and known.result == result:
                    return
                self._client.delete_run(known.run)
            run = self._write(experiment, record, {_ROW: row, _RESULT: result})
            self._known[row] = _Known(run, result, ended=True)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns what MLflow, its database or its server say into one line."""
        try:
            yield
        except Exception as error:  # its libraries' own errors have no common base
            said = " ".join(str(error).split())
            raise TrackerError(f"mlflow:{self._uri}: {said}") from error

    def _experiment(self, name: str) -> str:
        if name not in self._experiments:
            found = self._client.get_experiment_by_name(name)
            made = found.experiment_id if found else self._client.create_experiment(name)
            self._experiments[name] = made
            self._known |= dict(self._runs(made))
        return self._experiments[name]

    def _runs(self, experiment: str) -> Iterator[tuple[str, _Known]]:
        token = None
        while True:
            page = self._client.search_runs(
                [experiment], max_results=_RUNS_A_CALL, page_token=token
            )
            for run in page:
                told = run.data.tags
                if _ROW in told:
                    ended = run.info.status != "RUNNING"
                    yield told[_ROW], _Known(run.info.run_id, told.get(_RESULT, ""), ended)
            token = page.token
            if not token:
                return

    def _write(self, experiment: str, record: Record, marks: dict[str, str]) -> str:
        from mlflow.entities import Metric, Param

        result, end = record.result, time.time()
        began = end - result.seconds
        every = marks | {f"hpsearch.{name}": value for name, value in tags(record).items()}
        run: str = self._client.create_run(
            experiment,
            run_name=f"trial {record.trial}",
            start_time=round(began * 1000),
            tags=every,
        ).info.run_id
        params = [Param(name, str(value)) for name, value in hyperparameters(record).items()]
        for some in _batched(params, _PARAMS_A_CALL):
            self._client.log_batch(run, params=some)
        metrics = [
            Metric(name, value, round(1000 * (began + result.seconds * epoch / total)), epoch)
            for total in [len(result.curve)]
            for epoch, numbers in enumerate(result.curve, start=1)
            for name, value in numbers.items()
        ]
        if result.score is not None:
            last = Metric("score", result.score, round(end * 1000), result.scored_epoch or 0)
            metrics.append(last)
        for some in _batched(metrics, _METRICS_A_CALL):
            self._client.log_batch(run, metrics=some)
        status = _ENDS.get(result.status, "FAILED")
        self._client.set_terminated(run, status=status, end_time=round(end * 1000))
        return run


def _batched(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for begin in range(0, len(items), size):
        yield items[begin : begin + size]


def _row(record: Record) -> str:
    """The same for the same trial of the same data and recipe."""
    where = record.provenance
    draw = str(record.seed) if record.fold is None else f"{record.seed}-{record.fold}"
    return f"{where.data}/{where.recipe}/{record.config}/{draw}"


def _digest(record: Record) -> str:
    result = record.result
    told = [result.status, result.score, [dict(epoch) for epoch in result.curve], tags(record)]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]
