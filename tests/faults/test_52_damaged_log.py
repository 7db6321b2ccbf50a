"""FAULTS 52: a damaged, lost or foreign log of the store is said if told results are missing."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from commands import hpsearch, start

from hpsearch.errors import StoreError
from hpsearch.store.store import Store

_SWEEP = """\
data: {dataset: digits, validation: 0.2, seed: 42}
parameters: {units: {min: UNITS, max: 95, step: 1}, epochs: [1]}
execution: {workers: 1}
"""
_LOST = "lacks shown results"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Directories of two runs, `out` and `other`, that were killed after some results."""
    home = tmp_path_factory.mktemp("killed")
    for out, units in (("out", 16), ("other", 40)):
        (home / "sweep.yaml").write_text(_SWEEP.replace("UNITS", str(units)))
        driver = start("sweep.yaml", cwd=home, out=out)
        driver.wait_for_results(6)
        driver.kill()
        (home / out / "results.csv").unlink(missing_ok=True)
    return home


def damaged(log: Path, damage: str) -> None:
    data = log.read_bytes()
    match damage:
        case "a bit":
            middle = len(data) // 2
            log.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
        case "the end":
            log.write_bytes(data[: len(data) // 2])
        case "removed":
            log.unlink()
        case "of another":
            shutil.copy(log.parent.parent / "other" / log.name, log)
        case "no log":
            log.write_text("the settings of my shop")
        case "a torn commit":
            log.write_bytes(data + data[-4_120:-1_000])


def test_a_bit_of_the_log_changes_no_row(home, tmp_path):
    """SQLite ends a log where it does not fit its checksums: what is left is as it was."""
    whole = {name: (home / "out" / name).read_bytes() for name in ("sweep.db", "sweep.db-wal")}
    generator, outcomes = random.Random(0), []
    for attempt in range(61):
        log = bytearray(whole["sweep.db-wal"])
        if attempt:
            log[generator.randrange(len(log))] ^= 1 << generator.randrange(8)
        (tmp_path / "sweep.db").write_bytes(whole["sweep.db"])
        (tmp_path / "sweep.db-wal").write_bytes(log)
        try:
            with Store(tmp_path / "sweep.db", read_only=True) as store:
                outcomes.append(store.results())
        except StoreError:
            assert attempt
        for leftover in tmp_path.iterdir():
            leftover.unlink()
    assert all(found.items() <= outcomes[0].items() for found in outcomes)
    assert any(len(found) < len(outcomes[0]) for found in outcomes)


@pytest.mark.parametrize(
    "damage", ["a bit", "the end", "removed", "of another", "no log", "a torn commit", "none"]
)
def test_results_that_were_told_are_not_lost_without_a_word(home, tmp_path, damage):
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    damaged(tmp_path / "out" / "sweep.db-wal", damage)
    legal = damage in ("a torn commit", "none")
    said = hpsearch("doctor", "out", cwd=tmp_path, code=0 if legal else 3).stdout
    assert (_LOST in said) != legal
    words = ["run", "sweep.yaml", "--set", "parameters.units=[40]", "--out", "out"]
    assert (_LOST in hpsearch(*words, cwd=tmp_path).stderr) != legal
