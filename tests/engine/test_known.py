"""Known results: what others measured, from which a method learns before its first trial."""

import time

import numpy as np
import pandas as pd
import pytest
from marks import slow

import hpsearch
from hpsearch.errors import InputError
from hpsearch.reporting.source import load_source
from hpsearch.reporting.words import facts

PLANE = {"x": {"min": -10.0, "max": 10.0}, "y": {"min": -10.0, "max": 10.0}}


def bowl(config):
    return (config["x"] - 3) ** 2 + (config["y"] + 2) ** 2


def measured(rows, seed=0):
    random = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": random.uniform(-10, 10, rows), "y": random.uniform(-10, 10, rows)})
    return frame.assign(score=[bowl(row) for row in frame.to_dict("records")])


@pytest.mark.parametrize("method", ["auto", slow("tpe"), slow("bayesian")])
def test_a_method_learns_from_them(method):
    alone = hpsearch.optimize(bowl, PLANE, method, trials=8)
    told = hpsearch.optimize(bowl, PLANE, method, trials=8, known=measured(25))
    # Its first ten trials are random without them.
    assert told.best["score"] < alone.best["score"]
    assert len(told.table) == 8
    assert not set(told.table["x"]) & set(measured(25)["x"])


@pytest.mark.parametrize("method", ["grid", "random", "sobol", "auto"])
def test_no_known_config_is_tried(method):
    parameters = {"x": [1, 2, 3, 4], "kind": ["a", "b"]}
    known = pd.DataFrame(
        {"x": [1, 2, 9, 3], "kind": ["a", "b", "a", "a"], "score": [1, 2, 3, None]}
    )
    results = hpsearch.optimize(
        lambda config: config["x"], parameters, method, trials=20, known=known
    )
    tried = set(zip(results.table["x"], results.table["kind"], strict=True))
    # The third row is outside the space, and the last has no score.
    assert len(tried) == len(results.table) == 6
    assert not tried & {(1, "a"), (2, "b")}


def test_a_race_of_seeds_tries_no_known_config(tmp_path):
    known = pd.DataFrame({"units": [2, 4], "val_accuracy": [0.5, 0.9]})
    x = np.linspace(0, 1, 40, dtype="float32").reshape(20, 2)
    results = hpsearch.tune(
        x, np.arange(20) % 2, parameters={"units": [2, 4, 8], "epochs": [1]}, method="random",
        trials=9, known=known, seeds={"min": 1, "max": 2, "race": True}, out=tmp_path,
    )  # fmt: skip
    assert set(results.table["units"]) == {8}


def test_a_search_with_known_results_continues_as_if_it_had_not_been_interrupted(tmp_path):
    known = measured(12)

    def search(trials, out=None):
        return hpsearch.optimize(bowl, PLANE, "auto", trials=trials, known=known, out=out).table

    search(5, tmp_path / "out")
    columns = ["trial", "x", "y", "score", "method"]
    assert search(12, tmp_path / "out")[columns].equals(search(12)[columns])


def test_a_sweep_reads_a_table_of_hpsearch_and_says_what_it_learned(tmp_path, capsys):
    sweep = {
        "data": {"dataset": "wine"},
        "method": "random",
        "budget": {"trials": 6},
        "parameters": {
            "units": {"min": 4, "max": 64},
            "learning_rate": {"min": 1e-3, "max": 1e-1, "scale": "log"},
            "optimizer": ["adam", {"name": "sgd", "momentum": 0.9}],
            "layer_type": ["dense", "dropout"],
            "dropout": {"values": [0.1, 0.3], "when": {"layer_type": "dropout"}},
            "epochs": 3,
        },
    }
    first = hpsearch.run(sweep, out=tmp_path / "first", verbose=0)
    narrower = {**sweep, "method": "auto", "known": str(tmp_path / "first"), "seed": 1}
    narrower["parameters"] = {**sweep["parameters"], "units": {"min": 4, "max": 40}}
    second = hpsearch.run(narrower, out=tmp_path / "second", verbose=2)
    outside = int((first.table["units"] > 40).sum())
    said = capsys.readouterr().err
    assert f"known: {6 - outside} configs of first, the best val_accuracy" in said
    assert (f"{outside} row" in said) == (outside > 0)
    assert not {*first.table["config"]} & {*second.table["config"]}
    rows = dict(map(tuple, facts(load_source(tmp_path / "second"))))
    assert rows["known results"].startswith(f"{6 - outside} configs of first")
    with pytest.raises(InputError, match=r"the scores of first are val_accuracy:maximize:last"):
        hpsearch.run({**narrower, "metric": "val_loss"}, out=tmp_path / "third")


