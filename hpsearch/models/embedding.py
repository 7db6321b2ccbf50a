"""Bins in place of an MLP's features, for Keras and the native trainer.

Source: the piecewise linear encoding of Gorishniy and others, "On Embeddings for Numerical Features
in Tabular Deep Learning", 2022. Its bins are quantiles of the standard normal distribution, not of
the column, since features are scaled.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist
from typing import ClassVar, Final, Self

from hpsearch.data.specs import InputSpec, n_features

#: Numbers in place of a feature.
BINS: Final = 16
_EDGES = [NormalDist().inv_cdf(quantile / BINS) for quantile in range(1, BINS)]
#: The outer bins go on beyond these edges, so that no two outliers become equal.
_EDGES = [_EDGES[0] - 0.5, *_EDGES, _EDGES[-1] + 0.5]
_UNBOUND = 3.4e38


@dataclass(frozen=True)
class Embedding:
    """The bins of an MLP's features: clip(feature * scale + offset, least, most), one a bin.

    Attributes:
        binned: How many features, the first ones, have bins: a table's numbers, no text.
        kept: How many other features there are.
    """

    binned: int
    kept: int
    scale: ClassVar = tuple(1 / (high - low) for low, high in pairwise(_EDGES))
    offset: ClassVar = tuple(-low / (high - low) for low, high in pairwise(_EDGES))
    least: ClassVar = (-_UNBOUND, *[0.0] * (BINS - 1))
    most: ClassVar = (*[1.0] * (BINS - 1), _UNBOUND)

    @classmethod
    def of(cls, spec: InputSpec, name: str) -> Self:
        """Return the embedding `none` or `piecewise` of an input."""
        binned = 0
        # Images have pixels, not columns.
        if name != "none" and len(spec.shape) == 1:
            texts = [column for column in spec.columns or () if column.vocabulary is not None]
            binned = spec.shape[0] - len(texts)
        return cls(binned, n_features(spec) - binned)

    @property
    def width(self) -> int:
        """The width of the first layer's input."""
        return BINS * self.binned + self.kept
