"""A Gaussian process over encoded configs, with a Matern 5/2 kernel of one length a column.

scikit-learn's has neither priors on what is fitted nor gradients of predictions, and is refitted
whole for each config under way. Source: Rasmussen and Williams, Gaussian Processes for Machine
Learning (2006), chapters 2, 4 and 5; the priors are those of Optuna's GPSampler.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.linalg import LinAlgError, cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

from hpsearch.strategies.encoding import Array

__all__ = ["Process"]

_ROOT5 = np.sqrt(5.0)
_LEAST_NOISE = 1e-6
_STEPS = 50
_TINY = 1e-12


class Process:
    """Fitted when it is made: length scales, variance and noise by their posterior mode.

    Args:
        x: Shape `(n, D)`, without NaN.
        y: Shape `(n,)`, standardised.
        categories: Shape `(D,)`: whether values of a column are equal or not, and no more.
        noise: Variance of `y` about the process, in place of a fitted one.
    """

    def __init__(
        self, x: Array, y: Array, categories: npt.NDArray[np.bool_], noise: float | None = None
    ) -> None:
        self._x, self.y, self._categories = x, y, categories
        self._squares = self._differences(x, x).reshape(x.shape[1], -1)
        columns = x.shape[1]
        log_noise = np.log(1e-2 if noise is None else noise)
        between = (np.log(1e-7), 1.0) if noise is None else (log_noise, log_noise)
        start = np.concatenate([np.zeros(columns), [0.0, log_noise]])
        bounds = [(-8.0, 8.0)] * columns + [(-5.0, 5.0), between]
        found = minimize(
            self._loss, start, jac=True, method="L-BFGS-B", bounds=bounds,
            options={"maxiter": _STEPS},
        )  # fmt: skip
        self._inverse, self._variance = np.exp(found.x[:columns]), np.exp(found.x[columns])
        self._noise = np.exp(found.x[-1]) + _LEAST_NOISE
        del self._squares
        self._factor()

    def _differences(self, a: Array, b: Array) -> Array:
        """Squared, shape `(D, len(a), len(b))`."""
        differences: Array = a.T[:, :, None] - b.T[:, None, :]
        differences[self._categories] = differences[self._categories] != 0
        return differences**2

    def _loss(self, parameters: Array) -> tuple[float, Array]:
        """Negative log posterior of log inverse squared lengths, log variance, log noise."""
        count, columns = self._x.shape
        inverse, variance = np.exp(parameters[:columns]), np.exp(parameters[columns])
        noise = np.exp(parameters[-1]) + _LEAST_NOISE
        squared = (inverse @ self._squares).reshape(count, count)
        distance = np.sqrt(squared)
        decay = np.exp(-_ROOT5 * distance)
        kernel = (1 + _ROOT5 * distance + 5 / 3 * squared) * decay
        covariance = variance * kernel
        covariance[np.diag_indices(count)] += noise
        try:
            factor = cholesky(covariance, lower=True, check_finite=False)
        except LinAlgError:
            return 1e10, np.zeros_like(parameters)
        solved = cho_solve((factor, True), self.y, check_finite=False)
        weight = cho_solve((factor, True), np.eye(count), check_finite=False)
        weight -= np.outer(solved, solved)
        loss = 0.5 * self.y @ solved + np.log(np.diag(factor)).sum()
        slope = -5 / 6 * (1 + _ROOT5 * distance) * decay
        gradient = np.empty_like(parameters)
        gradient[:columns] = 0.5 * variance * inverse * (self._squares @ (weight * slope).ravel())
        gradient[columns] = 0.5 * variance * (weight * kernel).sum()
        gradient[-1] = 0.5 * np.trace(weight) * (noise - _LEAST_NOISE)
        loss += (0.1 / inverse + 0.1 * inverse).sum()
        loss += variance - np.log(variance) + 30 * noise - 0.1 * np.log(noise)
        gradient[:columns] += 0.1 * inverse - 0.1 / inverse
        gradient[columns] += variance - 1
        gradient[-1] += (30 - 0.1 / noise) * (noise - _LEAST_NOISE)
        return float(loss), gradient

    def _kernel(self, a: Array, b: Array) -> Array:
        squared = np.einsum("d,dij->ij", self._inverse, self._differences(a, b))
        distance = np.sqrt(squared)
        decay = np.exp(-_ROOT5 * distance)
        kernel: Array = self._variance * (1 + _ROOT5 * distance + 5 / 3 * squared) * decay
        return kernel

    def _factor(self) -> None:
        covariance = self._kernel(self._x, self._x)
        covariance[np.diag_indices(len(covariance))] += self._noise
        self._root = cholesky(covariance, lower=True, check_finite=False)
        self._solved = cho_solve((self._root, True), self.y, check_finite=False)

    def believe(self, x: Array) -> None:
        """Take configs under way, shape `(p, D)`, for what is predicted of them."""
        if len(x):
            mean, _ = self.predict(x)
            self._x, self.y = np.concatenate([self._x, x]), np.concatenate([self.y, mean])
            self._factor()

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Mean and standard deviation at rows, shape `(m,)` each."""
        kernel = self._kernel(x, self._x)
        solved = solve_triangular(self._root, kernel.T, lower=True, check_finite=False)
        variance = self._variance - np.einsum("ij,ij->j", solved, solved)
        return kernel @ self._solved, np.sqrt(np.maximum(variance, _TINY))
