"""Measure how many workers one driver keeps busy, on one machine and on a Ray cluster.

    python experiments/scale.py [--local 8x1 32x1 128x1] [--runs 8x1 16x1 64x1 128x1] [--out DIR]
        [--check]

First come real runs: `hpsearch.optimize` with a function that sleeps, in forked workers, as on a
machine of so many cores, and on Ray actors of this machine (`64x10`: 64 actors, trials of 10
seconds), each run in a process of its own, with the usual store, tables and random proposals. A run
is measured from the moment when all actors have work to the moment when the last trial is handed
out, because starting an actor takes seconds of processor time, which a cluster spends on its own
machines. `memory` is what one forked worker has for itself (its unique set size; a worker of MLPs
has its network besides). `lost` is the share of the actors' time in which they did not sleep;
`driver` is the processor time of the driver's process per trial; `turnaround` is the mean time
between two sleeps of an actor; `machine` is the share of this machine's processor time that the
actors, Ray's processes and the driver used together. If that is near 100%, the actors wait for a
processor instead of the driver, which they would not do on machines of their own.

Then comes a model: the driver as a single server that takes its measured time for each trial, and
workers that train and wait for it. It is compared with the real runs and predicts larger clusters
and longer trials. Last come the other costs of a trial: its commit to the store and its messages.

`--check` fails if the driver takes 5 ms or more per trial, or if up to 16 actors lose 5% or more of
their time.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
from processes import environment
from report import HERE, machine, report, versions

from hpsearch.space.execution import Repetition

_MOST_MILLISECONDS, _MOST_LOST = 5.0, 0.05
_LOCAL = ("8x1", "32x1", "128x1")
_RUNS = ("8x1", "16x1", "64x1", "128x1")
#: Fewest trials per actor.
_ROUNDS = 4
_CLUSTERS = (16, 64, 256, 1024, 4096, 16384)
_TRIAL_SECONDS = (1.0, 10.0, 100.0)


def sleeping(config: dict[str, Any]) -> float:
    """A trial that only sleeps; the first ones wait until all actors have work."""
    while not Path(os.environ["SCALE_GO"]).exists():
        time.sleep(0.05)
    time.sleep(config["seconds"])
    return float(config["x"])


class _Moment(NamedTuple):
    """The time, processor seconds of the driver and of the machine, and results so far."""

    time: float
    driver: float
    machine: float
    results: int


class _Clock:
    """A listener that records the start and the end of the measurement."""

    def __init__(self, workers: int, trials: int) -> None:
        self.workers, self.trials = workers, trials
        self.busy, self.begun, self.results = 0, 0, 0
        self.start: _Moment | None = None
        self.stop: _Moment | None = None
        self.worker_bytes: list[int] = []

    def __call__(self, event: Any) -> None:
        kind = type(event).__name__
        if kind == "Said":
            print("warning: " * event.warning + event.message, file=sys.stderr)
        self.results += kind == "Stored"
        self.begun += kind == "Started"
        self.busy += {"Started": 1, "Finished": -1}.get(kind, 0)
        if self.start is None and self.busy == self.workers:
            Path(os.environ["SCALE_GO"]).touch()
            self.start = self._now()
        if self.stop is None and self.begun >= self.trials:
            self.stop = self._now()
            children = psutil.Process().children(recursive=True)
            # Workers are named by their number, unlike the servers that fork them.
            names = {child: child.name().removeprefix("hpsearch-") for child in children}
            forked = [child for child, name in names.items() if name.isdecimal()]
            self.worker_bytes = [child.memory_full_info().uss for child in forked]

    def _now(self) -> _Moment:
        times, machine_times = psutil.Process().cpu_times(), psutil.cpu_times()
        taken = machine_times.user + machine_times.nice + machine_times.system
        return _Moment(time.monotonic(), times.user + times.system, taken, self.results)


def _real(engine: str, workers: int, seconds: float, trials: int) -> dict[str, Any]:
    """One run in this process."""
    scratch = tempfile.mkdtemp()
    os.environ["SCALE_GO"] = f"{scratch}/go"
    if engine == "ray":
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": os.urandom(32).hex()}
        import ray

        ray.init("local", num_cpus=workers, include_dashboard=False, log_to_driver=False)
    from hpsearch.engine.search import SearchSpec
    from hpsearch.engine.session import Settings
    from hpsearch.functions.search import FunctionSearch
    from hpsearch.space.space import Kind
    from hpsearch.spec.execution import ExecutionSettings
    from hpsearch.spec.method import MethodSpec

    module = sys.modules["scale"]
    search = SearchSpec(
        method=MethodSpec("random"),
        space=_space(seconds, Kind.FUNCTION),
        listed=(),
        repetitions=(Repetition(0),),
        limit=trials,
        seed=0,
    )
    clock = _Clock(workers, trials)
    execution = ExecutionSettings(engine=engine, workers=workers)
    job = FunctionSearch(module.sleeping, search, "minimize", execution)
    job.run(Settings(Path(scratch) / "run", report=False), clock)
    if engine == "ray":
        ray.shutdown()
    shutil.rmtree(scratch)
    assert clock.start is not None
    assert clock.stop is not None
    wall, driver, taken, done = (b - a for a, b in zip(clock.start, clock.stop, strict=True))
    cycle = wall * workers / done
    return {
        "engine": engine,
        "actors": workers,
        "trial s": seconds,
        "trials": done,
        "lost": 1 - seconds / cycle,
        "driver ms": driver / done * 1e3,
        "turnaround ms": (cycle - seconds) * 1e3,
        "machine": taken / wall / (psutil.cpu_count() or 1),
        "memory": sum(clock.worker_bytes) / max(1, len(clock.worker_bytes)),
    }


def _space(seconds: float, kind: Any) -> Any:
    from hpsearch.space.space import Space
    from hpsearch.spec.parameters import ANYTHING, parse_parameter

    asked = {"x": {"min": 0.0, "max": 1.0}, "seconds": seconds}
    found = [parse_parameter(ANYTHING, name, raw) for name, raw in asked.items()]
    return Space(tuple(found), kind=kind)


def simulated(workers: int, trial: float, driver: float, way: float, rounds: int = 20) -> float:
    """The share of the workers' time that is lost according to the model.

    Args:
        workers: Number of workers.
        trial: Seconds of a trial.
        driver: Seconds of the driver per trial.
        way: Seconds from a worker to an idle driver and back.
        rounds: Trials per worker.
    """
    # The driver hands out the first trials one after the other.
    ends = [driver * n + trial for n in range(workers)]
    heapq.heapify(ends)
    free_at, first, trials = 0.0, ends[0], workers * rounds
    for _ in range(trials):
        ended = heapq.heappop(ends)
        free_at = max(free_at, ended + way / 2) + driver
        heapq.heappush(ends, free_at + way / 2 + trial)
    # Between the first end and the last start, each worker has slept one round less.
    return 1 - (trials - workers) * trial / (workers * (free_at - first))


def _costs(out: Path) -> list[str]:
    """Measure a trial's commit and its messages; return one line for each."""
    from hpsearch.space.execution import Curve, Execution, ExecutionResult, Status
    from hpsearch.space.space import Config
    from hpsearch.store.store import Store

    weights = (np.zeros((784, 100), np.float32), np.zeros((100, 10), np.float32))
    curve = Curve([{"loss": 0.5, "accuracy": 0.5, "val_loss": 0.5, "val_accuracy": 0.5}] * 20)

    def result(number: int, state: Any = None) -> ExecutionResult:
        return ExecutionResult(
            number, Status.COMPLETED, score=0.5, seconds=1.0, curve=curve, state=state
        )

    count = 500
    with Store(out / "store.db") as store:
        store.add_executions([Execution(n, n, Config({"x": n}), 0) for n in range(1, count + 1)])
        began = time.monotonic()
        for number in range(1, count + 1):
            store.add_results([result(number)])
        commit = (time.monotonic() - began) / count
    row, heavy = len(pickle.dumps(result(1))), len(pickle.dumps(result(1, weights)))
    return [
        f"commit of a result to the store, alone: {commit * 1e3:.2f} ms",
        f"a result of 20 epochs: {row / 1e3:.1f} kB; with the weights of a 784-100-10 network, "
        f"which only a new best sends: {heavy / 1e3:.0f} kB",
        "the data: once into the object store, once to each node, mapped by its workers",
    ]


