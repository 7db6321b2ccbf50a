"""A tuner's search as a sweep, and its rows as KerasTuner's trials."""

from __future__ import annotations

import atexit
import math
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any

import keras_tuner
from keras_tuner.src.engine import metrics_tracking as kt_metrics
from keras_tuner.src.engine import trial as kt_trial

from hpsearch.data.dataset import Dataset
from hpsearch.data.memory import InMemoryRows
from hpsearch.errors import ChangedSweepError, InputError, Interrupted, RefusedError
from hpsearch.models.custom import Tailored
from hpsearch.models.shipping import CustomModel, ModelHyperparameters, shipped
from hpsearch.space.trial import Trial, TrialResult
from hpsearch.spec.data import DataSpec
from hpsearch.spec.sweep import Sweep, sweep_from_mapping, sweep_from_text
from hpsearch.store.store import Store
from hpsearch.tuner.custom_model import LoaderWithModel
from hpsearch.tuner.run import run_sweep
from hpsearch.tuner.settings import Settings, Silent
from hpsearch.tuners.arguments import NotOnEngine, Request
from hpsearch.workers.servers import Servers


@dataclass
class _Kept:
    """Of this process.

    Attributes:
        pid: A fork of this process has none.
        read: How much of the log is in some project's.
    """

    servers: Servers
    log: IO[Any]
    pid: int
    read: int = 0


_kept: list[_Kept] = []


def kept_servers() -> Servers:
    """Those that are there, or new ones where none is, or they have ended."""
    if _kept and _kept[0].pid == os.getpid() and _kept[0].servers.wait(0) is None:
        return _kept[0].servers
    close_servers()
    log = tempfile.TemporaryFile("a+", encoding="utf-8")  # noqa: SIM115 - as long as they are
    _kept.append(_Kept(Servers(log), log, os.getpid()))
    return _kept[0].servers


def copy_worker_log(path: Path) -> None:
    """Append to a project's log what the workers have said since the last time."""
    if not _kept:
        return
    kept = _kept[0]
    said = os.pread(kept.log.fileno(), os.fstat(kept.log.fileno()).st_size - kept.read, kept.read)
    kept.read += len(said)
    with path.open("ab") as file:
        file.write(said)


@atexit.register
def close_servers() -> None:
    """End them, and all that they forked."""
    while _kept:
        kept = _kept.pop()
        if kept.pid == os.getpid():
            kept.servers.close()
        kept.log.close()


_OURS = ("epochs", "batch_size")


