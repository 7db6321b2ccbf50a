"""Provenance: what decides a score cannot change under stored rows."""

from __future__ import annotations

import re
from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import pytest

from hpsearch.data.specs import Task
from hpsearch.errors import ChangedSweepError, InputError
from hpsearch.models.problem import EarlyStopping, Recipe
from hpsearch.spec.sweep import Sweep
from hpsearch.store.columns import Provenance
from hpsearch.store.facts import Identity, installed
from hpsearch.store.provenance import identify, make_recipe, require_unchanged

DATASET: Any = SimpleNamespace(fingerprint="d0123456789a")


def sweep(**changes: Any) -> Sweep:
    raw = {"name": "s", "data": {"dataset": "digits"}, "parameters": {"units": [1, 2]}}
    return Sweep.parse(raw | changes)


def identity(dataset: Any = DATASET, **changes: Any) -> Identity:
    asked = sweep(**changes)
    return identify(asked, dataset, make_recipe(asked, Task.MULTICLASS))


@pytest.mark.parametrize(
    ("task", "activation", "loss", "metric", "goal"),
    [
        (Task.BINARY, "sigmoid", "binary_crossentropy", "val_accuracy", "maximize"),
        (Task.MULTICLASS, "softmax", "sparse_categorical_crossentropy", "val_accuracy", "maximize"),
        (Task.REGRESSION, "linear", "mean_squared_error", "val_loss", "minimize"),
    ],
)
def test_the_task_decides_what_the_file_does_not(
    task: Task, activation: str, loss: str, metric: str, goal: str
) -> None:
    assert make_recipe(sweep(), task) == Recipe(0, loss, activation, metric, goal)


def test_the_file_decides_what_it_says() -> None:
    asked = sweep(
        seed=7,
        metric={"name": "val_loss", "epoch": "best"},
        model={"loss": "mae", "output_activation": "relu"},
        early_stopping={"patience": 3, "min_delta": 0.5},
    )
    assert make_recipe(asked, Task.MULTICLASS) == Recipe(
        7, "mean_absolute_error", "relu", "val_loss", "minimize", "best", EarlyStopping(3, 0.5)
    )
    assert make_recipe(sweep(metric={"name": "loss", "goal": "maximize"}), Task.BINARY).goal == (
        "maximize"
    )


def test_ones_own_model_may_report_its_own_metric() -> None:
    metric = {"name": "val_f1", "goal": "maximize"}
    recipe = make_recipe(sweep(model="my.module:build", metric=metric), Task.MULTICLASS)
    assert (recipe.model, recipe.metric, recipe.goal) == ("my.module:build", "val_f1", "maximize")


@pytest.mark.parametrize(
    ("metric", "task"),
    [
        ("val_mae", Task.BINARY),
        ("val_accuracy", Task.REGRESSION),
        ("val_auc", Task.REGRESSION),
        ("val_pearson_correlation", Task.REGRESSION),
        ("val_top_3_accuracy", Task.BINARY),
        ("val_categorical_accuracy", Task.BINARY),
        ({"name": "val_loss", "also": ["auc"]}, Task.REGRESSION),
    ],
)
def test_a_metric_that_is_not_reported(metric: Any, task: Task) -> None:
    # The data source tells no task, so that only the loaded data can.
    asked = sweep(data={"npz": "a.npz"}, metric=metric)
    name = metric["also"][0] if isinstance(metric, dict) else metric
    with pytest.raises(InputError, match=rf"metric: '{name}' is not reported for a {task}"):
        make_recipe(asked, task)


def test_a_correlation_is_of_the_outputs_of_a_row() -> None:
    asked = sweep(data={"npz": "a.npz"}, metric="val_pearson_correlation")
    assert make_recipe(asked, Task.REGRESSION, 2).metric == "val_pearson_correlation"


def test_provenance_is_what_every_row_shares() -> None:
    shared = identity().provenance("digits")
    assert isinstance(shared, Provenance)
    assert (shared.metric, shared.sweep, shared.data) == (
        "val_accuracy:maximize:last", "digits", "d0123456789a",
    )  # fmt: skip
    assert re.fullmatch(r"r[0-9a-f]{11}", shared.recipe)
    # Versions are those of each row.
    assert {field.name for field in fields(shared) if not getattr(shared, field.name)} == {
        "version", "tensorflow", "keras", "program_commit",
    }  # fmt: skip
    assert all(re.match(r"\d+\.\d+", version) for version in installed().values())


CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"seed": 1}, "recipe.seed: was 0, is 1"),
    ({"data": {"dataset": "digits", "scale": "none"}}, 'recipe.scale: was "auto", is "none"'),
    ({"model": {"loss": "mae"}},
     'recipe.loss: was "sparse_categorical_crossentropy", is "mean_absolute_error"'),
    ({"model": {"output_activation": "sigmoid"}},
     'recipe.output_activation: was "softmax", is "sigmoid"'),
    ({"early_stopping": {"patience": 3}},
     'recipe.early_stopping: was null, is {"min_delta": 0.0, "patience": 3}'),
    ({"metric": "val_loss"},
     'metric: was "val_accuracy:maximize:last", is "val_loss:minimize:last"'),
    ({"metric": {"name": "val_accuracy", "epoch": "best"}},
     'metric: was "val_accuracy:maximize:last", is "val_accuracy:maximize:best"'),
    ({"data": {"dataset": "digits", "validation": 0.25}}, "split.validation: was 0.2, is 0.25"),
    ({"data": {"dataset": "digits", "seed": 1}}, "split.seed: was 42, is 1"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "difference"), CHANGES)
def test_a_change_is_refused_with_its_difference(changes: dict[str, Any], difference: str) -> None:
    with pytest.raises(ChangedSweepError) as caught:
        require_unchanged(identity(), identity(**changes), "experiments/s")
    lines = str(caught.value).splitlines()
    assert lines[0] == "experiments/s: its results were made with another sweep:"
    assert lines[1:-1] == [f"  {difference}"]
    assert "--out" in lines[-1]
    assert "--fresh" in lines[-1]
    assert caught.value.exit_code == 3


def test_a_difference_within_early_stopping_is_named() -> None:
    before = identity(early_stopping={"patience": 3})
    with pytest.raises(ChangedSweepError, match=r"recipe\.early_stopping\.patience: was 3, is 4"):
        require_unchanged(before, identity(early_stopping={"patience": 4}), "d")


def test_what_may_change() -> None:
    changed = identity(
        name="other",
        description="words",
        parameters={"units": [3], "epochs": [9], "optimizer": ["adam"]},
        constraints=["units < 9"],
        configs=[{"units": 5}],
        method="random",
        budget={"trials": 9, "time": "1h"},
        seeds=5,
        keep="all",
        execution={"workers": 3, "timeout": "1m"},
    )
    require_unchanged(identity(), changed, "d")
    assert changed == identity()


def test_a_recipes_id_changes_with_the_recipe_alone() -> None:
    ids = [identity(**changes).recipe_id for changes, where in CHANGES if "recipe" in where]
    assert len({identity().recipe_id, *ids}) == len(ids) + 1
    others = [identity(**changes).recipe_id for changes, where in CHANGES if "recipe" not in where]
    assert set(others) == {identity().recipe_id}