def main() -> None:
    """Measure, and write scale.md and scale.json."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--local", nargs="*", default=_LOCAL, metavar="WORKERSxSECONDS")
    parser.add_argument("--runs", nargs="+", default=_RUNS, metavar="ACTORSxSECONDS")
    parser.add_argument(
        "--trials",
        type=int,
        default=1000,
        help="fewest trials of a run; many, so that the driver's work per sweep hardly counts",
    )
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        sys.modules["scale"] = __import__("scale")
        engine, _, run = arguments.one.partition(":")
        workers, seconds = _parsed(run)
        trials = workers * max(_ROUNDS, -(-arguments.trials // workers))
        print(json.dumps(_real(engine, workers, seconds, trials)))
        return
    local = [_in_process(f"local:{run}", arguments.trials) for run in arguments.local]
    real = [_in_process(f"ray:{run}", arguments.trials) for run in arguments.runs]
    largest = max(real, key=lambda each: (each["actors"], -each["trial s"]))
    driver, way = largest["driver ms"] / 1e3, real[0]["turnaround ms"] / 1e3
    rows = [_row(each) for each in local]
    rows += [
        _row(each)
        | {"lost by the model": f"{simulated(each['actors'], each['trial s'], driver, way):.1%}"}
        for each in real
    ]
    rows += [
        {
            "workers": workers,
            "trial": f"{seconds:g} s",
            "lost by the model": f"{simulated(workers, seconds, driver, way):.1%}",
        }
        for seconds in _TRIAL_SECONDS
        for workers in _CLUSTERS
    ]
    with tempfile.TemporaryDirectory() as scratch:
        costs = _costs(Path(scratch))
    about = [
        f"{machine()}; {versions('hpsearch', 'ray', 'numpy')}; one run each",
        f"the model: {driver * 1e3:.2f} ms of the driver for a trial (measured with "
        f"{largest['actors']} actors), {way * 1e3:.1f} ms from a worker to it and back",
        f"so one driver keeps {1 / driver:.0f} workers busy with trials of 1 s, ten times as many "
        "of 10 s; with more, workers wait for it, and the sweep takes no longer for that: it is "
        "the driver's time for all trials. Several sweeps, of a part of the space each, have a "
        "driver each",
        *costs,
    ]
    report("scale", about, rows, arguments.out)
    if arguments.check:
        _check([*local, *real])


def _row(each: dict[str, Any]) -> dict[str, Any]:
    return {
        "engine": each["engine"],
        "workers": each["actors"],
        "trial": f"{each['trial s']:g} s",
        "lost in a real run": f"{each['lost']:.1%}",
        "driver for a trial": f"{each['driver ms']:.2f} ms",
        "turnaround": f"{each['turnaround ms']:.1f} ms",
        "machine": f"{each['machine']:.0%}",
        "memory of a worker": f"{each['memory'] / 1e6:.0f} MB" if each["memory"] else "",
        "trials": each["trials"],
    }


def _parsed(run: str) -> tuple[int, float]:
    actors, _, seconds = run.partition("x")
    return int(actors), float(seconds)


def _in_process(run: str, trials: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", run, "--trials", str(trials)]
    done = subprocess.run(command, env=environment(), stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(found, flush=True)
    return found


def _check(real: list[dict[str, Any]]) -> None:
    slow = [each for each in real if each["driver ms"] >= _MOST_MILLISECONDS]
    lossy = [each for each in real if each["actors"] <= 16 and each["lost"] >= _MOST_LOST]
    if slow or lossy:
        sys.exit(f"over the limits: {slow or lossy}")


if __name__ == "__main__":
    main()
