"""Functions that need Keras, which workers call for the driver."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch.data.dataset import unpacked
from hpsearch.data.specs import Arrays, Target, Task, TrainingData, runs_in_graph
from hpsearch.data.targets import in_own_units
from hpsearch.errors import HpsearchError
from hpsearch.models.model_file import ModelFile
from hpsearch.models.problem import Recipe
from hpsearch.training.mlps import ROWS_A_STEP, predictions
from hpsearch.training.subjects import TrainedModel


def write_model(path: Path, trained: TrainedModel) -> None:
    """Write a trained model, including input preprocessing.

    Beside Keras' own members, the archive names classes and columns (see `ModelFile`).

    Args:
        path: The file, written in place; Keras requires the suffix `.keras`.
    """
    ModelFile.of(trained.problem).save(trained.full(), path)


def write_best_model(
    path: Path, trained: TrainedModel, fold: int | None, data: TrainingData
) -> Answers:
    """Write a trained model, and compare its predictions for validation rows with the truth.

    Args:
        path: As for `write_model`.
        fold: Of the data that the model was trained on, from 1, or None.
    """
    model = trained.build()
    full = trained.subject.full(model, trained.problem)
    ModelFile.of(trained.problem).save(full, path)
    try:
        return _predict_validation(model, full, trained, data.of_fold(fold).arrays)
    except Exception:  # noqa: BLE001 - the file is complete without them
        return {}


#: The most validation rows, and numbers in them, to predict for a written model.
_MOST_ROWS, _MOST_NUMBERS = 20_000, 20_000_000


def _predict_validation(model: Any, full: Any, trained: TrainedModel, arrays: Arrays) -> Answers:
    """Compare a model's predictions for up to 20,000 validation rows with the truth.

    Args:
        full: The model for raw rows.
    """
    problem, target = trained.problem, trained.problem.target
    if not trained.subject.predicts or problem.input.parts or target.parts:
        return {}
    x = arrays.x_val
    if len(x) > _MOST_ROWS or x.size > _MOST_NUMBERS:
        return {}
    raw = runs_in_graph(problem.input)
    judged = full if raw else model
    # Keras' predict would trace a graph, which takes longer than predicting so few rows.
    steps = (x[at : at + ROWS_A_STEP] for at in range(0, len(x), ROWS_A_STEP))
    outputs = np.concatenate([np.asarray(judged(step, training=False)) for step in steps])
    predicted = predictions(outputs, target)
    if predicted is None:
        return {}
    if target.task is Task.REGRESSION and not raw:
        predicted = predicted * target.std[0] + target.mean[0]
    return answers(predicted, arrays.y_val, target)


Answers = dict[str, tuple[tuple[Any, ...], ...]]
"""`confusion` or `pairs` of an evaluation; empty if the predictions are not known."""
#: The largest confusion matrix, and the most rows whose predictions to keep.
_MOST_CLASSES, _MOST_PAIRS = 30, 300


def answers(predicted: npt.NDArray[Any], y: npt.NDArray[Any], target: Target) -> Answers:
    """Compare predictions with the truth.

    Args:
        predicted: Class indices, or targets in their own unit, `(n_samples,)`.
        y: Targets as in `hpsearch.data.specs.Arrays`.
    """
    size = max(2, len(target.classes))
    if target.task is Task.REGRESSION:
        truth = y.reshape(len(y)).astype(np.float64) * target.std[0] + target.mean[0]
        order = np.argsort(truth, kind="stable")
        shown = order[np.unique(np.linspace(0, len(y) - 1, _MOST_PAIRS).round().astype(int))]
        pairs = zip(truth[shown], predicted[shown], strict=True)
        finite = [(float(f"{a:.6g}"), float(f"{b:.6g}")) for a, b in pairs if np.isfinite(b)]
        return {"pairs": tuple(finite)} if finite else {}
    if size > _MOST_CLASSES:
        return {}
    cells = y.reshape(len(y)).astype(np.intp) * size + predicted.astype(np.intp)
    counts = np.bincount(cells, minlength=size * size).reshape(size, size)
    return {"confusion": tuple(tuple(map(int, row)) for row in counts)}


def evaluate_rows(
    trained: TrainedModel, x: Any, y: npt.NDArray[Any]
) -> dict[str, npt.NDArray[np.float64]]:
    """Return each row's loss and metrics under the exported model, in the target's units.

    Args:
        x: Raw rows.
        y: Targets as in `hpsearch.data.specs.Arrays`.

    Returns:
        `loss` and the metrics by name, `(n_samples,)`, or `()` if known only for all rows together;
        `regularisation`, `()`; and, for an MLP with one target, `predicted`, class indices or
        targets `(n_samples,)`.
    """
    problem = trained.problem
    x, y = unpacked(x, problem.input.parts), in_own_units(y, problem.target)
    measured = trained.subject.measure(trained.full(), problem, x, y)
    return {name: np.asarray(values, np.float64) for name, values in measured.items()}


def evaluate_file(
    path: Path, recipe: Recipe, target: Target, x: Any, y: npt.NDArray[Any]
) -> dict[str, float]:
    """Return the loss and the metrics of a saved MLP, in the target's own units.

    Args:
        path: A `.keras` file; no code that it names is run.
        x: Raw rows.
        y: Targets as in `hpsearch.data.specs.Arrays`.
    """
    import keras  # slow; the driver does without

    from hpsearch.training.measures import prepared  # imports Keras

    ModelFile.require_bounded(path)
    y = in_own_units(y, target)
    try:
        model = keras.models.load_model(path, safe_mode=True)
        labels = prepared(y, recipe, target)
        metrics = model.evaluate(x, labels, batch_size=ROWS_A_STEP, verbose=0, return_dict=True)
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise HpsearchError(f"Keras cannot load it: {' '.join(str(error).split())}") from error
    return {name: float(value) for name, value in metrics.items()}
