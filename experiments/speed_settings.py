"""Find the settings that make `model.fit` fastest, with which speed.py runs the peers' best.

    python experiments/speed_settings.py [--sweeps digits_single] [--runs 5] [--backends jax]

Each setting trains the same few networks of a sweep, drawn at random, with a new model each, as a
search does. Tracing and compiling count, imports do not. A setting with one thread runs in two
processes at once, each of which trains all the networks, and half of their time counts, as in a
sweep on two cores. All settings run in turn, `--runs` times, each turn beginning with another one.
A number of steps that is longer than every epoch is left out: it is the same as a whole epoch.
Keras computes with TensorFlow, without XLA, which is its default on a processor without a GPU, or
with it, or with JAX (`pip install jax`), whose processes have as many threads as they like.

Each run is written to speed_settings_runs.jsonl as it ends, and the same command continues, like
speed.py's. The table has the median, least and most of the runs, and says which setting is fastest
for each sweep and number of processes. speed_peers.py reads it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from measured_code import code
from processes import environment
from report import HERE, machine, report, versions
from speed import SWEEPS, prepare, sweep_file
from speed_peers import BACKENDS, EPOCH, ONE_THREAD, Job, fastest, fit_keras, use_backend
from speed_runs import RunsFile, rotated

_STEPS = ("1", "10", "50", "200", EPOCH)
_PROCESSES = (1, 2)
_KEYS = ("sweep", "steps_per_execution", "backend", "processes")

Setting = dict[str, Any]


def inside(sweep: str, data: str, settings: str, trials: str) -> None:
    """Run the trials in this process and print the mean seconds of one."""
    job = Job(sweep, data, "")
    configs = list(job.configs.values())
    chosen = np.random.default_rng(0).choice(len(configs), int(trials), replace=False)
    arrays, compile_with = job.read(), use_backend(json.loads(settings))
    import keras  # noqa: F401 - before the clock starts

    began = time.perf_counter()
    for number in chosen:
        fit_keras(configs[number], arrays, **compile_with)
    print(json.dumps((time.perf_counter() - began) / len(chosen)))


def seconds_a_trial(sweep: Path, data: Path, setting: Setting, trials: int) -> float:
    """Seconds that the machine needs for one trial."""
    command = [sys.executable, __file__, "--inside", str(sweep), str(data)]
    command += [json.dumps(setting), str(trials)]
    processes = setting["processes"]
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


def settings_of(
    sweep: Path, name: str, steps: Sequence[str], backends: Sequence[str]
) -> list[Setting]:
    """The settings to measure for a sweep."""
    job = Job(str(sweep), str(sweep.with_name(f"{name}.npz")), "")
    rows = len(job.read()[0])
    longest = max(rows / config["batch_size"] for config in job.configs.values())
    counts = [int(each) if each != EPOCH else each for each in steps]
    kept = [each for each in counts if each == EPOCH or int(each) < longest]
    combinations = itertools.product([name], kept, backends, _PROCESSES)
    return [dict(zip(_KEYS, values, strict=True)) for values in combinations]


def measure(arguments: argparse.Namespace, file: RunsFile) -> None:
    """Add the runs that the file lacks."""
    with tempfile.TemporaryDirectory() as scratch:
        sweeps, settings = {}, []
        for name in arguments.sweeps:
            directory = Path(scratch) / name
            directory.mkdir()
            original = sweep_file(name, directory)
            sweep = directory / f"{name}.yaml"
            sweep.write_bytes(original.read_bytes())
            prepare(sweep, directory).rename(directory / f"{name}.npz")
            sweeps[name] = sweep
            settings += settings_of(sweep, name, arguments.steps, arguments.backends)
        for turn in range(arguments.runs):
            for setting in rotated(settings, turn * max(1, len(settings) // arguments.runs)):
                if len(file.of(**setting)) <= turn:
                    sweep = sweeps[setting["sweep"]]
                    data = sweep.with_suffix(".npz")
                    seconds = seconds_a_trial(sweep, data, setting, arguments.trials)
                    file.add(**setting, seconds=round(seconds, 4))
                    print(*setting.values(), f"{seconds:.3f}", flush=True)


def rows(file: RunsFile) -> list[dict[str, Any]]:
    """One row for each sweep and setting, the fastest first within a sweep."""
    seconds: dict[tuple[Any, ...], list[float]] = {}
    for run in file.runs:
        seconds.setdefault(tuple(run[key] for key in _KEYS), []).append(run["seconds"])
    table = [
        dict(zip(_KEYS, setting, strict=True))
        | {
            "s a trial": round(statistics.median(each), 3),
            "least": round(min(each), 3),
            "most": round(max(each), 3),
            "runs": len(each),
        }
        for setting, each in seconds.items()
    ]
    table.sort(key=lambda row: (SWEEPS.index(row["sweep"]), row["s a trial"]))
    for sweep, processes in {(row["sweep"], row["processes"]) for row in table}:
        row = fastest(table, sweep, processes)
        table[table.index(dict(row))]["chosen"] = f"for {processes}"
    return table


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    singles = [name for name in SWEEPS if name.endswith("_single")]
    parser.add_argument("--sweeps", nargs="*", choices=singles, default=singles)
    parser.add_argument("--steps", nargs="*", choices=_STEPS, default=_STEPS)
    parser.add_argument("--backends", nargs="*", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--anew", action="store_true", help="discard earlier runs")
    parser.add_argument("--out", type=Path, default=HERE, help="where the table goes")
    parser.add_argument("--inside", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        inside(*arguments.inside)
        return
    packages = versions("keras", "tensorflow", "jax")
    about = {"machine": machine(), "code": code("speed_settings"), "versions": packages}
    path = arguments.out / "speed_settings_runs.jsonl"
    file = RunsFile(path, about | {"trials": arguments.trials}, anew=arguments.anew)
    measure(arguments, file)
    lines = [
        machine(),
        packages,
        f"s a trial: median of the runs, of {arguments.trials} trials each",
    ]
    report("speed_settings", lines, rows(file), arguments.out, at=file.measured)


if __name__ == "__main__":
    main()
