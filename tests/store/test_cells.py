"""Cells of hyperparameters: different values are different cells, and are read back."""

from __future__ import annotations

import pandas as pd
import pytest

import hpsearch
from hpsearch.store.cells import cell_of, value_of
from hpsearch.store.tables import read_table

VALUES = [None, "null", [1], "[1]", {"a": 1}, '{"a": 1}', '"', "x", "Null", 'x"', "a\nb", 1, 1.5]


def test_different_values_are_different_cells():
    cells = [cell_of(value) for value in VALUES]
    assert len(set(cells)) == len(VALUES)
    assert [value_of(cell) for cell in cells] == VALUES


@pytest.mark.parametrize("cell", ["relu", "package.module:layer", "[32, 64]", '{"name": "sgd"}'])
def test_usual_cells_are_as_they_were(cell):
    assert cell_of(value_of(cell)) == cell


def test_in_a_table(tmp_path):
    values = ["none", "null", [1], "[1]"]
    hpsearch.optimize(lambda _: 1.0, {"a": values}, method="grid", out=tmp_path)
    table = read_table(tmp_path / "results.csv")
    assert [value_of(cell) for cell in table["a"]] == values
    assert pd.read_csv(tmp_path / "results.csv", keep_default_na=False)["a"].nunique() == 4
