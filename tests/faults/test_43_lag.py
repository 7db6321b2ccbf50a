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


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose run was killed after it had stored a result that no table has yet."""
    home = tmp_path_factory.mktemp("lag")
    sweep(home, _SWEEP)
    table = home / "out" / "results.csv"
    shutil.copytree(home / "out", home / "whole")
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-1]))
    return home


@pytest.mark.parametrize("words", [["show", "out"], ["report", "out"], ["compare", "whole", "out"]])
def test_commands_say_that_a_table_lags(place, words):
    assert f"warning: out/{_LAG}" in command(*words, cwd=place).stderr
    whole = ["whole" if word == "out" else word for word in words]
    assert "lacks" not in command(*whole, cwd=place).stderr


def test_python_says_that_a_table_lags(place, tmp_path):
    shutil.copytree(place, tmp_path, dirs_exist_ok=True)
    with pytest.warns(UserWarning, match=_LAG):
        assert len(hpsearch.load(tmp_path / "out").table) == 2
    sweep(tmp_path)
    assert len(hpsearch.load(tmp_path / "out").table) == 3