@pytest.mark.parametrize(
    ("known", "arguments", "message"),
    [
        (measured(3).drop(columns="y"), {}, "known: the table has no column y; it has x, score"),
        (measured(3).drop(columns="score"), {}, "has no column objective or score"),
        (measured(3) + 100, {}, r"no row of the table is a result of this space \(row 1: x is"),
        (measured(0), {}, "it has no rows"),
        ("nowhere.csv", {}, "there is no such results table"),
        (measured(3).assign(x=None), {}, r"row 1: x is empty"),
        ([{"x": 1}], {}, "must be a pandas frame, a CSV file or a results directory, not list"),
        (pd.concat([measured(3), measured(3)["x"]], axis=1), {}, "has two columns x"),
    ],
)
def test_mistakes_are_told(known, arguments, message):
    with pytest.raises(InputError, match=message):
        hpsearch.optimize(bowl, PLANE, "auto", trials=3, known=known, **arguments)


def test_cells_are_read_as_values_of_the_space(tmp_path):
    parameters = {
        "rate": {"min": 0.1, "max": 0.5, "step": 0.1},
        "kind": ["1", "two", "null", True],
        "units": [[8, 4], 16],
        "width": {"values": [32, 64], "when": {"kind": "two"}},
    }
    known = pd.DataFrame(
        {
            "rate": [0.30000000000000004, 0.2, 0.4, 0.5, 0.1],
            "kind": [1, "two", "null", True, "two"],
            "units": ["[8, 4]", "16", [8, 4], 16.0, "{'a'"],
            # Cells of inactive hyperparameters do not count.
            "width": [None, 64.0, 99.0, None, 32],
            "score": [1.0, 2.0, 3.0, 4.0, 5.0],
        }
    )
    (tmp_path / "known.csv").write_text(known.to_csv(index=False))
    results = hpsearch.optimize(
        lambda config: config["rate"], parameters, "grid", known=tmp_path / "known.csv"
    )
    # Of the 5 x (3 x 2 + 2 x 2) configs, the last row is none.
    assert len(results.table) == 50 - 4


def test_a_table_of_hpsearch_is_known_as_it_is(tmp_path):
    first = hpsearch.optimize(bowl, PLANE, "random", trials=6, out=tmp_path / "first")
    kept_nothing = hpsearch.optimize(bowl, PLANE, "random", trials=6)
    path = tmp_path / "first" / "results.csv"
    configs = [
        hpsearch.optimize(bowl, PLANE, "auto", trials=4, known=known).table["config"].tolist()
        for known in (first, first.table, first.trials, path, kept_nothing)
    ]
    assert configs == [configs[0]] * 5
    assert not {*configs[0]} & {*first.table["config"]}


def model_sweep(**changes):
    parameters = {"units": [4, [8, 6]], "hidden_layers": [0, 1], "epochs": 2}
    sweep = {"data": {"dataset": "wine"}, "method": "grid", "parameters": parameters}
    return {**sweep, **changes, "parameters": {**parameters, **changes.get("parameters", {})}}


def test_a_table_of_hpsearch_says_all_that_was_trained(tmp_path):
    first = hpsearch.run(model_sweep(), out=tmp_path / "first", verbose=0)
    assert len(first.table) == 3
    known = str(tmp_path / "first")

    def trials(**changes):
        sweep = model_sweep(known=known, **changes)
        return len(hpsearch.run(sweep, out=tmp_path / "out", fresh=True, verbose=0).table)

    # A list of units sets the number of layers, which is none of hidden_layers.
    assert trials(parameters={"units": [4, [8, 6], 5]}) == 1
    # What the table does not have was the default, or another value.
    assert trials(parameters={"units": [4, [8, 6], 5], "l2": 0.0}) == 1
    with pytest.raises(InputError, match=r"row 1: it has other hyperparameters than this space"):
        trials(parameters={"l2": 0.1})
    with pytest.raises(InputError, match=r"row 1: epochs is 2, which is not in the space"):
        trials(parameters={"epochs": 3})
    with pytest.raises(InputError, match=r"val_accuracy:maximize:last, and this sweep's are val_a"):
        trials(metric={"name": "val_accuracy", "epoch": "best"})
    first.trials.to_csv(tmp_path / "trials.csv", index=False)
    sweep = model_sweep(metric="val_loss", known=str(tmp_path / "trials.csv"))
    with pytest.raises(InputError, match=r"known: the scores of .*trials.csv are not its val_loss"):
        hpsearch.run(sweep, out=tmp_path / "out", fresh=True, verbose=0)
    configs = {"data": {"dataset": "wine"}, "configs": [{"units": 4}], "known": known}
    with pytest.raises(InputError, match="known: no hyperparameter varies"):
        hpsearch.run(configs, out=tmp_path / "out", fresh=True)


