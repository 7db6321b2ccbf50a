"""The recipe and the identity of a sweep: rows of different identities never share a table."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from hpsearch.data.dataset import Dataset
from hpsearch.data.specs import Task
from hpsearch.errors import ChangedSweepError, InputError, StoreError
from hpsearch.models.problem import TASK_METRICS, EarlyStopping, Recipe
from hpsearch.space.keras_names import KERAS_METRICS, METRICS
from hpsearch.spec.sweep import AnySweep, Sweep, model_sweep, sweep_from_text
from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.facts import Facts, Identity

_OUTPUTS = {
    Task.BINARY: ("sigmoid", "binary_crossentropy"),
    Task.MULTICLASS: ("softmax", "sparse_categorical_crossentropy"),
    Task.REGRESSION: ("linear", "mean_squared_error"),
    # A custom model has its own.
    Task.OWN: ("", ""),
}


def make_recipe(sweep: Sweep, task: Task, outputs: int = 1) -> Recipe:
    """Return the sweep's recipe, with the task's defaults filled in."""
    activation, loss = _OUTPUTS[task]
    builder, model = sweep.builder, sweep.mlp
    default = "val_loss" if task in (Task.REGRESSION, Task.OWN) else "val_accuracy"
    metric = sweep.metric.name if sweep.metric else default
    also = sweep.metric.also or () if sweep.metric else ()
    for name in () if builder else (metric, *also):
        _require_metric(name, task, sweep, several=task is Task.MULTICLASS or outputs > 1)
    stopping = sweep.early_stopping
    return Recipe(
        sweep_seed=sweep.seed,
        loss=model.loss or loss,
        output_activation=model.output_activation or activation,
        metric=metric,
        goal=sweep.metric.goal if sweep.metric else METRICS[metric],
        epoch=sweep.metric.epoch if sweep.metric else "last",
        early_stopping=(EarlyStopping(stopping.patience, stopping.min_delta) if stopping else None),
        model=builder,
        late="default" if builder and sweep.method.enumerates else "drawn",
        weighted=sweep.mlp.class_weight is not None or sweep.data.weighted,
        also=also,
    )


def _require_metric(metric: str, task: Task, sweep: Sweep, *, several: bool) -> None:
    name = metric.removeprefix("val_")
    usual = TASK_METRICS[task]
    if metric in usual:
        return
    keras_metric = KERAS_METRICS.get(name)
    if (
        keras_metric is None
        or (task is Task.REGRESSION and keras_metric.of_classes)
        or (keras_metric.of_several and not several)
    ):
        raise InputError(
            f"metric: {metric!r} is not reported for a {task} target; there are "
            f"{', '.join(usual)}, and those of `hpsearch list metrics` that suit such a target"
        )
    if {name, f"val_{name}"} & {*sweep.parameters, *(n for c in sweep.configs for n in c)}:
        raise InputError(
            f"metric: {name!r} is a hyperparameter of this sweep, too, and both would have one "
            "column; rename the hyperparameter"
        )


def identify(sweep: Sweep, dataset: Dataset, recipe: Recipe) -> Identity:
    """Return the identity of a sweep's rows."""
    given: dict[str, Any] = {}
    if sweep.mlp.class_weight is not None:
        given["class_weight"] = sweep.mlp.class_weight
    if sweep.data.weighted:
        given["sample_weight"] = True
    if sweep.data.memory is not None and "callbacks" in sweep.data.memory:
        given["callbacks"] = sweep.data.memory["callbacks"]
    if sweep.data.impute == "mean":
        given["impute"] = sweep.data.impute
    if recipe.also:
        given["also"] = list(recipe.also)
    if recipe.summed:
        given["sum_of"] = dict(recipe.summed)
    return Identity(
        data=dataset.fingerprint,
        split=sweep.data.how_split,
        metric=f"{recipe.metric}:{recipe.goal}:{recipe.epoch}",
        recipe={
            # Added only if given, so that the hash of a sweep without it stays the same.
            **given,
            "loss": recipe.loss,
            "output_activation": recipe.output_activation,
            "scale": sweep.data.scale,
            "model": recipe.model,
            "early_stopping": recipe.early_stopping and asdict(recipe.early_stopping),
            "seed": recipe.sweep_seed,
        },
    )


def stored_sweep(facts: Facts, where: ResultsDirectory) -> Sweep:
    """Return the sweep of models in a store; see `read_sweep`."""
    return model_sweep(read_sweep(facts.sweep, where))


def read_sweep(text: str, where: ResultsDirectory) -> AnySweep:
    """Read the text of a sweep in a store; raise StoreError if it cannot be read."""
    try:
        return sweep_from_text(text, str(where.sweep))
    except InputError as error:
        said = " ".join(str(error).split())
        raise StoreError(f"{where.store}: the sweep in it cannot be read: {said}") from None


def require_unchanged(stored: Identity | None, identity: Identity, directory: str) -> None:
    """Raise ChangedSweepError, listing each difference, if a sweep may not add to stored rows.

    Args:
        stored: None if nothing is stored yet.
    """
    if stored is None:
        return
    lines = [
        f"  {path}: was {json.dumps(old)}, is {json.dumps(new)}"
        for path, old, new in differences(stored, identity)
    ]
    if lines:
        raise ChangedSweepError(
            f"{directory}: its results were made with another sweep:\n"
            + "\n".join(lines)
            + "\nData, split, metric and recipe must stay, or scores could not be compared. Undo "
            "the change, give this run another directory (--out, out=), or move the old one aside "
            "(--fresh, fresh=True)"
        )


def differences(before: Identity, now: Identity) -> list[tuple[str, Any, Any]]:
    """Return the dotted name, the former value and the present one of each difference."""
    return _differences(json.loads(before.to_json()), json.loads(now.to_json()), "")


def _differences(before: Any, now: Any, path: str) -> list[tuple[str, Any, Any]]:
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            difference
            for key in dict.fromkeys([*before, *now])
            for difference in _differences(
                before.get(key), now.get(key), f"{path}.{key}" if path else key
            )
        ]
    return [] if before == now else [(path, before, now)]
