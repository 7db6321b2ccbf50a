"""Runs as MLflow's own client finds them in a local store."""

import math
import shutil
from dataclasses import replace

import pytest

from hpsearch.errors import InputError
from hpsearch.trackers.tracking import hyperparameters, make_tracker, tags

pytestmark = [
    pytest.mark.slow,
    # MLflow's, on SQLAlchemy 2.1.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """A store without runs: to make its tables takes MLflow seconds."""
    from mlflow import MlflowClient

    file = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def uri(empty, tmp_path):
    return f"sqlite:///{shutil.copy(empty, tmp_path)}"


@pytest.fixture
def client(monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def runs(client):
    experiment = client.get_experiment_by_name("small")
    return {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}


def curve_of(client, run, name):
    return {point.step: point.value for point in client.get_metric_history(run, name)}


def test_a_run_a_trial(client, uri, record):
    make_tracker(f"mlflow:{uri}").log(record)
    (run,) = runs(client).values()
    assert run.info.run_name == "trial-7-seed-1"
    assert run.info.status == "FINISHED"
    assert run.info.end_time - run.info.start_time == 1500
    assert run.data.params == {name: str(v) for name, v in hyperparameters(record).items()}
    for name, value in tags(record).items():
        assert run.data.tags[f"hpsearch.{name}"] == value
    for name in ("loss", "val_loss"):
        expected = {epoch: m[name] for epoch, m in enumerate(record.result.curve, start=1)}
        assert curve_of(client, run.info.run_id, name) == expected
    assert curve_of(client, run.info.run_id, "score") == {2: 0.4}


def test_a_diverged_trial_is_a_failed_run(client, uri, diverged):
    make_tracker(f"mlflow:{uri}").log(diverged)
    run = runs(client)["trial-8"]
    assert run.info.status == "FAILED"
    assert math.isnan(curve_of(client, run.info.run_id, "loss")[2])
    assert "score" not in run.data.metrics


def test_a_trial_told_again_stays_one_run(client, uri, record):
    make_tracker(f"mlflow:{uri}").log(record)
    before = runs(client)["trial-7-seed-1"].info.run_id
    make_tracker(f"mlflow:{uri}").log(record)
    assert {run.info.run_id for run in runs(client).values()} == {before}
    tracker = make_tracker(f"mlflow:{uri}")
    tracker.log(replace(record, result=replace(record.result, score=0.6, scored_epoch=3)))
    (run,) = runs(client).values()
    assert run.info.run_id != before
    assert curve_of(client, run.info.run_id, "score") == {3: 0.6}
    # A run that was cut short is logged anew.
    client.update_run(run.info.run_id, status="RUNNING")
    make_tracker(f"mlflow:{uri}").log(record)
    (again,) = runs(client).values()
    assert again.info.run_id != run.info.run_id
    assert again.info.status == "FINISHED"


def test_a_long_curve_is_told_whole(client, uri, record):
    curve = [{"loss": float(epoch), "val_loss": 0.5} for epoch in range(1_200)]
    make_tracker(f"mlflow:{uri}").log(
        replace(record, result=replace(record.result, curve=curve, scored_epoch=1_200))
    )
    (run,) = runs(client).values()
    found = curve_of(client, run.info.run_id, "loss")
    assert found == {epoch + 1: float(epoch) for epoch in range(1_200)}


def test_each_execution_has_its_run_and_runs_of_others_are_left_alone(client, uri, record):
    experiment = client.create_experiment("small")
    others = client.create_run(experiment, run_name="other").info.run_id
    tracker = make_tracker(f"mlflow:{uri}")
    for seed, fold in ((1, None), (0, None), (2, 3), (2, 1)):
        tracker.log(replace(record, seed=seed, fold=fold))
    of_folds = {"trial-7-seed-2-fold-1", "trial-7-seed-2-fold-3"}
    assert set(runs(client)) == {"trial-7-seed-1", "trial-7", "other", *of_folds}
    assert runs(client)["other"].info.run_id == others


@pytest.mark.parametrize("uri", ["./mlruns", "nosuch://place", "sqlite:////dev/null/mlflow.db"])
def test_what_mlflow_refuses_is_told_in_a_line(tmp_path, monkeypatch, record, uri):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as told:
        make_tracker(f"mlflow:{uri}").log(record)
    assert str(told.value).startswith(f"mlflow:{uri}: ")
    assert "\n" not in str(told.value)
