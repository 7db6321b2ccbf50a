"""Measure how much faster two workers, or two threads of a training, are than one.

    python experiments/scaling.py [--runs 3] [--sweep fashion]

Workers: speed_fashion.yaml runs alternately with one and with two, of one thread each, in a new
process each time; and again with three times the epochs. Two times are measured: from the first
training's start to the last one's end, and that of the whole command. In the first, the driver and
the processes that import TensorFlow and KerasTuner work, too: beside one worker on the other core,
beside two on theirs. The processor seconds of each are counted. Between these runs stands what this
machine gives two processes that do nothing but train the same trainings, with one thread and
without hpsearch's engine.

Threads: trainings of two sizes, each of which alternates between one thread and two.

The ratios are those of neighbouring runs. `--check` fails if two workers are less than 1.8 times as
fast as one, a large training with two threads less than 1.6 times, or a small one slower.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import inner_loop
import psutil
import yaml
from processes import environment, timed
from report import HERE, machine, report, versions

from hpsearch.engine.models import SweepModels
from hpsearch.engine.planning import group
from hpsearch.engine.search import SearchSpec, foresee
from hpsearch.engine.session import Planned, RunEvent, Settings
from hpsearch.engine.sweep import run_sweep
from hpsearch.spec.sweep import AnySweep, load_sweep
from hpsearch.training.mlps import mlp_trainer
from hpsearch.training.trainer import TrainerRequest
from hpsearch.workers.protocol import Finished, Started

#: Units of the hidden layers, batch -> how many times as fast two threads are to be.
_TRAININGS = {((1000, 1000), 128): 1.6, ((200,), 128): 1.0, ((100,), 32): 1.0}
_LEAST_RATIO = 1.8
_ROWS, _EPOCHS = 20_000, 5

#: The seconds with one and with two, of neighbouring runs.
Pair = tuple[float, float]


@dataclass(frozen=True)
class Seconds:
    """Seconds of a run.

    Attributes:
        trained: From the first training's start to the last one's end.
        workers, driver, imports: Processor seconds in that time, of all workers, of the driver, and
            of the processes that import TensorFlow and KerasTuner.
        whole: Of the whole command.
    """

    trained: float
    workers: float
    driver: float
    imports: float
    whole: float = 0.0

    def since(self, begin: Seconds) -> Seconds:
        """The seconds after another moment."""
        return Seconds(
            self.trained - begin.trained,
            self.workers - begin.workers,
            self.driver - begin.driver,
            self.imports - begin.imports,
        )


def run_once(sweep: Path, workers: int, longer: int) -> Seconds:
    """Run the sweep once in a new process, with so many times its epochs."""
    with tempfile.TemporaryDirectory() as directory:
        trained = Path(directory) / "trained.json"
        given = [str(sweep), str(longer), str(workers), str(trained)]
        whole, _ = timed([sys.executable, __file__, "--inside", *given])
        return replace(Seconds(**json.loads(trained.read_text(encoding="utf-8"))), whole=whole)


class Clock:
    """A listener that measures from the first training's start to the last one's end."""

    def __init__(self) -> None:
        self._left = 0
        self._begin: Seconds | None = None
        self.seconds: Seconds | None = None

    def __call__(self, event: RunEvent) -> None:
        """Note an event."""
        if isinstance(event, Planned):
            self._left += event.summary.trainings
        elif isinstance(event, Started) and self._begin is None:
            self._begin = self._now()
        elif isinstance(event, Finished):
            self._left -= 1
            if not self._left and self._begin is not None:
                self.seconds = self._now().since(self._begin)

    def _now(self) -> Seconds:
        seconds = {True: 0.0, False: 0.0}
        for child in psutil.Process().children(recursive=True):
            # Workers are named by their number.
            is_worker = child.name().removeprefix("hpsearch-").isdecimal()
            seconds[is_worker] += sum(child.cpu_times()[:2])
        return Seconds(time.monotonic(), seconds[True], time.process_time(), seconds[False])


def read(sweep: Path, longer: int) -> AnySweep:
    """Load the sweep with so many times its epochs, and one thread a training."""
    # A worker alone would use the other core, too.
    alone = ["execution.threads=1"]
    raw = yaml.safe_load(sweep.read_text(encoding="utf-8"))["parameters"]["epochs"]
    return load_sweep(sweep, [*alone, f"parameters.epochs={[longer * n for n in raw]}"])


def inside(sweep: Path, longer: int, workers: int, out: Path) -> None:
    """Run the sweep in this process and write the seconds of its trainings to a file."""
    clock = Clock()
    settings = Settings(out=out.parent / "results", workers=workers)
    run_sweep(read(sweep, longer), settings, clock)
    assert clock.seconds is not None
    out.write_text(json.dumps(asdict(clock.seconds)), encoding="utf-8")


def of_sweep(sweep: Path, longer: int, runs: int) -> tuple[dict[str, list[Pair]], str]:
    """The seconds of a sweep with one and with two, and where two workers' seconds went."""
    alone, whole, bare, of_two = [], [], [], []
    for number in range(runs):
        # The order alternates, because the first run may affect the second.
        order = (1, 2) if number % 2 == 0 else (2, 1)
        seconds = {workers: run_once(sweep, workers, longer) for workers in order}
        print(seconds, flush=True)
        loops = {processes: loop_seconds(processes, sweep, longer) for processes in order}
        alone.append((seconds[1].trained, seconds[2].trained))
        whole.append((seconds[1].whole, seconds[2].whole))
        bare.append((loops[1], loops[2]))
        of_two.append(seconds[2])
    middle = {
        name: statistics.median(getattr(each, name) for each in of_two)
        for name in ("workers", "driver", "imports")
    }
    rest = statistics.median(
        2 * each.trained - each.workers - each.driver - each.imports for each in of_two
    )
    times = f", {longer} times the epochs" if longer > 1 else ""
    line = (
        f"two workers{times}: of the processors' seconds, {middle['workers']:.1f} are the "
        f"workers', {middle['driver']:.1f} the driver's, {middle['imports']:.1f} imports of "
        f"TensorFlow and KerasTuner, {rest:.1f} of none of them (medians)"
    )
    return {
        f"workers, the trainings alone{times}": alone,
        f"workers, start-up included{times}": whole,
        f"processes of a bare loop{times}": bare,
    }, line


