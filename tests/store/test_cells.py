"""Cells of hyperparameters: different values are different cells, and are read back."""

import pytest

from hpsearch.errors import InputError
from hpsearch.store.columns import cell_of, value_of
from hpsearch.store.tables import read_cells

VALUES = [None, "null", [1], "[1]", {"a": 1}, '{"a": 1}', '"', "x", "Null", 'x"', "a\nb", 1, 1.5]


def test_different_values_are_different_cells():
    cells = [cell_of(value) for value in VALUES]
    assert len(set(cells)) == len(VALUES)
    assert [value_of(cell) for cell in cells] == VALUES


@pytest.mark.parametrize("cell", ["relu", "package.module:layer", "[32, 64]", '{"name": "sgd"}'])
def test_usual_cells_are_as_they_were(cell):
    assert cell_of(value_of(cell)) == cell


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["1", "2"], [1, 2]),
        (["1", "0.5"], [1.0, 0.5]),
        (["1", ""], [1, None]),
        (["1", "a"], [1, "a"]),
        (["64_32", "1_0.5"], ["64_32", "1_0.5"]),
        (["True", "False"], [True, False]),
        (["TRUE", "true"], ["TRUE", "true"]),
        (["nan", "None"], [float("nan"), "None"]),
        (["9007199254740993", "0.5"], [2**53 + 1, 0.5]),
        (["18446744073709551616", "1"], [2**64, 1]),
        (["0.1234567890123456789", "1e400"], [0.12345678901234568, float("inf")]),
    ],
)
def test_cells_are_what_they_say(tmp_path, texts, values):
    (tmp_path / "t.csv").write_text("a,b\n" + "".join(f"{text},x\n" for text in texts))
    cells = read_cells(tmp_path / "t.csv")["a"].tolist()
    # Their types, too.
    assert list(map(repr, cells)) == list(map(repr, values))


def test_a_row_with_more_cells_than_the_header_is_refused(tmp_path):
    # pandas would take the first cells for the names of the rows.
    (tmp_path / "t.csv").write_text("a;b\n0,5;1\n1,5;2\n")
    with pytest.raises(InputError, match="not a results table"):
        read_cells(tmp_path / "t.csv")
