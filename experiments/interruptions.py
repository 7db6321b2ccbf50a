"""Interrupts real sweeps at random instants, runs them again, and compares what came out.

    python experiments/interruptions.py --minutes 30 --seed 0 [--interruptions 300] [--out DIR]

Sweeps of four methods with one and with two workers in turn, one of a Keras model that TensorFlow
trains, and one on Ray. Each is run once undisturbed, then again and again: a run gets an
interruption of a random kind at a random instant, and the same command goes on from there, until it
is done. A third of the instants are in the first second, before a training has begun.

Counted are results that the console had told, or the store had, and that are gone; results that
changed; trials that have two rows; trainings that were begun again; and wrong ends: another exit
code than the interruption demands, or a traceback.

An adaptive method proposes by the order in which results come, which with two workers is another
each time. There, what must be equal are the configs that both runs have, epoch by epoch.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import yaml

_ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(_ROOT / "tests" / "support"))

from commands import USER_MODELS, Running, end_all, hpsearch, in_sessions, start, wait_for  # noqa: E402
from outcomes import acknowledged, table, trainings_begun  # noqa: E402
from report import HERE, machine, report, versions  # noqa: E402

ENDED = {"SIGKILL": -signal.SIGKILL, "SIGTERM": 143, "SIGINT": 130, "moved": 3}
#: These do not end a run.
BORNE = ("worker killed", "suspended", "copied")
KINDS = (*ENDED, *BORNE)
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
#: A training takes a fraction of a second; a suspended run sleeps longer than the limit.
_TIMEOUT_SECONDS = 8
_SLEEP_SECONDS = 10
_TOLD = re.compile(
    r"^\[\d+/\d+\] trial (\d+) (completed|stopped|diverged|failed|killed|timeout) ?(-?[\d.]+)?",
    re.MULTILINE,
)
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Scenario:
    """A sweep, how many trainings run at a time, and where."""

    method: str
    workers: int
    where: str = "local"

    @property
    def exact(self) -> bool:
        """Whether the whole table is the same from run to run."""
        return self.workers == 1 or self.method in ("grid", "random")

    @property
    def kinds(self) -> tuple[str, ...]:
        """What its runs may get. What Ray does after its sleep is Ray's affair."""
        return ("SIGKILL", "SIGTERM", "SIGINT", "moved", "copied") if self.where == "ray" else KINDS

    def write(self, home: Path) -> None:
        """The sweep file; a worker that is killed is nobody's fault, so it is always retried."""
        sweep: dict[str, Any] = {
            "data": {"dataset": "digits", "seed": 42},
            "method": self.method,
            "parameters": _GRID if self.method == "grid" else _RANGES,
            "budget": {"trials": _TRIALS},
            "execution": {"workers": self.workers, "retries": 100, "timeout": _TIMEOUT_SECONDS},
        }
        if self.where == "ray":
            sweep["execution"]["engine"] = "ray"
        if self.where == "keras":
            sweep |= {"model": "user_models:dense", "parameters": {"epochs": [2, 4]}}
            shutil.copy(USER_MODELS, home)
        (home / "sweep.yaml").write_text(yaml.safe_dump(sweep, sort_keys=False), encoding="utf-8")


@dataclass
class Tally:
    """The outcome of one scenario."""

    kinds: Counter[str] = field(default_factory=Counter)
    early: int = 0
    sweeps: int = 0
    told: int = 0
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
    return {number: json.loads(record) for number, record in acknowledged(directory).items()}


def told_and_lost(told: Mapping[int, tuple[str, str]], stored: Mapping[int, Record]) -> int:
    """Of what the console told: how much is not in the store, or is another there.

    With one seed, a trial and its execution have the same number.
    """
    return sum(
        trial not in stored
        # One that a method had halted may have gone on.
        or (
            status == "completed"
            and (stored[trial]["status"], f"{stored[trial]['score']:.4f}") != (status, score)
        )
        for trial, (status, score) in told.items()
    )


