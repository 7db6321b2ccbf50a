"""The tables of `show`."""

from __future__ import annotations

import io
import os
import re

import pytest
from made_tables import ACCURACY, LOSS, Made, Row, write
from rich.console import Console

from hpsearch.cli.show import print_results
from hpsearch.spec.sweep import sweep_from_text
from hpsearch.store.directory import ResultsDirectory
from hpsearch.tuner.run import run_sweep
from hpsearch.tuner.settings import Reporter, Settings

_SWEEP = "name: s\ndata: {dataset: iris}\nparameters: {units: [4, 6], epochs: 1}\n"


@pytest.mark.parametrize(("metric", "best"), [(ACCURACY, "0.7000"), (LOSS, "0.5000")])
def test_the_best_score_of_each_value(tmp_path, metric, best):
    rows = [Row({"units": 8, "dropout": n / 10}, 0.5 + n / 10) for n in range(3)]
    rows.append(Row({"units": 16, "dropout": 0.0}, 0.6))
    write(tmp_path / "a", Made(rows, metric=metric))
    out = io.StringIO()
    print_results(tmp_path / "a", 10, Console(file=out, width=200))
    (eight,) = (line for line in out.getvalue().splitlines() if line.startswith("units"))
    assert eight.split() == ["units", "8", "0.6000", best, "3"]


class Noting(Reporter):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str, *, warning: bool = False) -> None:
        self.notes.append(f"{warning}: {message}")


@pytest.mark.parametrize("built", [True, False])
def test_a_missing_engine_is_said_once(tmp_path, monkeypatch, built):
    monkeypatch.setattr("hpsearch.tuner.steps.native_built", lambda: built)
    noting = Noting()
    settings = Settings(out=tmp_path / "out", report=False, model=False, in_process=True)
    run_sweep(sweep_from_text(_SWEEP, "s.yaml"), settings, noting)
    said = [note for note in noting.notes if "installed without its engine in C" in note]
    assert len(said) == (0 if built else 1)
    assert all(note.startswith("True: ") and "pip install" in note for note in said)


def test_a_run_that_is_under_way_is_said(tmp_path):
    settings = Settings(out=tmp_path / "out", report=False, model=False, in_process=True)
    run_sweep(sweep_from_text(_SWEEP, "s.yaml"), settings)

    def lines() -> list[str]:
        out = io.StringIO()
        print_results(tmp_path / "out", 10, Console(file=out, width=200))
        return out.getvalue().splitlines()

    assert not any("under way" in line for line in lines())
    with ResultsDirectory(tmp_path / "out").hold():
        said = lines()[1]
    ends = re.escape(f" (process {os.getpid()}): 2 of 2 planned executions done")
    assert re.fullmatch(rf"a run is under way since \d\d:\d\d:\d\d{ends}", said)
