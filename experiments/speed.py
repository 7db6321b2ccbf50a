"""How long a sweep takes, beside what a user would pick instead.

One command:

    python experiments/speed.py [fashion] [digits] [--runs 3] [--peers keras_tuner,sklearn]

Needs `pip install hpsearch[peers]`. Every contender runs the same trials (speed_fashion.yaml,
speed_digits.yaml) in a fresh process, start-up included, in alternation with hpsearch. It prints
a table, and writes it beside this file as speed_SWEEP.json and speed_SWEEP.md: wall seconds
(median), the ratio to hpsearch (median of the runs' own ratios), the mean paired difference of
scores with its 95% interval, and the peak memory of the whole process tree. `--check` compares
the ratios with the floors that the project promises; `--single` keeps only the largest value of
epochs, so that no prefixes are shared.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil

HERE = Path(__file__).resolve().parent
OURS = "hpsearch"
#: Sweep -> contender -> least ratio; with `--single` those of SINGLE.
FLOORS = {
    "fashion": {"keras_tuner": 15.0, "optuna": 14.0, "sklearn": 2.5},
    "digits": {"keras_tuner": 40.0, "sklearn": 1.5},
}
SINGLE_FLOORS = {"fashion": {"keras_tuner": 8.0}, "digits": {"keras_tuner": 20.0}}
_SCORE_TOLERANCE = 0.005
PEERS = "keras_tuner,keras_tuner_best,optuna,optuna_best,sklearn"


@dataclass
class Runs:
    """What was measured of one contender."""

    seconds: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)
    scores: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)


def prepare(sweep: Path, directory: Path) -> Path:
    """The benchmark's rows as the peers take them: split, scaled, float32."""
    from hpsearch import data, sweepfile

    dataset = data.load(sweepfile.load(sweep).data)
    top = 255.0 if dataset.train.x.max() > 16 else 16.0  # digits' own scale
    path = directory / "data.npz"
    x, x_val = (
        (part.x / top).astype(np.float32).reshape(len(part.x), -1)
        for part in (dataset.train, dataset.validation)
    )
    np.savez(path, x_train=x, y_train=dataset.train.y, x_val=x_val, y_val=dataset.validation.y)
    return path


class _Memory:
    """Peak proportional memory of a process and all below it, looked at four times a second."""

    def __init__(self, pid: int) -> None:
        self.peak_mb = 0.0
        self._root = psutil.Process(pid)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.wait(0.25):
            try:
                members = [self._root, *self._root.children(recursive=True)]
            except psutil.Error:
                return
            self.peak_mb = max(self.peak_mb, sum(map(_pss_mb, members)))

    def end(self) -> float:
        self._over.set()
        self._thread.join()
        return self.peak_mb


def _pss_mb(process: psutil.Process) -> float:
    try:
        return float(process.memory_full_info().pss) / 2**20
    except (psutil.Error, AttributeError):
        return 0.0


def timed(command: list[str]) -> tuple[float, float]:
    """Wall seconds and peak megabytes of a command.

    Raises:
        SystemExit: It failed.
    """
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryFile() as output:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
        memory = _Memory(process.pid)
        code = process.wait()
        seconds = time.perf_counter() - began
        if code != 0:
            output.seek(0)
            raise SystemExit(f"{command} failed:\n{output.read().decode()[-3000:]}")
    return seconds, memory.end()


def run_ours(sweep: Path, directory: Path) -> tuple[float, float, dict[str, float]]:
    """One run of hpsearch, from the shell's prompt to the shell's prompt."""
    out = Path(tempfile.mkdtemp(dir=directory)) / "results"
    command = [sys.executable, "-m", "hpsearch", "run", str(sweep), "--out", str(out)]
    seconds, memory = timed(command)
    table = pd.read_csv(out / "results.csv")
    return seconds, memory, dict(zip(table["config"], table["score"], strict=True))


def run_peer(
    name: str, sweep: Path, data: Path, directory: Path
) -> tuple[float, float, dict[str, Any]]:
    """One run of a peer."""
    out = directory / f"{name}.json"
    script = HERE / "speed_peers.py"
    seconds, memory = timed([sys.executable, str(script), name, str(sweep), str(data), str(out)])
    return seconds, memory, json.loads(out.read_text(encoding="utf-8"))


