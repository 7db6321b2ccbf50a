"""A data file that is missing is a mistake of the sweep file, and leaves nothing behind."""

import re

import pytest

import hpsearch
from hpsearch.cli.app import main
from hpsearch.errors import InputError, SweepFileError
from hpsearch.spec.sweep import sweep_from_mapping

SWEEP = """\
data:
  csv: {csv}
  target: y
  validation: {validation}
parameters: {{units: 4}}
"""


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "table.csv").write_text("a,y\n" + "1,u\n2,v\n" * 9)

    def write(csv="table.csv", validation=0.2):
        (tmp_path / "sweep.yaml").write_text(SWEEP.format(csv=csv, validation=validation))
        return "sweep.yaml"

    return write


@pytest.mark.parametrize("command", [("run", "--out", "out"), ("plan",)])
def test_a_missing_file_is_named_with_its_line(tmp_path, sweep, command, capfd):
    with pytest.raises(SystemExit) as ended:
        main([command[0], sweep("tabel.csv"), *command[1:]])
    assert ended.value.code == 2
    assert capfd.readouterr().err == (
        f"sweep.yaml:2: data.csv: no such file, {tmp_path / 'tabel.csv'}; "
        "did you mean 'table.csv'?\n"
    )
    assert not (tmp_path / "out").exists()


def test_all_missing_files_are_named(tmp_path, sweep):
    with pytest.raises(SweepFileError) as caught:
        hpsearch.run(sweep("none.csv", "gone.csv"), out=tmp_path / "out")
    assert [(p.line, p.path) for p in caught.value.problems] == [
        (2, "data.csv"),
        (4, "data.validation"),
    ]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("made", [dict, sweep_from_mapping])
def test_a_mapping_leaves_nothing_behind(tmp_path, made):
    gone = tmp_path / "gone.csv"
    raw = {"data": {"csv": str(gone), "target": "y"}, "parameters": {"units": 4}}
    with pytest.raises(InputError, match=rf"^data\.csv: no such file, {re.escape(str(gone))}$"):
        hpsearch.run(made(raw), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
