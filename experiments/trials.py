"""Measure the driver's cost of a trial as the number of trials grows.

    python experiments/trials.py [grid] [shared] [random] [pool] [--trials 10000]

`grid`, `shared` (five trials per training) and `random` run the real loop, planner, store and
tables in a real results directory, with an executor whose trainings return at once, so all the time
is the driver's. `pool` is a whole run of very small trainings (iris, one epoch of one or two steps)
in two real workers, so the wall time is theirs, too. There is one row for each tenth of the trials,
of which the first includes planning, one for the tables at the end, and one for a second run that
finds everything done. `--check` fails if any of them takes more than two milliseconds per trial.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import psutil
from report import HERE, machine, report, versions

from hpsearch.data.specs import InputSpec, Target, Task
from hpsearch.engine.learning import Snapshots
from hpsearch.engine.loop import Engine
from hpsearch.engine.models import NetworkCosts
from hpsearch.engine.run import make_planner
from hpsearch.engine.search import SearchSpec
from hpsearch.engine.session import Began, RunEvent, Settings, Stop, Stored
from hpsearch.engine.sweep import run_sweep
from hpsearch.engine.trainings import Ledger, Trainings
from hpsearch.models.problem import Problem, Recipe
from hpsearch.search.strategy import reply_of, search_with
from hpsearch.space.execution import ExecutionResult, Status
from hpsearch.spec.sweep import Sweep, sweep_from_text
from hpsearch.store.columns import Provenance
from hpsearch.store.derived import Tables
from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.store import Store
from hpsearch.training.mlps import MLPs
from hpsearch.training.subjects import Job
from hpsearch.workers.protocol import Answered, Event, Finished, Started

_LIMIT_MILLISECONDS = 2.0
_STAGES = 10
_WORKERS = 2
_RECIPE = Recipe(0, "sparse_categorical_crossentropy", "softmax", "val_accuracy", "maximize")
_PROVENANCE = Provenance("val_accuracy:maximize:last", "trials", "d0", "r0", "0", "0", "0")
_COSTS = NetworkCosts(
    problem=Problem(_RECIPE, InputSpec((64,), "float32"), Target(Task.MULTICLASS, 10)),
    rows=1000,
    validation_rows=200,
)
_WEIGHTS = (np.zeros((64, 100), np.float32), np.zeros((100, 10), np.float32))

#: Method -> parameters; each space has at least ten thousand configs.
_PARAMETERS: dict[str, dict[str, str]] = {
    "grid": {
        "hidden_layers": "[1, 2]",
        "units": "{min: 8, max: 160, step: 8, type: int}",
        "activation": "[relu, tanh, sigmoid, gelu, elu]",
        "batch_size": "[16, 32, 64, 128, 256]",
        "optimizer": "[adam, nesterov, sgd, rmsprop, adagrad]",
        "l2": "[0.0, 0.001]",
        "epochs": "[1]",
    },
    # Five trials share a training.
    "shared": {
        "hidden_layers": "[1, 2]",
        "units": "{min: 8, max: 160, step: 8, type: int}",
        "activation": "[relu, tanh, sigmoid, gelu, elu]",
        "batch_size": "[32, 128]",
        "optimizer": "[adam, nesterov, sgd, rmsprop, adagrad]",
        "epochs": "[1, 2, 3, 4, 5]",
    },
    "random": {
        "hidden_layers": "[1, 2, 3]",
        "units": "{min: 8, max: 256, type: int}",
        "activation": "[relu, tanh, sigmoid, gelu]",
        "layer_type": "[dense, dropout, batch_norm]",
        "dropout": "{values: [0.1, 0.3], when: {layer_type: dropout}}",
        "units_2": "{values: [25, 50], when: {hidden_layers: [2, 3]}}",
        "batch_size": "[32, 128]",
        "learning_rate": "{min: 1e-4, max: 1e-1, scale: log}",
        "optimizer": "[adam, nesterov]",
        "epochs": "[1]",
    },
    "pool": {
        "hidden_layers": "[1, 2]",
        "units": "{min: 1, max: 20, step: 1, type: int}",
        "activation": "[relu, tanh, sigmoid, gelu, elu]",
        "batch_size": "[64, 128]",
        "learning_rate": "[0.001, 0.002, 0.005, 0.01, 0.02]",
        "optimizer": "[adam, nesterov, sgd, rmsprop, adagrad]",
        "epochs": "[1]",
    },
}


class Instant:
    """An executor, as `hpsearch.workers.protocol` defines it, whose trainings end at once."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._jobs: list[Job] = []

    @property
    def free(self) -> int:
        return self._workers - len(self._jobs)

    @property
    def busy(self) -> int:
        return len(self._jobs)

    free_devices = None

    def spread(self, *, waiting: bool) -> None:
        """Do nothing: no training takes time."""

    def submit(self, job: Job) -> None:
        self._jobs.append(job)

    def events(self, timeout_seconds: float) -> Sequence[Event]:
        del timeout_seconds
        jobs, self._jobs = self._jobs, []
        return [event for number, job in enumerate(jobs, 1) for event in _events(number, job)]

    def close(self) -> None:
        self._jobs.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _events(worker: int, job: Job) -> Iterator[Event]:
    training = job.training
    yield Started(worker, training)
    for epochs, number in training.stops:
        # The scores must not be sorted.
        score = number * 7919 % 10_007 / 10_007
        epoch = {"loss": 1.0, "accuracy": score, "val_loss": 1.0, "val_accuracy": score}
        result = ExecutionResult(
            number=number,
            status=Status.COMPLETED,
            score=score,
            curve=tuple(dict(epoch) for _ in range(epochs)),
            scored_epoch=epochs,
            best_epoch=epochs,
            best_score=score,
            seconds=0.001,
            shared_with=None if number == training.number else training.number,
            weights=7510,
            state=_WEIGHTS if job.wants(score) else None,
        )
        yield Answered(worker, result)
    yield Finished(worker, training)


