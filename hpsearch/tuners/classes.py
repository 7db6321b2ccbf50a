"""KerasTuner's four tuners, each with the method that stands for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras_tuner

from hpsearch.tuners.engine import OnEngine

__all__ = ["BayesianOptimization", "GridSearch", "Hyperband", "RandomSearch"]


class GridSearch(OnEngine, keras_tuner.GridSearch):  # type: ignore[misc]  # it has no types
    """Every combination of values; of a range without a step, ten, as KerasTuner's has it."""

    @property
    def method(self) -> Mapping[str, Any]:
        """See `OnEngine`."""
        return {"name": "grid"}


class RandomSearch(OnEngine, keras_tuner.RandomSearch):  # type: ignore[misc]
    """Uniform points of the space."""

    @property
    def method(self) -> Mapping[str, Any]:
        """See `OnEngine`."""
        return {"name": "random"}


class BayesianOptimization(OnEngine, keras_tuner.BayesianOptimization):  # type: ignore[misc]
    """A Gaussian process; `alpha` is not used, since the process learns how noisy scores are."""

    @property
    def method(self) -> Mapping[str, Any]:
        """See `OnEngine`."""
        points, beta = self.oracle.num_initial_points, self.oracle.beta
        method = {"name": "bayesian", "beta": float(beta)}
        return method if points is None else {**method, "num_initial_points": int(points)}


class Hyperband(OnEngine, keras_tuner.Hyperband):  # type: ignore[misc]
    """Brackets of successive halving; a config that goes on keeps its optimizer's state."""

    @property
    def method(self) -> Mapping[str, Any]:
        """See `OnEngine`."""
        method = {"name": "hyperband", "factor": int(self.oracle.factor)}
        iterations = self.oracle.hyperband_iterations
        if iterations == float("inf"):
            return method
        return {**method, "hyperband_iterations": int(iterations)}

    @property
    def most_epochs(self) -> int | None:
        """See `OnEngine`."""
        return int(self.oracle.max_epochs)
