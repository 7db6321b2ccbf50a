"""FAULTS 18: data that cannot be used is explained by column and row, and trains nothing."""

from __future__ import annotations

import json

import pytest
from bad_tables import BROKEN, numbers
from commands import hpsearch, watched

from hpsearch.cli.app import main


def write(place, **data) -> None:
    data = {"csv": "table.csv", "target": "y"} | data
    sweep = {"data": data, "parameters": {"units": [4], "epochs": [1]}}
    (place / "sweep.yaml").write_text(json.dumps(sweep))


def trained_nothing(place) -> bool:
    """Where the data is at fault, there may be a directory, but no result and no store of one."""
    return not list(place.glob("out/results.csv")) and not list(place.glob("out/sweep.db"))


@pytest.mark.parametrize(("content", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_table_is_explained(tmp_path, monkeypatch, capsys, content, message):
    """In this process, since there are many."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path)
    (tmp_path / "table.csv").write_bytes(
        content if isinstance(content, bytes) else content.encode()
    )
    with pytest.raises(SystemExit) as ended:
        main(["run", "sweep.yaml", "--out", "out"])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert message in said
    assert said.splitlines()[-1].startswith(f"{tmp_path / 'table.csv'}")
    assert trained_nothing(tmp_path)


def test_larger_than_memory_allows(tmp_path):
    write(tmp_path)
    with (tmp_path / "table.csv").open("wb") as stream:
        stream.truncate(1 << 42)
    said = watched("run", "sweep.yaml", "--out", "out", cwd=tmp_path, code=2)
    assert "use fewer rows" in said.stderr
    # Meanwhile another process may import TensorFlow, which counts; the file has 4 TB.
    assert said.peak_bytes < 2**30
    assert trained_nothing(tmp_path)


def test_what_is_odd_but_usable_is_a_warning(tmp_path):
    """Constant columns, and rows of the training part again in the validation part."""
    write(tmp_path, validation="validation.csv")
    (tmp_path / "table.csv").write_text(numbers(1, "a,b,y").replace(",no", ",7,no").replace(
        ",yes", ",7,yes").replace("a,b,y", "a,b,c,y"))  # fmt: skip
    (tmp_path / "validation.csv").write_text("a,b,c,y\n0,0.5,7,yes\n1,1.5,7,no\n99,1,7,no\n")
    said = hpsearch("run", "sweep.yaml", "--out", "out", cwd=tmp_path)
    assert "constant on the training split: 'c'" in said.stderr
    assert "2 of 3 validation rows also stand in the training part" in said.stderr
    assert "1 trial, 1 completed" in said.stdout
