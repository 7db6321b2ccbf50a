"""FAULTS 1: `kill -9` of the driver at random instants loses nothing that was acknowledged."""

from __future__ import annotations

import os
import random
import re
import signal
import struct
import sys
import time
from pathlib import Path

import pytest
from commands import hpsearch, in_sessions, start, sweep, wait_for
from marks import slow_but
from outcomes import acknowledged, assert_same, table, trainings_begun

_KILL_AT_WRITE = Path(__file__).parent.parent / "support" / "kill_at_write.py"
_KILLS = 14
#: A kill comes so many results after the driver began to train (0: after the first worker
#: appeared), and then within so many seconds: about as long as a training takes, so kills fall
#: before, between and within trainings, and before, within and after commits and rewrites of
#: the tables.
_RESULTS_BEFORE = (0, 1, 1, 2)
_LONGEST_DELAY_SECONDS = 0.4
_WORKERS = 2
_TRIALS, _TRAININGS = 24, 8
_SWEEP = """\
data: {dataset: digits, validation: 0.2, seed: 42}
parameters:
  hidden_layers: [1, 2]
  units: [32, 48]
  activation: [relu, sigmoid]
  epochs: [20, 40, 80]
execution: {workers: 2}
"""
_KILLS_IN_COMMITS = 8
#: Bytes of SQLite's write-ahead log.
_HEADER, _FRAME_HEADER = 32, 24
#: Weights of 2 MB a trial, all kept: to commit them takes a while.
_LARGE_SWEEP = """\
data: {dataset: digits, validation: 0.2, seed: 42}
parameters:
  hidden_layers: 2
  units: [700, 705, 710, 715, 720, 725, 730, 735, 740, 745, 750, 755]
  batch_size: 2048
  epochs: 1
  optimizer: [sgd, adam]
execution: {workers: 1}
keep: all
"""
_SMALL_SWEEP = """\
data: {dataset: digits, validation: 0.2, seed: 42}
parameters: {units: [8, 16], optimizer: [adam, adamax], epochs: 2}
execution: {workers: 2}
"""
_FILES = ("results.csv", "best.keras", "report.html")
_MOMENTS = [f"{when}:{name}" for name in _FILES for when in ("before", "after")]


def uncommitted_frames(database: Path) -> int:
    """Frames after the last commit: what a transaction had written when its process ended.

    Source: the SQLite documentation, "WAL-mode File Format".
    """
    log = database.with_name(database.name + "-wal")
    content = log.read_bytes() if log.exists() else b""
    if len(content) < _HEADER:
        return 0
    page_size = struct.unpack(">I", content[8:12])[0]
    salts = content[16:24]
    count = 0
    for at in range(_HEADER, len(content), _FRAME_HEADER + page_size):
        frame = content[at : at + _FRAME_HEADER]
        if len(frame) < _FRAME_HEADER or frame[8:16] != salts:
            # What follows is of an earlier generation of the log.
            break
        committed = struct.unpack(">I", frame[4:8])[0]
        count = 0 if committed else count + 1
    return count


def begin(home, out):
    """A driver with workers, a function that says whether it is over, and its servers."""
    driver = start("sweep.yaml", cwd=home, out=out)

    def is_over():
        return driver.process.poll() is not None

    wait_for(lambda: driver.workers() or is_over(), every=0.05, what="a training to begin")
    return driver, is_over, [] if is_over() else driver.servers()


def end(driver, servers):
    """Kill a driver; whether it still ran. Nothing of it is left but what it told, stored."""
    hit = driver.process.poll() is None
    err = driver.kill()
    wait_for(lambda: not in_sessions(servers), seconds=5, what="orphans to end")
    told = set(map(int, re.findall(r"trial (\d+) completed", err)))
    assert told <= acknowledged(driver.directory).keys(), "what was told is not stored"
    return hit


def kill_at_any_time(home, out, new_results, delay_seconds):
    driver, is_over, servers = begin(home, out)
    before = driver.results()
    wait_for(lambda: driver.results() >= before + new_results or is_over(), what="results")
    time.sleep(delay_seconds)
    return end(driver, servers)


