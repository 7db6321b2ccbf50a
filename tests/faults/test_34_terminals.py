"""FAULTS 34: what a file holds never commands the terminal."""

import pytest
from commands import hpsearch
from made_tables import Made, Row, write

_ESCAPE = "\x1b]0;title\x07\x1b[2J\u202e"


def require_safe(done):
    for character in (*_ESCAPE[:1], "\x07", "\u202e"):
        assert character not in done.stdout + done.stderr


@pytest.fixture
def table(tmp_path):
    rows = [
        Row({f"units{_ESCAPE}": n, "activation": f"relu{n}{_ESCAPE}"}, 0.5 + n / 10)
        for n in range(3)
    ]
    write(tmp_path / "a", Made(rows, name="a"))
    text = (tmp_path / "a" / "results.csv").read_text()
    assert _ESCAPE[:4] in text
    (tmp_path / "table.csv").write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("command", "word"),
    [("show a", "relu"), ("show table.csv", "relu"), ("compare a table.csv --anyway", "yes: ")],
)
def test_headers_and_cells(table, command, word):
    done = hpsearch(*command.split(), cwd=table)
    assert word in done.stdout
    require_safe(done)


@pytest.mark.parametrize(
    "text",
    [
        f'data: {{dataset: "{_ESCAPE!r}"}}\nparameters: {{units: [4]}}\n'.replace("'", ""),
        'data: {dataset: digits}\nparameters: {"un\\e[2Jits": [4]}\n',
        'data: {csv: "\\e[2J.csv", target: y}\nparameters: {units: [4]}\n',
    ],
    ids=["a value", "a key", "a path"],
)
def test_errors_of_sweep_files(tmp_path, text):
    (tmp_path / "sweep.yaml").write_text(text)
    done = hpsearch("run", "sweep.yaml", cwd=tmp_path, code=2)
    assert done.stderr.count("\n") < 6
    require_safe(done)


def test_exceptions(tmp_path):
    (tmp_path / "odd.py").write_text(
        f"def layer(x, units, activation):\n    raise ValueError({_ESCAPE!r})\n"
    )
    (tmp_path / "sweep.yaml").write_text(
        "data: {dataset: digits}\nparameters: {layer_type: ['odd:layer'], units: [4], epochs: 1}\n"
    )
    done = hpsearch("run", "sweep.yaml", "--out", "out", cwd=tmp_path, code=None)
    assert "failed" in done.stderr
    require_safe(done)
    require_safe(hpsearch("show", "out", cwd=tmp_path, code=None))
