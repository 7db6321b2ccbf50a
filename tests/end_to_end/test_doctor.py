"""`hpsearch doctor`: what it says of damage of every kind."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path

import pytest
from commands import hpsearch, start
from outcomes import contents, table
from small_sweeps import run_on_table

from hpsearch.store.records import file_digest
from hpsearch.store.store import Store

_SWEEP = """\
data: {csv: table.csv, target: y, validation: 0.25}
parameters:
  hidden_layers: [1, 2]
  units: [4, [6, 3]]
  optimizer: [adam, {name: sgd, learning_rate: 0.1}]
  epochs: [2, 4]
keep: all
"""
_TRIALS = 12
_ROWS = """\
import numpy as np

def read():
    x = np.random.default_rng(0).normal(size=(60, 3))
    return x, (x[:, 0] > 0).astype(int)
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    home = run_on_table(tmp_path_factory.mktemp("finished"), _SWEEP)
    assert len(table(home / "out")) == _TRIALS
    return home


@pytest.fixture
def home(finished, tmp_path):
    """The same, at the same place for the sweep: its data lies where it lay."""
    shutil.copytree(finished / "out", tmp_path / "out")
    return tmp_path


def test_a_sound_directory(home):
    before = contents(home / "out")
    said = hpsearch("doctor", "out", cwd=home)
    lines = [line.split(": ")[0].split() for line in said.stdout.strip().splitlines()[:-1]]
    parts = ("sweep.db", "results.csv", "curves.csv", "sweep.yaml", "data", "best.keras")
    assert lines == [[part, "sound"] for part in parts]
    assert said.stdout.endswith("all is sound\n")
    assert "best.keras   sound: scores what the row of trial" in said.stdout
    assert contents(home / "out") == before


def record_digest(out: Path) -> None:
    """Have the store take best.keras for the file that the run wrote."""
    with Store(out / "sweep.db") as store:
        store.set_facts(best_digest=file_digest(out / "best.keras"))


def test_a_swapped_model_is_seen_and_never_loaded(home, finished):
    hpsearch("export", "out", "--trial", worst(home / "out"), "--out", "other.keras", cwd=home)
    shutil.copy(home / "other.keras", home / "out" / "best.keras")
    said = hpsearch("doctor", "out", cwd=home, code=3)
    (line,) = (each for each in said.stdout.splitlines() if "WRONG" in each)
    assert line.startswith("best.keras   WRONG: is not the file that the run wrote")
    # The next run leaves whoever replaced it the file, and writes the best again.
    run = hpsearch("run", finished / "sweep.yaml", "--out", "out", cwd=home)
    assert "what was there is best-replaced.keras now" in run.stderr
    replaced = home / "out" / "best-replaced.keras"
    assert replaced.read_bytes() == (home / "other.keras").read_bytes()
    said = hpsearch("doctor", "out", cwd=home).stdout
    assert "best.keras   sound: scores what the row of trial" in said


def test_a_swapped_model_is_seen_where_its_score_would_take_a_users_code(home, tmp_path):
    """Neither is run."""
    (tmp_path / "rows.py").write_text(_ROWS)
    (tmp_path / "own.yaml").write_text(
        'data: {python: "rows:read"}\nparameters: {units: [4], epochs: 1}\n'
    )
    hpsearch("run", "own.yaml", "--out", "own", cwd=tmp_path)
    (tmp_path / "rows.py").write_text("open('RAN', 'w')\n")
    said = hpsearch("doctor", "own", cwd=tmp_path).stdout
    assert "best.keras   note: as the run wrote it; its score is not checked" in said
    shutil.copy(home / "out" / "best.keras", tmp_path / "own" / "best.keras")
    said = hpsearch("doctor", "own", cwd=tmp_path, code=3).stdout
    assert "best.keras   WRONG: is not the file that the run wrote" in said
    assert not (tmp_path / "RAN").exists()


def test_a_model_of_another_trial_in_place_of_the_best(home):
    hpsearch("export", "out", "--trial", worst(home / "out"), "--out", "other.keras", cwd=home)
    (home / "other.keras").replace(home / "out" / "best.keras")
    record_digest(home / "out")
    said = hpsearch("doctor", "out", cwd=home, code=3)
    (line,) = (each for each in said.stdout.splitlines() if "WRONG" in each)
    assert line.startswith("best.keras   WRONG: is not the model of trial")
    assert "its loss is" in line


