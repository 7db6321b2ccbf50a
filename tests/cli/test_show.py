"""The tables of `show`."""

import io

import numpy as np
import pandas as pd
import pytest
from here import run_here
from made_tables import ACCURACY, LOSS, Made, Row, write
from rich.console import Console

from hpsearch.cli.show import print_results
from hpsearch.store.store import facts_of
from hpsearch.store.tables import read_table
from hpsearch.store.trials import best_trial

_SWEEP = "name: s\ndata: {dataset: iris}\nparameters: {units: [4, 6], epochs: 1}\n"


@pytest.mark.parametrize(("metric", "best"), [(ACCURACY, "0.7000"), (LOSS, "0.5000")])
def test_the_best_score_of_each_value(tmp_path, metric, best):
    rows = [Row({"units": 8, "dropout": n / 10}, 0.5 + n / 10) for n in range(3)]
    rows.append(Row({"units": 16, "dropout": 0.0}, 0.6))
    write(tmp_path / "a", Made(rows, metric=metric))
    assert ["units", "8", "0.6000", best, "3"] in map(str.split, _shown(tmp_path / "a").split("\n"))


def _shown(directory):
    out = io.StringIO()
    print_results(directory, 10, Console(file=out, width=200))
    return out.getvalue()


@pytest.mark.parametrize(
    ("method", "said"),
    [
        *((each, "") for each in ("grid", "random", "sobol")),
        ("keras_tuner.src.tuners:RandomSearchOracle", ""),
        *((each, each) for each in ("tpe", "bayesian", "prior", "hyperband", "asha", "configs")),
        ("", "an unknown method"),
    ],
)
def test_means_by_value_are_those_of_a_design_alone(tmp_path, method, said):
    rows = [Row({"units": units}, units / 20) for units in (4, 8, 16)]
    shown = _shown(write(tmp_path / "a", Made(rows, method=method)))
    assert ("mean score by value" in shown) == (not said)
    reason = f"are not shown, because {said} may try some values mostly beside good others"
    assert (reason in shown) == bool(said)


_HOUSES = """
data: {csv: houses.csv, target: price, task: regression}
parameters: {hidden_layers: 0, epochs: 4, learning_rate: [0.1, 0.3]}
"""


def test_a_regression_has_errors_in_the_targets_unit(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    houses = pd.DataFrame({"rooms": rng.integers(1, 9, 60), "age": rng.uniform(0, 90, 60)})
    houses["price"] = 2.5e7 + 2e6 * houses["rooms"] - 1e5 * houses["age"]
    houses.to_csv(tmp_path / "houses.csv", index=False)
    monkeypatch.chdir(tmp_path)
    run_here(_HOUSES, tmp_path / "out", model=False)
    (said,) = (line for line in _shown(tmp_path / "out").splitlines() if "validation split" in line)
    best = best_trial(read_table(tmp_path / "out"))
    guesses = facts_of(tmp_path / "out", [best["data"]]).guesses
    share = best["val_loss"] / guesses["val_mse"]
    assert said == (
        f"trial {best['trial']} on the validation split: RMSE {best['val_loss'] ** 0.5:,.0f}, "
        f"MAE {best['val_mae']:,.0f}, R\N{SUPERSCRIPT TWO} {1 - share:.4f}"
    )


@pytest.mark.parametrize("built", [True, False])
def test_a_missing_engine_is_said_once(tmp_path, monkeypatch, built):
    monkeypatch.setattr("hpsearch.engine.models.native_built", lambda: built)
    _, notes = run_here(_SWEEP, tmp_path / "out", model=False)
    said = [note for note in notes if "installed without its native trainer" in note]
    assert len(said) == (0 if built else 1)
    assert all(note.startswith("warning: ") and "pip install" in note for note in said)
