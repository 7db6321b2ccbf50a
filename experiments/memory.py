"""Measure whether a sweep's memory grows with its trainings, and whether its data are copied.

    python experiments/memory.py [--optimizer "[adam]" "[adam, lion]"] [--trials 500]

Runs memory.yaml on the command line, once for each choice of optimizers. The optimizers decide
which trainer runs: the native one lacks lion, so TensorFlow trains that. The script reads the
proportional memory (PSS) of all processes and the number of stored results ten times a second. Each
fifth of the trials is a row with the peak of all processes together, of the driver and of the
largest other process; a later fifth may need at most 1.1 times as much as the second. The last row
is the time after the last training, when the driver writes the last tables and the report. A few
trainings on Fashion-MNIST (`--data digits` for another set) then show how much of the data's
mapping each process holds, and how much private memory. Linux only.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
from processes import Snapshot, Watch, memory_mb, running
from report import HERE, machine, report, versions

_FIFTHS = 5
_MOST_GROWTH = 1.10
_END = "after the last"
_EVERY_SECONDS = 0.1
_MAPPING = "hpsearch-data"
_COPIES = "its own copies of that, MB"
_MOST_COPIED_MB = 1.0
_FEW = ("method=grid", "parameters={epochs: [10], units: [10, 20, 30, 40, 50, 60, 70, 80]}")


def stored_results(directory: Path) -> int:
    """The number of results in a store; 0 if there is none yet."""
    store = directory / "sweep.db"
    if not store.exists():
        return 0
    try:
        db = sqlite3.connect(f"{store.resolve().as_uri()}?mode=ro", uri=True)
        try:
            return int(db.execute("SELECT count(*) FROM results").fetchone()[0])
        finally:
            db.close()
    except sqlite3.OperationalError:
        return 0


def run_command(out: Path, changes: Sequence[str]) -> list[str]:
    """The command that runs the sweep with these changes."""
    command = [sys.executable, "-m", "hpsearch", "run", str(HERE / "memory.yaml")]
    return [*command, "--out", str(out), *(part for c in changes for part in ("--set", c))]


def growth(optimizers: str, trials: int) -> list[dict[str, Any]]:
    """Run the sweep and return one row for each fifth of its trials, and one for its end."""
    changes = [f"budget.trials={trials}", f"parameters.optimizer={optimizers}"]
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "results"
        with running(run_command(out, changes)) as process:
            watch = Watch(process.pid, lambda: stored_results(out), _EVERY_SECONDS)
            process.wait()
            snapshots = watch.end()
        trainers = pd.read_csv(out / "results.csv")["trainer"].value_counts().items()
    common = {
        "optimizers": optimizers,
        "trainers": ", ".join(f"{name} {count}" for name, count in trainers),
    }
    driver = next(iter(snapshots[0].pss_mb))
    rows: dict[int, dict[str, Any]] = {}
    for fifth in range(_FIFTHS):
        low, high = trials * fifth // _FIFTHS, trials * (fifth + 1) // _FIFTHS
        # With all results stored, nothing trains any more.
        within = [each for each in snapshots if low < each.progress <= min(high, trials - 1)]
        if within:
            row = common | {"trials": f"{low + 1} to {high}"}
            rows[fifth] = row | peaks(within, driver)
    if after := [each for each in snapshots if each.progress == trials]:
        rows[_FIFTHS] = common | {"trials": _END} | peaks(after, driver)
    for row in rows.values():
        if 1 in rows:
            row["to the second fifth"] = round(row["peak, MB"] / rows[1]["peak, MB"], 3)
    return list(rows.values())


def peaks(snapshots: Sequence[Snapshot], driver: int) -> dict[str, Any]:
    """The most memory in some snapshots."""
    others = [mb for snapshot in snapshots for pid, mb in snapshot.pss_mb.items() if pid != driver]
    return {
        "looks": len(snapshots),
        "peak, MB": round(max(snapshot.total_mb for snapshot in snapshots)),
        "driver, MB": round(max(snapshot.pss_mb.get(driver, 0.0) for snapshot in snapshots)),
        "largest other, MB": round(max(others, default=0.0)),
        "processes": max(len(snapshot.pss_mb) for snapshot in snapshots),
    }


def held(dataset: str) -> list[dict[str, Any]]:
    """One row for each process, at the time when all together held most of the data's mapping."""
    changes = [f"data={{dataset: {dataset}, validation: 0.2}}", *_FEW, "budget={trials: 8}"]
    rows: list[dict[str, Any]] = []
    with (
        tempfile.TemporaryDirectory() as scratch,
        running(run_command(Path(scratch) / "results", changes)) as process,
    ):
        while process.poll() is None:
            current = _rows_now(process.pid)
            if not rows or _resident(current) > _resident(rows):
                rows = current
            time.sleep(_EVERY_SECONDS)
    together = {key: round(sum(row[key] for row in rows), 1) for key in list(rows[0])[1:]}
    return [{"data": dataset, **row} for row in [*rows, {"process": "all", **together}]]


