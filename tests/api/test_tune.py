"""`hpsearch.tune`: sweeps over arrays in memory."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_wine

import hpsearch
from hpsearch.errors import DataError, InputError
from hpsearch.spec.sweep import load_sweep

SMALL = {"units": [4, 8], "epochs": 3}
GRID = {"units": [2, 4, 8, 16, 32], "activation": ["relu", "tanh"], "epochs": 3}
COMPARED = ["config", "seed", "status", "score", "loss", "val_loss", "val_accuracy", "data"]


def test_arrays_are_tuned_as_the_same_rows_in_a_file_are(wine, tmp_path):
    tuned = hpsearch.tune(*wine, parameters=GRID, test=0.2)
    assert tuned.table["units"].tolist() == [2, 2, 4, 4, 8, 8, 16, 16, 32, 32]
    assert (tuned.table["status"] == "completed").all()
    assert len(tuned.curves) == 30
    assert tuned.best["score"] == tuned.table["score"].max()
    np.savez(tmp_path / "wine.npz", x=wine[0], y=wine[1])
    data = {"npz": str(tmp_path / "wine.npz"), "test": 0.2}
    sweep = {"name": "tune", "data": data, "parameters": GRID}
    ran = hpsearch.run(sweep, out=tmp_path / "ran")
    pd.testing.assert_frame_equal(tuned.table[COMPARED], ran.table[COMPARED])


@pytest.mark.slow
def test_what_is_temporary_goes_with_the_results(wine):
    results = hpsearch.tune(*wine, parameters={"epochs": 1, "units": 4})
    scratch = results.directory.parent
    assert scratch.exists()
    del results
    gc.collect()
    assert not scratch.exists()


def test_nothing_temporary_is_left_of_a_call_that_fails(wine, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(DataError, match="x has 178 rows and y has 177"):
        hpsearch.tune(wine[0], wine[1][:-1], parameters=SMALL)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_sweep_file_says_that_the_rows_were_in_memory(wine, tmp_path):
    out = tmp_path / "wine"
    pair = (wine[0][::3], wine[1][::3])
    with pytest.warns(UserWarning, match="60 of 60 validation rows also stand in the training"):
        hpsearch.tune(*wine, parameters={"epochs": 1}, validation_data=pair, out=out)
    sweep = load_sweep(out / "sweep.yaml")
    assert sweep.data.memory["x"] == "(178, 13) float64"
    assert sweep.data.memory["validation"] == "x (60, 13) float64, y (60,) int64"
    assert "validation: 0.2" not in (out / "sweep.yaml").read_text(encoding="utf-8")
    with pytest.raises(DataError, match=r"data\.memory: .*hpsearch\.tune"):
        hpsearch.run(out / "sweep.yaml", out=tmp_path / "again")
    with pytest.raises(DataError, match=r"data\.memory"):
        hpsearch.load(out).reproduce(1)


@pytest.mark.slow
def test_arguments_are_the_keys_of_a_file(wine):
    results = hpsearch.tune(
        *wine,
        parameters={
            "units": np.array([4, 8]),
            "learning_rate": {"min": np.float64(1e-3), "max": 0.1, "scale": "log"},
            "hidden_layers": (1, 2),
            "epochs": range(2, 4),
        },
        method="random",
        trials=6,
        metric={"name": "val_loss", "epoch": "best"},
        seeds=[3, 5],
        constraints=["hidden_layers * units <= 8"],
        configs=[{"units": 4, "learning_rate": 0.01}],
        early_stopping={"patience": 1},
        workers=1,
        validation_split=0.3,
        split_seed=1,
        scale="none",
        timeout_seconds=60,
        name="all-of-it",
    )
    table = results.table
    assert table["trial"].tolist() == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]
    assert set(table["seed"]) == {3, 5}
    assert set(table["metric"]) == {"val_loss:minimize:best"}
    assert (table["hidden_layers"] * table["units"] <= 8).all()
    assert table["learning_rate"].iloc[0] == 0.01
    assert set(table["sweep"]) == {"all-of-it"}
    assert results.sweep.data.validation == 0.3
    assert results.sweep.execution.workers == 1


@pytest.mark.parametrize(
    ("arguments", "method"),
    [
        ({"parameters": {"units": [4, 8]}}, "grid"),
        ({"parameters": {"units": [4, 8]}, "trials": 1}, "auto"),
        ({"parameters": {}, "configs": [{"units": 8}]}, None),
        ({"parameters": {"units": [4, 8]}, "method": "sobol", "trials": 2}, "sobol"),
    ],
)
def test_the_method_follows_from_what_is_said(wine, arguments, method, monkeypatch):
    monkeypatch.setattr("hpsearch.api.execute", lambda sweep, *_: sweep)
    assert hpsearch.tune(*wine, out="unused", **arguments).raw().get("method") == method


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"parameters": {"unit": [1]}}, r"^parameters\.unit: unknown .*did you mean 'units'"),
        ({"method": "tpe"}, r"^trials: method tpe needs trials, time_seconds or a patience$"),
        ({"method": "tpp"}, r"^method: .*'tpp'"),
        ({"trials": 0, "scale": "no"}, r"(?s)^trials: .*scale: |^scale: .*trials: "),
        ({"validation_split": 1.5}, r"^validation_split: must be a fraction"),
        ({"split_seed": -1}, r"^split_seed: "),
        ({"workers": 0}, r"^workers: "),
        ({"time_seconds": -1}, r"^time_seconds: "),
        ({"drop": "ab"}, r"^drop: must be a list of column names, not the text 'ab'"),
        ({"metric": "val_mae", "task": "classification"}, r"^metric: val_mae is not for class"),
        ({"validation_data": 3}, r"^validation_data: must be a pair \(x, y\), .*, not int"),
        ({"test": (1, 2, 3)}, r"^test: must be a pair \(x, y\), .*, not tuple"),
        ({"loss": "crossentropy"}, r"^loss: "),
        ({"parameters": {"units": {"min": 1, "max": 5}}}, r"^parameters\.units: a grid needs"),
    ],
)
def test_what_is_wrong_is_said_by_the_argument_s_name(wine, arguments, message, tmp_path):
    with pytest.raises(InputError, match=message):
        hpsearch.tune(*wine, **{"parameters": SMALL, "out": tmp_path / "out"} | arguments)
    assert not list(tmp_path.glob("out/sweep.db"))


@pytest.mark.slow
def test_what_a_run_warns_of_is_a_warning_at_the_caller_s_line():
    x, y = load_wine(return_X_y=True)
    x[:, 3] = 1
    with pytest.warns(UserWarning, match="constant on the training split: '3'") as caught:
        hpsearch.tune(x, y, parameters={"epochs": 1})
    assert Path(caught[0].filename) == Path(__file__)


#: Interrupted once it has a row, after one epoch, of a training longer than anybody waits.
ENDLESS = """
import os, signal, tempfile
import hpsearch
from hpsearch.store.store import Store
from sklearn.datasets import load_wine

