"""Compare the time of a sweep with that of the libraries that a user would choose instead.

Run it on an idle machine:

    python experiments/speed.py [fashion] [digits] [--runs 3] [--peers keras_tuner sklearn]

Needs `pip install hpsearch[peers]`. Every contender of speed_peers.py runs the same trials
(speed_fashion.yaml, speed_digits.yaml) in a fresh process, start-up included, in alternation with
hpsearch. The script prints a table and writes it as speed_SWEEP.json and speed_SWEEP.md: wall
seconds (median), the ratio to hpsearch (median of the ratios of single runs), the difference of
scores, and the peak memory of the whole process tree.

The difference of scores is paired: for each config, hpsearch's mean over `--seeds` minus the
contender's mean over its runs. Configs that differ only in epochs are not independent, so the 95%
interval is Student's over groups of them.

`--check` compares the ratios with the floors that the project promises, and the differences with
0.005. `--single` keeps only the largest value of epochs, so that no trainings are shared. `--smoke`
runs a few trials for a test and writes files only with `--out`.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from processes import timed
from report import HERE, machine, report, versions
from speed_peers import CONTENDERS, Job, Scores

from hpsearch.data.loading import load_dataset
from hpsearch.space.mlp import MLPConfig
from hpsearch.spec.dump import dump_sweep
from hpsearch.spec.sweep import load_sweep

OURS = "hpsearch"
#: Sweep -> contender -> smallest ratio allowed; SINGLE_FLOORS applies with `--single`.
FLOORS = {
    "fashion": {"keras_tuner": 15.0, "optuna": 14.0, "sklearn_best": 2.5},
    "digits": {"keras_tuner": 40.0, "sklearn_best": 1.5},
}
SINGLE_FLOORS = {"fashion": {"keras_tuner": 8.0}, "digits": {"keras_tuner": 20.0}}
_SCORE_TOLERANCE = 0.005
#: The contenders to measure; the others are processes that these start.
PEERS = [name for name, contender in CONTENDERS.items() if contender.packages]
_TINY = ("hidden_layers=[1]", "units=[8]", "activation=[relu, tanh]", "batch_size=[64]",
         "epochs=[1, 2]")  # fmt: skip


@dataclass
class Runs:
    """The measurements of one contender."""

    seconds: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)
    scores: list[Scores] = field(default_factory=list)
    versions: str = ""

    @property
    def mean_scores(self) -> Scores:
        """The mean score of each config over the runs."""
        return {
            name: statistics.fmean(scores[name] for scores in self.scores)
            for name in self.scores[0]
        }


def prepare(sweep: Path, directory: Path) -> Path:
    """Write the benchmark's rows for the peers: split, scaled to 0..1, as float32."""
    dataset = load_dataset(load_sweep(sweep).data)
    raw = [np.asarray(part.x) for part in (dataset.train, dataset.validation)]
    top = 255.0 if raw[0].max() > 16 else 16.0  # The pixels of digits range from 0 to 16.
    path = directory / "data.npz"
    x, x_val = ((rows / top).astype(np.float32).reshape(len(rows), -1) for rows in raw)
    np.savez(path, x_train=x, y_train=dataset.train.y, x_val=x_val, y_val=dataset.validation.y)
    return path


def run_ours(sweep: Path, directory: Path, *changes: str) -> tuple[float, float, Scores]:
    """Run hpsearch once and return wall seconds, peak megabytes and scores by config."""
    out = Path(tempfile.mkdtemp(dir=directory)) / "results"
    command = [sys.executable, "-m", "hpsearch", "run", str(sweep), "--out", str(out)]
    command += [part for change in changes for part in ("--set", change)]
    seconds, memory = timed(command)
    table = pd.read_csv(out / "results.csv")
    means = table.groupby("config")["score"].mean()
    return seconds, memory, dict(zip(means.index, means, strict=True))


def run_peer(name: str, sweep: Path, data: Path) -> tuple[float, float, dict[str, Any]]:
    """Run a peer once and return wall seconds, peak megabytes and its result."""
    out = data.with_name(f"{name}.json")
    command = [sys.executable, str(HERE / "speed_peers.py"), name, str(sweep), str(data), str(out)]
    seconds, memory = timed(command)
    return seconds, memory, json.loads(out.read_text(encoding="utf-8"))


def measure(
    sweep: Path, peers: Sequence[str], runs: int, seeds: int, seconds_at_least: float
) -> dict[str, Runs]:
    """Measure all contenders, with a run of hpsearch directly before each run of a peer."""
    measured = {name: Runs() for name in [OURS, *peers]}
    ours = measured[OURS]
    ours.versions = versions("hpsearch", "keras", "tensorflow")
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        rows = prepare(sweep, directory)
        # Also warms the disk cache. Several seeds, because all configs share weights and shuffles.
        ours.scores = [run_ours(sweep, directory, f"seeds={seeds}")[2]]
        while left := [
            peer
            for peer in peers
            if len(measured[peer].seconds) < runs or sum(measured[peer].seconds) < seconds_at_least
        ]:
            for peer in left:
                seconds, memory, _ = run_ours(sweep, directory)
                ours.seconds.append(seconds)
                ours.memory_mb.append(memory)
                _add(measured[peer], run_peer(peer, sweep, rows), seconds)
                print(f"{peer}: {measured[peer].seconds[-1]:.1f} s, hpsearch {seconds:.1f} s")
    return measured


def _add(runs: Runs, run: tuple[float, float, dict[str, Any]], ours: float) -> None:
    seconds, memory, result = run
    runs.seconds.append(seconds)
    runs.ratios.append(seconds / ours)
    runs.memory_mb.append(memory)
    runs.scores.append(result["scores"])
    runs.versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())


