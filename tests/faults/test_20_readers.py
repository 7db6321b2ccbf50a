"""FAULTS 20: readers never disturb a run, nor it them: no lock, and every CSV is read whole."""

from __future__ import annotations

import csv
import io
import sqlite3
import threading
from contextlib import closing

import pytest
from commands import start, sweep
from outcomes import assert_same

from hpsearch.store.store import Store

_TRIALS = 160
_SWEEP = """\
data: {dataset: digits, validation: 0.2, seed: 42}
parameters:
  units: {min: 16, max: 95, step: 1}
  epochs: [15, 30]
execution: {workers: 2}
"""
_MOST_RESULTS = "SELECT count(*), max(execution) FROM results"


class Poller(threading.Thread):
    """Reads again and again until the run is over; counts, and keeps what went wrong."""

    def __init__(self, directory, over) -> None:
        super().__init__()
        self.directory, self.over = directory, over
        self.reads, self.tables, self.rows, self.error = 0, set(), 0, None

    def run(self) -> None:
        try:
            while not self.over.is_set():
                self.read_table()
                self.read_store()
                self.reads += 1
        except BaseException as error:  # noqa: BLE001 - told by the test
            self.error = error

    def read_table(self) -> None:
        for name in ("results.csv", "curves.csv"):
            try:
                text = (self.directory / name).read_text(encoding="utf-8")
            except FileNotFoundError:
                continue
            if (name, len(text)) in self.tables:
                continue
            self.tables.add((name, len(text)))
            header, *rows = csv.reader(io.StringIO(text))
            assert header[0] == "trial"
            assert text.endswith("\n")
            assert all(len(row) == len(header) for row in rows)

    def read_store(self) -> None:
        path = self.directory / "sweep.db"
        if not path.exists():
            return
        uri = f"{path.as_uri()}?mode=ro"
        # Python's patience is five seconds: SQLite has readers wait for the instant in which the
        # first connection begins a log, or the last one ends it.
        with closing(sqlite3.connect(uri, uri=True)) as db:
            rows = db.execute(_MOST_RESULTS).fetchone()[0]
        assert rows >= self.rows
        self.rows = rows
        if self.reads % 10 == 0:
            with Store(path, read_only=True) as store:
                assert len(store.results()) >= rows


@pytest.mark.slow
def test_pollers_and_a_run_do_not_meet(tmp_path):
    sweep(tmp_path, _SWEEP, out="undisturbed")
    driver = start("sweep.yaml", cwd=tmp_path, out="out")
    over = threading.Event()
    poller = Poller(tmp_path / "out", over)
    poller.start()
    out, err = driver.process.communicate(timeout=180)
    over.set()
    poller.join()
    assert poller.error is None, poller.error
    assert driver.process.returncode == 0, err
    assert f"{_TRIALS} trials, {_TRIALS} completed" in out
    for text in (err, (tmp_path / "out" / "run.log").read_text()):
        assert "locked" not in text
        assert "busy" not in text
    assert poller.reads > 2_000
    # It saw the tables grow.
    assert len(poller.tables) >= 4
    assert_same(tmp_path / "out", tmp_path / "undisturbed", _TRIALS)