class Disturbed:
    """A run that is to be interrupted once.

    Args:
        trials: How many results it has in the end.
    """

    def __init__(self, driver: Running, kind: str, trials: int) -> None:
        self.driver, self.kind, self.trials = driver, kind, trials
        self.unfinished = 0
        self.began_training = True

    def interrupt(self, rng: random.Random) -> bool:
        """Disturb it; whether it was still at work."""
        driver = self.driver
        if driver.process.poll() is not None:
            return False
        servers = driver.servers()
        self.began_training = ": trial " in driver.log()
        if not self._harm(rng):
            return False
        now = _moved(driver.directory) if self.kind == "moved" else driver.directory
        self.unfinished = self.trials - len(records(now))
        if self.kind in ENDED:
            driver.said = driver.process.communicate(timeout=_PATIENCE_SECONDS)[1]
            wait_for(lambda: not in_sessions(servers), seconds=30, what="processes to end")
            if self.kind == "moved":
                _moved(driver.directory).rename(driver.directory)
        return True

    def _harm(self, rng: random.Random) -> bool:
        driver, out = self.driver, self.driver.directory
        match self.kind:
            case "worker killed":
                if workers := driver.workers():
                    with suppress(ProcessLookupError):
                        os.kill(rng.choice(workers), signal.SIGKILL)
                        return True
                return False
            case "suspended":
                return _suspend(driver)
            case "moved" | "copied":
                lock = out / ".lock"
                # Before that, it is not this run's.
                if not lock.exists() or lock.read_text().strip() != str(driver.pid):
                    return False
                if self.kind == "moved":
                    out.rename(_moved(out))
                else:
                    # Files come and go while they are copied.
                    command = ["cp", "-r", out, out.with_name(f"{out.name}-copy-{driver.pid}")]
                    subprocess.run(command, check=False, stderr=subprocess.DEVNULL)
            case _:
                driver.process.send_signal(signal.Signals[self.kind])
        return True

    def fault(self) -> str:
        """How its end is not what the interruption demands; empty if it is."""
        code, said = self.driver.process.returncode, self.driver.said
        wanted = ENDED.get(self.kind, 0)
        if "Traceback" in said and "<frozen site>" not in said:
            return f"a traceback: {said.strip()[-600:]}"
        if code == wanted or (code == 0 and self.unfinished <= 0):
            return ""
        # A signal that comes before the program does is Python's own affair.
        own = "<frozen site>" in said or -code == getattr(signal, self.kind, None)
        if own and not self.began_training:
            return ""
        return f"exit {code} with {self.unfinished} trials to go: {said.strip()[-300:]}"


def _moved(directory: Path) -> Path:
    return directory.with_name(f"{directory.name}-moved")


def _suspend(driver: Running) -> bool:
    """Stop all of a run's processes for longer than a training may take, as a closed lid does."""
    try:
        processes = [psutil.Process(driver.pid)]
        processes += processes[0].children(recursive=True)
        for process in processes:
            process.suspend()
    except psutil.NoSuchProcess:
        return False
    finally:
        time.sleep(_SLEEP_SECONDS)
        for process in reversed(processes):
            with suppress(psutil.NoSuchProcess):
                process.resume()
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
    for name in ("results.csv", "curves.csv"):
        one, two = (_texts(table(each, name)) for each in (left, right))
        wrong += len({*one.itertuples(index=False)} ^ {*two.itertuples(index=False)})
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
    over = False
    while not over:
        driver = start("sweep.yaml", cwd=undisturbed.home, out=out, env={})
        kind = rng.choice(undisturbed.scenario.kinds)
        began = time.monotonic()
        time.sleep(rng.uniform(0, 1.0 if rng.random() < 1 / 3 else undisturbed.seconds))
        disturbed = Disturbed(driver, kind, undisturbed.rows)
        hit = disturbed.interrupt(rng)
        if driver.process.returncode is None or not driver.said:
            driver.said = driver.process.communicate(timeout=300)[1]
        if not hit:
            disturbed.kind = ""
            # The machine is faster now than it was: instants are to fall into the run.
            undisturbed.seconds = min(undisturbed.seconds, time.monotonic() - began)
        if fault := disturbed.fault():
            tally.wrong_ends.append(f"{disturbed.kind or 'undisturbed'}: {fault}")
        told = {int(trial): (status, score) for trial, status, score in _TOLD.findall(driver.said)}
        now = records(directory)
        lost, changed = lost_and_changed(known, now)
        tally.told += len(told)
        tally.lost += lost + told_and_lost(told, now)
        tally.changed, known = tally.changed + changed, now
        if hit:
            tally.kinds[kind] += 1
            tally.early += not disturbed.began_training
            yield kind
        over = driver.process.returncode == 0
    _judge_table(undisturbed, directory, tally)
    for copy in undisturbed.home.glob(f"{out}-copy-*"):
        _judge_copy(undisturbed, copy, tally)
    tally.sweeps += 1
    if undisturbed.scenario.exact:
        tally.begun_again += trainings_begun(directory) - undisturbed.trainings


