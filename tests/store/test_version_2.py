"""Stores of format 2, made by the version before format 3, are upgraded, read and continued.

Each directory of `version_2` is from a run of eight trials: by random with two seeds and two folds
for each config, by asha with two seeds and with snapshots.
"""

from __future__ import annotations

import gzip
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import commands
import pandas as pd
import pytest
from disks import read_only

import hpsearch
from hpsearch.errors import StoreError
from hpsearch.spec.sweep import sweep_from_text
from hpsearch.store.store import Store
from hpsearch.store.tables import read_table
from hpsearch.tuner.run import run_sweep
from hpsearch.tuner.settings import RunOutcome, Settings

STORES = Path(__file__).with_name("version_2")
SOFTWARE = ["version", "tensorflow", "keras"]
NOBODY = 65534


def unpacked(name: str, directory: Path) -> Path:
    shutil.copytree(STORES / name, directory)
    packed = directory / "sweep.db.gz"
    (directory / "sweep.db").write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    return directory


@pytest.fixture(params=["random", "asha"])
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return unpacked(request.param, tmp_path / request.param)


def contents(path: Path, *, read_only: bool = True) -> tuple[Any, ...]:
    with Store(path, read_only=read_only) as store:
        snapshots = {number: repr(store.snapshot(number)) for number, _, _ in store.snapshots()}
        weights = {number: repr(store.weights(number)) for number in range(1, 9)}
        return store.meta(), store.executions(), store.results(), weights, snapshots


def format_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


@contextmanager
def as_nobody(*paths: Path) -> Iterator[None]:
    """As somebody who may not write these, which root may in any case."""
    for path in paths:
        path.chmod(path.stat().st_mode & ~0o222)
    try:
        if os.geteuid() == 0:
            os.seteuid(NOBODY)
        yield
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        for path in paths:
            path.chmod(path.stat().st_mode | 0o200)


def test_the_store_holds_what_the_table_says(directory: Path) -> None:
    _, trials, results, weights, snapshots = contents(directory / "sweep.db")
    table = read_table(directory)
    assert len(table) == 8
    for row, trial in zip(table.to_dict("records"), trials, strict=True):
        assert (row["trial"], row["config"], row["seed"]) == (
            trial.number, trial.config.id, trial.seed,
        )  # fmt: skip
        assert trial.fold == (None if pd.isna(row["fold"]) else row["fold"])
        result = results[trial.number]
        assert (row["score"], row["status"]) == (result.score, result.status)
        assert row["epochs_trained"] == len(result.curve)
    assert any(each != "None" for each in weights.values())
    assert bool(snapshots) == (directory.name == "asha")


def test_a_reader_leaves_the_file_as_it_is(directory: Path) -> None:
    path = directory / "sweep.db"
    before, files = path.read_bytes(), sorted(directory.iterdir())
    with Store(path, read_only=True) as store, pytest.raises(StoreError, match="readonly"):
        store.add_executions(store.executions())
    assert len(hpsearch.load(directory).table) == 8
    assert "best" in commands.hpsearch("show", str(directory), cwd=directory.parent).stdout
    assert path.read_bytes() == before
    assert sorted(directory.iterdir()) == files


def test_a_writer_upgrades_the_file_once(directory: Path) -> None:
    path = directory / "sweep.db"
    before = contents(path)
    assert format_of(path) == 2
    assert contents(path, read_only=False) == before
    assert format_of(path) == 3
    upgraded = path.read_bytes()
    assert contents(path) == before
    assert contents(path, read_only=False) == before
    assert path.read_bytes() == upgraded


def test_a_killed_upgrade_leaves_the_old_store(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = directory / "sweep.db"
    before = contents(path)
    with monkeypatch.context() as patch:
        patch.setattr(Store, "_insert", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            Store(path)
    assert format_of(path) == 2
    assert contents(path) == before


def test_a_damaged_trial_is_not_upgraded(directory: Path) -> None:
    path = directory / "sweep.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE trials SET seed = seed + 100 WHERE number = 3")
        db.commit()
    for only_read in (True, False):
        with pytest.raises(StoreError, match="trial 3 does not match its checksum"):
            Store(path, read_only=only_read)
    assert format_of(path) == 2


@pytest.mark.parametrize("unwritable", [("file",), ("directory",), ("file", "directory")])
def test_what_cannot_be_written_can_be_read(unwritable: tuple[str, ...]) -> None:
    # Others may not look into pytest's directories.
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch).chmod(0o755)
        directory = unpacked("random", Path(scratch) / "random")
        path = directory / "sweep.db"
        expected, data = contents(path), path.read_bytes()
        directory.chmod(0o777)
        path.chmod(0o666)
        paths = {"file": path, "directory": directory}
        with as_nobody(*(paths[each] for each in unwritable)):
            assert contents(path) == expected
            assert not list(directory.glob("sweep.db-*"))
            # A writer must not lose its results in memory.
            with pytest.raises(StoreError, match="the store failed"):
                Store(path)
        assert path.read_bytes() == data


def test_a_read_only_disk_is_shown() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch).chmod(0o755)
        directory = unpacked("random", Path(scratch) / "random")
        with read_only(directory) as disk:
            said = commands.hpsearch("show", "random", cwd=Path(scratch), program=disk.program)
            assert "best configs" in said.stdout


def run(directory: Path, trials: int) -> RunOutcome:
    with Store(directory / "sweep.db", read_only=True) as store:
        text = store.facts().sweep
    assert "budget: {trials: 8}" in text
    sweep = sweep_from_text(text.replace("{trials: 8}", f"{{trials: {trials}}}"), "sweep.yaml")
    return run_sweep(sweep, Settings(out=directory, report=False, model=False, in_process=True))


def test_a_finished_sweep_trains_nothing(directory: Path) -> None:
    before = read_table(directory), read_table(directory / "curves.csv")
    outcome = run(directory, trials=8)
    assert (outcome.trials, outcome.trained) == (8, 0)
    for old, name in zip(before, ("results.csv", "curves.csv"), strict=True):
        new = read_table(directory / name)
        pd.testing.assert_frame_equal(
            new.drop(columns=SOFTWARE, errors="ignore"), old.drop(columns=SOFTWARE, errors="ignore")
        )
    assert format_of(directory / "sweep.db") == 3


def test_a_sweep_goes_on(directory: Path) -> None:
    """Asha promotes two of its stopped trials, which go on from their snapshots."""
    old, curves = read_table(directory), read_table(directory / "curves.csv")
    promoted = [7, 8] if directory.name == "asha" else []
    outcome = run(directory, trials=12)
    assert (outcome.trials, outcome.trained) == (12, 4)
    new = read_table(directory)
    assert new["trial"].tolist() == list(range(1, 13))
    kept = [number for number in old["trial"] if number not in promoted]
    pd.testing.assert_frame_equal(
        new[new["trial"].isin(kept)].drop(columns=SOFTWARE),
        old[old["trial"].isin(kept)].drop(columns=SOFTWARE),
    )
    continued = read_table(directory / "curves.csv").merge(curves[["trial", "epoch"]])
    pd.testing.assert_frame_equal(continued, curves)
