"""Functions that need Keras and that the driver has workers call: find, evaluate, write a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from hpsearch.data.specs import Arrays, Target, Task
from hpsearch.errors import HpsearchError
from hpsearch.models.problem import Problem, Recipe
from hpsearch.space.space import Parameter

if TYPE_CHECKING:
    import keras

    from hpsearch.models.shipping import ModelHyperparameters


def write_model(
    path: Path,
    problem: Problem,
    values: Mapping[str, Any],
    seed: int,
    weights: Sequence[npt.NDArray[Any]],
) -> None:
    """Write the model of one training with its weights, input preprocessing included.

    Args:
        path: Of the file, which is written in place; Keras wants the suffix `.keras`.
        values: The live hyperparameters; `epochs` is not among what is read.
        seed: The trial's seed.
        weights: In the order of `model.get_weights()`.

    Raises:
        HpsearchError: The file cannot be written.
    """
    from hpsearch.models.mlp import trained_model

    whole = trained_model(problem, values, seed, weights)
    try:
        whole.save(path)
    except OSError as error:
        raise HpsearchError(error.strerror or str(error)) from error


class HasArrays(Protocol):
    """The data that workers read."""

    @property
    def arrays(self) -> Arrays: ...

    @property
    def target(self) -> Target: ...


def find_in(recipe: Recipe, given: Sequence[Parameter], data: HasArrays) -> ModelHyperparameters:
    """The hyperparameters of a recipe's model; see `probing.discover`.

    Raises:
        InputError: It cannot be loaded or built.
    """
    from hpsearch.models.discovery import discover

    arrays = data.arrays
    rows = (arrays.x_train, arrays.y_train), (arrays.x_val, arrays.y_val)
    return discover(recipe, given, *rows, data.target)


#: What the loss has beside the mean over rows.
REGULARISATION = "regularisation"
_ROWS_A_STEP = 1024

Floats = npt.NDArray[np.float64]


def evaluate_rows(  # noqa: PLR0917 - an executor calls it, by place
    path: Path,
    problem: Problem,
    values: Mapping[str, Any],
    seed: int,
    weights: Sequence[npt.NDArray[Any]],
    x: Any,
    y: npt.NDArray[Any],
) -> None:
    """Write loss and metric of each row, as the exported model has them, in the target's units.

    Args:
        path: Of the NumPy archive to write: `loss` and the metrics by name, each `(n_samples,)`,
            or `()` where it is known of all rows together only; and `regularisation`, `()`.
        values, seed: What the model is built from.
        weights: In the order of `model.get_weights()`.
        x: Raw rows.
        y: Targets as `hpsearch.data.dataset.Arrays` has them.
    """
    from hpsearch.models.mlp import trained_model

    recipe, target = problem.recipe, problem.target
    whole = trained_model(problem, values, seed, weights)
    if target.task is Task.REGRESSION:
        y = np.asarray(y * np.array(target.std) + np.array(target.mean), np.float32)
    if recipe.model:
        from hpsearch.models.custom import labels_for

        measured = _together(whole, x, labels_for(whole, y, target))
    else:
        measured = _by_row(whole, recipe, target, x, y)
    arrays: dict[str, Any] = dict(measured)
    # No allow_pickle: some NumPys' savez would store it as an array of that name.
    np.savez(path, **arrays)


def _together(whole: keras.Model, x: Any, y: npt.NDArray[Any]) -> dict[str, Floats]:
    """A model of one's own has its own loss and metrics."""
    numbers = whole.evaluate(x, y, batch_size=_ROWS_A_STEP, verbose=0, return_dict=True)
    return {name: np.asarray(value, np.float64) for name, value in numbers.items()}


def _by_row(
    whole: keras.Model, recipe: Recipe, target: Target, x: Any, y: npt.NDArray[Any]
) -> dict[str, Floats]:
    import keras

    from hpsearch.training.measures import KerasMetric, metric_of, prepared

    predicted = whole.predict(x, batch_size=_ROWS_A_STEP, verbose=0)
    prepared_y = prepared(y, recipe, target)
    name, metric = metric_of(recipe, target)
    losses = keras.losses.get(recipe.loss)(prepared_y, predicted)
    regularisation = sum(float(np.sum(loss)) for loss in whole.losses)
    measured = {
        "loss": _rows(losses, len(y)),
        name: _rows(metric(prepared_y, predicted), len(y)),
        REGULARISATION: np.asarray(regularisation, np.float64),
    }
    if recipe.keras_metric:
        scored = KerasMetric(recipe.keras_metric, target)
        scored.add(prepared_y, predicted)
        measured[scored.name] = np.asarray(scored.result(), np.float64)
    return measured


def _rows(values: Any, rows: int) -> Floats:
    """One number a row; a single one where the loss has none of its own for a row."""
    array = np.asarray(values, np.float64)
    if array.shape[:1] != (rows,):
        return np.asarray(array.mean())
    return np.asarray(array.reshape(rows, -1).mean(axis=1))
