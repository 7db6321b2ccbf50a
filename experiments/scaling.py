"""Measure how much faster two workers are than one.

    python experiments/scaling.py [--runs 5] [--sweep fashion]

Runs speed_fashion.yaml alternately with one and with two workers, each time in a new process. Two
times are measured: from the first training's start to the last one's end, and that of the whole
command. The ratios are those of neighbouring runs. `--check` fails if their median is below 1.8.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from processes import timed
from report import HERE, machine, report, versions

from hpsearch.engine.session import RunEvent, Settings
from hpsearch.engine.sweep import run_sweep
from hpsearch.spec.sweep import load_sweep
from hpsearch.workers.protocol import Finished, Started

_WORKERS = (1, 2)
_LEAST_RATIO = 1.8


def run_once(sweep: Path, workers: int, directory: Path) -> dict[str, float]:
    """Run the sweep once and return the seconds of the trainings and of the whole command."""
    out = Path(tempfile.mkdtemp(dir=directory))
    trained = out / "trained.json"
    command = [sys.executable, __file__, "--inside", str(sweep), str(workers), str(trained)]
    seconds, _ = timed(command)
    return {"trainings": float(json.loads(trained.read_text(encoding="utf-8"))), "all": seconds}


class Clock:
    """A listener that records when trainings begin and end."""

    def __init__(self) -> None:
        self.moments: list[float] = []

    def __call__(self, event: RunEvent) -> None:
        """Record the time of a training's start or end."""
        if isinstance(event, Started | Finished):
            self.moments.append(time.monotonic())


def inside(sweep: Path, workers: int, out: Path) -> None:
    """Run the sweep in this process and write the seconds of its trainings to a file."""
    clock = Clock()
    settings = Settings(out=out.parent / "results", workers=workers)
    run_sweep(load_sweep(sweep), settings, clock)
    out.write_text(json.dumps(clock.moments[-1] - clock.moments[0]), encoding="utf-8")


def measure(sweep: Path, runs: int) -> list[dict[int, dict[str, float]]]:
    """The seconds of each pair of runs, by number of workers."""
    pairs = []
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(runs):
            # The order alternates, because the first run may affect the second.
            order = _WORKERS if number % 2 == 0 else _WORKERS[::-1]
            pairs.append({workers: run_once(sweep, workers, Path(scratch)) for workers in order})
            print(pairs[-1], flush=True)
    return pairs


def rows(pairs: Sequence[Mapping[int, Mapping[str, float]]]) -> list[dict[str, Any]]:
    """The table's rows, one for each kind of time."""
    table = []
    for kind, name in (("trainings", "the trainings alone"), ("all", "all, start-up included")):
        one, two = ([pair[workers][kind] for pair in pairs] for workers in _WORKERS)
        ratios = [first / second for first, second in zip(one, two, strict=True)]
        table.append(
            {
                "time": name,
                "runs": len(pairs),
                "one worker, s": round(statistics.median(one), 2),
                "two workers, s": round(statistics.median(two), 2),
                "ratio (median)": round(statistics.median(ratios), 3),
                "ratios": ", ".join(f"{ratio:.2f}" for ratio in sorted(ratios)),
            }
        )
    return table


def main() -> None:
    """Measure, print, write, check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--sweep", type=Path, default=HERE / "speed_fashion.yaml")
    parser.add_argument("--out", type=Path, default=HERE, help="where scaling.md and .json go")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--inside", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        sweep, workers, out = arguments.inside
        inside(Path(sweep), int(workers), Path(out))
        return
    table = rows(measure(arguments.sweep, arguments.runs))
    about = [machine(), versions("hpsearch", "tensorflow", "keras"), arguments.sweep.name]
    report("scaling", about, table, arguments.out)
    if arguments.check and table[0]["ratio (median)"] < _LEAST_RATIO:
        raise SystemExit(f"two workers are {table[0]['ratio (median)']} times as fast as one")


if __name__ == "__main__":
    main()
