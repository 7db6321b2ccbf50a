"""FAULTS 13: an error of any length is a row of bounded length."""

from __future__ import annotations

import pandas as pd
import pytest

import hpsearch
from hpsearch.errors import DataError
from hpsearch.store.store import Store
from hpsearch.workers.protocol import Call
from hpsearch.workers.work import run

CHARACTERS = 5_000_000
#: Of an error, with the exception's name and the note about its length.
MOST = 11_000


def endless(config):
    if config["a"]:
        raise ValueError("x" * CHARACTERS)
    return 1.0


def test_a_long_error_is_cut_in_row_traceback_report_and_log(tmp_path):
    results = hpsearch.optimize(endless, {"a": [0, 1]}, method="grid", out=tmp_path)
    (error,) = pd.read_csv(tmp_path / "results.csv")["error"].dropna()
    assert error.startswith("ValueError: xxx")
    assert error.endswith("x... (5,000,000 characters in all)")
    assert len(error) < MOST
    with Store(tmp_path / "sweep.db", read_only=True) as store:
        (trace,) = (each.traceback for each in store.results().values() if each.traceback)
    assert "in endless" in trace
    assert "characters in all" in trace
    assert len(trace) < MOST
    results.report(str(tmp_path / "report.html"))
    for path in tmp_path.iterdir():
        assert "x" * MOST not in path.read_text("utf-8", "replace"), path


def test_a_long_error_of_a_call_is_cut(capfd):
    events = []
    run(Call(endless, ({"a": 1},)), None, 1, events.append)
    assert len(events[0].error) < MOST
    said = capfd.readouterr().err
    assert "in endless" in said
    assert len(said) < MOST


def test_a_long_error_of_the_function_for_data_is_cut(tmp_path, monkeypatch):
    (tmp_path / "long_errors.py").write_text(f"def rows(): raise ValueError('z' * {CHARACTERS})\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    sweep = "data: {python: 'long_errors:rows'}\nparameters: {units: [4]}\n"
    (tmp_path / "sweep.yaml").write_text(sweep)
    with pytest.raises(DataError, match=r"z\.\.\. \(5,000,000 characters in all\)") as caught:
        hpsearch.run(tmp_path / "sweep.yaml", out=tmp_path / "out")
    assert len(str(caught.value)) < MOST
