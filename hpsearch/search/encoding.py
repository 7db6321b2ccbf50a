"""Encode configs as rows of numbers, for strategies that fit a model to scores."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch.space.space import Config, Drawn, Parameter, Range, Space
from hpsearch.wording import is_number

Array = npt.NDArray[np.float64]


def _key(value: Any) -> str:
    """Return a text that is equal for equal values, also for integers and floats."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True)


@dataclass(frozen=True)
class Dimension:
    """A varying parameter, as one column.

    The values of a discrete ordered parameter divide [0, 1] into cells; a value is encoded as the
    middle of its cell.
    """

    parameter: Parameter

    @cached_property
    def ordered(self) -> bool:
        """True if its values are numbers, so that close values are alike."""
        choices = self.parameter.choices
        return choices is None or all(map(is_number, choices))

    @cached_property
    def count(self) -> int | None:
        """The number of its values; None if it is continuous."""
        if self.parameter.choices is not None:
            return len(self.parameter.choices)
        if isinstance(self.parameter.domain, Drawn):
            return None
        low, high = self._range.min, self._range.max
        return int(high) - int(low) + 1 if self._range.integer else None

    @cached_property
    def _values(self) -> tuple[Any, ...]:
        """Its choices, sorted if ordered, else in the file's order."""
        choices = self.parameter.choices or ()
        return tuple(sorted(choices)) if self.ordered else tuple(choices)

    @cached_property
    def _indices(self) -> dict[str, int]:
        return {_key(value): index for index, value in enumerate(self._values)}

    @property
    def _range(self) -> Range:
        assert isinstance(self.parameter.domain, Range)
        return self.parameter.domain

    def encode(self, value: Any) -> float | None:
        """Return a number in [0, 1], or a category's index; None if it is not a valid value."""
        if self._values:
            index = self._indices.get(_key(value))
            if index is None or not self.ordered:
                return index
            return (index + 0.5) / len(self._values)
        if isinstance(self.parameter.domain, Drawn):
            drawn = self.parameter.domain
            return drawn.position(value) if is_number(value) and drawn.contains(value) else None
        if not is_number(value) or not self._range.min <= value <= self._range.max:
            return None
        if self._range.integer:
            return (self._edge(math.floor(value)) + self._edge(math.floor(value) + 1)) / 2
        return self._edge(value)

    def _edge(self, value: float) -> float:
        """Return the lower edge, in [0, 1], of the cell of a range's value."""
        low, high = self._range.min, self._range.max + (1 if self._range.integer else 0)
        if self._range.log:
            return math.log(value / low) / math.log(high / low)
        return (value - low) / (high - low)

    def decode(self, number: float) -> Any:
        """Return the value whose cell contains `number`, or the category with that index."""
        if self._values:
            index = int(number * len(self._values)) if self.ordered else int(number)
            return self._values[min(max(index, 0), len(self._values) - 1)]
        return self.parameter.at(min(max(number, 0.0), 1.0))

    def numbers(self, encoded: Array) -> Array:
        """Convert numbers in [0, 1] to numbers of a range without a step."""
        low, high = self._range.min, self._range.max + (1 if self._range.integer else 0)
        if self._range.log:
            decoded = np.exp(math.log(low) + encoded * math.log(high / low))
        else:
            decoded = low + encoded * (high - low)
        if self._range.integer:
            decoded = np.floor(decoded)
        return np.clip(decoded, self._range.min, self._range.max)

    @cached_property
    def cells(self) -> Array | None:
        """The edges of a discrete ordered parameter's cells, shape `(count + 1,)`."""
        if self.count is None or not self.ordered:
            return None
        if self._values:
            return np.linspace(0.0, 1.0, self.count + 1)
        edges = np.arange(self._range.min, self._range.max + 2, dtype=np.float64)
        edges = np.log(edges) if self._range.log else edges
        scaled: Array = (edges - edges[0]) / (edges[-1] - edges[0])
        return scaled


class Encoding:
    """The columns of a space: its parameters with more than one value.

    A row holds a config's values, with NaN for inactive ones. A point has a value in every column;
    its config ignores inactive ones.

    Attributes:
        dimensions: The `D` columns, in the file's order.
        fixed: The values of the other parameters.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        every = [Dimension(parameter) for parameter in space.parameters]
        self.dimensions = tuple(dimension for dimension in every if dimension.count != 1)
        self.fixed = {d.parameter.name: d.decode(0.0) for d in every if d.count == 1}
        deciding = space.deciding
        self._deciding = np.array([d.parameter.name in deciding for d in self.dimensions], bool)
        self._unconstrained = replace(space, constraints=())

    def row(self, config: Config) -> Array:
        """Return the row of a config of this space, shape `(D,)`.

        A value that another parameter determines is NaN, too, such as `hidden_layers` if `units`
        is a list.
        """
        row = np.full(len(self.dimensions), np.nan)
        for column, dimension in enumerate(self.dimensions):
            name = dimension.parameter.name
            if name in config.values:
                number = dimension.encode(config.values[name])
                if number is not None:
                    row[column] = number
        return row

    def row_if_inside(self, config: Config) -> Array | None:
        """Return the row of any config; None if the space cannot express it."""
        row = self.row(config)
        active = {
            d.parameter.name: config.values[d.parameter.name]
            for d, number in zip(self.dimensions, row, strict=True)
            if not math.isnan(number)
        }
        rebuilt = self.space.config({**self.fixed, **active})
        return row if rebuilt is not None and rebuilt.id == config.id else None

    def _assignment(self, point: Array) -> dict[str, Any]:
        pairs = zip(self.dimensions, point.tolist(), strict=True)
        return {**self.fixed, **{d.parameter.name: d.decode(number) for d, number in pairs}}

    def config(self, point: Array) -> Config | None:
        """Return the config of a point; None if a constraint fails."""
        return self.space.config(self._assignment(point))

    def uniform(self, numbers: Array) -> Array:
        """Return points for numbers in [0, 1), shape `(n, D)`; categories are equally likely."""
        points = numbers.copy()
        for column, dimension in enumerate(self.dimensions):
            if not dimension.ordered:
                points[:, column] = np.floor(numbers[:, column] * (dimension.count or 1))
        return points

    def rows(self, points: Array) -> Array:
        """Return the rows of points' configs, shape `(n, D)`, ignoring constraints.

        Points that agree in the deciding parameters have the same active columns, so one config
        for each group of such points is enough.
        """
        snapped = self._snapped(points)
        _, first, group = np.unique(
            snapped[:, self._deciding], axis=0, return_index=True, return_inverse=True
        )
        patterns = np.empty((len(first), len(self.dimensions)))
        for pattern, index in zip(patterns, first, strict=True):
            config = self._unconstrained.config(self._assignment(points[index]))
            assert config is not None
            pattern[:] = self.row(config)
        patterns = patterns[group.ravel()]
        # Take deciding columns from the config: a list of units decides the number of layers.
        return np.where(np.isnan(patterns) | self._deciding[None], patterns, snapped)

    def _snapped(self, points: Array) -> Array:
        """Return points with each discrete number moved to the middle of its cell."""
        snapped = points.copy()
        for column, dimension in enumerate(self.dimensions):
            edges = dimension.cells
            if edges is not None:
                at = np.searchsorted(edges, points[:, column], side="right") - 1
                at = np.clip(at, 0, len(edges) - 2)
                snapped[:, column] = (edges[at] + edges[at + 1]) / 2
        return snapped
