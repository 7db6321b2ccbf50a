"""FAULTS 26: rows keep the versions that made them; doctor, reproduce and compare name them."""

import shutil
from contextlib import contextmanager
from types import SimpleNamespace

import pandas as pd
import pytest
from commands import hpsearch
from here import run_here

import hpsearch as package
from hpsearch.engine.learning import CurveReuse
from hpsearch.machine import version_of
from hpsearch.models.problem import Recipe
from hpsearch.space.execution import Execution, ExecutionResult, Status
from hpsearch.space.space import Config
from hpsearch.store.doctor import Severity, examine
from hpsearch.store.trials import trials_of
from hpsearch.trackers.tracking import log_results, tags

_SWEEP = """\
name: origin
data: {dataset: iris}
parameters: {units: [4, 6], epochs: 2}
method: grid
"""
_OLD = {"version": "0.0.1", "tensorflow": "2.0.1", "keras": "3.99.0"}
_PACKAGES = {"version": "hpsearch", "tensorflow": "tensorflow", "keras": "keras"}
_NOW = {column: version_of(name) for column, name in _PACKAGES.items()}


@contextmanager
def earlier_versions(place):
    """Packages of these versions stand earlier on the path."""
    for column, version in _OLD.items():
        info = place / f"{_PACKAGES[column]}-{version}.dist-info"
        info.mkdir(parents=True)
        text = f"Metadata-Version: 2.1\nName: {_PACKAGES[column]}\nVersion: {version}\n"
        (info / "METADATA").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(place))
        yield


def run(out, units, seeds="0"):
    text = _SWEEP.replace("[4, 6]", str(units)) + f"seeds: [{seeds}]\n"
    run_here(text, out, model=False)


def versions_in(table):
    return table[list(_NOW)].to_dict("records")


@pytest.fixture(scope="module")
def twice(tmp_path_factory):
    """A sweep that was run by earlier versions, and again, with another trial, by these."""
    home = tmp_path_factory.mktemp("twice")
    with earlier_versions(home / "earlier"):
        run(home / "out", [4])
    shutil.copytree(home / "out", home / "old")
    run(home / "out", [4, 6])
    return home


@pytest.fixture
def home(twice, tmp_path):
    return shutil.copytree(twice, tmp_path / "home")


def test_each_row_names_the_versions_that_made_it(home):
    out = home / "out"
    assert versions_in(pd.read_csv(out / "results.csv")) == [_OLD, _NOW]
    assert versions_in(package.load(out).table) == [_OLD, _NOW]
    # Also where the table is written anew from the store alone.
    (out / "results.csv").unlink()
    run(out, [4, 6])
    assert versions_in(package.load(out).table) == [_OLD, _NOW]


def test_reports_and_trackers_name_the_rows_own(home):
    told = []
    tracker = SimpleNamespace(log=lambda record: told.append(tags(record)))
    assert log_results(home / "out", tracker) == 2
    assert [{name: each[name] for name in _NOW} for each in told] == [_OLD, _NOW]
    package.load(home / "out").report(home / "r.html")
    assert f"3.99.0, {_NOW['keras']}" in (home / "r.html").read_text()


def notes(out):
    findings = list(examine(out))
    assert not [each for each in findings if each.level is Severity.WRONG]
    return [each.text for each in findings if each.part == "versions"]


def test_the_doctor_counts_the_rows_of_each(home):
    (text,) = notes(home / "out")
    assert f"keras 3.99.0 (1 row), {_NOW['keras']} (1 row)" in text
    assert notes(home / "old") == []


def test_reproduce_says_that_other_versions_made_the_row(home):
    said = hpsearch("reproduce", "out", "--trial", 1, cwd=home).stdout
    assert "equal to its row" in said
    assert f"keras was 3.99.0 and is {_NOW['keras']} now" in said
    assert f"hpsearch was 0.0.1 and is {_NOW['version']} now" in said
    said = hpsearch("reproduce", "out", "--trial", 2, cwd=home).stdout
    assert "equal to its row" in said
    assert " was " not in said


def test_compare_names_the_versions_of_each_side_once(home):
    found = package.compare(home / "out", home / "old")
    (line,) = (each for each in found.notes if each.startswith("keras: "))
    assert line == f"keras: out 3.99.0 and {_NOW['keras']}, old 3.99.0"
    # Within the tables alone.
    found = package.compare(home / "out", home / "out")
    assert len([each for each in found.notes if each.startswith("keras: ")]) == 1


def test_a_trial_of_several_versions_has_none(home):
    """Its line is of all of its rows."""
    out = home / "out"
    run(out, [4, 6], seeds="0, 1")
    found = package.load(out)
    assert versions_in(found.table) == [_OLD, _NOW, _NOW, _NOW]
    trials = trials_of(found.table).set_index("trial")
    assert trials["keras"].isna().tolist() == [True, False]


def test_a_row_answered_by_an_earlier_curve_was_made_by_its_versions():
    recipe = Recipe(0, "binary_crossentropy", "sigmoid", "val_loss", "minimize")
    one, two = (Execution(n, n, Config({"units": 4, "epochs": 3 - n}), 0) for n in (1, 2))
    curve = ({"val_loss": 2.0}, {"val_loss": 1.0})
    known = ExecutionResult(1, Status.COMPLETED, 1.0, curve, 2, versions=_OLD)
    reuse = CurveReuse(recipe, {1: known}, {})
    reuse.add(one)
    reuse.add(two)
    answer = reuse.answer(two, 1)
    assert answer is not None
    assert (answer.score, answer.versions) == (2.0, _OLD)


def test_a_function_keeps_its_versions_too(tmp_path):
    def objective(config):
        return float(config["x"])

    with earlier_versions(tmp_path / "earlier"):
        package.optimize(objective, {"x": [1, 2]}, method="grid", out=tmp_path / "out")
    found = package.optimize(objective, {"x": [1, 2, 3]}, method="grid", out=tmp_path / "out")
    assert versions_in(found.table) == [_OLD, _OLD, _NOW]
