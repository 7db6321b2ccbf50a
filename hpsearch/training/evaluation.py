"""Evaluate trained MLPs row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hpsearch.data.specs import Target, Task
from hpsearch.models.problem import Problem

if TYPE_CHECKING:
    import keras

#: The name of the part of the loss that belongs to no row.
REGULARISATION = "regularisation"
#: The name of the predicted classes or targets, one a row, in the output of `evaluate_rows`.
PREDICTED = "predicted"
ROWS_A_STEP = 1024
#: Keras' accuracy counts a probability above this as the second class.
_HALF = 0.5


def by_row(model: keras.Model, problem: Problem, x: Any, y: npt.NDArray[Any]) -> dict[str, Any]:
    """Return each row's loss and metrics under a full MLP, and its prediction.

    Args:
        x: Raw rows.
        y: Targets in their own units.
    """
    recipe, target = problem.recipe, problem.target
    # Slow to import; the driver, which has the names above, does without.
    import keras

    from hpsearch.training.measures import KerasMetric, metric_of, prepared

    predicted = model.predict(x, batch_size=ROWS_A_STEP, verbose=0)
    prepared_y = prepared(y, recipe, target)
    name, metric = metric_of(recipe, target)
    losses = keras.losses.get(recipe.loss)(prepared_y, predicted)
    measured: dict[str, Any] = {
        "loss": _rows(losses, len(y)),
        name: _rows(metric(prepared_y, predicted), len(y)),
        REGULARISATION: sum(float(np.sum(loss)) for loss in model.losses),
    }
    if recipe.keras_metric:
        scored = KerasMetric(recipe.keras_metric, target)
        scored.add(prepared_y, predicted)
        measured[scored.name] = scored.result()
    answers = predictions(np.asarray(predicted), target)
    return measured if answers is None else measured | {PREDICTED: answers}


def predictions(outputs: npt.NDArray[Any], target: Target) -> npt.NDArray[Any] | None:
    """Return an MLP's predicted classes or targets, `(n_samples,)`; None for several targets."""
    if target.task is Task.MULTICLASS:
        return np.asarray(np.argmax(outputs, axis=-1))
    if target.outputs != 1:
        return None
    single = outputs.reshape(len(outputs))
    return single > _HALF if target.task is Task.BINARY else single


def _rows(values: Any, rows: int) -> npt.NDArray[np.float64]:
    """Return one number for each row, or a mean if there are fewer numbers."""
    array = np.asarray(values, np.float64)
    if array.shape[:1] != (rows,):
        return np.asarray(array.mean())
    return np.asarray(array.reshape(rows, -1).mean(axis=1))