class Stages:
    """A listener that reads the clocks and the memory at the end of each stage.

    Args:
        size: Trials per stage.
    """

    def __init__(self, size: int) -> None:
        self.rows: list[dict[str, Any]] = []
        self._size = size
        self._done = 0
        self._begin()

    def _begin(self) -> None:
        self._wall = self._last = time.perf_counter()
        self._processor = time.process_time()
        self._longest = 0.0

    def __call__(self, event: RunEvent) -> None:
        """Start the clocks after imports and reading the data, and count trials."""
        match event:
            case Began():
                self._begin()
            case Stored():
                self._count()

    def _count(self) -> None:
        """Count a trial, and end the stage if it is complete."""
        now = time.perf_counter()
        self._longest = max(self._longest, now - self._last)
        self._last = now
        self._done += 1
        if self._done % self._size == 0:
            self.end(f"trials {self._done - self._size + 1} to {self._done}", self._size)

    def end(self, stage: str, trials: int) -> None:
        """Record a stage and begin the next."""
        wall = time.perf_counter() - self._wall
        processor = time.process_time() - self._processor
        self.rows.append(
            {
                "stage": stage,
                "ms a trial": round(1000 * wall / trials, 3),
                "driver's processor ms a trial": round(1000 * processor / trials, 3),
                "longest pause, ms": round(1000 * max(self._longest, wall * (not self._longest))),
                "driver's memory, MB": round(psutil.Process().memory_info().rss / 2**20),
            }
        )
        self._begin()


def make_sweep(method: str, trials: int, directory: Path) -> Sweep:
    """The sweep of a key of `_PARAMETERS`."""
    lines = [f"data: {{dataset: {'iris' if method == 'pool' else 'digits'}}}"]
    lines += [f"method: {'random' if method == 'random' else 'grid'}"]
    lines += [f"budget: {{trials: {trials}}}", "parameters:"]
    lines += [f"  {name}: {values}" for name, values in _PARAMETERS[method].items()]
    return sweep_from_text("\n".join(lines), f"{method}.yaml", directory)


