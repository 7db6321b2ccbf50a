"""A trained MLP as a file that Keras loads: raw rows in, the target's own units out.

Importable without TensorFlow: it is imported when a model is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from hpsearch.errors import HpsearchError
from hpsearch.trial import InputSpec, Recipe, Target

__all__ = ["write_model"]


def write_model(  # noqa: PLR0917 - an executor calls it, by place
    path: Path,
    values: Mapping[str, Any],
    seed: int,
    weights: Sequence[npt.NDArray[Any]],
    recipe: Recipe,
    input_spec: InputSpec,
    target: Target,
) -> None:
    """Write the model of one training with its weights, input preprocessing included.

    Args:
        path: Of the file, which is written in place; Keras wants the suffix `.keras`.
        values: The live hyperparameters; `epochs` is not among what is read.
        seed: The trial's seed.
        weights: In the order of `model.get_weights()`.
        recipe: Loss, output activation, the sweep's seed.
        input_spec: What a raw row is.
        target: What is predicted.

    Raises:
        HpsearchError: The file cannot be written.
    """
    from hpsearch.hypermodel import trained_model

    whole = trained_model(values, seed, weights, recipe, input_spec, target)
    try:
        whole.save(path)
    except OSError as error:
        raise HpsearchError(error.strerror or str(error)) from error
