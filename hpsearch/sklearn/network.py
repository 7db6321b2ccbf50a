"""A trained MLP as plain data, and as the Keras model that it describes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch.trial import InputSpec, Recipe, Target

__all__ = ["Network"]

_BATCH = 256


@dataclass(frozen=True, eq=False)
class Network:
    """What `hypermodel.trained_model` needs; pickled and copied without Keras' objects.

    Attributes:
        values: The live hyperparameters.
        seed: The trial's seed.
        weights: In the order of `model.get_weights()`.
    """

    values: Mapping[str, Any]
    seed: int
    weights: tuple[npt.NDArray[Any], ...]
    recipe: Recipe
    input_spec: InputSpec
    target: Target

    @cached_property
    def model(self) -> Any:
        """The `keras.Model`; it takes raw rows."""
        from hpsearch.hypermodel import trained_model

        return trained_model(
            self.values, self.seed, self.weights, self.recipe, self.input_spec, self.target
        )

    def predict(self, x: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """The model's outputs `(n_samples, outputs)`.

        Not by `keras.Model.predict`, which traces a graph first: a second for a few rows.
        """
        parts = [self._batch(x[begin : begin + _BATCH]) for begin in range(0, len(x), _BATCH)]
        return np.concatenate(parts)

    def _batch(self, x: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        # Always as many rows: matrix products of other shapes round otherwise, and a row's
        # prediction would depend on how many others are predicted with it.
        rows = np.zeros((_BATCH, *x.shape[1:]), np.float32)
        rows[: len(x)] = x
        outputs = np.asarray(self.model(rows, training=False))
        return outputs.reshape(_BATCH, -1)[: len(x)]

    def __getstate__(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)
