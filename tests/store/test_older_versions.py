"""Stores of formats 2 and 3, made by the versions that wrote them, are upgraded, read, continued.

Each row had a trial number of its own in them, also in their tables. Each directory of `version_2`
and `version_3` is from a run of eight rows that were evaluated twice: by random with two seeds and
two folds for each config, by asha with two seeds and snapshots, and by a grid whose second seed
came later.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import commands
import pandas as pd
import pytest
from disks import read_only

import hpsearch
from hpsearch.errors import RefusedError, StoreError
from hpsearch.reporting.source import load_source
from hpsearch.spec.sweep import sweep_from_text
from hpsearch.store.doctor import Severity, examine
from hpsearch.store.store import Store
from hpsearch.store.tables import read_curves, read_table
from hpsearch.store.trials import ranked_trials, trials_of
from hpsearch.tuner.run import run_sweep
from hpsearch.tuner.settings import RunOutcome, Settings

STORES = {
    (2, "random"): 2, (2, "asha"): 4, (3, "asha"): 4, (3, "grid"): 4,
}  # fmt: skip
"""Format and name -> trials."""
_ALWAYS = {(2, "random"), (3, "asha")}
#: What differs between versions; older tables do not say the method.
SOFTWARE = ["version", "tensorflow", "keras", "method"]
NOBODY = 65534


def unpacked(version: int, name: str, directory: Path) -> Path:
    shutil.copytree(Path(__file__).with_name(f"version_{version}") / name, directory)
    packed = directory / "sweep.db.gz"
    (directory / "sweep.db").write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    return directory


@pytest.fixture(
    params=[
        pytest.param(store, marks=() if store in _ALWAYS else pytest.mark.slow) for store in STORES
    ],
    ids=lambda store: f"{store[1]}-{store[0]}",
)
def store(request: pytest.FixtureRequest) -> tuple[int, str]:
    return request.param


@pytest.fixture
def directory(store: tuple[int, str], tmp_path: Path) -> Path:
    return unpacked(*store, tmp_path / store[1])


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


def old_rows(directory: Path) -> list[tuple[int, str, int, int | None]]:
    """Number, config, seed and fold of each row as the older version wrote it."""
    with (directory / "results.csv").open(newline="") as file:
        return [
            (int(row["trial"]), row["config"], int(row["seed"]), int(row["fold"] or 0) or None)
            for row in csv.DictReader(file)
        ]


def new_trials(directory: Path) -> dict[int, int]:
    """The trial of each of its rows: configs in their order."""
    rows = old_rows(directory)
    configs = list(dict.fromkeys(config for _, config, _, _ in rows))
    return {number: configs.index(config) + 1 for number, config, _, _ in rows}


def test_the_store_holds_what_the_table_says(directory: Path) -> None:
    _, executions, results, weights, snapshots = contents(directory / "sweep.db")
    numbers = new_trials(directory)
    assert [(each.number, each.config.id, each.seed, each.fold) for each in executions] == old_rows(
        directory
    )
    assert [each.trial for each in executions] == [numbers[each.number] for each in executions]
    table = read_table(directory)
    assert len(table) == 8
    in_order = sorted(executions, key=lambda each: (each.trial, each.seed, each.fold or 0))
    for row, execution in zip(table.to_dict("records"), in_order, strict=True):
        assert (row["trial"], row["config"], row["seed"]) == (
            execution.trial, execution.config.id, execution.seed,
        )  # fmt: skip
        assert execution.fold == (None if pd.isna(row["fold"]) else row["fold"])
        result = results[execution.number]
        shared = None if result.shared_with is None else numbers[result.shared_with]
        assert shared == (None if pd.isna(row["shared_with"]) else row["shared_with"])
        assert (row["score"], row["status"]) == (result.score, result.status)
        assert row["epochs_trained"] == len(result.curve)
    assert any(each != "None" for each in weights.values())
    # They did not note when workers trained.
    assert load_source(directory).spans == []
    assert bool(snapshots) == (directory.name == "asha")


@pytest.mark.parametrize("read_only", [True, False])
def test_evaluations_have_their_trials_and_folds(directory: Path, *, read_only: bool) -> None:
    path = directory / "sweep.db"
    with closing(sqlite3.connect(path)) as db:
        query = "SELECT value FROM meta WHERE key = 'looks'"
        old = json.loads(db.execute(query).fetchone()[0])
    rows = {number: (config, seed, fold) for number, config, seed, fold in old_rows(directory)}
    with Store(path, read_only=read_only) as store:
        new = store.facts().evaluations
    assert len(new) == len(old) > 0
    for one, other in zip(old, new, strict=True):
        assert (other.config, other.seed, other.fold) == rows[one["trial"]]
        assert other.trial == new_trials(directory)[one["trial"]]
        assert (other.time, other.split, other.rows) == (one["time"], one["split"], one["rows"])
        assert other.score.value == one["metrics"]["accuracy"]["value"]
    assert hpsearch.load(directory).evaluations == new


@pytest.mark.parametrize("with_store", [True, False])
def test_old_tables_are_read_in_the_new_numbers(
    store: tuple[int, str], directory: Path, *, with_store: bool
) -> None:
    _, executions, results, *_ = contents(directory / "sweep.db")
    if not with_store:
        (directory / "sweep.db").unlink()
    opened = hpsearch.load(directory) if with_store else None
    table = opened.table if opened else read_table(directory / "results.csv")
    curves = opened.curves if opened else read_curves(directory)
    assert sorted(set(table["trial"])) == list(range(1, STORES[store] + 1))
    assert not table.duplicated(["trial", "seed", "fold"]).any()
    assert (table.groupby("trial")["config"].nunique() == 1).all()
    assert list(curves.columns) == [
        "trial", "epoch", "loss", "accuracy", "val_loss", "val_accuracy", "seed", "fold",
    ]  # fmt: skip
    found = {
        key: [*map(float, rows["val_accuracy"])]
        for key, rows in curves.fillna({"fold": 0}).groupby(["trial", "seed", "fold"])
    }
    assert found == {
        (each.trial, each.seed, each.fold or 0): [
            epoch["val_accuracy"] for epoch in results[each.number].curve
        ]
        for each in executions
    }


@pytest.mark.parametrize("with_store", [True, False])
def test_old_directories_are_shown(
    store: tuple[int, str], directory: Path, *, with_store: bool
) -> None:
    trials = trials_of(read_table(directory))
    if not with_store:
        (directory / "sweep.db").unlink()
    said = commands.hpsearch("show", directory, cwd=directory.parent).stdout
    assert said.startswith(f"{STORES[store]} trials, 8 executions: ")
    best = ranked_trials(read_table(directory)).iloc[0]
    line = next(line for line in said.splitlines()[1:] if line.split()[0].isdigit())
    assert line.split()[0] == str(best["trial"])
    assert line.split()[1] == f"{best['score']:.4f}"
    if with_store:
        assert "evaluations" in said
    source = load_source(directory)
    assert source.trials["score"].tolist() == trials["score"].tolist()
    assert source.best is not None
    assert (source.best["trial"], source.best["score"]) == (best["trial"], best["score"])
    report = directory / "r.html"
    commands.hpsearch("report", directory, "--out", report, cwd=directory.parent)
    assert f"Trial {best['trial']} of " in report.read_text(encoding="utf-8")


def test_the_doctor_knows_old_directories(directory: Path) -> None:
    files = sorted(path.name for path in directory.iterdir())
    findings = {(each.part, each.level) for each in examine(directory)}
    assert {level for _, level in findings} == {Severity.SOUND, Severity.NOTE}
    for name in ("results.csv", "curves.csv"):
        assert {(name, Severity.SOUND), (name, Severity.NOTE)} <= findings
    assert sorted(path.name for path in directory.iterdir()) == files
    table = (directory / "results.csv").read_text()
    score = str(read_table(directory)["score"][0])
    (directory / "results.csv").write_text(table.replace(score, "0.99"))
    wrong = [each for each in examine(directory) if each.level is Severity.WRONG]
    assert wrong[0].part == "results.csv"
    assert "score is 0.99, in the store" in wrong[0].text


def test_a_reader_leaves_the_file_as_it_is(directory: Path) -> None:
    path = directory / "sweep.db"
    before, files = path.read_bytes(), sorted(directory.iterdir())
    with Store(path, read_only=True) as store, pytest.raises(StoreError, match="readonly"):
        store.add_executions(store.executions())
    assert len(hpsearch.load(directory).table) == 8
    assert "best" in commands.hpsearch("show", str(directory), cwd=directory.parent).stdout
    assert path.read_bytes() == before
    assert sorted(directory.iterdir()) == files


def test_a_writer_upgrades_the_file_once(store: tuple[int, str], directory: Path) -> None:
    path = directory / "sweep.db"
    before = contents(path)
    assert format_of(path) == store[0]
    assert contents(path, read_only=False) == before
    assert format_of(path) == 4
    upgraded = path.read_bytes()
    assert contents(path) == before
    assert contents(path, read_only=False) == before
    assert path.read_bytes() == upgraded


@pytest.mark.parametrize("when", [1, 9, 10])
def test_a_killed_upgrade_leaves_the_old_store(
    store: tuple[int, str], directory: Path, monkeypatch: pytest.MonkeyPatch, when: int
) -> None:
    path = directory / "sweep.db"
    before = contents(path)
    insert, inserted = Store._insert, itertools.count(1)

    def killed(*arguments: Any, **options: Any) -> None:
        if next(inserted) == when:
            raise KeyboardInterrupt
        insert(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "_insert", killed)
        # Eight executions, and the evaluations.
        with pytest.raises(KeyboardInterrupt) if when < 10 else nullcontext():
            Store(path).close()
    assert format_of(path) == (store[0] if when < 10 else 4)
    assert contents(path) == before


def test_a_damaged_trial_is_not_upgraded(store: tuple[int, str], directory: Path) -> None:
    path = directory / "sweep.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE trials SET seed = seed + 100 WHERE number = 3")
        db.commit()
    for only_read in (True, False):
        with pytest.raises(StoreError, match="trial 3 does not match its checksum"):
            Store(path, read_only=only_read)
    assert format_of(path) == store[0]


def test_a_damaged_evaluation_is_not_upgraded(store: tuple[int, str], directory: Path) -> None:
    path = directory / "sweep.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE meta SET value = '[' || value WHERE key = 'looks'")
        db.commit()
    for only_read in (True, False):
        with pytest.raises(StoreError, match="meta 'looks' does not match its checksum"):
            Store(path, read_only=only_read)
    assert format_of(path) == store[0]


@pytest.mark.parametrize("unwritable", [("file",), ("directory",), ("file", "directory")])
def test_what_cannot_be_written_can_be_read(unwritable: tuple[str, ...]) -> None:
    # Others may not look into pytest's directories.
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch).chmod(0o755)
        directory = unpacked(3, "random", Path(scratch) / "random")
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
        directory = unpacked(2, "random", Path(scratch) / "random")
        with read_only(directory) as disk:
            said = commands.hpsearch("show", "random", cwd=Path(scratch), program=disk.program)
            assert "best trials by mean val_accuracy" in said.stdout


def run(directory: Path, trials: int, new: int = 0) -> RunOutcome:
    """Run the sweep with its trials, and some new ones."""
    with Store(directory / "sweep.db", read_only=True) as store:
        text = store.facts().sweep
    # The budget counted rows; the grid gets another value, with its two epochs.
    budget, values = "budget: {trials: 8}", "units: [2, 3]"
    assert (budget in text) != (values in text)
    text = text.replace(budget, f"budget: {{trials: {trials + new}}}")
    # These were the defaults.
    text = text.replace("asha, factor: 2", "asha, factor: 2, proposals: random, brackets: 1")
    if new:
        text = text.replace(values, "units: [2, 3, 4]")
    sweep = sweep_from_text(text, "sweep.yaml")
    return run_sweep(sweep, Settings(out=directory, report=False, model=False, in_process=True))


def test_a_finished_sweep_trains_nothing(store: tuple[int, str], directory: Path) -> None:
    before = read_table(directory), read_curves(directory)
    trials = STORES[store]
    outcome = run(directory, trials)
    assert (outcome.trials, outcome.trained) == (trials, 0)
    after = read_table(directory), read_curves(directory)
    for old, new in zip(before, after, strict=True):
        pd.testing.assert_frame_equal(
            new.drop(columns=SOFTWARE, errors="ignore"), old.drop(columns=SOFTWARE, errors="ignore")
        )
    # The files themselves have the new numbers.
    for name in ("results.csv", "curves.csv"):
        assert set(pd.read_csv(directory / name)["trial"]) == set(range(1, trials + 1))
    assert format_of(directory / "sweep.db") == 4
    assert {each.level for each in examine(directory)} <= {Severity.SOUND, Severity.NOTE}
    assert "results.csv" not in {
        each.part for each in examine(directory) if each.level is Severity.NOTE
    }


def test_a_sweep_goes_on(store: tuple[int, str], directory: Path) -> None:
    """Asha of format 2 promotes one of its stopped trials, which goes on from its snapshots."""
    old, curves = read_table(directory), read_curves(directory)
    trials, new = STORES[store], 1 if directory.name == "random" else 2
    outcome = run(directory, trials, new)
    assert (outcome.trials, outcome.trained) == (trials + new, new)
    table = read_table(directory)
    assert table["trial"].drop_duplicates().tolist() == list(range(1, trials + new + 1))
    longer = old.merge(table, on=["trial", "seed", "fold"], suffixes=("", "_now"))
    promoted = set(longer.loc[longer["epochs_trained"] < longer["epochs_trained_now"], "trial"])
    assert promoted == ({4} if store == (2, "asha") else set())
    kept = [number for number in old["trial"] if number not in promoted]
    pd.testing.assert_frame_equal(
        table[table["trial"].isin(kept)].drop(columns=SOFTWARE),
        old[old["trial"].isin(kept)].drop(columns=SOFTWARE, errors="ignore"),
    )
    known = curves[["trial", "epoch", "seed", "fold"]]
    pd.testing.assert_frame_equal(read_curves(directory).merge(known)[[*curves]], curves)


def test_an_old_table_without_its_store_is_not_overwritten(directory: Path) -> None:
    with Store(directory / "sweep.db", read_only=True) as store:
        sweep = sweep_from_text(store.facts().sweep, "sweep.yaml")
    (directory / "sweep.db").unlink()
    before = (directory / "results.csv").read_bytes()
    with pytest.raises(RefusedError, match=r"there is a results\.csv without its sweep\.db"):
        run_sweep(sweep, Settings(out=directory, report=False, model=False, in_process=True))
    assert (directory / "results.csv").read_bytes() == before


def test_two_old_directories_are_compared(directory: Path) -> None:
    """One as it was, one upgraded by a run: they are equal."""
    other = directory.with_name("other")
    shutil.copytree(directory, other)
    trials = len(set(new_trials(directory).values()))
    run(other, trials)
    found = hpsearch.compare(directory, other)
    assert found.comparable
    assert found.n_pairs == trials
    one, two = found.bests
    assert (one.config, one.mean, one.seeds) == (two.config, two.mean, two.seeds)
