"""FAULTS 31: every trial is answered once, whatever a user's function does to its process."""

import os
import shutil

import odd_functions
import pandas as pd
import pytest
from commands import ODD_LAYERS, sweep

import hpsearch

_COMPLETED = ("plain", "fork", "fork and raise", "daemon", "move", "thread", "child", "float32")
#: What fails, and what its row must say.
_FAILED = {
    "sys.exit": "SystemExit: 5",
    "SystemExit": "SystemExit: enough",
    "GeneratorExit": "GeneratorExit",
    "unspeakable": "Unspeakable: (its text cannot be had: RuntimeError)",
    "surrogate": "ValueError: ",
    "none": "TypeError: the function must give a number, not NoneType",
    "text": "TypeError: the function must give a number, not str",
    "list": "TypeError: the function must give a number, not list",
    "huge": "OverflowError: ",
}
_KILLED = {
    "os._exit": "the worker ended (exit status 0)",
    "daemon and exit": "the worker ended (exit status 3)",
    "scribble": "its code closed the worker's connection to the driver, or wrote to it",
    "close": "its code closed",
}


def table_of(ways, **options):
    parameters = {"how": ["plain", *ways]}
    results = hpsearch.optimize(odd_functions.odd, parameters, "grid", **options)
    table = results.table.set_index("how")
    assert sorted(table.index) == sorted({"plain", *ways}), "a row for each trial, and one only"
    return table


def require(table, expected, status):
    found = table.loc[list(expected)]
    assert set(found["status"]) == {status}, found[["status", "error"]].to_string()
    for how, error in expected.items():
        assert error in found["error"][how], how


def test_workers_answer_each_trial_once():
    more = {"KeyboardInterrupt": "KeyboardInterrupt"}
    ways = [*_COMPLETED[1:], *_FAILED, *more, *_KILLED, "nan"]
    table = table_of(ways, workers=2, timeout_seconds=60)
    assert set(table["status"][list(_COMPLETED)]) == {"completed"}, table
    assert table["score"]["fork"] == 1.0
    require(table, _FAILED | more, "failed")
    require(table, _KILLED, "killed")
    assert table["status"]["nan"] == "diverged"


def test_this_process_answers_each_trial_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ways = ["fork", "move", *_FAILED, "nan", "float32"]
    ways.remove("GeneratorExit")
    table = table_of(ways, out="out")
    assert set(table["status"][["plain", "fork", "move", "float32"]]) == {"completed"}
    require(table, {k: v for k, v in _FAILED.items() if k in ways}, "failed")
    assert os.path.realpath(".") == os.path.realpath(tmp_path)
    assert (tmp_path / "out" / "results.csv").exists()
    with pytest.raises(hpsearch.HpsearchError, match="must give a number, not str"):
        hpsearch.optimize(lambda _: "no", {"a": [*range(9)]}, "grid")


def test_an_interruption_of_the_functions_own_ends_the_call(tmp_path):
    """In this process nothing tells it from Ctrl-C; earlier rows are there."""
    with pytest.raises(KeyboardInterrupt):
        table_of(["KeyboardInterrupt"], out=tmp_path / "out")
    assert hpsearch.load(tmp_path / "out").table["status"].tolist() == ["completed"]


_DATA = """\
data: {{python: "odd_data:{function}", validation: 0.2, seed: 42}}
parameters: {{hidden_layers: 0, epochs: [1, 2]}}
"""
_MODEL = """\
data: {{dataset: diabetes}}
model: "odd_models:{function}"
method: grid
parameters: {{epochs: 1}}
"""


def run(place, text, *, code=0):
    for name in ("odd_data.py", "odd_models.py"):
        shutil.copy(ODD_LAYERS.with_name(name), place)
    return sweep(place, text, code=code)


@pytest.mark.parametrize("function", ["wandering", "doubling"])
def test_data_of_a_function_that_moves_or_doubles_its_process(tmp_path, function):
    said = run(tmp_path, _DATA.format(function=function))
    assert said.stdout.count("2 trials, 2 completed") == 1
    assert (tmp_path / "out" / "results.csv").exists()


def test_a_function_for_data_that_exits_is_bad_input(tmp_path):
    said = run(tmp_path, _DATA.format(function="leaving"), code=2)
    assert "odd_data:leaving: failed: SystemExit: 4 (" in said.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("function", "second"), [("leaving", "failed"), ("doubling", "completed")])
def test_custom_models_that_exit_or_double_their_process(tmp_path, function, second):
    run(tmp_path, _MODEL.format(function=function))
    rows = pd.read_csv(tmp_path / "out" / "results.csv")
    assert rows["trial"].tolist() == [1, 2]
    assert dict(zip(rows["units"], rows["status"], strict=True)) == {1: "completed", 2: second}
