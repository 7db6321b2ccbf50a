"""A table and the column to predict are enough: for `hpsearch run`, and for `hpsearch.tune`."""

import gzip
import os
import re
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import hpsearch as command
from readme import block
from sklearn.datasets import load_wine

import hpsearch
from hpsearch.cli.sweeps import _average_best, run
from hpsearch.engine.session import RunOutcome
from hpsearch.errors import InputError, Interrupted
from hpsearch.spec.table import table_sweep, with_default_search


@pytest.fixture
def houses(tmp_path):
    """A table of 80 houses, as `houses.csv` too."""
    draw = np.random.default_rng(0)
    rooms = draw.integers(1, 9, 80)
    table = pd.DataFrame({"rooms": rooms, "town": draw.choice(["Ulm", "Bonn"], 80)})
    table["price"] = (rooms + draw.normal(0, 0.1, 80)).round(3)
    table.to_csv(tmp_path / "houses.csv", index=False)
    return table


_COMPARED = ["trial", "config", "units", "activation", "layer_type", "score", "data"]


def test_the_command_and_tune_search_alike_and_the_sweep_that_is_left_goes_on(houses, tmp_path):
    words = ("--csv", "houses.csv", "--target", "price", "--set", "budget.trials=5")
    said = command("run", *words, "--workers", 1, cwd=tmp_path)
    left = tmp_path / "experiments" / "houses"
    # The weights of the best were kept, so that none is trained again.
    assert said.stdout.endswith(
        "wrote the ensemble to experiments/houses/ensemble.keras; it takes raw rows\n"
    )
    assert "again" not in said.stderr
    assert command("run", *words, "--workers", 1, cwd=tmp_path).stdout.endswith("raw rows\n")
    (left / "ensemble.keras").write_text("of a user")
    said = command("run", *words, "--workers", 1, cwd=tmp_path)
    assert said.stderr.endswith("is no ensemble of hpsearch, and stays; name another (--out)\n")
    (left / "ensemble.keras").unlink()
    rows = pd.read_csv(left / "results.csv")
    assert (rows["status"] == "completed").all()
    assert rows["metric"].unique().tolist() == ["val_loss:minimize:best"]
    tuned = hpsearch.tune(houses, target="price", trials=5, workers=1, verbose=0)
    pd.testing.assert_frame_equal(tuned.table[_COMPARED], rows[_COMPARED], check_dtype=False)
    assert tuned.sweep.space.parameters == hpsearch.load(left).sweep.space.parameters
    ensembles = [results.ensemble().members for results in (tuned, hpsearch.load(left))]
    pd.testing.assert_frame_equal(*ensembles)
    command("run", left / "sweep.yaml", "--set", "budget.trials=7", "--workers", 1, cwd=tmp_path)
    more = pd.read_csv(left / "results.csv")
    assert len(more) == 7
    pd.testing.assert_frame_equal(more.head(5), rows)


@pytest.mark.parametrize("error", [Interrupted(2), InputError("no"), OSError("full")])
def test_only_an_interruption_of_the_ensemble_changes_the_end(error, monkeypatch, tmp_path):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("hpsearch.runs.ensemble.make_ensemble", fail)
    outcome = RunOutcome(tmp_path, completed=2, trials=2, trained=2, best=None)
    with pytest.raises(Interrupted) if isinstance(error, Interrupted) else nullcontext():
        _average_best(table_sweep(Path("houses.csv"), "price"), outcome, None, quiet=True)


@pytest.mark.slow
def test_the_readme_s_command_runs(houses, tmp_path):
    words = block("table", "sh").replace("2m", "1s").split()
    command(*words[1:], cwd=tmp_path)
    assert (tmp_path / "experiments" / "houses" / "best.keras").exists()


def test_classes_are_searched_by_the_same_file():
    x, y = load_wine(return_X_y=True)
    results = hpsearch.tune(x, y, metric="val_accuracy", trials=3, workers=1, verbose=0)
    assert results.table["metric"].unique().tolist() == ["val_accuracy:maximize:best"]
    assert results.best["score"] > 0.9


def test_time_or_trials_end_it_as_they_are_given(houses):
    def budget_of(**given):
        return table_sweep(Path("houses.csv"), "price", **given).budget.raw()

    assert budget_of().keys() == {"trials", "min_delta"}
    assert budget_of(time="2m") == {"time": 120, "min_delta": 0}
    assert budget_of(time="120") == {"time": 120, "min_delta": 0}
    assert budget_of(time="2m", overrides=["budget.time=9s"])["time"] == 120
    assert with_default_search({"budget": {"score": 0.9}}, 80)["budget"] == {
        "trials": 60, "score": 0.9,
    }  # fmt: skip
    assert budget_of(overrides=["budget.trials=9"])["trials"] == 9
    sweep = table_sweep(Path("no:1/Häuser 2.csv"), "no")
    assert (sweep.name, sweep.data.target) == ("H-user-2", "no")


