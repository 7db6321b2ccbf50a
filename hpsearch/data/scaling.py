"""Fitting the input's scaling on the training split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch.data.dataset import Inputs
from hpsearch.data.spec import Scale
from hpsearch.trial import ColumnSpec, InputSpec

__all__ = ["constant_features", "fit"]

_BLOCK_VALUES = 1 << 22


def fit(x: Inputs, scale: Scale, unit: float | None) -> InputSpec:
    """Fit the scaling on the training rows `x`.

    Args:
        scale: `auto` is `unit` for images and `standard` for everything else.
        unit: The largest raw value of an image, which `unit` divides by; None for rows that
            are no images, where `unit` maps each feature's training range to 0..1.
    """
    if scale == "auto":
        scale = "standard" if unit is None else "unit"
    numeric = _numeric(x)
    fitted = _fitted(numeric, scale, unit) if numeric.size else {}
    if isinstance(x, Mapping):
        columns = tuple(ColumnSpec(name, _vocabulary(values)) for name, values in x.items())
        return InputSpec(shape=(len(columns),), dtype="float32", columns=columns, **fitted)
    return InputSpec(shape=x.shape[1:], dtype=str(x.dtype), **fitted)


def _numeric(x: Inputs) -> npt.NDArray[Any]:
    """The numeric features, `(n_samples, n_features)`."""
    if not isinstance(x, Mapping):
        return x.reshape(len(x), -1)
    numeric = [values for values in x.values() if values.dtype != object]
    return np.stack(numeric, axis=1) if numeric else np.empty((0, 0), np.float32)


def _vocabulary(values: npt.NDArray[Any]) -> tuple[str, ...] | None:
    return tuple(sorted(set(values.tolist()))) if values.dtype == object else None


def _fitted(x: npt.NDArray[Any], scale: Scale, unit: float | None) -> dict[str, Any]:
    if scale == "none":
        return {}
    if scale == "standard":
        mean, variance = _moments(x)
        return {"mean": _plain(mean), "variance": _plain(np.where(variance == 0, 1, variance))}
    if unit is not None:
        return {"scale": (1.0 / unit,), "offset": (0.0,)}
    low, high = x.min(axis=0).astype(np.float64), x.max(axis=0).astype(np.float64)
    factor = 1.0 / np.where(high == low, 1.0, high - low)
    return {"scale": _plain(factor), "offset": _plain(-low * factor)}


def _moments(x: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Mean and variance of each feature, in float64 and two passes over blocks of rows.

    A constant feature has variance 0 exactly: rounding in its mean must not become a scale.
    """
    step = max(1, _BLOCK_VALUES // x.shape[1])
    blocks = range(0, len(x), step)
    mean = sum(x[i : i + step].astype(np.float64).sum(axis=0) for i in blocks) / len(x)
    squares = sum(((x[i : i + step] - mean) ** 2).sum(axis=0) for i in blocks)
    return mean, np.where(_constant(x), 0.0, squares / len(x))


def _constant(x: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    return np.asarray(x.min(axis=0) == x.max(axis=0))


def _plain(values: npt.NDArray[Any]) -> tuple[float, ...]:
    return tuple(values.astype(np.float64).tolist())


def constant_features(x: Inputs, names: tuple[str, ...]) -> list[str]:
    """Names (or indices) of the features with one value in all rows of `x`."""
    if isinstance(x, Mapping):
        return [name for name, values in x.items() if (values == values[0]).all()]
    constant = np.flatnonzero(_constant(x.reshape(len(x), -1)))
    return [names[i] if names else str(i) for i in constant.tolist()]
