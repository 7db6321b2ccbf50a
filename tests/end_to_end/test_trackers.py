"""`hpsearch log` and `run --log` reach TensorBoard and MLflow."""

from __future__ import annotations

import pandas as pd
import pytest
from commands import hpsearch

pytestmark = pytest.mark.slow


def logged_runs(directory):
    return sorted(path.parent.name for path in directory.glob("*/trial-*/events*"))


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


def test_a_run_logs_as_it_goes(finished, tmp_path):
    change = ["--set", "parameters.hidden_layers=[0]"]
    half = [*change, "--set", "parameters.epochs=[1]"]
    hpsearch("run", finished / "sweep.yaml", *half, "--out", "out", cwd=tmp_path)
    logs = ["--log", "tensorboard:first", "--log", "tensorboard:second"]
    hpsearch("run", finished / "sweep.yaml", *change, "--out", "out", *logs, cwd=tmp_path)
    for place in ("first", "second"):
        # Those of the run before, too.
        assert logged_runs(tmp_path / place) == [f"trial-{number}" for number in range(1, 5)]