#: Some of its trainings are halted.
HALTING = {
    "data": {"dataset": "wine"},
    "method": {"name": "asha", "min_epochs": 1, "proposals": "random"},
    "budget": {"trials": 9},
    "parameters": {"units": {"min": 4, "max": 64}, "epochs": 9},
}


def test_halted_trainings_are_left_out(tmp_path, capsys):
    first = hpsearch.run(HALTING, out=tmp_path / "first", verbose=0)
    halted = int((first.table["status"] == "stopped").sum())
    assert 0 < halted < 9
    assert first.trials["status"].tolist() == first.table["status"].tolist()
    sweep = {**HALTING, "method": "tpe", "known": str(tmp_path / "first")}
    hpsearch.run(sweep, out=tmp_path / "out", verbose=2)
    said = capsys.readouterr().err.replace("config ", "configs ")
    assert f"known: {9 - halted} configs of first" in said


def test_a_search_that_is_interrupted_does_not_say_that_it_ended(capsys):
    def objective(config):
        if config["x"] == 3:
            raise KeyboardInterrupt
        return config["x"]

    with pytest.raises((KeyboardInterrupt, hpsearch.Interrupted)):
        hpsearch.optimize(objective, {"x": [1, 2, 3, 4]}, "grid", trials=9, verbose=2)
    assert "budget" not in capsys.readouterr().err


def test_known_configs_beyond_those_to_learn_from_are_not_trained():
    known = pd.DataFrame({"x": range(600), "score": range(600)})
    parameters = {"x": list(range(610))}
    for method, trials in (("grid", None), ("tpe", 15)):
        results = hpsearch.optimize(
            lambda config: config["x"], parameters, method, trials=trials, known=known
        )
        assert sorted(results.table["x"]) == list(range(600, 610))


def test_a_foreign_table_of_other_hyperparameters_of_mlps_is_left_out(tmp_path):
    sweep = {
        "data": {"dataset": "wine"},
        "budget": {"trials": 2},
        "method": "random",
        "parameters": {"units": [4, 8, 16]},
    }
    known = pd.DataFrame({"units": [4, 8], "epochs": [50, 10], "val_accuracy": [0.9, 0.8]})
    known.to_csv(tmp_path / "known.csv", index=False)
    results = hpsearch.run({**sweep, "known": str(tmp_path / "known.csv")}, out=tmp_path / "out")
    # 10 epochs are the default.
    assert sorted(results.table["units"]) == [4, 16]


def test_own_rows_are_spelt_as_the_space_spells_them(tmp_path, capsys):
    first = {
        "data": {"dataset": "wine"},
        "method": "grid",
        "parameters": {"units": [4, 8, 16, 32], "optimizer": "nesterov", "epochs": 2},
    }
    hpsearch.run(first, out=tmp_path / "first", verbose=0)
    sgd = {"name": "sgd", "learning_rate": 0.01, "momentum": 0.9, "nesterov": True}
    parameters = {"units": [4, 8, 16, 32], "l2": [0.0, 0.1], "optimizer": ["adam", sgd]}
    sweep = {**first, "parameters": {**parameters, "epochs": 2}, "known": str(tmp_path / "first")}
    results = hpsearch.run(sweep, out=tmp_path / "second", verbose=2)
    said = capsys.readouterr().err
    assert "known: 4 configs of first" in said
    assert len(results.table) == 16 - 4


def test_many_rows_of_a_long_range_are_read_quickly():
    x = np.linspace(0, 1, 2_000).round(5)
    known = pd.DataFrame({"x": x, "score": x})
    parameters = {"x": {"min": 0.0, "max": 1.0, "step": 0.00001}}
    began = time.monotonic()
    hpsearch.optimize(lambda config: config["x"], parameters, "random", trials=1, known=known)
    assert time.monotonic() - began < 10
