"""Overhead a trial of a program, beside the same processes in a bare loop.

    python experiments/programs.py [--trials 1000] [--out DIR]

Both run a shell that prints a line, so often, one process at a time: `subprocess.run` in a loop,
and a sweep by one worker, with its store, tables and directories, without the report. A sweep's
start, in which the worker's server begins, is measured by sweeps of one trial and taken off.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from hpsearch.machine import cores
from hpsearch.programs.loading import program_sweep
from hpsearch.tuner.run import run_sweep
from hpsearch.tuner.settings import Settings

#: It tells its metric by a shell's own command, so that no second process starts.
_COMMAND = ["/bin/sh", "-c", "echo loss: 1", "sh", "${args}"]


def loop_seconds(trials: int) -> float:
    """Seconds of the bare loop."""
    began = time.perf_counter()
    for trial in range(trials):
        command = [*_COMMAND[:-1], f"--x={trial}"]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def sweep_seconds(trials: int, out: Path) -> float:
    """Seconds of a sweep of so many trials."""
    sweep = program_sweep(
        {
            "command": _COMMAND,
            "metric": "loss",
            "parameters": {"x": list(range(trials))},
            "execution": {"workers": 1},
        }
    )
    began = time.perf_counter()
    outcome = run_sweep(sweep, Settings(out=out, report=False))
    seconds = time.perf_counter() - began
    if outcome.completed != trials:
        raise SystemExit(f"{outcome.completed} of {trials} trials completed")
    return seconds


def measure(trials: int) -> dict[str, Any]:
    """The figures, in milliseconds a trial."""
    with tempfile.TemporaryDirectory() as scratch:
        # Each once without being measured: imports and caches.
        loop_seconds(10)
        start = min(sweep_seconds(1, Path(scratch, f"start{n}")) for n in range(3))
        loop = loop_seconds(trials) / trials
        sweep = (sweep_seconds(trials, Path(scratch, "sweep")) - start) / max(1, trials - 1)
    return {
        "trials": trials,
        "cores": cores(),
        "load": os.getloadavg()[0],
        "machine": platform.machine(),
        "loop_ms": round(1_000 * loop, 3),
        "sweep_ms": round(1_000 * sweep, 3),
        "overhead_ms": round(1_000 * (sweep - loop), 3),
        "start_s": round(start, 3),
    }


def main() -> None:
    """Measure, print, and write a file if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=1_000)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    found = measure(arguments.trials)
    print(json.dumps(found, indent=1))
    if arguments.out is not None:
        path = arguments.out / "programs.json"
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
