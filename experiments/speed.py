"""Compare the time of a sweep with that of the libraries that a user would choose instead.

Run it on an idle machine, after speed_settings.py:

    python experiments/speed.py [fashion_single] [digits] [--runs 5] [--contenders optuna sklearn]

Needs `pip install '.[peers]'`. Every contender of speed_peers.py runs the same trials
(speed_fashion.yaml, speed_digits.yaml; `..._single` keeps only the largest value of epochs, so that
hpsearch shares no trainings) in a fresh process, start-up included, with a run of hpsearch directly
before each of its runs. The script prints a table and writes it as speed_SWEEP.json and
speed_SWEEP.md: wall seconds (median), the ratio to hpsearch (median of the ratios of such pairs),
the difference of scores, and the peak memory of the whole process tree. A library runs with its
defaults and with its best settings; the faster of its rows says so, and only that ratio is quoted.

Each pair is written to speed_SWEEP_runs.jsonl as it ends, with the machine and the commit, and the
same command continues an interrupted measurement, or adds contenders or runs. Runs of other code
or of another machine are refused, unless `--anew` discards them.

The difference of scores is paired: for each config, hpsearch's mean over `--seeds` minus the
contender's mean over its runs. speed_scores.py tests whether it is within 0.004.

`--check` compares the ratios with the floors that the project promises, and fails if the scores of
a contender that trains with Keras are not equivalent. `--smoke` runs a few trials for a test and
writes files only with `--out`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from measured_code import digest
from processes import timed
from report import HERE, machine, report, versions
from speed_peers import CONTENDERS, Job, best_settings
from speed_runs import RunsFile, rotated
from speed_scores import LEVEL, MARGIN, equivalence, seeds_change

from hpsearch.data.loading import load_dataset
from hpsearch.space.mlp import MLPConfig
from hpsearch.spec.dump import dump_sweep
from hpsearch.spec.sweep import load_sweep

OURS = "hpsearch"
SWEEPS = ("fashion_single", "digits_single", "fashion", "digits")
#: Sweep -> library -> smallest ratio allowed, of the faster of its defaults and best settings.
FLOORS = {
    "fashion": {"keras_tuner": 10.0, "optuna": 5.0, "sklearn": 2.5},
    "fashion_single": {"keras_tuner": 8.0, "sklearn": 2.0},
    "digits": {"keras_tuner": 40.0, "sklearn": 1.5},
    "digits_single": {"keras_tuner": 20.0, "sklearn": 1.5},
}
#: The contenders to measure; the others are processes that these start.
PEERS = [name for name, contender in CONTENDERS.items() if contender.packages]
#: The scripts that decide what is measured.
_MEASURING = ("processes", "speed", "speed_peers")
_TINY = ("hidden_layers=[1]", "units=[8]", "activation=[relu, tanh]", "batch_size=[64]",
         "epochs=[1, 2]", "optimizer=[adam]")  # fmt: skip


def prepare(sweep: Path, directory: Path) -> Path:
    """Write the benchmark's rows for the peers: split, scaled to 0..1, as float32."""
    dataset = load_dataset(load_sweep(sweep).data)
    raw = [np.asarray(part.x) for part in (dataset.train, dataset.validation)]
    top = 255.0 if raw[0].max() > 16 else 16.0  # The pixels of digits range from 0 to 16.
    path = directory / "data.npz"
    x, x_val = ((rows / top).astype(np.float32).reshape(len(rows), -1) for rows in raw)
    np.savez(path, x_train=x, y_train=dataset.train.y, x_val=x_val, y_val=dataset.validation.y)
    return path


def run_ours(sweep: Path, directory: Path, *changes: str) -> tuple[float, float, pd.DataFrame]:
    """Run hpsearch once and return wall seconds, peak megabytes and results.csv."""
    out = Path(tempfile.mkdtemp(dir=directory)) / "results"
    command = [sys.executable, "-m", "hpsearch", "run", str(sweep), "--out", str(out)]
    command += [part for change in changes for part in ("--set", change)]
    seconds, memory = timed(command)
    return seconds, memory, pd.read_csv(out / "results.csv")


def run_peer(name: str, sweep: Path, data: Path) -> tuple[float, float, dict[str, Any]]:
    """Run a peer once and return wall seconds, peak megabytes and its result."""
    out = data.with_name(f"{name}.json")
    command = [sys.executable, str(HERE / "speed_peers.py"), name, str(sweep), str(data), str(out)]
    seconds, memory = timed(command)
    return seconds, memory, json.loads(out.read_text(encoding="utf-8"))