def _resident(rows: Sequence[Mapping[str, Any]]) -> float:
    return float(sum(row["of the mapping resident, MB"] for row in rows))


def _rows_now(driver: int) -> list[dict[str, Any]]:
    try:
        children = psutil.Process(driver).children(recursive=True)
    except psutil.NoSuchProcess:
        children = []
    return [_held_by(pid, driver) for pid in (driver, *(child.pid for child in children))]


def _held_by(pid: int, driver: int) -> dict[str, Any]:
    mapping = mapping_mb(pid)
    return {
        "process": "driver" if pid == driver else "server or worker",
        "of the mapping resident, MB": round(mapping.get("Rss", 0.0), 1),
        "its share of that (PSS), MB": round(mapping.get("Pss", 0.0), 1),
        # Not `Private_Dirty`, which includes pages that only one process has mapped so far.
        _COPIES: round(mapping.get("Anonymous", 0.0), 1),
        "private memory, MB": round(memory_mb(pid, "Private_Clean", "Private_Dirty")),
    }


def mapping_mb(pid: int) -> dict[str, float]:
    """The data's mapping in a process, by kind of memory, named as in /proc/PID/smaps."""
    try:
        text = Path(f"/proc/{pid}/smaps").read_text(encoding="utf-8")
    except OSError:
        return {}
    inside = False
    found: dict[str, float] = {}
    for line in text.splitlines():
        first, *rest = line.split()
        if not first.endswith(":"):
            inside = _MAPPING in line
        elif inside and rest[-1] == "kB":
            kind = first.rstrip(":")
            found[kind] = found.get(kind, 0.0) + int(rest[0]) / 1024
    return found


def check(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a message for each row in which memory grows too much or data are copied."""
    grown = [
        f"{row['optimizers']}, trials {row['trials']}: {row['to the second fifth']} times the "
        f"second fifth's peak, promised {_MOST_GROWTH}"
        for row in rows
        if row.get("to the second fifth", 0.0) > _MOST_GROWTH and row["trials"] != _END
    ]
    copied = [
        f"{row['process']}: {row[_COPIES]} MB of the data are copied"
        for row in rows
        if row.get(_COPIES, 0.0) > _MOST_COPIED_MB
    ]
    return grown + copied


def main() -> None:
    """Measure, print, write, check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--optimizer", nargs="*", default=["[adam, nesterov]", "[adam, lion]"])
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--data", default="fashion_mnist")
    parser.add_argument("--out", type=Path, default=HERE, help="where the tables go")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    about = [machine(), versions("hpsearch", "tensorflow", "keras"), "two workers, one run"]
    grown = [row for names in arguments.optimizer for row in growth(names, arguments.trials)]
    report("memory", [*about, f"{arguments.trials} trainings"], grown, arguments.out)
    copies = held(arguments.data)
    report("memory_data", [*about, "eight trainings"], copies, arguments.out)
    short = check([*grown, *copies])
    if arguments.check and short:
        raise SystemExit("\n".join(short))


if __name__ == "__main__":
    main()
