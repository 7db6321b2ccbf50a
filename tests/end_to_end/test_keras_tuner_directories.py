"""`show`, `report` and `compare` on directories that KerasTuner wrote."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from commands import hpsearch
from made_tables import Made, units, write

from hpsearch.cli.app import main

OLD = Path(__file__).parent.parent / "store" / "keras_tuner_projects"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A directory with KerasTuner's project `theirs`, and hpsearch's results `ours`."""
    shutil.copytree(OLD / "1.3", tmp_path / "theirs")
    write(tmp_path / "ours", Made(units([0.5, 0.3, 0.4], first=8), "val_loss:minimize:best"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def said(home, capsys):
    """Runs a command in this process; returns what it printed."""

    def run(*arguments, code=0):
        with pytest.raises(SystemExit) as ended:
            main([*arguments])
        printed = capsys.readouterr()
        assert (ended.value.code or 0) == code, printed
        return printed.out + printed.err

    return run


def files(directory):
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_show(home, said):
    before = files(home / "theirs")
    lines = [line.split() for line in said("show", "theirs").splitlines()]
    assert lines[0] == ["5", "trials:", "3", "completed,", "2", "failed"]
    assert ["trial", "val_loss", "units", "layer", "rate"] in lines
    assert ["1", "0.2000", "8", "dense", "-"] in lines
    assert ["4", "0.4000", "8", "dropout", "0.2"] in lines
    assert files(home / "theirs") == before


def test_a_half_written_trial_is_a_warning(home):
    half = home / "theirs" / "trial_0" / "trial.json"
    half.write_text(half.read_text()[:-40])
    code = (
        "import sys\nfrom hpsearch.cli.app import main\n"
        "try:\n    main(sys.argv[1:])\nfinally:\n"
        "    assert not {'tensorflow', 'keras', 'keras_tuner'} & set(sys.modules)\n"
    )
    done = hpsearch("show", "theirs", cwd=home, program=(sys.executable, "-c", code))
    assert done.stdout.startswith("4 trials: ")
    assert done.stderr.startswith("warning: theirs/trial_0/trial.json: left out")
    assert len(done.stderr.splitlines()) == 1


def test_a_damaged_file_is_an_error(home, said):
    (home / "theirs" / "trial_0" / "trial.json").write_text("{}")
    assert said("show", "theirs", code=2).startswith("theirs/trial_0/trial.json: not as KerasTuner")


def test_report(home, said):
    assert said("report", "theirs") == "wrote theirs/report.html\n"
    said("report", "theirs", "ours", "--out", "both.html")
    before = files(home / "theirs")
    said("report", "theirs", "--out", "one.html")
    assert files(home / "theirs") == before
    assert (home / "one.html").stat().st_size == (home / "theirs/report.html").stat().st_size


def test_compare_says_what_it_assumes(home, said):
    text = said("compare", "theirs", "ours", "--out", "out.json")
    assert "assumed: data and split: not told by theirs; taken to be the same" in text
    found = json.loads((home / "out.json").read_text())
    assert found["metric"] == "val_loss:minimize:best"


def test_compare_refuses_another_metric(home, said):
    write(home / "last", Made(units([0.5, 0.3]), "val_loss:minimize:last"))
    text = said("compare", "theirs", "last", code=3)
    assert "theirs val_loss:minimize:best, last val_loss:minimize:last" in text
    said("compare", "theirs", "last", "--anyway")
    assert "no column 'speed'" in said("compare", "theirs", "ours", "--score", "speed", code=2)
    assert "sweep.yaml" in said("compare", "theirs", "ours", "--rescore", "2", code=2)


def test_compare_pairs_configs_by_names(home, said):
    shutil.copytree(OLD / "1.2", home / "again")
    said("compare", "theirs", "again", "--out", "out.json")
    found = json.loads((home / "out.json").read_text())
    assert found["n_pairs"] == 3
    # Ours has units alone.
    said("compare", "theirs", "ours", "--params", "units", "--out", "out.json")
    assert json.loads((home / "out.json").read_text())["n_pairs"] == 1
