"""Methods that learn: halted trials."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from marks import slow
from outcomes import table

from hpsearch.engine.session import Settings
from hpsearch.engine.sweep import run_sweep
from hpsearch.spec.sweep import sweep_from_mapping
from hpsearch.store.store import Store

PARAMETERS = {
    "hidden_layers": [1, 2],
    "units": {"min": 16, "max": 256, "scale": "log"},
    "activation": ["relu", "tanh"],
    "layer_type": ["dense", "dropout", "batch_norm"],
    "dropout": {"values": [0.1, 0.3], "when": {"layer_type": "dropout"}},
    "optimizer": ["adam", {"name": "sgd", "momentum": 0.9}],
    "learning_rate": {"min": 1e-4, "max": 1e-1, "scale": "log"},
    "epochs": [9, 27],
}


@pytest.mark.parametrize("method", ["asha", slow("hyperband")])
def test_a_halted_trial_is_a_row_and_one_that_goes_on_is_as_if_it_had_not_halted(
    tmp_path: Path, method: str
) -> None:
    searched = {"data": {"dataset": "digits"}, "parameters": PARAMETERS}
    raw = {**searched, "method": {"name": method, "min_epochs": 1}, "budget": {"trials": 12}}
    settings = Settings(out=tmp_path / "halved", workers=2, report=False, model=False)
    run_sweep(sweep_from_mapping(raw), settings)
    halved = table(tmp_path / "halved")
    assert halved["epochs_trained"].nunique() >= 3
    assert set(halved["epochs"]) == {27}
    assert ((halved["epochs_trained"] == 27) == (halved["status"] == "completed")).all()
    curves = pd.read_csv(tmp_path / "halved" / "curves.csv")
    with Store(tmp_path / "halved" / "sweep.db", read_only=True) as store:
        listed = [dict(execution.config.values) for execution in store.executions()]
    whole = sweep_from_mapping({**searched, "name": "alone", "configs": listed})
    assert "without a method only the 12 configs are tried" in whole.warnings[0]
    settings = Settings(out=tmp_path / "alone", report=False, model=False, in_process=True)
    run_sweep(whole, settings)
    alone = pd.read_csv(tmp_path / "alone" / "curves.csv")
    merged = curves.merge(alone, on=["trial", "epoch"], suffixes=("", "_alone"))
    assert len(merged) == len(curves)
    assert (merged["val_accuracy"] == merged["val_accuracy_alone"]).all()
    assert (merged["loss"] == merged["loss_alone"]).all()
