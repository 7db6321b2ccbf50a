"""FAULTS 16: a damaged store is refused in one line and stays; results.csv is readable."""

import os
import random
import shutil
import sqlite3
from contextlib import closing

import pandas as pd
import pytest
from commands import hpsearch, start, sweep
from outcomes import OF_A_RUN, contents
from store_contents import everything

from hpsearch.errors import StoreError

_SWEEP = """\
data: {dataset: digits, validation: 0.2, seed: 42}
method: {name: asha, min_epochs: 1, factor: 2}
parameters: {units: [4, 5, 6, 7], hidden_layers: [1, 2], epochs: [4]}
budget: {trials: 8}
execution: {workers: 1}
"""
_FLIPS = 200
#: And the index of the log, which is made of it.
_CHANGING = (*OF_A_RUN, "sweep.db-shm")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Results with weights and snapshots."""
    home = tmp_path_factory.mktemp("finished")
    sweep(home, _SWEEP)
    # A row that was replaced leaves bytes behind, which nobody reads.
    with closing(sqlite3.connect(home / "out" / "sweep.db")) as db:
        db.execute("VACUUM")
    return home


@pytest.fixture
def home(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "home")


def flipped(data, text):
    """One bit of the first place that reads so."""
    at = data.index(text) + len(text) - 1
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda data: data[: len(data) // 2],
        lambda data: flipped(data, b'"score": 0.'),
    ],
    ids=["empty", "half", "a score"],
)
def test_a_damaged_store_is_refused_and_left_as_it_is(home, damage):
    out = home / "out"
    whole = (out / "sweep.db").read_bytes()
    (out / "sweep.db").write_bytes(damage(whole))
    before = contents(out, _CHANGING)
    said = hpsearch("run", "sweep.yaml", "--out", "out", cwd=home, code=3)
    assert len(said.stderr.strip().splitlines()) == 1, said.stderr
    assert said.stderr.startswith("out/sweep.db: ")
    assert "--fresh" in said.stderr
    assert contents(out, _CHANGING) == before
    shown = hpsearch("show", "out", cwd=home)
    assert shown.stdout.startswith("8 trials: ")


def test_moved_aside_a_damaged_store_does_not_stand_in_the_way(home):
    out = home / "out"
    (out / "sweep.db").write_bytes((out / "sweep.db").read_bytes()[:5_000])
    before = contents(out, _CHANGING)
    said = hpsearch("run", "sweep.yaml", "--out", "out", "--fresh", cwd=home)
    assert "8 trials, 8 completed" in said.stdout or "8 trained now" in said.stdout
    (aside,) = (path for path in home.iterdir() if path.name.startswith("out."))
    assert contents(aside, _CHANGING) == before


def test_of_random_bit_flips_every_one_that_changes_a_row_is_refused(finished, tmp_path):
    sound = finished / "out" / "sweep.db"
    expected, whole = everything(sound), sound.read_bytes()
    generator = random.Random(0)
    path = tmp_path / "sweep.db"
    refusals = 0
    for _ in range(_FLIPS):
        data = bytearray(whole)
        # Half of them where most structure is: the header, the schema and the pages' heads.
        at = generator.randrange(len(data))
        if generator.randrange(2):
            at = at // 4096 * 4096 + generator.randrange(100)
        data[at] ^= 1 << generator.randrange(8)
        path.write_bytes(data)
        try:
            found, refusal = everything(path), None
        except StoreError as error:
            found, refusal = None, error
        if refusal is None:
            assert found == expected, f"byte {at}"
        else:
            assert len(str(refusal).splitlines()) == 1
            refusals += 1
        assert path.read_bytes() == data
        for leftover in tmp_path.glob("sweep.db-*"):
            leftover.unlink()
    assert 20 < refusals < _FLIPS


def test_a_store_that_is_damaged_during_the_run_is_said_by_its_exit_code(tmp_path):
    (tmp_path / "sweep.yaml").write_text(
        "data: {dataset: digits}\n"
        "parameters: {units: [8, 10, 12, 14, 16], epochs: 80}\n"
        "execution: {workers: 1}\n"
    )
    driver = start("sweep.yaml", cwd=tmp_path, out="out")
    driver.wait_for_results(1)
    os.truncate(tmp_path / "out" / "sweep.db", 0)
    _, err = driver.process.communicate()
    assert driver.process.returncode == 3
    assert "out/sweep.db: the store is damaged" in err
    assert "results.csv is untouched" in err
    assert len(pd.read_csv(tmp_path / "out" / "results.csv")) == 5
