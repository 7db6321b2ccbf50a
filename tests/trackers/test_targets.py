"""Names of targets, and the facts that every tracker receives."""

from dataclasses import replace

import pytest

from hpsearch.errors import InputError
from hpsearch.trackers.tracking import _row, hyperparameters, make_tracker, run_name, tags


@pytest.mark.parametrize(
    "target", ["", "tensorboard", "tensorboard:", "wandb", "neptune:x", ":x", "mlflow"]
)
def test_what_names_none(target):
    with pytest.raises(InputError, match="must be tensorboard:DIR, mlflow:URI or wandb:PROJECT"):
        make_tracker(target)


@pytest.mark.parametrize("kind", ["tensorboard", "mlflow", "wandb"])
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
    expected = {"trial": "7", "seed": "1", "status": "completed", "data": "d0123456789a"}
    assert told.items() >= {**expected, "metric": "val_loss:minimize:best"}.items()
    assert not {"error", "shared_with"} & told.keys()
    assert tags(diverged)["error"] == "epoch 2: a | b is nan"
    # By the trial's number; the store's own is nobody's concern.
    shared = replace(record, result=replace(record.result, shared_with=99), shared_with=5)
    assert tags(shared)["shared_with"] == "5"


def test_a_run_is_named_after_its_execution(record):
    draws = {"": (0, None), "-seed-1": (1, None), "-fold-2": (0, 2), "-seed-7-fold-10": (7, 10)}
    for name, (seed, fold) in draws.items():
        assert run_name(replace(record, trial=3, seed=seed, fold=fold)) == f"trial-3{name}"


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
