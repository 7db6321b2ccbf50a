"""`hpsearch.optimize`: any function by the same methods, store and table."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import objectives
import pandas as pd
import pytest
from commands import python

import hpsearch
from hpsearch.errors import InputError, RefusedError

PLANE = {"x": {"min": -10.0, "max": 10.0}, "y": {"min": -10.0, "max": 10.0}}
STEPWISE = {**PLANE, "epochs": 9}


@pytest.mark.parametrize(
    ("method", "by", "epochs"),
    [("asha", {"asha", "bayesian"}, {3, 9}), ("hyperband", {"hyperband"}, {1, 3, 9})],
)
def test_a_generator_is_halted_and_goes_on(method: str, by: set[str], epochs: set[int]) -> None:
    steps: Counter[float] = Counter()

    def objective(config: dict[str, Any]) -> Iterator[float]:
        for score in objectives.stepwise(config):
            steps[config["x"]] += 1
            yield score

    results = hpsearch.optimize(objective, STEPWISE, method, trials=27)
    table = results.table
    assert set(table["epochs_trained"]) == epochs
    # Comparisons ask who chose the configs.
    assert set(table["method"]) == by
    assert (table["status"] == "stopped").sum() == (table["epochs_trained"] < 9).sum()
    # No step is taken twice: what halted waited in this process.
    assert steps == Counter(dict(zip(table["x"], table["epochs_trained"], strict=True)))
    assert len(results.curves) == table["epochs_trained"].sum()


def test_parameters_have_the_names_of_other_columns() -> None:
    parameters = {"std": [0.25, 0.5], "executions": [2]}
    results = hpsearch.optimize(lambda config: config["std"], parameters, "grid", goal="maximize")
    assert results.best_params == {"std": 0.5, "executions": 2}
    assert results.top(1)["score"].item() == 0.5


def test_a_second_search_takes_no_generator_of_the_first() -> None:
    calls = []

    def objective(config: dict[str, Any]) -> Iterator[float]:
        calls.append(config["x"])
        yield from (1.0 / (epoch + 1) + config["x"] for epoch in range(9))

    counts = []
    for _ in range(2):
        calls.clear()
        hpsearch.optimize(objective, STEPWISE, "asha", trials=9)
        counts.append(len(calls))
    assert counts[0] == counts[1] == 9


def test_a_generator_runs_to_its_own_end_where_nothing_is_said_of_epochs() -> None:
    def objective(config: dict[str, Any]) -> Iterator[float]:
        yield from range(config["n"])

    results = hpsearch.optimize(objective, {"n": [1, 3, 5]}, "grid", goal="maximize")
    assert results.table["epochs_trained"].tolist() == [1, 3, 5]
    assert (results.table["status"] == "completed").all()
    assert results.best["n"] == 5


def test_epochs_of_a_generator_are_points_of_one_curve() -> None:
    calls = []

    def objective(config: dict[str, Any]) -> Iterator[float]:
        calls.append(config)
        yield from range(1, 100)

    results = hpsearch.optimize(objective, {"x": [1, 2], "epochs": [2, 5]}, "grid")
    assert results.table["score"].tolist() == [2, 5, 2, 5]
    assert len(calls) == 2


def test_a_generator_with_more_epochs_does_not_go_on_with_that_of_fewer() -> None:
    few = {"x": [1, 2, 3], "y": [1], "epochs": [2, 5]}

    def curve(config: dict[str, Any]) -> Iterator[float]:
        for epoch in range(config["epochs"]):
            yield config["x"] / (1 + epoch)

    table = hpsearch.optimize(curve, few, "tpe", trials=6).table
    assert table["epochs_trained"].tolist() == table["epochs"].tolist()


def test_a_generator_that_a_function_returns_is_refused() -> None:
    """Its first score would be taken for the last."""
    results = hpsearch.optimize(
        lambda c: iter(objectives.stepwise(c)), STEPWISE, "random", trials=2
    )
    assert (results.table["status"] == "failed").all()
    assert "pass the function that yields" in results.table["error"][0]


def test_a_partial_is_a_function_too() -> None:
    function = partial(lambda config, by: config["x"] + by, by=1)
    assert hpsearch.optimize(function, {"x": [1, 2]}, "grid").best["score"] == 2


def test_epochs_of_a_plain_function_are_a_parameter_like_any_other() -> None:
    results = hpsearch.optimize(
        lambda c: c["epochs"] * c["x"], {"x": [1, 2], "epochs": [2, 5]}, "grid"
    )
    assert results.table["score"].tolist() == [2, 5, 4, 10]


def test_several_workers_call_it_in_processes_of_their_own() -> None:
    results = hpsearch.optimize(objectives.process, PLANE, "random", trials=12, workers=2)
    assert len(set(results.table["score"])) == 2
    alone = hpsearch.optimize(objectives.bowl, PLANE, "random", trials=12)
    shared = hpsearch.optimize(objectives.bowl, PLANE, "random", trials=12, workers=2)
    columns = ["trial", "config", "score", "x", "y"]
    pd.testing.assert_frame_equal(alone.table[columns], shared.table[columns])


def test_a_promoted_generator_goes_on_in_any_worker() -> None:
    alone = hpsearch.optimize(objectives.stepwise, STEPWISE, "asha", trials=20, workers=2)
    for _, row in alone.table.iterrows():
        config = {name: row[name] for name in ("x", "y", "epochs")}
        assert row["score"] == list(objectives.stepwise(config))[row["epochs_trained"] - 1]


def test_a_function_that_workers_cannot_find_is_refused() -> None:
    for function in (lambda _: 0.0, type("C", (), {"__call__": lambda *_: 0.0})()):
        with pytest.raises(InputError, match="cannot be imported by other processes"):
            hpsearch.optimize(function, PLANE, "random", trials=2, workers=2)


def test_nothing_is_kept_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    results = hpsearch.optimize(objectives.bowl, PLANE, "random", trials=3)
    assert list(tmp_path.rglob("*")) == [tmp_path / "scratch"]
    assert len(results.table) == len(results.curves) == 3


def test_a_directory_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    out.mkdir()
    monkeypatch.chdir(out)
    hpsearch.optimize(objectives.bowl, PLANE, "random", trials=12, out=".")
    assert set(pd.read_csv("results.csv")["sweep"]) == {"out"}
    more = hpsearch.optimize(objectives.bowl, PLANE, "random", trials=20, out=out)
    whole = hpsearch.optimize(objectives.bowl, PLANE, "random", trials=20)
    columns = ["trial", "config", "score", "x", "y"]
    pd.testing.assert_frame_equal(more.table[columns], whole.table[columns])
    with pytest.raises(RefusedError, match="objectives:failing"):
        hpsearch.optimize(objectives.failing, PLANE, "random", trials=20, out=out)
    with pytest.raises(RefusedError, match="metric"):
        hpsearch.optimize(objectives.bowl, PLANE, trials=2, goal="maximize", out=out)


def test_an_edit_of_the_function_is_said(tmp_path: Path) -> None:
    """Each process orders a set of texts in its own way."""

    def run(body: str) -> str:
        (tmp_path / "mine.py").write_text(
            f"def objective(config):\n    known = config['x'] in {{'a', 'b', 'c'}}\n    {body}\n"
        )
        call = "hpsearch.optimize(mine.objective, {'x': [1, 2]}, 'grid', out='out', verbose=0)"
        return python(
            "import warnings, hpsearch, mine\n"
            "with warnings.catch_warnings(record=True) as said:\n"
            "    warnings.simplefilter('always')\n"
            f"    for _ in range(2):\n        {call}\n"
            "print(*(str(entry.message) for entry in said))",
            cwd=tmp_path,
        )

    assert "edited" not in run("return config['x']")
    assert "edited" not in run("return config['x']  # The value.")
    said = run("return -config['x']")
    # Of two runs, one says so.
    assert said.count("out: the function was edited since its rows were made, and these stay") == 1


def test_conditions_constraints_lists_and_listed_configs() -> None:
    parameters = {
        "kind": ["line", {"name": "curve", "power": 2}],
        "power": {"values": [2, 3], "when": {"kind": "curve"}},
        "sizes": [[1, 2], [3]],
        "n": {"min": 1, "max": 64, "scale": "log", "type": "int"},
    }
    seen: list[dict[str, Any]] = []

    def objective(config: dict[str, Any]) -> float:
        seen.append(config)
        return float(config["n"])

    hpsearch.optimize(
        objective, parameters, "random", trials=25,
        constraints=["n >= 4"], configs=[{"n": 64, "sizes": [3]}],
    )  # fmt: skip
    assert seen[0] == {"kind": "line", "sizes": [3], "n": 64}
    assert all(("power" in c) == (c["kind"] != "line") for c in seen)
    assert all(c["n"] >= 4 and isinstance(c["n"], int) for c in seen)
    assert all(isinstance(c["sizes"], list) for c in seen)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "asha"}, "must be a generator function"),
        ({"objective": objectives.stepwise, "method": "asha"}, "parameters must have epochs"),
        ({"method": "grid"}, "parameters.x: a grid needs a list of values or a step"),
        ({"method": "simplex"}, "method: "),
        ({"trials": None}, "needs trials"),
        ({"timeout_seconds": 0}, "timeout_seconds: must be above 0, not 0"),
        ({"trials": 0}, "trials: must be a whole number of at least 1"),
        ({"seed": None}, "seed: must be a whole number from 0"),
        ({"seed": -1}, "seed: must be a whole number from 0"),
        ({"goal": "max"}, "goal: must be minimize or maximize, not 'max'"),
        ({"workers": 0}, "workers: must be auto or a whole number"),
        ({"parameters": {}}, "parameters: must be a mapping"),
        ({"parameters": {"x": []}}, "parameters.x: must be a list of values, at least 1"),
        ({"parameters": {"x": {"min": 2, "max": 1}}}, "parameters.x"),
        ({"parameters": {"x": {"values": [1], "when": {"z": 1}}}}, "there is no parameter 'z'"),
        ({"constraints": ["open('x')"]}, "constraints: "),
        ({"objective": 3}, "objective: must be a function, not int"),
    ],
)
def test_mistakes_are_told(arguments: dict[str, Any], message: str) -> None:
    usual = {"objective": objectives.bowl, "parameters": PLANE, "method": "random", "trials": 2}
    settings = usual | arguments
    with pytest.raises(InputError, match=message):
        hpsearch.optimize(settings.pop("objective"), settings.pop("parameters"), **settings)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("direction", "write goal='minimize' or goal='maximize'"),
        ("n_trials", "did you mean 'trials'"),
        ("n_jobs", "did you mean 'workers'"),
        ("timeout", "write time_seconds=600 for the search"),
        ("storage", "write out='DIR'"),
        ("sampler", "write method='auto'"),
        ("wokers", "did you mean 'workers'"),
    ],
)
def test_arguments_of_other_libraries_are_answered(argument: str, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        hpsearch.optimize(objectives.bowl, PLANE, **{argument: 1})
    with pytest.raises(TypeError, match=r"no argument 'unlike'$"):
        hpsearch.optimize(objectives.bowl, PLANE, unlike=1)


def test_tensorflow_is_not_imported() -> None:
    code = """
import sys
import hpsearch
hpsearch.optimize(lambda c: c["x"], {"x": {"min": 0.0, "max": 1.0}}, "random", trials=5)
assert not {"tensorflow", "keras", "keras_tuner", "ray"} & set(sys.modules)
"""
    python(code)