def measure(sweep: Path, peers: Sequence[str], runs: int, seeds: int, file: RunsFile) -> None:
    """Add the runs that the file lacks, each peer's directly after one of hpsearch."""
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        rows = prepare(sweep, directory)
        enough = any(len(run["scores"]) >= seeds for run in file.of(contender=OURS))
        # Also warms the disk cache. Several seeds, because all configs share weights and shuffles.
        table = run_ours(sweep, directory, f"seeds={1 if enough else seeds}")[2]
        if not enough:
            scores = table.pivot_table(index="seed", columns="config", values="score")
            rounded = scores[file.about["configs"]].round(5).to_numpy().tolist()
            file.add(contender=OURS, scores=rounded)
        for turn in range(runs):
            for peer in rotated(peers, turn):
                if len(file.of(contender=peer)) <= turn:
                    _add_pair(file, peer, sweep, rows)


def _add_pair(file: RunsFile, peer: str, sweep: Path, rows: Path) -> None:
    ours, our_memory, _ = run_ours(sweep, rows.parent)
    seconds, memory, result = run_peer(peer, sweep, rows)
    numbers = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    file.add(
        contender=peer,
        seconds=round(seconds, 3),
        memory_mb=round(memory),
        ours_seconds=round(ours, 3),
        ours_memory_mb=round(our_memory),
        versions=numbers,
        scores=[round(result["scores"][config], 5) for config in file.about["configs"]],
    )
    print(f"{peer}: {seconds:.1f} s, hpsearch {ours:.1f} s", flush=True)


def groups_of(sweep: Path) -> dict[str, str]:
    """Config -> the id that it shares with configs that differ only in epochs."""
    configs = Job(str(sweep), "", "").configs
    return {
        name: MLPConfig({key: value for key, value in config.items() if key != "epochs"}).id
        for name, config in configs.items()
    }


def rows(file: RunsFile, groups: Mapping[str, str]) -> list[dict[str, Any]]:
    """The table's rows, of all contenders that the file has runs of."""
    ours = max((run["scores"] for run in file.of(contender=OURS)), key=len)
    pairs = [run for run in file.runs if run["contender"] != OURS]
    change = seeds_change(ours)
    about = {"versions": file.about["versions"]}
    table = [
        _row(OURS, [(run["ours_seconds"], run["ours_memory_mb"]) for run in pairs], ours)
        | ({} if change is None else {"a seed's change": round(change, 4)})
        | about
    ]
    keys = [groups[config] for config in file.about["configs"]]
    for peer in [name for name in PEERS if file.of(contender=name)]:
        runs = file.of(contender=peer)
        scores = [run["scores"] for run in runs]
        ratios = sorted(run["seconds"] / run["ours_seconds"] for run in runs)
        row = _row(peer, [(run["seconds"], run["memory_mb"]) for run in runs], scores)
        row["ratio (median)"] = round(statistics.median(ratios), 2)
        row["ratios"] = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        apart = asdict(equivalence(ours, scores, keys))
        row |= {key: float(f"{value:.2g}") if key == "p" else round(value, 4)
                for key, value in apart.items()}  # fmt: skip
        table.append(row | {"versions": runs[-1]["versions"]})
    _mark_the_faster(table)
    return table


def _row(
    name: str, runs: Sequence[tuple[float, float]], scores: Sequence[Sequence[float]]
) -> dict[str, Any]:
    seconds, memory = zip(*runs, strict=True)
    means = np.mean(scores, axis=0)
    return {
        "contender": name,
        "runs": len(runs),
        "seconds (median)": round(statistics.median(seconds), 1),
        "seconds (least, most)": f"{min(seconds):.1f}, {max(seconds):.1f}",
        "trials": len(means),
        "best": round(float(means.max()), 4),
        "peak, MB": max(memory),
    }


def _mark_the_faster(table: Sequence[dict[str, Any]]) -> None:
    """Mark the row of each library whose ratio is the smallest."""
    least: dict[str, dict[str, Any]] = {}
    for row in table[1:]:
        peer = CONTENDERS[row["contender"]].peer
        if peer and row["ratio (median)"] < least.get(peer, row)["ratio (median)"]:
            least[peer] = row
        elif peer:
            least.setdefault(peer, row)
    for row in least.values():
        row["faster"] = "yes"