def interrupt(store, results, add=Store.add_results):
    add(store, results)
    os.kill(os.getpid(), signal.{signal})

tempfile.tempdir, Store.add_results = ".", interrupt
x, y = load_wine(return_X_y=True)
parameters = {{"units": 4, "epochs": [1, 1_000_000]}}
"""


def script(
    code: str, cwd: Path, *options: str, **places: object
) -> subprocess.CompletedProcess[str]:
    """Run code as a script that has no `if __name__` guard."""
    (cwd / "script.py").write_text(code.format(**places), encoding="utf-8")
    return subprocess.run(
        [sys.executable, *options, "script.py"],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.slow
def test_ctrl_c_at_a_prompt_leaves_the_results_so_far(tmp_path):
    code = ENDLESS + (
        "results = hpsearch.tune(x, y, parameters=parameters)\n"
        "print(results.table['status'].tolist(), results.model().output_shape)\n"
        "print(results.reproduce(1).equal)\n"
    )
    done = script(code, tmp_path, "-i", signal="SIGINT")
    assert "['completed'] (None, 3)\nTrue\n" in done.stdout, done.stderr
    assert "script.py:14: UserWarning: interrupted: these are the results so far" in done.stderr


def test_ctrl_c_in_a_script_raises_with_the_results_so_far(tmp_path):
    code = ENDLESS.replace("signal.{signal}", "number") + (
        "for number, out in ((signal.SIGTERM, 'out'), (signal.SIGINT, None)):\n"
        "    try:\n"
        "        hpsearch.tune(x, y, parameters=parameters, out=out)\n"
        "    except hpsearch.Interrupted as error:\n"
        "        print(error, len(error.results.table), error.exit_code)\n"
    )
    done = script(code, tmp_path)
    assert done.stdout.splitlines() == [
        "terminated; results so far are in out, the same command continues 1 143",
        "interrupted 1 130",
    ], done.stderr
    assert not list(tmp_path.glob("hpsearch-*"))


def test_ctrl_c_ends_a_function_s_search_alike(tmp_path):
    code = (
        "import os, signal, hpsearch\n"
        "def objective(config):\n"
        "    if config['x']:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "    return 1.0\n"
        "results = hpsearch.optimize(objective, {{'x': [0, 1, 2]}}, 'grid')\n"
        "print(results.table['score'].tolist())\n"
    )
    done = script(code, tmp_path, "-i")
    assert "[1.0, 1.0]\n" in done.stdout, done.stderr


@pytest.mark.slow
def test_a_script_needs_no_guard_and_threads_may_call(tmp_path):
    code = """
import asyncio, threading
import hpsearch
from sklearn.datasets import load_wine

x, y = load_wine(return_X_y=True)
print("imported")

def tune():
    return hpsearch.tune(x, y, parameters={{"units": [4, 8], "epochs": 2}})

async def cell():
    # A notebook's kernel runs cells inside its loop.
    return tune()

found = [tune(), asyncio.run(cell())]
thread = threading.Thread(target=lambda: found.append(tune()))
thread.start()
thread.join()
scores = [results.table["score"].tolist() for results in found]
print(len(scores), scores[0] == scores[1] == scores[2])
"""
    done = script(code, tmp_path)
    assert done.stdout == "imported\n3 True\n", done.stderr


@pytest.mark.parametrize(
    ("change", "back", "other", "said"),
    [
        (keras.config.set_dtype_policy, "float32", "mixed_float16", "dtype policy is mixed_float"),
        (keras.config.set_floatx, "float32", "float64", "floatx is float64"),
    ],
)
def test_a_precision_that_workers_lack_is_refused(change, back, other, said) -> None:
    change(other)
    try:
        with pytest.raises(InputError, match=said):
            hpsearch.tune([[1.0], [2.0]] * 9, [0, 1] * 9, parameters={"units": 2}, verbose=0)
    finally:
        change(back)
