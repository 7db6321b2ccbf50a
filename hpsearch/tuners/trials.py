"""A tuner's search as a sweep, and its rows as KerasTuner's trials."""

from __future__ import annotations

import atexit
import contextlib
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

from hpsearch.data.memory import InMemoryRows
from hpsearch.errors import ChangedSweepError, InputError, Interrupted, RefusedError
from hpsearch.models.custom import Tailored
from hpsearch.models.shipping import CustomModel, ModelHyperparameters, shipped
from hpsearch.space.execution import Execution, ExecutionResult
from hpsearch.spec.sweep import Sweep, sweep_from_mapping, sweep_from_text
from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.store import Store
from hpsearch.tuner.custom_model import LoaderWithModel
from hpsearch.tuner.run import run_sweep
from hpsearch.tuner.settings import Reporter, Settings
from hpsearch.tuners.arguments import NotOnEngine, Request
from hpsearch.workers.output import cut_middle
from hpsearch.workers.servers import Servers


@dataclass
class _Kept:
    """The servers that all tuners of this process share.

    Attributes:
        log: What the workers have printed that no project's log has yet.
        pid: The process that started them; a fork of it starts its own.
    """

    servers: Servers
    log: IO[Any]
    pid: int


_kept: list[_Kept] = []


def kept_servers() -> Servers:
    """Return this process's servers, starting them if there are none or they have ended."""
    if _kept and _kept[0].pid == os.getpid() and _kept[0].servers.wait(0) is None:
        return _kept[0].servers
    close_servers()
    log = tempfile.TemporaryFile("a+", encoding="utf-8")  # noqa: SIM115 - open as long as they run
    _kept.append(_Kept(Servers(log), log, os.getpid()))
    return _kept[0].servers


def _copy_worker_log(where: ResultsDirectory) -> None:
    """Move what the workers have written to the project's log, if any."""
    if not _kept:
        return
    workers = _kept[0].log.fileno()
    output = os.pread(workers, os.fstat(workers).st_size, 0)
    os.ftruncate(workers, 0)
    with contextlib.suppress(OSError), where.open_log() as log:
        log.write(output.decode("utf-8", "replace"))
        log.flush()
        cut_middle(log)


@atexit.register
def close_servers() -> None:
    """End the servers and all processes that they forked."""
    while _kept:
        kept = _kept.pop()
        if kept.pid == os.getpid():
            kept.servers.close()
        kept.log.close()


class TunerTrials:
    """The rows of a tuner's project as trials of its oracle.

    A trial of KerasTuner is a config with all its executions. Its score is the mean of theirs, each
    at its best epoch.
    """

    def __init__(self, tuner: keras_tuner.Tuner) -> None:
        self.tuner = tuner
        self._results: dict[str, dict[int, ExecutionResult]] = {}
        self._ids: dict[str, str] = {}

    def best_number(self, trial_id: str) -> int | None:
        """Return the number of a trial's best execution, whose weights are the trial's."""
        config = self._config_of(trial_id)
        scored = [r for r in self._results.get(config or "", {}).values() if r.score is not None]
        if not scored:
            return None
        sign = 1.0 if self.tuner.oracle.objective.direction == "max" else -1.0
        return max(scored, key=lambda result: (sign * (result.score or 0.0), -result.number)).number

    def _config_of(self, trial_id: str) -> str | None:
        if self.tuner.asks_its_oracle:
            with Store(Path(self.tuner.project_dir, "sweep.db"), read_only=True) as store:
                made = {each.trial_id: each.config for each in store.events() if each.config}
            return made[trial_id].id if trial_id in made else None
        return next((c for c, known in self._ids.items() if known == trial_id), None)

    def take(self, execution: Execution, result: ExecutionResult, *, show: bool = False) -> None:
        """Add a row; the last execution of a config completes the trial.

        Args:
            show: Display a trial that is complete.
        """
        results = self._results.setdefault(execution.config.id, {})
        results[execution.number] = result
        if self.tuner.asks_its_oracle:
            return
        if len(results) < self.tuner.executions_per_trial:
            return
        made = self._make(execution, results)
        if show and self.tuner.oracle.verbose:
            self._show(made, sum(each.seconds for each in results.values()))

    def _make(self, execution: Execution, results: Mapping[int, ExecutionResult]) -> Any:
        oracle = self.tuner.oracle
        config = execution.config.id
        if config not in self._ids:
            # KerasTuner's own loop may have added trials before.
            number = next(n for n in range(10**9) if f"{n:04d}" not in oracle.trials)
            self._ids[config] = f"{number:04d}"
        hyperparameters = oracle.hyperparameters.copy()
        late = next(iter(results.values())).late
        declared = {each.name for each in hyperparameters.space}
        hyperparameters.values = {
            name: value
            for name, value in {**execution.config.values, **late}.items()
            if name in declared or name not in ("epochs", "batch_size")
        }
        made = kt_trial.Trial(hyperparameters, self._ids[config], kt_trial.TrialStatus.RUNNING)
        self._end(made, list(results.values()))
        if made.trial_id not in oracle.trials:
            oracle.start_order.append(made.trial_id)
            oracle.end_order.append(made.trial_id)
        oracle.trials[made.trial_id] = made
        return made

    def _end(self, made: Any, results: list[ExecutionResult]) -> None:
        objective = self.tuner.oracle.objective
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
        metrics = [r.curve[epoch - 1] for r, epoch in zip(results, epochs, strict=True)]
        made.metrics = kt_metrics.MetricsTracker()
        for name in metrics[0]:
            direction = objective.direction if name == objective.name else None
            made.metrics.register(name, direction)
            values = [each[name] for each in metrics if name in each]
            made.metrics.update(name, sum(values) / len(values), step=made.best_step)

    def _show(self, made: Any, seconds: float) -> None:
        """Show a trial that has ended as KerasTuner does."""
        display = self.tuner.oracle._display  # noqa: SLF001 - there is no public way
        now = datetime.now()  # noqa: DTZ005 - KerasTuner's clock has no zone
        display.search_start = display.search_start or now - timedelta(seconds=seconds)
        display.trial_start[made.trial_id] = now - timedelta(seconds=seconds)
        display.trial_number[made.trial_id] = len(self.tuner.oracle.trials)
        display.on_trial_end(made)


