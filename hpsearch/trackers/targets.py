"""Create the tracker that `tensorboard:DIR` or `mlflow:URI` names."""

from __future__ import annotations

from importlib.util import find_spec

from hpsearch.errors import InputError
from hpsearch.trackers.mlflow import MLflow
from hpsearch.trackers.tensorboard import TensorBoard
from hpsearch.trackers.tracker import Tracker


def make_tracker(target: str) -> Tracker:
    """Return the tracker that `tensorboard:DIR` or `mlflow:URI` names; nothing is written yet.

    Raises:
        InputError: There is no such tracker, or its library is not installed.
    """
    kind, _, where = target.partition(":")
    if kind not in ("tensorboard", "mlflow") or not where:
        raise InputError(
            f"{target!r}: must be tensorboard:DIR or mlflow:URI, such as tensorboard:logs or "
            "mlflow:sqlite:///mlflow.db"
        )
    if find_spec(kind) is None:
        raise InputError(
            f"{target}: the library {kind} is not installed; pip install 'hpsearch[{kind}]'"
        )
    return TensorBoard(where) if kind == "tensorboard" else MLflow(where)
