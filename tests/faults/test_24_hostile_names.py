"""FAULTS 24: hostile names are refused or escaped, and a foreign file is never loaded."""

import csv
import json
import sqlite3
import zipfile
from contextlib import closing

import pytest
from commands import hpsearch, sweep

import hpsearch as package
from hpsearch.runs.standalone import SCRIPT
from hpsearch.store.tables import read_table

HOSTILE = ["../x", "<script>alert(1)</script>", "=cmd|' /C calc'!A0", "'); DROP TABLE trials; --"]
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@pytest.mark.parametrize("name", [*HOSTILE, "/etc/x", "..", "a/b", "x\x1b[31m", "x\x00y"])
def test_a_hostile_name_of_a_sweep_is_refused(tmp_path, name):
    place = tmp_path / "place"
    place.mkdir()
    sweep = {"name": name, "data": {"dataset": "iris"}, "parameters": {"units": [4]}}
    (place / "sweep.yaml").write_text(json.dumps(sweep))
    said = hpsearch("run", "sweep.yaml", cwd=place, code=2)
    assert "sweep.yaml:1: name: " in said.stderr
    assert "\x1b" not in said.stderr
    assert sorted(tmp_path.rglob("*")) == [place, place / "sweep.yaml"]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Results of a sweep whose columns, labels, words and directory are hostile."""
    home = tmp_path_factory.mktemp("hostile") / "home"
    home.mkdir()
    with (home / "table.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["a", *HOSTILE, "y"])
        for i in range(40):
            writer.writerow([i / 7, *[HOSTILE[(i + k) % 4] for k in range(4)], HOSTILE[i % 3]])
    sweep = {
        "description": HOSTILE[1],
        "data": {"csv": "table.csv", "target": "y", "validation": 0.25, "separator": ","},
        "parameters": {"units": [4, 8], "epochs": [2]},
    }
    (home / "sweep.yaml").write_text(json.dumps(sweep))
    hpsearch("run", "sweep.yaml", "--out", "<b>out", cwd=home)
    assert [path.name for path in home.parent.iterdir()] == ["home"]
    return home


def test_columns_and_labels_are_escaped_wherever_they_are_told(hostile):
    out = hostile / "<b>out"
    assert sorted(p.name for p in hostile.iterdir()) == ["<b>out", "sweep.yaml", "table.csv"]
    for name in ("results.csv", "curves.csv"):
        with (out / name).open(newline="") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        numbers = [cell for cell in cells if cell.startswith(_FORMULA)]
        assert all(float(cell) for cell in numbers)
    page = (out / "report.html").read_text()
    # The confusion matrix has the labels; a formula is none outside of a spreadsheet.
    assert HOSTILE[1] not in page
    assert "<b>out" not in page
    with closing(sqlite3.connect(out / "sweep.db")) as db:
        assert db.execute("SELECT count(*) FROM executions").fetchone() == (2,)
    shown = hpsearch("show", "<b>out", cwd=hostile)
    assert shown.stdout.startswith("2 trials: 2 completed")
    said = hpsearch("compare", "<b>out", "<b>out/results.csv", "--out", "c.html", cwd=hostile)
    assert "Are they comparable?" in said.stdout
    page = (hostile / "c.html").read_text()
    assert "<b>out" not in page
    (hostile / "c.html").unlink()


def test_a_program_of_a_trial_has_no_text_of_it(hostile, tmp_path):
    hpsearch("reproduce", "<b>out", "--trial", 1, "--script", tmp_path / "kit", cwd=hostile)
    assert (tmp_path / "kit" / "train.py").read_bytes() == SCRIPT.read_bytes()
    for name in ("model.keras", "rows.npz"):
        with zipfile.ZipFile(tmp_path / "kit" / name) as archive:
            content = b"".join(map(archive.read, archive.namelist()))
        for text in HOSTILE:
            assert text.encode() not in content
            # As NumPy stores text.
            assert text.encode("utf-32-le") not in content


def test_hyperparameters_and_values_of_a_function(tmp_path):
    names = HOSTILE[1:]
    parameters = {name: [1, 2] for name in names} | {"word": names}
    package.optimize(lambda _: 1.0, parameters, "grid", out=tmp_path / "out")
    with (tmp_path / "out" / "results.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert len(rows) == 24
    assert not any(cell.startswith(_FORMULA) for cell in header)
    assert not any(cell.startswith(_FORMULA) for row in rows for cell in row)
    table = read_table(tmp_path / "out")
    assert set(table["word"]) == set(names)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<script>alert(1)" not in page
    with closing(sqlite3.connect(tmp_path / "out" / "sweep.db")) as db:
        assert db.execute("SELECT count(*) FROM executions").fetchone() == (24,)


#: Unpickled, it leaves a file.
_BOMB = b"cbuiltins\nopen\n(S'loaded'\nS'w'\ntR."


def lambda_model(path):
    """A Keras file whose loading would run code of its author's."""
    code = "__import__('pathlib').Path('loaded').write_text('x')"
    layer = {
        "class_name": "Lambda", "module": "keras.layers", "registered_name": None,
        "config": {"name": "evil", "function": {"class_name": "function", "config": code}},
    }  # fmt: skip
    config = {
        "module": "keras", "class_name": "Sequential", "registered_name": None,
        "config": {"name": "evil", "layers": [layer]}, "build_config": {"input_shape": [None, 4]},
    }  # fmt: skip
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("metadata.json", '{"keras_version": "3.15.1"}')
        archive.writestr("model.weights.h5", b"")


@pytest.mark.slow
def test_foreign_files_in_the_directory_are_never_loaded(tmp_path):
    sweep(tmp_path, "data: {dataset: iris}\nparameters: {units: [4, 8]}\n")
    out = tmp_path / "out"
    names = ("model.h5", "weights.pkl", "state.pickle", "x.npz", "trial-1.weights.h5")
    for name in names:
        (out / name).write_bytes(_BOMB)
    lambda_model(out / "best.keras")
    foreign = {name: (out / name).read_bytes() for name in (*names, "best.keras")}
    hpsearch("show", "out", cwd=tmp_path)
    hpsearch("report", "out", "--out", "page.html", cwd=tmp_path)
    hpsearch("evaluate", "out", "--split", "validation", cwd=tmp_path)
    hpsearch("export", "out", "--trial", 1, "--out", "mine.keras", cwd=tmp_path)
    hpsearch("reproduce", "out", "--trial", 2, cwd=tmp_path)
    hpsearch("doctor", "out", cwd=tmp_path, code=None)
    said = hpsearch("run", "sweep.yaml", "--out", "out", cwd=tmp_path)
    # The run, whose file was replaced, writes its own again beside it.
    assert "best-replaced.keras" in said.stderr
    (out / "best.keras").unlink()
    (out / "best-replaced.keras").rename(out / "best.keras")
    assert {name: (out / name).read_bytes() for name in foreign} == foreign
    # The model of the best trial is built from the store instead.
    assert package.load(out).model().count_params() > 0
    assert not (tmp_path / "loaded").exists()
    assert len(read_table(out)) == 2
