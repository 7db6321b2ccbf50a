"""The files of a run, read without hpsearch, and a comparison of two runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

import pandas as pd
from pandas.testing import assert_frame_equal


def table(directory: Path, name: str = "results.csv") -> pd.DataFrame:
    """results.csv or curves.csv, but for the times."""
    return pd.read_csv(directory / name).drop(columns="seconds", errors="ignore")


#: Files that name the run itself, also one that is refused.
OF_A_RUN = (".lock", "run.log")


def contents(directory: Path, but: Collection[str] = ()) -> dict[str, bytes]:
    """The files in a directory by path, except for those with some names."""
    files = (path for path in directory.rglob("*") if path.is_file() and path.name not in but)
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def acknowledged(directory: Path) -> dict[int, str]:
    """The records in the store, if there is one, by execution, as any SQLite reader finds them."""
    if not (directory / "sweep.db").exists():
        return {}
    with closing(sqlite3.connect(directory / "sweep.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return dict(db.execute("SELECT execution, record FROM results").fetchall())


def assert_same(directory: Path, undisturbed: Path, trials: int) -> None:
    """Every trial once, each number as in the run that was left alone, nothing half-written."""
    rows = table(directory)
    assert list(rows["trial"]) == list(range(1, trials + 1))
    assert not rows.duplicated(["config", "seed"]).any()
    for name in ("results.csv", "curves.csv"):
        assert_frame_equal(table(directory, name), table(undisturbed, name))
    assert sorted(acknowledged(directory)) == list(rows["trial"])
    assert {path.name for path in directory.glob(".*")} <= {".lock", ".store"}


def trainings_begun(directory: Path) -> int:
    """How many trainings were handed to workers, over all runs."""
    lines = (directory / "run.log").read_text().splitlines()
    return sum(": trial " in line and line.rsplit(" ", 1)[-1].isdigit() for line in lines)