def _judge_table(undisturbed: Undisturbed, directory: Path, tally: Tally) -> None:
    changed, twice = differences(undisturbed, directory)
    tally.changed, tally.twice = tally.changed + changed, tally.twice + twice


def _judge_copy(undisturbed: Undisturbed, copy: Path, tally: Tally) -> None:
    """Run a copy that was made in mid-run: it ends as the run did, or is refused in a line."""
    done = hpsearch("run", "sweep.yaml", "--out", copy.name, cwd=undisturbed.home, code=None)
    if done.returncode == 0:
        _judge_table(undisturbed, copy, tally)
    elif done.returncode != 3:
        tally.wrong_ends.append(f"a copy: exit {done.returncode}: {done.stderr.strip()[-300:]}")


def run(minutes: float, seed: int, most: int, home: Path) -> dict[Scenario, Tally]:
    """Interrupt until the time is up, or so many interruptions are done."""
    rng = random.Random(seed)
    scenarios = [Scenario(m, w) for m in ("grid", "random", "tpe", "hyperband") for w in (1, 2)]
    scenarios += [Scenario("random", 2, "keras"), Scenario("random", 2, "ray")]
    deadline = time.monotonic() + 60 * minutes
    left_alone: dict[Scenario, Undisturbed] = {}
    tallies = {each: Tally() for each in scenarios}
    done, number = 0, 0
    while time.monotonic() < deadline and done < most:
        scenario = scenarios[number % len(scenarios)]
        tally = tallies[scenario]
        if scenario not in left_alone:
            place = home / f"{scenario.method}-{scenario.workers}-{scenario.where}"
            left_alone[scenario] = Undisturbed(scenario, place)
        out = f"run-{number}"
        for kind in disturbed_sweep(left_alone[scenario], out, tally, rng):
            done += 1
            what = f"{scenario.method}, {scenario.workers} workers, {scenario.where}"
            print(f"{done}: {what}: {kind}", flush=True)
        number += 1
    return tallies


def rows_of(tallies: Mapping[Scenario, Tally]) -> list[dict[str, Any]]:
    """A row a scenario, and their sums."""
    rows = [
        {
            "method": scenario.method,
            "workers": scenario.workers,
            "where": scenario.where,
            "sweeps": tally.sweeps,
            **{kind: tally.kinds[kind] for kind in KINDS},
            "interruptions": tally.kinds.total(),
            "of them before a training": tally.early,
            "results told": tally.told,
            "results lost": tally.lost,
            "results changed": tally.changed,
            "trials twice": tally.twice,
            "wrong ends": len(tally.wrong_ends),
            "trainings begun again": tally.begun_again if scenario.exact else "",
        }
        for scenario, tally in tallies.items()
    ]
    total: dict[str, Any] = {"method": "all", "workers": "", "where": ""}
    for column in list(rows[0])[3:]:
        total[column] = sum(row[column] for row in rows if row[column] != "")
    return [*rows, total]


def main() -> None:
    """Run a campaign; exits with 1 where anything was lost, changed or there twice."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--interruptions", type=int, default=10**6, help="stop after so many")
    parser.add_argument("--out", type=Path, default=HERE, help="where to write interruptions.md")
    options = parser.parse_args()
    # A shell's background jobs, and the programs that they start, begin with it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
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
        report("interruptions", about, rows, options.out)
    for tally in tallies.values():
        for line in tally.wrong_ends:
            print(line)
    bad = ("results lost", "results changed", "trials twice", "wrong ends")
    sys.exit(any(rows[-1][column] for column in bad))


if __name__ == "__main__":
    main()
