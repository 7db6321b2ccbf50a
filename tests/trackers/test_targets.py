"""Names of targets, and the facts that every tracker receives."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hpsearch.errors import InputError
from hpsearch.trackers.tracking import _row, hyperparameters, make_tracker, run_name, tags


@pytest.mark.parametrize("target", ["", "tensorboard", "tensorboard:", "wandb:x", ":x", "mlflow"])
def test_what_names_none(target):
    with pytest.raises(InputError, match="must be tensorboard:DIR or mlflow:URI"):
        make_tracker(target)


@pytest.mark.parametrize("kind", ["tensorboard", "mlflow"])
def test_a_library_that_is_not_installed(monkeypatch, kind):
    monkeypatch.setattr("hpsearch.trackers.tracking.find_spec", lambda _: None)
    with pytest.raises(InputError, match=rf"pip install 'hpsearch\[{kind}\]'"):
        make_tracker(f"{kind}:x")


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
    # By the trial's number; the store's own is nobody's concern.
    shared = replace(record, result=replace(record.result, shared_with=99), shared_with=5)
    assert tags(shared)["shared_with"] == "5"


@pytest.mark.parametrize(
    ("trial", "seed", "fold", "name"),
    [
        (3, 0, None, "trial-3"),
        (3, 1, None, "trial-3-seed-1"),
        (3, 0, 2, "trial-3-fold-2"),
        (12, 7, 10, "trial-12-seed-7-fold-10"),
    ],
)
def test_a_run_is_named_after_its_execution(record, trial, seed, fold, name):
    assert run_name(replace(record, trial=trial, seed=seed, fold=fold)) == name


def test_a_run_is_known_again_by_its_execution_data_and_recipe(record):
    others = [
        replace(record, **change)
        for change in (
            {"seed": 5}, {"fold": 1}, {"fold": 2}, {"config": "c0"},
            {"provenance": replace(record.provenance, data="d0")},
            {"provenance": replace(record.provenance, recipe="r0")},
        )
    ]  # fmt: skip
    assert len({_row(each) for each in (record, *others)}) == 1 + len(others)
    assert _row(replace(record, trial=99)) == _row(record)