@pytest.mark.slow
def test_killed_at_random_instants_nothing_is_lost(tmp_path):
    sweep(tmp_path, _SWEEP, out="undisturbed")
    assert trainings_begun(tmp_path / "undisturbed") == _TRAININGS
    # One seed for the instants; what they hit differs from machine to machine.
    rng = random.Random(20)
    gains, round_number, known, in_round = [], 1, {}, 0
    while len(gains) < _KILLS:
        out = tmp_path / f"round-{round_number}"
        delay = rng.uniform(0, _LONGEST_DELAY_SECONDS)
        hit = kill_at_any_time(tmp_path, out.name, rng.choice(_RESULTS_BEFORE), delay)
        found = acknowledged(out)
        assert found.items() >= known.items(), "an acknowledged result was lost or changed"
        gains += [len(found) - len(known)] if hit else []
        known, in_round = found, in_round + hit
        assert trainings_begun(out) <= _TRAININGS + _WORKERS * in_round
        if not hit:
            # It was done before its time; the kills go on in a new directory.
            assert_same(out, tmp_path / "undisturbed", _TRIALS)
            round_number, known, in_round = round_number + 1, {}, 0
    sweep(tmp_path, out=out.name)
    assert_same(out, tmp_path / "undisturbed", _TRIALS)
    # Spread over the work: some came before a new result, most after one or more.
    assert sum(gain > 0 for gain in gains) >= _KILLS // 2, gains


def kill_in_a_commit(home, out):
    """Kill a driver as soon as its store's log grows; whether a transaction was under way."""
    log = home / out / "sweep.db-wal"

    def written():
        try:
            stat = log.stat()
        except FileNotFoundError:
            return None
        return stat.st_size, stat.st_mtime_ns

    driver, is_over, servers = begin(home, out)
    # What stands there now is the plan.
    before = written()
    while written() in (before, None) and not is_over():
        pass
    os.kill(driver.pid, signal.SIGKILL)
    driver.process.wait()
    # Before anybody opens the store, which would tidy its log up.
    torn = uncommitted_frames(home / out / "sweep.db") > 0
    end(driver, servers)
    return torn


@pytest.mark.slow
def test_killed_within_commits_the_store_is_sound(tmp_path):
    sweep(tmp_path, _LARGE_SWEEP, out="undisturbed")
    within, known = 0, {}
    for _ in range(_KILLS_IN_COMMITS):
        within += kill_in_a_commit(tmp_path, "out")
        found = acknowledged(tmp_path / "out")
        assert found.items() >= known.items(), "an acknowledged result was lost or changed"
        known = found
    sweep(tmp_path)
    assert_same(tmp_path / "out", tmp_path / "undisturbed", _TRIALS)
    assert trainings_begun(tmp_path / "out") <= _TRIALS + _KILLS_IN_COMMITS
    assert within >= _KILLS_IN_COMMITS // 3


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A sweep that both trainers take part in, and its run that was left alone."""
    home = tmp_path_factory.mktemp("small")
    sweep(home, _SMALL_SWEEP, out="undisturbed")
    assert set(table(home / "undisturbed")["trainer"]) == {"native", "graph"}
    return home


@pytest.mark.parametrize("moment", slow_but(["after:best.keras"], _MOMENTS))
def test_killed_as_it_puts_a_file_in_place(small, moment):
    """Tables, the model (which TensorFlow trained), the report: the next run has each of them."""
    out = moment.replace(":", "-")
    program = [sys.executable, _KILL_AT_WRITE, moment]
    sweep(small, out=out, program=program, code=-signal.SIGKILL)
    sweep(small, out=out)
    assert_same(small / out, small / "undisturbed", 4)
    assert {"report.html", "best.keras"} <= {path.name for path in (small / out).iterdir()}
    assert "all is sound" in hpsearch("doctor", out, cwd=small).stdout
