"""Names of targets, and the facts that every tracker receives."""

from __future__ import annotations

import importlib.util

import pytest

from hpsearch.errors import InputError
from hpsearch.trackers.targets import make_tracker
from hpsearch.trackers.tracker import hyperparameters, tags


@pytest.mark.parametrize("target", ["", "tensorboard", "tensorboard:", "wandb:x", ":x", "mlflow"])
def test_what_names_none(target):
    with pytest.raises(InputError, match="must be tensorboard:DIR or mlflow:URI"):
        make_tracker(target)


@pytest.mark.parametrize("kind", ["tensorboard", "mlflow"])
def test_a_library_that_is_not_installed(monkeypatch, kind):
    monkeypatch.setattr("hpsearch.trackers.targets.find_spec", lambda _: None)
    with pytest.raises(InputError, match=rf"pip install 'hpsearch\[{kind}\]'"):
        make_tracker(f"{kind}:x")


def test_both_are_installed_here():
    assert importlib.util.find_spec("mlflow")
    assert importlib.util.find_spec("tensorboard")


def test_hyperparameters_are_those_of_the_table(record):
    assert hyperparameters(record) == {
        "units": "[16, 8]",
        "epochs": 3,
        "optimizer": '{"name": "sgd", "learning_rate": 0.1}',
        "activation": "relu",
        "l2": 1e-4,
        "hp_score": True,
    }


def test_tags_say_where_a_row_comes_from(record, diverged):
    told = tags(record)
    assert told["trial"] == "7"
    assert told["seed"] == "1"
    assert told["status"] == "completed"
    assert told["metric"] == "val_loss:minimize:best"
    assert told["data"] == "d0123456789a"
    assert "error" not in told
    assert "shared_with" not in told
    assert tags(diverged)["error"] == "epoch 2: a | b is nan"