class TunerTrials:
    """The rows of one tuner's project.

    A trial of KerasTuner's is a config with all its executions; its score is their mean, and each
    execution's that of its best epoch.
    """

    def __init__(self, tuner: keras_tuner.Tuner) -> None:
        self._tuner = tuner
        self._results: dict[str, dict[int, TrialResult]] = {}
        self._ids: dict[str, str] = {}

    def best_number(self, trial_id: str) -> int | None:
        """The row whose weights are those of a trial: its best execution's."""
        config = next((c for c, known in self._ids.items() if known == trial_id), None)
        scored = [r for r in self._results.get(config or "", {}).values() if r.score is not None]
        if not scored:
            return None
        sign = 1.0 if self._tuner.oracle.objective.direction == "max" else -1.0
        return max(scored, key=lambda result: (sign * (result.score or 0.0), -result.trial)).trial

    def take(
        self, trial: Trial, result: TrialResult, executions: int, *, tell: bool = False
    ) -> None:
        """A row is stored.

        Args:
            tell: Whether the screen is told of a trial that is complete.
        """
        known = self._results.setdefault(trial.config.id, {})
        known[trial.number] = result
        if len(known) < executions:
            return
        made = self._make(trial, known)
        if tell and self._tuner.oracle.verbose:
            self._show(made, sum(each.seconds for each in known.values()))

    def _make(self, trial: Trial, results: Mapping[int, TrialResult]) -> Any:
        oracle = self._tuner.oracle
        config = trial.config.id
        if config not in self._ids:
            # Before, KerasTuner's own loop may have run some.
            number = next(n for n in range(10**9) if f"{n:04d}" not in oracle.trials)
            self._ids[config] = f"{number:04d}"
        hyperparameters = oracle.hyperparameters.copy()
        late = next(iter(results.values())).late
        declared = {each.name for each in hyperparameters.space}
        hyperparameters.values = {
            name: value
            for name, value in {**trial.config.values, **late}.items()
            if name in declared or name not in _OURS
        }
        made = kt_trial.Trial(hyperparameters, self._ids[config], kt_trial.TrialStatus.RUNNING)
        self._end(made, list(results.values()))
        if made.trial_id not in oracle.trials:
            oracle.start_order.append(made.trial_id)
            oracle.end_order.append(made.trial_id)
        oracle.trials[made.trial_id] = made
        return made

    def _end(self, made: Any, results: list[TrialResult]) -> None:
        objective = self._tuner.oracle.objective
        scores = [result.score for result in results if result.status.scored]
        known = [score for score in scores if score is not None and math.isfinite(score)]
        if len(known) < len(results):
            failed = next(r for r in results if not r.status.scored or r.score is None)
            made.status = kt_trial.TrialStatus.FAILED
            made.message = failed.traceback or failed.error or str(failed.status)
            return
        made.status = kt_trial.TrialStatus.COMPLETED
        made.score = sum(known) / len(known)
        epochs = [result.scored_epoch or 1 for result in results]
        made.best_step = sum(epochs) // len(epochs) - 1
        metrics = [r.curve[(r.scored_epoch or 1) - 1] for r in results]
        made.metrics = kt_metrics.MetricsTracker()
        for name in metrics[0]:
            direction = objective.direction if name == objective.name else None
            made.metrics.register(name, direction)
            values = [each[name] for each in metrics if name in each]
            made.metrics.update(name, sum(values) / len(values), step=made.best_step)

    def _show(self, made: Any, seconds: float) -> None:
        """As KerasTuner's display has it: a trial that has ended."""
        display = self._tuner.oracle._display  # noqa: SLF001 - it has no other way
        now = datetime.now()  # noqa: DTZ005 - KerasTuner's clock has no zone
        display.search_start = display.search_start or now - timedelta(seconds=seconds)
        display.trial_start[made.trial_id] = now - timedelta(seconds=seconds)
        display.trial_number[made.trial_id] = len(self._tuner.oracle.trials)
        display.on_trial_end(made)


#: Keras' own, where `search` is told none.
_EPOCHS, _BATCH_SIZE = 1, 32


def search(tuner: keras_tuner.Tuner, request: Request) -> None:
    """Runs a tuner's search to its end.

    Raises:
        HpsearchError: The directory holds another search's results, or cannot be written.
        KeyboardInterrupt: It came.
        RuntimeError: No trial completed.
    """
    found = tuner.found(request)
    sweep = sweep_of(tuner, request, found)
    model = CustomModel(
        _code(tuner, request, found), found, "drawn" if _tunes(tuner) else "default"
    )
    where = Path(tuner.project_dir)
    settings = Settings(out=where, workers=tuner.workers, report=False, model=False)
    dataset = request.dataset

    def rows(_: DataSpec) -> Dataset:
        return dataset

    try:
        outcome = run_sweep(
            sweep, settings, _Telling(tuner), LoaderWithModel(rows, model), kept_servers()
        )
    except ChangedSweepError as error:
        raise RefusedError(
            f"{error}\nFor a tuner: overwrite=True begins anew, another project_name keeps both"
        ) from None
    except Interrupted as error:
        if error.by_keyboard:
            raise KeyboardInterrupt from error
        raise
    finally:
        copy_worker_log(where / "run.log")
    if not outcome.completed:
        raise RuntimeError(_failure(tuner))