def check(name: str, table: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a message for each ratio below its floor and each score that is not equivalent."""
    short = []
    floors = FLOORS.get(name, {})
    for row in table[1:]:
        contender, ratio = CONTENDERS[row["contender"]], row["ratio (median)"]
        floor = floors.get(contender.peer, 0.0)
        if row.get("faster") and ratio < floor:
            short.append(f"{name}: {row['contender']} is {ratio} times, promised {floor}")
        if contender.keras and row["p"] >= LEVEL:
            short.append(
                f"{name}: scores are not shown to be within {MARGIN} of {row['contender']}'s: "
                f"{row['difference']} ({row['low']} to {row['high']}), p {row['p']}"
            )
    return short


def changed(sweep: Path, directory: Path, changes: Sequence[str]) -> Path:
    """Write a copy of a sweep file with changed parameters and return its path."""
    path = directory / sweep.name
    settings = [f"parameters.{change}" for change in changes]
    path.write_text(dump_sweep(load_sweep(sweep, settings)), encoding="utf-8")
    return path


def sweep_file(name: str, directory: Path, *, smoke: bool = False) -> Path:
    """The sweep file of a name in SWEEPS; one with changes is written to the directory."""
    sweep = HERE / f"speed_{name.removesuffix('_single')}.yaml"
    if smoke:
        return changed(sweep, directory, _TINY)
    if name.endswith("_single"):
        epochs = load_sweep(sweep).parameters["epochs"].choices or ()
        return changed(sweep, directory, [f"epochs=[{max(epochs)}]"])
    return sweep


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
    parser.add_argument("sweeps", nargs="*", default=SWEEPS, help=", ".join(SWEEPS))
    parser.add_argument("--runs", type=int, default=5, help="pairs of runs of each contender")
    parser.add_argument("--seeds", type=int, default=20, help="seeds of hpsearch's scores")
    parser.add_argument(
        "--contenders", nargs="+", choices=PEERS, default=[p for p in PEERS if installed(p)]
    )
    parser.add_argument("--anew", action="store_true", help="discard earlier runs")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--smoke", action="store_true", help="digits, four trials, one run")
    parser.add_argument("--out", type=Path, help="where the tables go")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.sweeps if name not in SWEEPS]:
        parser.error(f"no such sweep: {', '.join(unknown)} (choose from {', '.join(SWEEPS)})")
    if arguments.smoke:
        arguments.sweeps, arguments.runs, arguments.seeds = ["digits"], 1, 2
    return arguments


def run_sweep(name: str, arguments: argparse.Namespace, scratch: Path) -> list[str]:
    """Measure a sweep, write its table, and return what `check` says."""
    out = arguments.out or (scratch if arguments.smoke else HERE)
    sweep = sweep_file(name, scratch, smoke=arguments.smoke)
    groups = groups_of(sweep)
    about = {
        "machine": machine(),
        "code": digest("hpsearch", *(f"experiments.{script}" for script in _MEASURING)),
        "versions": versions(OURS, "keras", "tensorflow"),
        "settings": {str(n): best_settings(sweep, n) for n in (1, 2)},
        "configs": list(groups),
    }
    file = RunsFile(out / f"speed_{name}_runs.jsonl", about, anew=arguments.anew)
    measure(sweep, arguments.contenders, arguments.runs, arguments.seeds, file)
    table = rows(file, groups)
    seeds = max(len(run["scores"]) for run in file.of(contender=OURS))
    lines = [
        about["machine"],
        f"scores of {seeds} seeds; fastest settings of one and of two processes: "
        + "; ".join(map(_shown, about["settings"].values())),
        "faster: the fastest variant of the library, whose ratio is quoted",
        f"difference: hpsearch's score less the other's, with its 90% interval; p: of the two "
        f"one-sided tests that it is within {MARGIN}",
    ]
    report(f"speed_{name}", lines, table, out, at=file.measured)
    return check(name, table)


def _shown(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in settings.items())


def main() -> None:
    """Measure, print, write, check."""
    arguments = options()
    short: list[str] = []
    for name in arguments.sweeps:
        with tempfile.TemporaryDirectory() as scratch:
            short += run_sweep(name, arguments, Path(scratch))
    if arguments.check and short:
        raise SystemExit("\n".join(short))


if __name__ == "__main__":
    main()