def measure(sweep: Path, peers: list[str], runs: int) -> dict[str, Runs]:
    """All contenders in alternation: hpsearch directly before each run of a peer."""
    measured = {name: Runs() for name in [OURS, *peers]}
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        data = prepare(sweep, directory)
        timed([sys.executable, "-c", "import keras_tuner"])  # warms the disk's cache
        for _ in range(runs):
            for peer in peers or [None]:
                ours = run_ours(sweep, directory)
                measured[OURS].seconds.append(ours[0])
                measured[OURS].memory_mb.append(ours[1])
                measured[OURS].scores = ours[2]
                if peer is None:
                    continue
                seconds, memory, result = run_peer(peer, sweep, data, directory)
                entry = measured[peer]
                entry.seconds.append(seconds)
                entry.ratios.append(seconds / ours[0])
                entry.memory_mb.append(memory)
                entry.scores, entry.versions = result["scores"], result["versions"]
                print(f"{peer}: {seconds:.1f} s, hpsearch {ours[0]:.1f} s", flush=True)
    return measured


def difference(ours: dict[str, float], theirs: dict[str, float]) -> tuple[float, float, float]:
    """Mean paired difference of scores, and its 95% interval (Student's t)."""
    from scipy import stats

    pairs = np.array([ours[config] - score for config, score in theirs.items() if config in ours])
    mean = float(pairs.mean())
    half = float(stats.t.ppf(0.975, len(pairs) - 1) * pairs.std(ddof=1) / math.sqrt(len(pairs)))
    return mean, mean - half, mean + half


def rows(measured: dict[str, Runs]) -> list[dict[str, Any]]:
    """The table's rows."""
    ours = measured[OURS]
    table = []
    for name, runs in measured.items():
        row: dict[str, Any] = {
            "contender": name,
            "seconds": round(statistics.median(runs.seconds), 1),
            "runs": len(runs.seconds),
            "ratio": round(statistics.median(runs.ratios), 2) if runs.ratios else 1.0,
            "trials": len(runs.scores),
            "best": round(max(runs.scores.values()), 4),
            "peak_mb": round(max(runs.memory_mb)),
            "versions": ", ".join(f"{k} {v}" for k, v in runs.versions.items()),
        }
        if name != OURS:
            mean, low, high = difference(ours.scores, runs.scores)
            row |= {"difference": round(mean, 4), "low": round(low, 4), "high": round(high, 4)}
        table.append(row)
    return table


def report(name: str, table: list[dict[str, Any]]) -> None:
    """Print and write the table."""
    machine = f"{os.cpu_count()} cores, {_processor()}, Python {platform.python_version()}"
    frame = pd.DataFrame(table).astype(object).fillna("")
    columns = list(frame.columns)
    lines = [f"speed_{name}: {machine}", "", "| " + " | ".join(columns) + " |"]
    lines.append("|" + "---|" * len(columns))
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in frame.itertuples(index=False)]
    text = "\n".join(lines)
    print(text)
    (HERE / f"speed_{name}.md").write_text(text + "\n", encoding="utf-8")
    content = json.dumps({"machine": machine, "rows": table}, indent=1)
    (HERE / f"speed_{name}.json").write_text(content + "\n", encoding="utf-8")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), "unknown")


def check(name: str, table: list[dict[str, Any]], floors: dict[str, float]) -> list[str]:
    """What falls short of the floors."""
    short = []
    for row in table:
        floor = floors.get(row["contender"])
        if floor is not None and row["ratio"] < floor:
            short.append(f"{name}: {row['contender']} is {row['ratio']} times, promised {floor}")
        if "low" in row and (row["low"] < -_SCORE_TOLERANCE or row["high"] > _SCORE_TOLERANCE):
            short.append(f"{name}: scores differ from {row['contender']}'s: {row['difference']}")
    return short


def main() -> None:
    """Measure, print, write, check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("sweeps", nargs="*", default=["fashion", "digits"])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--peers", default=PEERS)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--single", action="store_true", help="only the largest epochs")
    arguments = parser.parse_args()
    peers = [peer for peer in arguments.peers.split(",") if peer]
    short: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in arguments.sweeps:
            sweep = HERE / f"speed_{name}.yaml"
            label = f"{name}_single" if arguments.single else name
            if arguments.single:
                sweep = single(sweep, Path(scratch))
            table = rows(measure(sweep, peers, arguments.runs))
            report(label, table)
            floors = SINGLE_FLOORS if arguments.single else FLOORS
            short += check(label, table, floors.get(name, {}))
    if arguments.check and short:
        raise SystemExit("\n".join(short))


def single(sweep: Path, directory: Path) -> Path:
    """The sweep with its largest value of epochs alone."""
    from hpsearch import sweepfile

    loaded = sweepfile.load(sweep)
    epochs = max(loaded.parameters["epochs"].parameter("epochs").choices or ())
    path = directory / sweep.name
    path.write_text(
        sweepfile.dump(sweepfile.load(sweep, [f"parameters.epochs=[{epochs}]"])), encoding="utf-8"
    )
    return path


if __name__ == "__main__":
    main()