def groups_of(sweep: Path) -> dict[str, str]:
    """Config -> the id that it shares with configs that differ only in epochs."""
    configs = Job(str(sweep), "", "").configs
    return {
        name: MLPConfig({key: value for key, value in config.items() if key != "epochs"}).id
        for name, config in configs.items()
    }


def difference(ours: Scores, theirs: Scores, groups: Mapping[str, str]) -> dict[str, float]:
    """Mean paired difference of scores and its 95% interval (Student's t over the groups)."""
    from scipy import stats

    members: dict[str, list[float]] = {}
    for config, group in groups.items():
        members.setdefault(group, []).append(ours[config] - theirs[config])
    means = np.array([statistics.fmean(each) for each in members.values()])
    error = means.std(ddof=1) / math.sqrt(len(means))
    half = float(stats.t.ppf(0.975, len(means) - 1) * error)
    mean = float(means.mean())
    return {"difference": mean, "low": mean - half, "high": mean + half}


def rows(measured: Mapping[str, Runs], groups: Mapping[str, str]) -> list[dict[str, Any]]:
    """The table's rows."""
    ours = measured[OURS]
    table = []
    for name, runs in measured.items():
        row: dict[str, Any] = {
            "contender": name,
            "runs": len(runs.seconds),
            "seconds (median)": round(statistics.median(runs.seconds), 1),
            "seconds (least, most)": f"{min(runs.seconds):.1f}, {max(runs.seconds):.1f}",
            "trials": len(runs.mean_scores),
            "best": round(max(runs.mean_scores.values()), 4),
            "peak, MB": round(max(runs.memory_mb)),
            "versions": runs.versions,
        }
        if name != OURS:
            row["ratio (median)"] = round(statistics.median(runs.ratios), 2)
            row["ratios"] = ", ".join(f"{ratio:.2f}" for ratio in sorted(runs.ratios))
            apart = difference(ours.mean_scores, runs.mean_scores, groups)
            row |= {key: round(value, 4) for key, value in apart.items()}
        table.append(row)
    return table


def check(name: str, table: Sequence[Mapping[str, Any]], floors: Mapping[str, float]) -> list[str]:
    """Return a message for each ratio below its floor and each difference beyond the tolerance."""
    short = []
    for row in table[1:]:
        contender, ratio = row["contender"], row["ratio (median)"]
        if ratio < floors.get(contender, 0.0):
            short.append(f"{name}: {contender} is {ratio} times, promised {floors[contender]}")
        if row["low"] < -_SCORE_TOLERANCE or row["high"] > _SCORE_TOLERANCE:
            short.append(
                f"{name}: scores differ from {contender}'s by {row['difference']} "
                f"({row['low']} to {row['high']})"
            )
    return short


def changed(sweep: Path, directory: Path, changes: Sequence[str]) -> Path:
    """Write a copy of a sweep file with changed parameters and return its path."""
    path = directory / sweep.name
    settings = [f"parameters.{change}" for change in changes]
    path.write_text(dump_sweep(load_sweep(sweep, settings)), encoding="utf-8")
    return path


def changes_of(sweep: Path, arguments: argparse.Namespace) -> list[str]:
    """The parameters that the command line's options change."""
    if arguments.smoke:
        return list(_TINY)
    if arguments.single:
        epochs = load_sweep(sweep).parameters["epochs"].parameter("epochs").choices or ()
        return [f"epochs=[{max(epochs)}]"]
    return []


def installed(contender: str) -> bool:
    """Whether a peer's packages are installed."""
    try:
        for package in CONTENDERS[contender].packages:
            version(package)
    except PackageNotFoundError:
        return False
    return True


def options() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument(
        "sweeps", nargs="*", default=["fashion", "digits"], help="the NAMEs of speed_NAME.yaml"
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument(
        "--seconds", type=float, default=120.0, help="shortest total time of each peer's runs"
    )
    parser.add_argument("--seeds", type=int, default=3, help="seeds of hpsearch's scores")
    parser.add_argument(
        "--peers", nargs="+", choices=PEERS, default=[p for p in PEERS if installed(p)]
    )
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--single", action="store_true", help="only the largest epochs")
    parser.add_argument("--smoke", action="store_true", help="digits, four trials, one run")
    parser.add_argument("--out", type=Path, help="where the tables go")
    arguments = parser.parse_args()
    known = [path.stem.removeprefix("speed_") for path in sorted(HERE.glob("speed_*.yaml"))]
    if unknown := [name for name in arguments.sweeps if name not in known]:
        parser.error(f"no such sweep: {', '.join(unknown)} (choose from {', '.join(known)})")
    if arguments.smoke:
        arguments.sweeps, arguments.runs, arguments.seeds = ["digits"], 1, 1
        arguments.seconds = 0.0
    return arguments


def main() -> None:
    """Measure, print, write, check."""
    arguments = options()
    short: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        out = arguments.out or (Path(scratch) if arguments.smoke else HERE)
        for name in arguments.sweeps:
            label = f"speed_{name}{'_single' * arguments.single}"
            sweep = HERE / f"speed_{name}.yaml"
            changes = changes_of(sweep, arguments)
            sweep = changed(sweep, Path(scratch), changes) if changes else sweep
            measured = measure(
                sweep, arguments.peers, arguments.runs, arguments.seeds, arguments.seconds
            )
            table = rows(measured, groups_of(sweep))
            about = [
                machine(),
                f"{arguments.runs} runs at least, scores of {arguments.seeds} seeds",
            ]
            report(label, [*about, "difference: hpsearch's score less the other's"], table, out)
            floors = SINGLE_FLOORS if arguments.single else FLOORS
            short += check(label, table, floors.get(name, {}))
    if arguments.check and short:
        raise SystemExit("\n".join(short))


if __name__ == "__main__":
    main()
