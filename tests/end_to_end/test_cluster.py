"""The real command, and Python, on a Ray cluster of two nodes: the tables of one machine.

One file, since two clusters of tests would wait for each other.
"""

import objectives
import pandas as pd
import pytest
import yaml
from commands import hpsearch
from outcomes import table
from ray_cluster import ENVIRONMENT, ray_cluster

import hpsearch as package

pytestmark = pytest.mark.slow


#: Every trainer but `fit`, a layer function, halted trainings that go on, several seeds.
MIXED = {
    "data": {"dataset": "digits"},
    "method": {"name": "asha", "factor": 2, "min_epochs": 1},
    "budget": {"trials": 16},
    "seeds": 2,
    "parameters": {
        "hidden_layers": [1, 2],
        "units": [8, 16],
        "layer_type": ["dense", "dropout", "odd_layers:wide"],
        "optimizer": ["adam", {"name": "sgd", "clipnorm": 1.0}],
        "learning_rate": {"min": 1e-3, "max": 1e-1, "scale": "log"},
        "epochs": 4,
    },
}


@pytest.fixture(scope="module")
def cluster():
    with ray_cluster(nodes=2) as made:
        yield made


def test_all_kinds_of_trainings_give_the_same_tables(tmp_path, cluster):
    (tmp_path / "mixed.yaml").write_text(yaml.safe_dump(MIXED, sort_keys=False))
    one = ("--workers", 1)
    hpsearch("run", "mixed.yaml", "--out", "here", *one, cwd=tmp_path)
    # asha learns in the order of the results, which more workers change on any engine.
    there = ("--engine", "ray", "--set", f"execution.address={cluster.address}", *one)
    hpsearch("run", "mixed.yaml", "--out", "there", *there, cwd=tmp_path, env=ENVIRONMENT)
    for name in ("results.csv", "curves.csv"):
        here, there = (table(tmp_path / out, name) for out in ("here", "there"))
        assert len(here) >= 16
        pd.testing.assert_frame_equal(here, there)
    assert set(table(tmp_path / "there")["trainer"]) >= {"native", "graph"}


def test_a_function_is_searched_on_a_cluster(tmp_path, cluster):
    rows = package.optimize(
        objectives.stepwise,
        {"x": {"min": 0.0, "max": 4.0}, "y": [0.0, 1.0], "epochs": 8},
        "hyperband",
        trials=12,
        workers=2,
        execution={"engine": "ray", "address": cluster.address},
        out=tmp_path / "out",
    ).table
    assert set(rows["status"]) == {"completed", "stopped"}
    scores = (rows["x"] - 2) ** 2 + (rows["y"] - 1) ** 2 + 1 / rows["epochs_trained"]
    assert rows["score"].to_numpy() == pytest.approx(scores.to_numpy(), rel=1e-12)
    assert (tmp_path / "out" / "run.log").exists()