def loop(sweep: Path, longer: int, claims: Path) -> None:
    """Once a line comes, train those trainings of the sweep that no other process has claimed."""
    models = SweepModels.of(read(sweep, longer))
    rows, costs = models.rows, models.costs
    trainings = group(foresee(SearchSpec.of(models.sweep), ())[0])
    print("ready", flush=True)
    sys.stdin.readline()
    for training in trainings:
        try:
            claims.joinpath(str(training.number)).touch(exist_ok=False)
        except FileExistsError:
            continue
        request = TrainerRequest(
            costs.problem, training.values, training.seed, rows.arrays, training.epochs
        )
        trainer = mlp_trainer(request)
        for _ in range(training.epochs):
            trainer.run_epoch()
    print("done", flush=True)


def loop_seconds(processes: int, sweep: Path, longer: int) -> float:
    """The seconds in which so many processes, which only train, train a whole sweep."""
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with tempfile.TemporaryDirectory() as claims:
        command = [sys.executable, __file__, "--loop", str(sweep), str(longer), claims]
        children = [subprocess.Popen(command, env=environment(), **pipes) for _ in range(processes)]
        for child in children:
            child.stdout.readline()
        began = time.monotonic()
        for child in children:
            child.stdin.write("\n")
            child.stdin.flush()
        said = [child.stdout.readline() for child in children]
        seconds = time.monotonic() - began
        assert said == ["done\n"] * processes
        assert not any(child.wait() for child in children)
        return seconds


def of_threads(units: Sequence[int], batch: int, rows: int) -> list[Pair]:
    """The seconds of an epoch of a training with one thread and with two."""
    threads = 1
    arrays = inner_loop.make_arrays(rows)
    trainer = inner_loop.make_trainer("native", batch, units, arrays, threads=lambda: threads)
    trainer.run_epoch()
    pairs = []
    for _ in range(_EPOCHS):
        threads = 1
        one = inner_loop.seconds_of(trainer.run_epoch)
        threads = 2
        pairs.append((one, inner_loop.seconds_of(trainer.run_epoch)))
    return pairs


def row(name: str, pairs: Sequence[Pair]) -> dict[str, Any]:
    """A row of the table."""
    ratios = [one / two for one, two in pairs]
    return {
        "two": name,
        "runs": len(pairs),
        "one, s": round(statistics.median(one for one, _ in pairs), 3),
        "two, s": round(statistics.median(two for _, two in pairs), 3),
        "ratio (median)": round(statistics.median(ratios), 3),
        "ratios": ", ".join(f"{ratio:.2f}" for ratio in sorted(ratios)),
    }


def main() -> None:
    """Measure, print, write, check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--sweep", type=Path, default=HERE / "speed_fashion.yaml")
    parser.add_argument("--longer", type=int, nargs="*", default=[1, 3], help="times the epochs")
    parser.add_argument("--rows", type=int, default=_ROWS, help="of the trainings without a sweep")
    parser.add_argument("--out", type=Path, default=HERE, help="where scaling.md and .json go")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--inside", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--loop", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        sweep, longer, workers, out = arguments.inside
        inside(Path(sweep), int(longer), int(workers), Path(out))
        return
    if arguments.loop:
        sweep, longer, claims = arguments.loop
        loop(Path(sweep), int(longer), Path(claims))
        return
    least = {"workers, the trainings alone": _LEAST_RATIO}
    pairs: dict[str, list[Pair]] = {}
    lines = []
    for longer in arguments.longer:
        of_this, line = of_sweep(arguments.sweep, longer, arguments.runs)
        pairs |= of_this
        lines.append(line)
    for (units, batch), promised in _TRAININGS.items():
        name = f"threads, {'-'.join(map(str, (784, *units, 10)))}, batch {batch}"
        pairs[name], least[name] = of_threads(units, batch, arguments.rows), promised
    table = [row(name, of_name) for name, of_name in pairs.items()]
    about = [machine(), versions("hpsearch", "tensorflow", "keras"), arguments.sweep.name, *lines]
    report("scaling", about, table, arguments.out)
    short = [entry for entry in table if entry["ratio (median)"] < least.get(entry["two"], 0.0)]
    if arguments.check and short:
        raise SystemExit(f"less than promised: {short}")


if __name__ == "__main__":
    main()