class _Reporter(Reporter):
    """Adds results to the tuner's trials, and prints notes."""

    def __init__(self, trials: TunerTrials) -> None:
        self._trials = trials

    def result(self, execution: Execution, result: ExecutionResult) -> None:
        self._trials.take(execution, result, show=True)

    def note(self, message: str, *, warning: bool = False) -> None:
        if self._trials.tuner.oracle.verbose:
            print(f"hpsearch: {'warning: ' * warning}{message}")  # noqa: T201


def search(trials: TunerTrials, request: Request) -> None:
    """Run a tuner's search to its end.

    Raises:
        HpsearchError: The directory holds another search's results, or cannot be written.
        KeyboardInterrupt: The user interrupted it.
        RuntimeError: No trial completed.
        NotOnEngine: The model cannot be sent to workers.
    """
    tuner = trials.tuner
    hyperparameters = tuner.model_hyperparameters(request)
    sweep = _sweep(tuner, request, hyperparameters)
    late = "drawn" if tuner.oracle.tune_new_entries else "default"
    model = CustomModel(_code(tuner, request, hyperparameters), hyperparameters, late)
    where = Path(tuner.project_dir)
    settings = Settings(
        out=where, workers=tuner.workers, report=False, model=False, drive=tuner.drive
    )
    dataset = request.dataset
    try:
        loader = LoaderWithModel(lambda _: dataset, model)
        outcome = run_sweep(sweep, settings, _Reporter(trials), loader, kept_servers())
    except ChangedSweepError as error:
        raise RefusedError(
            f"{error}\nFor a tuner: overwrite=True begins anew, another project_name keeps both"
        ) from None
    except Interrupted as error:
        if error.by_keyboard:
            raise KeyboardInterrupt from error
        raise
    finally:
        _copy_worker_log(ResultsDirectory(where))
    if not outcome.completed:
        failed = [trial for trial in tuner.oracle.trials.values() if trial.message]
        why = failed[-1].message if failed else "none was tried"
        raise RuntimeError(f"no trial completed; the last one: {why}")


def _sweep(tuner: keras_tuner.Tuner, request: Request, found: ModelHyperparameters) -> Sweep:
    objective, executions = tuner.oracle.objective, int(tuner.executions_per_trial)
    arrays = request.arrays
    rows = InMemoryRows(arrays.x_train, arrays.y_train, validation=(arrays.x_val, arrays.y_val))
    raw: dict[str, Any] = {
        "name": _name(tuner.project_name),
        "seed": int(tuner.oracle.seed),
        "data": {"memory": rows.described},
        "model": tuner.model_name,
        "metric": {
            "name": objective.name,
            "goal": "maximize" if objective.direction == "max" else "minimize",
            "epoch": "best",
        },
        "method": dict(tuner.method),
        "parameters": _fixed(tuner, request, found),
        "seeds": executions,
        "keep": "all",
    }
    if tuner.oracle.max_trials:
        raw["budget"] = {"trials": int(tuner.oracle.max_trials)}
    elif tuner.method["name"] == "hyperband" or tuner.asks_its_oracle:
        # The brackets, or the oracle, end the search.
        raw["budget"] = {"trials": 10**9}
    return sweep_from_mapping(raw)


def _fixed(
    tuner: keras_tuner.Tuner, request: Request, found: ModelHyperparameters
) -> dict[str, int]:
    """Return the epochs and batch size of every trial, without those that the model declares."""
    fixed = {"epochs": tuner.most_epochs or request.epochs, "batch_size": request.batch_size}
    if not found.custom_fit:
        defaults_of_fit = {"epochs": 1, "batch_size": 32}
        fixed = {name: value or defaults_of_fit[name] for name, value in fixed.items()}
    return {n: v for n, v in fixed.items() if v is not None and n not in found.defaults}


def _code(tuner: keras_tuner.Tuner, request: Request, found: ModelHyperparameters) -> bytes:
    """Pickle the hypermodel for workers.

    Raises:
        NotOnEngine: It cannot be pickled.
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
    users = [tuner.given_model, tuner.optimizer, tuner.loss, tuner.metrics, *request.callbacks]
    try:
        return shipped(tailored, tuner.model_name, of=users)
    except InputError as error:
        raise NotOnEngine(str(error)) from None


def _name(project: str) -> str:
    cleaned = re.sub(r"[^A-Za-z0-9._-]+", "-", str(project))[:64]
    return cleaned if cleaned.strip(".") else "tuner"


def row_shape_in(store: Store) -> tuple[int, ...]:
    """Return the shape of a row of the data that a store's trials were trained on."""
    memory = sweep_from_text(store.facts().sweep).data.memory
    shape = re.match(r"\(([\d, ]*)\)", memory.x if memory is not None else "")
    return tuple(int(n) for n in re.findall(r"\d+", shape.group(1) if shape else ""))[1:]
