"""Interrupts real sweeps at random instants, runs them again, and compares what came out.

    python -m tests.faults.campaign --minutes 10 --seed 0 [--interruptions 200] [--out experiments]

Sweeps of four methods with one and with two workers in turn. Each is run once undisturbed, then
again and again: a run gets an interruption of a random kind at a random instant, and the same
command goes on from there, until it is done. Counted are results that were acknowledged and are
gone, results that changed, trials that have two rows, and trainings that were begun again.

An adaptive method proposes by the order in which results come, which with two workers is another
each time. There, what must be equal are the configs that both runs have, epoch by epoch.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

_ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(_ROOT / "tests" / "support"), str(_ROOT / "experiments")]

from commands import Running, end_all, hpsearch, in_sessions, start, wait_for  # noqa: E402
from outcomes import table, trainings_begun  # noqa: E402
from report import machine, report, versions  # noqa: E402

KINDS = ("SIGKILL", "SIGTERM", "SIGINT", "worker killed")
_CODES = {"SIGTERM": 143, "SIGINT": 130}
_TRIALS = 12
_RANGES = {
    "hidden_layers": [1, 2],
    "units": {"min": 16, "max": 64, "scale": "log"},
    "learning_rate": {"min": 1e-4, "max": 1e-1, "scale": "log"},
    "epochs": [30, 90],
}
_GRID = {"hidden_layers": [1, 2], "units": [16, 32, 48], "epochs": [30, 90]}
#: Longest that a run may take to end after a signal, on a machine that is at other work, too.
_PATIENCE_SECONDS = 60
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Scenario:
    """A sweep, and how many trainings run at a time."""

    method: str
    workers: int

    @property
    def exact(self) -> bool:
        """Whether the whole table is the same from run to run."""
        return self.workers == 1 or self.method in ("grid", "random")

    def write(self, home: Path) -> None:
        """The sweep file; a worker that is killed is nobody's fault, so it is always retried."""
        sweep = {
            "data": {"dataset": "digits", "seed": 42},
            "method": self.method,
            "parameters": _GRID if self.method == "grid" else _RANGES,
            "budget": {"trials": _TRIALS},
            "execution": {"workers": self.workers, "retries": 100},
        }
        (home / "sweep.yaml").write_text(yaml.safe_dump(sweep, sort_keys=False), encoding="utf-8")


@dataclass
class Tally:
    """The outcome of one scenario."""

    kinds: Counter[str] = field(default_factory=Counter)
    sweeps: int = 0
    lost: int = 0
    changed: int = 0
    twice: int = 0
    begun_again: int = 0
    wrong_ends: list[str] = field(default_factory=list)


class Undisturbed:
    """A scenario's run that was left alone."""

    def __init__(self, scenario: Scenario, home: Path) -> None:
        home.mkdir()
        scenario.write(home)
        began = time.monotonic()
        hpsearch("run", "sweep.yaml", "--out", "undisturbed", cwd=home)
        self.seconds = time.monotonic() - began
        self.home, self.scenario = home, scenario
        self.directory = home / "undisturbed"
        self.trainings = trainings_begun(self.directory)
        self.rows = len(table(self.directory))