def worst(directory: Path) -> int:
    rows = table(directory)
    return int(rows.loc[rows["val_loss"].idxmax(), "trial"])


def test_a_file_that_is_no_model(home):
    with closing(sqlite3.connect(home / "out" / "sweep.db")) as store, store:
        store.execute("DELETE FROM weights")
    with zipfile.ZipFile(home / "out" / "best.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    record_digest(home / "out")
    said = hpsearch("doctor", "out", cwd=home, code=3)
    assert "best.keras   WRONG: Keras cannot load it" in said.stdout


def edit(name, old, new):
    def damage(out):
        text = (out / name).read_text()
        assert old in text
        (out / name).write_text(text.replace(old, new, 1))

    return damage


def cut(name, lines):
    def damage(out):
        kept = (out / name).read_text().splitlines(keepends=True)[:-lines]
        (out / name).write_text("".join(kept))

    return damage


def cells(out):
    """The first score in the table."""
    return str(table(out)["score"][0])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda out: (out / "sweep.db").write_bytes(b""), "the store is empty"),
        (lambda out: (out / "sweep.db").unlink(), "results.csv can still be read"),
        (lambda out: edit("results.csv", cells(out), "0.99")(out), "score is 0.99, in the store"),
        (edit("results.csv", "completed", "failed"), "status is 'failed', in the store"),
        (edit("curves.csv", "\n1,1,0", "\n1,1,7"), "trial 1, epoch 1: loss is 7"),
        (edit("results.csv", "trial,", "number,"), "cannot be read"),
        (lambda out: (out / "best.keras").write_bytes(b"PK"), "best.keras   WRONG: is damaged"),
    ],
)
def test_damage_is_said_and_changes_nothing(home, damage, words):
    damage(home / "out")
    before = contents(home / "out")
    said = hpsearch("doctor", "out", cwd=home, code=3)
    assert words in said.stdout
    assert said.stdout.endswith("something is wrong\n")
    assert contents(home / "out") == before


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (cut("results.csv", 3), "results.csv  note: lacks 3 rows that the store has"),
        (cut("curves.csv", 2), "curves.csv   note: lacks 2 epochs that the store has"),
        (lambda out: (out / "curves.csv").unlink(), "curves.csv   note: there is none"),
        (edit("sweep.yaml", "units", "unitz"), "sweep.yaml   note: is missing, or another"),
        (lambda out: (out / "best.keras").unlink(), "best.keras   note: there is none"),
        (
            lambda out: (out / ".results.csv.0123456789abcdef.tmp").touch(),
            "left by a run that was killed",
        ),
    ],
)
def test_what_a_killed_run_leaves_is_no_damage(home, damage, words):
    damage(home / "out")
    assert words in hpsearch("doctor", "out", cwd=home).stdout


def test_other_data_is_said(finished, home):
    data = (finished / "table.csv").read_text()
    try:
        (finished / "table.csv").write_text(data.replace("1.000", "1.001", 1))
        said = hpsearch("doctor", "out", cwd=home, code=3)
        assert "data         WRONG: its fingerprint is d" in said.stdout
        (finished / "table.csv").unlink()
        said = hpsearch("doctor", "out", cwd=home)
        assert "data         note: cannot be compared: " in said.stdout
    finally:
        (finished / "table.csv").write_text(data)


def test_a_directory_at_which_a_run_works_is_left_alone(tmp_path):
    (tmp_path / "sweep.yaml").write_text(
        "data: {dataset: digits}\nparameters: {units: [8, 16], epochs: [2, 100000]}\n"
    )
    driver = start("sweep.yaml", cwd=tmp_path, out="out")
    driver.wait_for_results(1)
    said = hpsearch("doctor", "out", cwd=tmp_path, code=3)
    assert f"a run is at work here (process {driver.pid})" in said.stderr
    driver.send(signal.SIGKILL)
    # Whether the table has been written since the last result is a matter of the moment.
    assert "sweep.db     sound" in hpsearch("doctor", "out", cwd=tmp_path).stdout