class _Telling(Silent):
    """Tells a tuner of its results."""

    def __init__(self, tuner: keras_tuner.Tuner) -> None:
        self._tuner = tuner

    def result(self, trial: Trial, result: TrialResult) -> None:
        """It makes a trial of KerasTuner's of it."""
        self._tuner.took(trial, result)

    def note(self, message: str, *, warning: bool = False) -> None:
        """A line on the screen."""
        if self._tuner.oracle.verbose:
            print(f"hpsearch: {'warning: ' * warning}{message}")  # noqa: T201


def sweep_of(tuner: keras_tuner.Tuner, request: Request, found: ModelHyperparameters) -> Sweep:
    """What a sweep file would say."""
    objective, executions = tuner.oracle.objective, int(tuner.executions_per_trial)
    most = tuner.oracle.max_trials
    raw: dict[str, Any] = {
        "name": _name(tuner.project_name),
        "seed": int(tuner.oracle.seed),
        "data": {"memory": _described(request)},
        "model": tuner.model_name,
        "metric": {
            "name": objective.name,
            "goal": "maximize" if objective.direction == "max" else "minimize",
            "epoch": "best",
        },
        "method": dict(tuner.method),
        "parameters": _told(tuner, request, found),
        "seeds": executions,
        "keep": "all",
    }
    if most:
        raw["budget"] = {"trials": int(most) * executions}
    elif tuner.method["name"] == "hyperband":
        # Its brackets end it.
        raw["budget"] = {"trials": 10**9}
    return sweep_from_mapping(raw)


def _told(
    tuner: keras_tuner.Tuner, request: Request, found: ModelHyperparameters
) -> dict[str, int]:
    """The epochs and the batch size of every trial, but for those that the model asks for."""
    epochs = tuner.most_epochs or request.epochs
    told: dict[str, int | None] = {"epochs": epochs, "batch_size": request.batch_size}
    if not found.custom_fit:
        told = {"epochs": epochs or _EPOCHS, "batch_size": request.batch_size or _BATCH_SIZE}
    return {n: v for n, v in told.items() if v is not None and n not in found.defaults}


def _code(tuner: keras_tuner.Tuner, request: Request, found: ModelHyperparameters) -> bytes:
    """The hypermodel as workers get it.

    Raises:
        NotOnEngine: It cannot be sent.
    """
    tailored = Tailored(
        tuner.hypermodel,
        custom_fit=found.custom_fit,
        optimizer=tuner.optimizer,
        loss=tuner.loss,
        metrics=tuner.metrics,
        most_weights=tuner.max_model_size,
        callbacks=request.callbacks,
        arguments=request.arguments,
    )
    try:
        return shipped(tailored, tuner.model_name, of=tuner.user_objects(request))
    except InputError as error:
        raise NotOnEngine(str(error)) from None


def _tunes(tuner: keras_tuner.Tuner) -> bool:
    return bool(tuner.oracle.tune_new_entries)


def _name(project: str) -> str:
    cleaned = re.sub(r"[^A-Za-z0-9._-]+", "-", str(project))[:64]
    return cleaned if cleaned.strip(".") else "tuner"


def _described(request: Request) -> dict[str, str]:
    arrays = request.arrays
    return InMemoryRows(
        arrays.x_train, arrays.y_train, validation=(arrays.x_val, arrays.y_val)
    ).described


def row_shape_in(store: Store) -> tuple[int, ...]:
    """The shape of a row of the data that a store's trials were trained on."""
    sweep = sweep_from_text(store.facts().sweep)
    memory = sweep.data.memory
    described = memory.x if memory is not None else ""
    shape = re.match(r"\(([\d, ]*)\)", described)
    return tuple(int(n) for n in re.findall(r"\d+", shape.group(1) if shape else ""))[1:]


def _failure(tuner: keras_tuner.Tuner) -> str:
    failed = [trial for trial in tuner.oracle.trials.values() if trial.message]
    why = failed[-1].message if failed else "none was tried"
    return f"no trial completed; the last one: {why}"