def run_instantly(sweep: Sweep, directory: Path, stages: Stages) -> int:
    """Run a sweep as the driver does, but with trainings that end at once.

    Returns:
        The number of trials that have a result.
    """
    where = ResultsDirectory(directory)
    where.prepare(fresh=False)
    with Store(where.store) as store, Instant(_WORKERS) as executor:
        results = store.results()
        snapshots, stored = Snapshots(store, results), store.executions()
        engine = Engine(
            planner=make_planner(SearchSpec.of(sweep), _RECIPE, stored, results, snapshots),
            trainings=Trainings(executor, MLPs(), _RECIPE, _COSTS, snapshots, results),
            ledger=Ledger(
                store,
                Tables(where, Task.MULTICLASS, list(sweep.parameters), _PROVENANCE),
                stages,
                _RECIPE,
                results,
                stored,
            ),
            stop=Stop(),
        )
        engine.begin(set(results))
        strategy = engine.planner.strategy
        assert strategy is not None
        search_with(partial(reply_of, strategy), engine)
        engine.ledger.write_tables()
    return len(results)


def run_pool(sweep: Sweep, directory: Path, stages: Stages) -> int:
    """Run a sweep.

    Returns:
        The number of trials that have a result.
    """
    return run_sweep(sweep, Settings(out=directory, workers=_WORKERS), stages).trials


def measure(method: str, trials: int) -> list[dict[str, Any]]:
    """The rows of a method: its stages, the tables at the end, and a second run."""
    runner = run_pool if method == "pool" else run_instantly
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch) / "results"
        sweep = make_sweep(method, trials, Path(scratch))
        stages = Stages(max(1, trials // _STAGES))
        if runner(sweep, directory, stages) != trials:
            raise SystemExit(f"{method}: not every trial has a result")
        stages.end("the tables at the end" + " and the best model" * (method == "pool"), trials)
        whole = time.perf_counter() - began
        again = Stages(trials)
        runner(sweep, directory, again)
        again.end("a second run: all is done", trials)
    row = {"stage": "the whole first run", "ms a trial": round(1000 * whole / trials, 3)}
    return [{"method": method, **row} for row in [*stages.rows, row, *again.rows]]


def check(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The stages that take too long."""
    return [
        f"{row['method']}: {row['stage']}: {row['ms a trial']} ms a trial"
        for row in rows
        if row["ms a trial"] > _LIMIT_MILLISECONDS
    ]


def page(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The first, the slowest and the last stage of trials of each method, and all other rows."""
    kept: list[Mapping[str, Any]] = []
    for _, group in itertools.groupby(rows, key=lambda row: row["method"]):
        method = list(group)
        stages = [row for row in method if row["stage"].startswith("trials ")]
        slowest = max(stages, key=lambda row: float(row["ms a trial"]))
        left_out = [row for row in stages if row not in (stages[0], slowest, stages[-1])]
        kept += [row for row in method if row not in left_out]
    return kept


def about(trials: int) -> list[str]:
    """The lines above the table."""
    return [
        machine(),
        versions("hpsearch", "pandas", "numpy"),
        f"{trials} trials a method, one run; wall time",
        f"limit: {_LIMIT_MILLISECONDS:g} ms a trial in every stage",
    ]


def main() -> None:
    """Measure, print, write, check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("methods", nargs="*", default=list(_PARAMETERS))
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--out", type=Path, default=HERE, help="where trials.md and .json go")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    rows = [row for name in arguments.methods for row in measure(name, arguments.trials)]
    report("trials", about(arguments.trials), rows, arguments.out, page={"": page(rows)})
    short = check(rows)
    if arguments.check and short:
        raise SystemExit("\n".join(short))


if __name__ == "__main__":
    main()
