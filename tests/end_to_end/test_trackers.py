"""`hpsearch log` and `run --log`: read by TensorBoard's and MLflow's own readers."""

from __future__ import annotations

import pandas as pd
import pytest
from commands import hpsearch

import hpsearch as package

pytestmark = pytest.mark.slow


def event_files(directory):
    return {path.parent.name: path for path in directory.glob("*/trial-*/events*")}


def last_losses(directory, key=lambda run: int(run.removeprefix("trial-"))):
    """`val_loss` at the last epoch of each run, as TensorBoard reads it."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = {}
    for run, path in event_files(directory).items():
        accumulator = EventAccumulator(str(path))
        accumulator.Reload()
        last = max(accumulator.Tensors("val_loss"), key=lambda point: point.step)
        found[key(run)] = float(last.tensor_proto.float_val[0])
    return found


def test_a_finished_run_in_tensorboard(finished, tmp_path):
    said = hpsearch("log", "two", "--to", f"tensorboard:{tmp_path}", cwd=finished)
    assert f"20 executions logged to tensorboard:{tmp_path}" in said.stdout
    rows = pd.read_csv(finished / "two" / "results.csv").set_index("trial")
    assert last_losses(tmp_path) == pytest.approx(dict(rows["val_loss"]), rel=1e-6)
    hpsearch("log", "two", "--to", f"tensorboard:{tmp_path}", cwd=finished)
    assert len(event_files(tmp_path)) == 20


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_finished_run_in_mlflow(finished, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    said = hpsearch("log", finished / "two", "--to", f"mlflow:{uri}", cwd=tmp_path)
    assert f"20 executions logged to mlflow:{uri}" in said.stdout
    # How its tables are made, and that it runs at all, is no user's concern.
    assert said.stderr == ""
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("small").experiment_id
    runs = {int(r.data.tags["hpsearch.trial"]): r for r in client.search_runs([experiment])}
    rows = pd.read_csv(finished / "two" / "results.csv").set_index("trial")
    assert {n: run.data.metrics["score"] for n, run in runs.items()} == dict(rows["score"])
    assert {run.data.tags["hpsearch.keras"] for run in runs.values()} == set(rows["keras"])
    one = runs[1].data
    assert one.params["optimizer"] == rows.loc[1, "optimizer"]
    assert int(one.params["epochs"]) == rows.loc[1, "epochs"]


def test_a_run_logs_as_it_goes(finished, tmp_path):
    change = ["--set", "parameters.hidden_layers=[0]"]
    half = [*change, "--set", "parameters.epochs=[1]"]
    hpsearch("run", finished / "sweep.yaml", *half, "--out", "out", cwd=tmp_path)
    said = hpsearch(
        "run", finished / "sweep.yaml", *change, "--out", "out",
        "--log", "tensorboard:first", "--log", "tensorboard:second", cwd=tmp_path,
    )  # fmt: skip
    assert "4 trials, 4 completed, 2 trained now" in said.stdout
    rows = pd.read_csv(tmp_path / "out" / "results.csv").set_index("trial")
    for place in ("first", "second"):
        # Those of the run before, too.
        found = last_losses(tmp_path / place)
        assert found == pytest.approx(dict(rows["val_loss"]), rel=1e-6)


def test_from_python(tmp_path):
    sweep = {
        "name": "mine",
        "data": {"dataset": "iris", "validation": 0.3},
        "parameters": {"units": 4, "epochs": 2},
    }
    package.run(sweep, out=tmp_path / "out", log=[f"tensorboard:{tmp_path / 'logs'}"])
    assert set(event_files(tmp_path / "logs")) == {"trial-1"}
