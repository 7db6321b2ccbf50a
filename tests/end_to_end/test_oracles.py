"""Sweeps that KerasTuner's oracles drive, or one's own, by the real command and from Python."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import keras_tuner
import own_oracles
import pandas as pd
import pytest
import yaml
from commands import hpsearch, start
from marks import slow
from outcomes import table
from sklearn.datasets import load_wine

import hpsearch as package
from hpsearch.errors import InputError

PARAMETERS = {
    "units": [16, 32, 64, 128],
    "optimizer": ["sgd", "adam", {"name": "sgd", "momentum": 0.5}],
    "learning_rate": [0.003, 0.01, 0.03],
    "layer_type": ["dense", "dropout"],
    "dropout": {"values": [0.1, 0.3], "when": {"layer_type": "dropout"}},
    "epochs": 27,
}


def write(home: Path, method: Any, **changes: Any) -> None:
    sweep = {
        "data": {"dataset": "digits"},
        "method": method,
        "parameters": PARAMETERS,
        "budget": {"trials": 12},
    } | changes
    (home / "sweep.yaml").write_text(yaml.safe_dump(sweep, sort_keys=False), encoding="utf-8")
    shutil.copy(own_oracles.__file__, home)


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    """Each oracle is made anew in tests/kerastuner/test_sweep_tuner.py."""
    method = "keras_tuner.oracles:BayesianOptimizationOracle"
    write(tmp_path, method, execution={"workers": 1})
    hpsearch("run", "sweep.yaml", "--out", "whole", cwd=tmp_path)
    whole = table(tmp_path / "whole")
    assert len(whole) == 12
    assert set(whole["method"]) == {method}
    running = start("sweep.yaml", cwd=tmp_path, out="killed")
    running.wait_for_results(3)
    running.send(signal.SIGKILL)
    done = hpsearch("run", "sweep.yaml", "--out", "killed", cwd=tmp_path)
    assert "does not propose" not in done.stdout + done.stderr
    pd.testing.assert_frame_equal(table(tmp_path / "killed"), whole)


@pytest.mark.parametrize(
    ("method", "stored", "said"),
    [
        ("Raises", 3, "the oracle own_oracles:Raises failed: RuntimeError: no idea for a trial"),
        slow("Exits", 0, "the process of own_oracles:Exits ended (exit status 7)"),
    ],
)
def test_a_bad_oracle_is_named_and_what_was_finished_is_stored(
    tmp_path: Path, method: str, stored: int, said: str
) -> None:
    write(tmp_path, f"own_oracles:{method}", execution={"workers": 1})
    done = hpsearch("run", "sweep.yaml", "--out", "out", cwd=tmp_path, code=2)
    assert f"method: {said}" in done.stderr
    assert len(table(tmp_path / "out")) == stored


X, Y = load_wine(return_X_y=True)
FEW = {"units": [4, 8, 16], "learning_rate": {"min": 1e-3, "max": 0.1, "scale": "log"}, "epochs": 9}


def test_tune_asks_the_oracle_that_it_is_given(tmp_path: Path, capsys: Any) -> None:
    objective = keras_tuner.Objective("val_accuracy", "max")
    oracle = own_oracles.Mine(objective=objective, max_trials=6, seed=3)
    results = package.tune(X, Y, parameters=FEW, oracle=oracle, out=tmp_path / "out")
    assert capsys.readouterr().out == ""
    assert len(results.trials) == len(oracle.trials) == 6
    assert oracle.get_best_trials()[0].score == results.best["score"]
    assert set(results.table["method"]) == {"own_oracles:Mine"}
    # Another one goes on where it ended.
    longer = own_oracles.Mine(objective=objective, max_trials=9, seed=3)
    more = package.tune(X, Y, parameters=FEW, oracle=longer, out=tmp_path / "out")
    assert len(more.trials) == len(longer.trials) == 9
    pd.testing.assert_frame_equal(more.table.head(6)[["config", "score"]],
                                  results.table[["config", "score"]])  # fmt: skip
    with pytest.raises(InputError, match=r"oracle: must be a keras_tuner\.Oracle"):
        package.tune(X, Y, parameters=FEW, oracle=own_oracles.Mine)
    with pytest.raises(InputError, match="method, oracle: only one"):
        package.tune(X, Y, parameters=FEW, oracle=oracle, method="random")
    with pytest.raises(InputError, match=r"trials: .*at least 1"):
        package.tune(X, Y, parameters=FEW, oracle=oracle, trials=0)