def records(directory: Path) -> dict[int, Record]:
    """The acknowledged results by execution."""
    store = directory / "sweep.db"
    if not store.exists():
        return {}
    with closing(sqlite3.connect(f"{store.as_uri()}?mode=ro", uri=True)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = db.execute("SELECT execution, record FROM results").fetchall()
    return {execution: json.loads(record) for execution, record in rows}


def interrupt(driver: Running, kind: str, rng: random.Random) -> bool:
    """Disturb a run; whether it was still at work. But for a worker's death, it is over then."""
    servers = driver.servers() if driver.process.poll() is None else []
    if kind == "worker killed":
        workers = driver.workers() if servers else []
        if not workers or driver.process.poll() is not None:
            return False
        try:
            os.kill(rng.choice(workers), signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True
    if driver.process.poll() is not None:
        return False
    driver.process.send_signal(signal.Signals[kind])
    driver.process.communicate(timeout=_PATIENCE_SECONDS)
    wait_for(lambda: not in_sessions(servers), seconds=30, what="processes to end")
    return True


def lost_and_changed(known: Mapping[int, Record], now: Mapping[int, Record]) -> tuple[int, int]:
    """Of what was acknowledged: how much is gone, and how much is another now.

    One that a method had halted may go on: then what it had is the beginning of what it has.
    """
    lost = len(known.keys() - now.keys())
    common = known.keys() & now.keys()
    return lost, sum(not _continues(known[each], now[each]) for each in common)


def _continues(before: Record, after: Record) -> bool:
    if before["status"] == "stopped":
        return all(
            after["curve"][name][: len(values)] == values
            for name, values in before["curve"].items()
        )
    return before == after


def differences(undisturbed: Undisturbed, directory: Path) -> tuple[int, int]:
    """How many rows are not those of the run that was left alone, and how many are there twice."""
    rows = table(directory)
    twice = int(rows.duplicated(["config", "seed"]).sum())
    if undisturbed.scenario.exact:
        return _different_rows(undisturbed.directory, directory), twice
    wrong = abs(len(rows) - undisturbed.rows)
    ours, theirs = _curves(directory), _curves(undisturbed.directory)
    for config in ours.keys() & theirs.keys():
        length = min(len(ours[config]), len(theirs[config]))
        wrong += ours[config][:length] != theirs[config][:length]
    return wrong, twice


def _different_rows(left: Path, right: Path) -> int:
    wrong = 0
    row = ["trial", "seed"]
    for name, key in (("results.csv", row), ("curves.csv", [*row, "epoch"])):
        one, two = (_texts(table(each, name)).set_index(key) for each in (left, right))
        common = one.index.intersection(two.index)
        wrong += len(one.index.symmetric_difference(two.index))
        wrong += int((one.loc[common] != two.loc[common, one.columns]).any(axis=1).sum())
    return wrong


def _texts(rows: pd.DataFrame) -> pd.DataFrame:
    """Cells as text, so that an empty one equals an empty one."""
    return rows.astype(object).where(rows.notna(), "").astype(str)


def _curves(directory: Path) -> dict[str, list[list[str]]]:
    configs = table(directory).set_index("trial")["config"]
    curves: dict[str, list[list[str]]] = {}
    for trial, epochs in table(directory, "curves.csv").groupby("trial"):
        curves[configs[trial]] = _texts(epochs.drop(columns="trial")).to_numpy().tolist()
    return curves


def disturbed_sweep(
    undisturbed: Undisturbed, out: str, tally: Tally, rng: random.Random
) -> Iterator[str]:
    """Run a sweep to its end through interruptions, and yield each of them that hit."""
    directory = undisturbed.home / out
    known: dict[int, Record] = {}
    hits = 0
    while True:
        began = time.monotonic()
        driver = start("sweep.yaml", cwd=undisturbed.home, out=out)
        kind = rng.choice(KINDS)
        time.sleep(rng.uniform(0, undisturbed.seconds))
        hit = interrupt(driver, kind, rng)
        _, err = driver.process.communicate(timeout=300)
        if not hit:
            # The machine is faster now than it was: instants are to fall into the run.
            undisturbed.seconds = min(undisturbed.seconds, time.monotonic() - began)
        if hit:
            hits += 1
            tally.kinds[kind] += 1
        over = _judge(driver, kind if hit else "", err, tally)
        now = records(directory)
        lost, changed = lost_and_changed(known, now)
        tally.lost, tally.changed, known = tally.lost + lost, tally.changed + changed, now
        if hit:
            yield kind
        if over:
            break
    changed, twice = differences(undisturbed, directory)
    tally.sweeps, tally.changed, tally.twice = (
        tally.sweeps + 1,
        tally.changed + changed,
        tally.twice + twice,
    )
    if undisturbed.scenario.exact:
        tally.begun_again += trainings_begun(directory) - undisturbed.trainings


def _judge(driver: Running, kind: str, err: str, tally: Tally) -> bool:
    """Whether the sweep is done; a run that ended otherwise than its end demands is noted."""
    code = driver.process.returncode
    if code == 0:
        return True
    expected = -signal.SIGKILL if kind == "SIGKILL" else _CODES.get(kind)
    # A signal that comes before the program does is Python's own affair.
    before = code == -signal.Signals[kind] if kind in _CODES else False
    before = before or (kind == "SIGINT" and "<frozen site>" in err)
    if code != expected and not before:
        tally.wrong_ends.append(f"{kind or 'undisturbed'}: exit {code}: {err.strip()[-300:]}")
    return False


def run(minutes: float, seed: int, most: int, home: Path) -> dict[Scenario, Tally]:
    """Interrupt until the time is up, or so many interruptions are done."""
    rng = random.Random(seed)
    scenarios = [Scenario(m, w) for m in ("grid", "random", "tpe", "hyperband") for w in (1, 2)]
    deadline = time.monotonic() + 60 * minutes
    left_alone: dict[Scenario, Undisturbed] = {}
    tallies = {each: Tally() for each in scenarios}
    done, number = 0, 0
    while time.monotonic() < deadline and done < most:
        scenario = scenarios[number % len(scenarios)]
        tally = tallies[scenario]
        if scenario not in left_alone:
            place = home / f"{scenario.method}-{scenario.workers}"
            left_alone[scenario] = Undisturbed(scenario, place)
        out = f"run-{number}"
        for kind in disturbed_sweep(left_alone[scenario], out, tally, rng):
            done += 1
            print(f"{done}: {scenario.method}, {scenario.workers} workers: {kind}", flush=True)
        number += 1
    return tallies


def rows_of(tallies: Mapping[Scenario, Tally]) -> list[dict[str, Any]]:
    """A row a scenario, and their sums."""
    rows = [
        {
            "method": scenario.method,
            "workers": scenario.workers,
            "sweeps": tally.sweeps,
            **{kind: tally.kinds[kind] for kind in KINDS},
            "interruptions": tally.kinds.total(),
            "results lost": tally.lost,
            "results changed": tally.changed,
            "trials twice": tally.twice,
            "wrong ends": len(tally.wrong_ends),
            "trainings begun again": tally.begun_again if scenario.exact else "",
        }
        for scenario, tally in tallies.items()
    ]
    total: dict[str, Any] = {"method": "all", "workers": ""}
    for column in list(rows[0])[2:]:
        total[column] = sum(row[column] for row in rows if row[column] != "")
    return [*rows, total]


def main() -> None:
    """Run a campaign; exits with 1 where anything was lost, changed or there twice."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--interruptions", type=int, default=10**6, help="stop after so many")
    parser.add_argument("--out", type=Path, default=None, help="where to write interruptions.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        try:
            tallies = run(options.minutes, options.seed, options.interruptions, Path(scratch))
        finally:
            end_all()
        rows = rows_of(tallies)
        about = [
            machine(),
            versions("hpsearch", "tensorflow", "keras"),
            f"seed {options.seed}; {_TRIALS} trials a sweep",
        ]
        report("interruptions", about, rows, options.out or Path(scratch))
    for tally in tallies.values():
        for line in tally.wrong_ends:
            print(line)
    bad = ("results lost", "results changed", "trials twice", "wrong ends")
    sys.exit(any(rows[-1][column] for column in bad))


if __name__ == "__main__":
    main()
