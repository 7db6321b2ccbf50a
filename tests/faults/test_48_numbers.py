"""FAULTS 48: numbers have no edge: tables, reports and comparisons hold or refuse them."""

from contextlib import nullcontext

import pytest
from commands import hpsearch
from datasets import load

import hpsearch as package
from hpsearch.errors import InputError
from hpsearch.reporting.page import write_page
from hpsearch.reporting.source import load_source
from hpsearch.spec.sweep import load_sweep

_LONG = "9" * 400


def test_whole_numbers_of_any_size_are_reported(tmp_path):
    values = [1, 2**64, 10**399, 5e-324, 1e308]
    results = package.optimize(lambda _: 0.5, {"x": values}, "grid", out=tmp_path)
    assert sorted(map(str, results.table["x"])) == sorted(map(str, values))
    assert results.report(tmp_path / "page.html").exists()
    package.compare(results, tmp_path).write(tmp_path / "comparison.html")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """The lines of a function's table."""
    home = tmp_path_factory.mktemp("table")
    package.optimize(lambda _: 0.5, {"x": [1, 2], "epochs": [3]}, "grid", out=home)
    return (home / "results.csv").read_text().splitlines()


@pytest.mark.parametrize(
    ("column", "cell", "odd"),
    [
        ("epochs", "some", False),
        ("x", "1e300", False),
        ("seconds", "9e18", False),
        *((column, "1e999", True) for column in ("epochs", "x", "score")),
        *(("x", cell, True) for cell in ("[1", "{a", '"', "[" * 99_999)),
        ("trial", "", True),
    ],
)
def test_an_odd_cell_is_shown_or_refused_by_name(tmp_path, table, column, cell, odd):
    rows = [line.split(",") for line in table]
    rows[1][rows[0].index(column)] = '"' + cell.replace('"', '""') + '"'
    (tmp_path / "results.csv").write_text("\n".join(map(",".join, rows)) + "\n")
    with pytest.raises(InputError, match=column) if odd else nullcontext():
        write_page([load_source(tmp_path)], tmp_path / "page.html")


@pytest.mark.parametrize("label", ["inf", "7e99999999", "1e999999", _LONG])
def test_text_among_labels_is_no_number(tmp_path, label):
    rows = [f"{i / 7},{[label, 'a', 'b'][i % 3]}\n" for i in range(60)]
    (tmp_path / "data.csv").write_text("x,y\n" + "".join(rows))
    dataset = load(csv=str(tmp_path / "data.csv"), target="y")
    assert set(dataset.target.classes) == {label, "a", "b"}


@pytest.mark.parametrize("limits", ["min: 1, max: 9, q: 1.0e-30", "min: 0, max: 1.0e+308, q: 1"])
def test_a_step_of_any_size_is_checked(tmp_path, limits):
    (tmp_path / "s.yaml").write_text(
        f"data: {{dataset: iris}}\nparameters: {{own: {{distribution: q_uniform, {limits}}}}}\n"
    )
    with pytest.raises(InputError, match="at most 100000 values"):
        load_sweep(tmp_path / "s.yaml")


@pytest.mark.parametrize("name", ["~nobody_here/x", "x" * 300])
@pytest.mark.parametrize("key", ["csv", "npz", "program"])
def test_a_path_of_an_unknown_user_or_a_long_one_is_no_file(tmp_path, key, name):
    body = f"program: {name}" if key == "program" else f"data: {{{key}: {name}, target: y}}"
    (tmp_path / "s.yaml").write_text(f"{body}\nmetric: val_loss\nparameters: {{epochs: [1]}}\n")
    hpsearch("run", "s.yaml", cwd=tmp_path, code=2)
    hpsearch("show", name, cwd=tmp_path, code=2)