@pytest.mark.parametrize(
    ("rows", "epochs", "patience", "batch"),
    [(0, 100, 15, 32), (20_000, 100, 15, 32), (40_000, 50, 7, 128), (10**9, 5, 3, 128)],
)
def test_a_training_on_a_large_table_has_fewer_and_larger_steps(rows, epochs, patience, batch):
    search = with_default_search({}, rows)
    assert search["parameters"]["epochs"] == epochs
    assert search["early_stopping"]["patience"] == patience
    assert search["parameters"]["batch_size"][0] == batch


def test_the_rows_of_a_file_are_counted(tmp_path):
    rows = b'1,"two\nlines"\n' * 40_000
    files = {
        "plain": b"a,b\n" + rows,
        "exact": b"a,b\n" + b"1,2\n" * 20_000,
        "packed": gzip.compress(b"a,b\n" + rows),
        "torn": gzip.compress(b"a,b\n" + rows)[:40],
        "one_line": b"1" * 3_000_000,
    }
    for name, content in files.items():
        (tmp_path / f"{name}.csv").write_bytes(content)
    os.mkfifo(tmp_path / "fifo.csv")
    counts = {
        name: table_sweep(tmp_path / f"{name}.csv", "b").first["epochs"]
        for name in (*files, "fifo", "missing")
    }
    assert counts == {
        "plain": 50, "exact": 100, "packed": 50, "torn": 100, "one_line": 100, "fifo": 100,
        "missing": 100,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["yes", "1", "null", "a=b", "a: b", "😀 mood", "\udcff", "💰"])
def test_a_target_may_have_any_name(name):
    assert table_sweep(Path(f"{name}.csv"), name).data.target == name


@pytest.mark.parametrize(
    ("setting", "metric"),
    [
        ("metric=val_accuracy", {"name": "val_accuracy", "goal": "maximize", "epoch": "best"}),
        ("metric.name=val_accuracy", {"name": "val_accuracy", "goal": "maximize", "epoch": "best"}),
        ("metric.epoch=last", {"name": "val_loss", "goal": "minimize", "epoch": "last"}),
    ],
)
def test_a_metric_is_scored_at_its_best_epoch_in_its_own_direction(setting, metric):
    sweep = table_sweep(Path("houses.csv"), "price", [setting])
    assert sweep.raw()["metric"] == metric


_TABLE = {"csv": Path("houses.csv"), "target": "price"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "give a sweep file, or a table and the column to predict"),
        ({"sweep": Path("sweep.yaml"), **_TABLE}, "give a sweep file, or a table"),
        ({"sweep": Path("sweep.yaml"), "target": "price"}, "give a sweep file, or a table"),
        ({"csv": Path("houses.csv")}, "--csv houses.csv --target price"),
        ({**_TABLE, "time": "soon"}, "budget.time: must be"),
        ({**_TABLE, "task": "both"}, "data.task: unknown task"),
        ({**_TABLE, "set_": ["parameters.unit=5"]}, "did you mean 'units'?"),
        ({**_TABLE, "set_": ["data.csv=5"]}, "data.csv: must be"),
    ],
)
def test_mistakes_of_the_command(houses, tmp_path, monkeypatch, given, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=re.escape(said)) as raised:
        run(**given)
    # No line of a file that nobody wrote is to blame.
    assert not re.search(r"\.csv:\d", str(raised.value))
    assert not (tmp_path / "experiments").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--csv houses.csv --target prize", "did you mean 'price'?"),
        ("--csv house.csv --target price", "house.csv; did you mean 'houses.csv'?"),
    ],
)
def test_a_wrong_name_of_the_file_or_the_column(houses, tmp_path, words, said):
    done = command("run", *words.split(), cwd=tmp_path, code=2)
    assert said in done.stderr
    assert not [*tmp_path.glob("experiments/*/results.csv")]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"target": "prize"}, "did you mean 'price'?"),
        ({"target": ["price"]}, "x has no column ['price']"),
        ({"target": "price", "y": [1]}, "y, target: only one of them"),
        ({}, "y: must be labels or targets"),
        ({"y": 5}, "y"),
        ({"y": (value for value in [1])}, "y"),
        ({"target": "price", "x": [[1]]}, "x is no frame but a list"),
        ({"target": "price", "configs": [{"units": 4}]}, "parameters: is missing"),
    ],
)
def test_mistakes_of_tune(houses, given, said):
    with pytest.raises(InputError, match=re.escape(said)):
        hpsearch.tune(**{"x": houses, "verbose": 0} | given)


def test_columns_are_named_by_their_text_and_must_be_one(houses):
    twice = pd.concat([houses, houses["price"]], axis=1)
    with pytest.raises(InputError, match="x has 2 columns 'price'"):
        hpsearch.tune(twice, target="price", verbose=0)
    numbered = pd.DataFrame(np.random.default_rng(0).random((40, 3)))
    results = hpsearch.tune(numbered, target="2", trials=1, workers=1, verbose=0)
    assert results.table["status"].tolist() == ["completed"]


def test_time_of_a_sweep_file(tmp_path):
    (tmp_path / "sweep.yaml").write_text(
        "data: {dataset: wine}\nmethod: random\nparameters: {units: {min: 2, max: 90}, epochs: 1}\n"
    )
    command("run", "sweep.yaml", "--time", "1s", cwd=tmp_path)
    assert len(pd.read_csv(tmp_path / "experiments" / "sweep" / "results.csv")) > 0
