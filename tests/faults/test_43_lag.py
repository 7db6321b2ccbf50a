"""FAULTS 43: readers have every row that was told, or say that the table lags behind the store."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from commands import hpsearch as command
from commands import sweep

import hpsearch

_SWEEP = "data: {dataset: iris}\nparameters: {units: [2, 3, 4], epochs: 1}\n"
_LAG = "results.csv: lacks 1 result that the store has: its run was killed"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory whose run was killed after it had stored a result that no table has yet."""
    sweep(tmp_path, _SWEEP)
    table = tmp_path / "out" / "results.csv"
    shutil.copytree(tmp_path / "out", tmp_path / "whole")
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-1]))
    return tmp_path


@pytest.mark.parametrize("words", [["show", "out"], ["report", "out"], ["compare", "whole", "out"]])
def test_commands_say_that_a_table_lags(place, words):
    assert f"warning: out/{_LAG}" in command(*words, cwd=place).stderr
    whole = ["whole" if word == "out" else word for word in words]
    assert "lacks" not in command(*whole, cwd=place).stderr


def test_python_says_that_a_table_lags(place):
    with pytest.warns(UserWarning, match=_LAG):
        assert len(hpsearch.load(place / "out").table) == 2
    sweep(place)
    assert len(hpsearch.load(place / "out").table) == 3
