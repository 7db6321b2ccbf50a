"""Find the settings that make `model.fit` fastest, with which speed.py runs the peers' best.

    python experiments/speed_settings.py [--trials 4] [--sweeps fashion digits]

Each setting trains the same few networks of a sweep, with a new model each, as a search does.
Tracing and compiling count, imports do not. A setting with one thread runs in two processes at
once, each of which trains all the networks, and half of their time counts, as in a sweep on two
cores.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from processes import environment
from report import HERE, machine, report, versions
from speed import prepare
from speed_peers import ONE_THREAD, Job, fit_keras

_STEPS = (1, 10, 50, 200)
_JIT = {"auto": "auto", "on": True, "off": False}
_PROCESSES = (1, 2)


def inside(sweep: str, data: str, settings: str, trials: str) -> None:
    """Run the trials in this process and print the mean seconds of one."""
    job = Job(sweep, data, "")
    configs = list(job.configs.values())
    chosen = configs[:: max(1, len(configs) // int(trials))][: int(trials)]
    arrays, compile_with = job.read(), json.loads(settings)
    import keras  # noqa: F401 - before the clock starts

    began = time.perf_counter()
    for config in chosen:
        fit_keras(config, arrays, **compile_with)
    print(json.dumps((time.perf_counter() - began) / len(chosen)))


def seconds_a_trial(
    sweep: Path, data: Path, settings: dict[str, Any], processes: int, trials: int
) -> float:
    """Seconds that the machine needs for one trial."""
    command = [sys.executable, __file__, "--inside", str(sweep), str(data)]
    command += [json.dumps(settings), str(trials)]
    changes = ONE_THREAD if processes > 1 else {}
    children = [
        subprocess.Popen(
            command,
            env=environment(TF_CPP_MIN_LOG_LEVEL="2", **changes),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(processes)
    ]
    outputs = [child.communicate()[0] for child in children]
    return max(float(json.loads(text.splitlines()[-1])) for text in outputs) / processes


def measure(
    sweeps: Sequence[str], steps_per_execution: Sequence[int], jits: Sequence[str], trials: int
) -> list[dict[str, Any]]:
    """One row for each sweep and setting, the fastest first within a sweep."""
    rows = []
    for name in sweeps:
        sweep = HERE / f"speed_{name}.yaml"
        with tempfile.TemporaryDirectory() as scratch:
            data = prepare(sweep, Path(scratch))
            table: list[dict[str, Any]] = []
            for steps, jit, processes in itertools.product(steps_per_execution, jits, _PROCESSES):
                settings = {"steps_per_execution": steps, "jit_compile": _JIT[jit]}
                seconds = seconds_a_trial(sweep, data, settings, processes, trials)
                row = {"sweep": name, "steps_per_execution": steps, "jit_compile": jit}
                table.append(row | {"processes": processes, "s a trial": round(seconds, 3)})
        rows += sorted(table, key=lambda row: row["s a trial"])
    return rows


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--sweeps", nargs="*", default=["fashion", "digits"])
    parser.add_argument("--steps", nargs="*", type=int, default=_STEPS)
    parser.add_argument("--jit", nargs="*", choices=_JIT, default=_JIT)
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--out", type=Path, default=HERE, help="where the table goes")
    parser.add_argument("--inside", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        inside(*arguments.inside)
        return
    about = [machine(), versions("keras", "tensorflow"), f"{arguments.trials} trials, one run"]
    table = measure(arguments.sweeps, arguments.steps, arguments.jit, arguments.trials)
    report("speed_settings", about, table, arguments.out)


if __name__ == "__main__":
    main()
