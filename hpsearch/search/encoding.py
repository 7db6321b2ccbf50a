"""Configs as rows of numbers, for strategies that fit a model to scores."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch.space.space import Config, Parameter, Range, Space

Array = npt.NDArray[np.float64]


def _key(value: Any) -> str:
    """Equal for values that are equal, whatever their type of number."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True)
class Dimension:
    """A parameter that varies, as one column.

    A discrete ordered value owns a cell of [0, 1] and is encoded as its middle.
    """

    parameter: Parameter

    @cached_property
    def ordered(self) -> bool:
        """Whether its values are numbers, so that near ones are alike."""
        choices = self.parameter.choices
        return choices is None or all(map(_is_number, choices))

    @cached_property
    def count(self) -> int | None:
        """How many values it has; None where it is continuous."""
        choices, domain = self.parameter.choices, self.parameter.domain
        if choices is not None:
            return len(choices)
        assert isinstance(domain, Range)
        return int(domain.max) - int(domain.min) + 1 if domain.integer else None

    @cached_property
    def _values(self) -> tuple[Any, ...]:
        """Choices: sorted where ordered, else as in the file."""
        choices = self.parameter.choices or ()
        return tuple(sorted(choices)) if self.ordered else tuple(choices)

    @cached_property
    def _indices(self) -> dict[str, int]:
        return {_key(value): index for index, value in enumerate(self._values)}

    def encode(self, value: Any) -> float | None:
        """A number in [0, 1] where ordered, else the category's; None where it is no value."""
        if self._values:
            index = self._indices.get(_key(value))
            if index is None or not self.ordered:
                return index
            return (index + 0.5) / len(self._values)
        domain = self.parameter.domain
        assert isinstance(domain, Range)
        if not _is_number(value) or not domain.min <= value <= domain.max:
            return None
        if domain.integer:
            return (self._edge(math.floor(value)) + self._edge(math.floor(value) + 1)) / 2
        return self._edge(value)

    def _edge(self, value: float) -> float:
        """Where on [0, 1] a value of a range without a step begins."""
        domain = self.parameter.domain
        assert isinstance(domain, Range)
        low, high = domain.min, domain.max + (1 if domain.integer else 0)
        if domain.log:
            return math.log(value / low) / math.log(high / low)
        return (value - low) / (high - low)

    def decode(self, number: float) -> Any:
        """The value whose cell holds `number`, or the category of that number."""
        if self._values:
            index = int(number * len(self._values)) if self.ordered else int(number)
            return self._values[min(max(index, 0), len(self._values) - 1)]
        return self.parameter.at(min(max(number, 0.0), 1.0))

    @cached_property
    def cells(self) -> Array | None:
        """Edges of the cells of a discrete ordered parameter, shape `(count + 1,)`."""
        if self.count is None or not self.ordered:
            return None
        if self._values:
            return np.linspace(0.0, 1.0, self.count + 1)
        domain = self.parameter.domain
        assert isinstance(domain, Range)
        edges = np.arange(domain.min, domain.max + 2, dtype=np.float64)
        edges = np.log(edges) if domain.log else edges
        scaled: Array = (edges - edges[0]) / (edges[-1] - edges[0])
        return scaled


class Encoding:
    """The columns of a space: its parameters that have more than one value.

    Attributes:
        dimensions: In the file's order; `D` of them.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        every = [Dimension(parameter) for parameter in space.parameters]
        self.dimensions = tuple(dimension for dimension in every if dimension.count != 1)
        self._fixed = {d.parameter.name: d.decode(0.0) for d in every if d.count == 1}

    def row(self, config: Config) -> Array:
        """A config of this space as numbers, shape `(D,)`; NaN where a value is dead.

        So is one that another parameter decides, as a list of units decides `hidden_layers`.
        """
        row = np.full(len(self.dimensions), np.nan)
        for column, dimension in enumerate(self.dimensions):
            name = dimension.parameter.name
            if name in config.values:
                number = dimension.encode(config.values[name])
                if number is not None:
                    row[column] = number
        return row

    def foreign_row(self, config: Config) -> Array | None:
        """The row of a config that was not proposed; None where the space cannot express it."""
        row = self.row(config)
        live = {
            d.parameter.name: config.values[d.parameter.name]
            for d, number in zip(self.dimensions, row, strict=True)
            if not math.isnan(number)
        }
        found = self.space.config({**self._fixed, **live})
        return row if found is not None and found.id == config.id else None

    def assignment(self, row: Array) -> dict[str, Any]:
        """Values of all parameters, of a row without NaN."""
        pairs = zip(self.dimensions, row.tolist(), strict=True)
        return {**self._fixed, **{d.parameter.name: d.decode(number) for d, number in pairs}}

    def config(self, row: Array) -> Config | None:
        """The config of a row without NaN; None where a constraint fails."""
        return self.space.config(self.assignment(row))

    def uniform(self, numbers: Array) -> Array:
        """Points for numbers in [0, 1), shape `(n, D)`: categories are cut out of them evenly."""
        points = numbers.copy()
        for column, dimension in enumerate(self.dimensions):
            if not dimension.ordered:
                points[:, column] = np.floor(numbers[:, column] * (dimension.count or 1))
        return points

    def live(self, points: Array) -> Array:
        """The rows of points, shape `(n, D)`, as of their configs; constraints aside.

        A point has a value in every column. What lives is the same in all points that agree in
        the parameters that decide it, so few configs are made.
        """
        rows = self._snapped(points)
        _, first, group = np.unique(
            rows[:, self._deciding], axis=0, return_index=True, return_inverse=True
        )
        patterns = np.empty((len(first), len(self.dimensions)))
        for pattern, place in zip(patterns, first, strict=True):
            config = self._unconstrained.config(self.assignment(points[place]))
            assert config is not None
            pattern[:] = self.row(config)
        patterns = patterns[group.ravel()]
        # A list of units decides the number of layers.
        return np.where(np.isnan(patterns) | self._deciding[None], patterns, rows)

    @cached_property
    def _unconstrained(self) -> Space:
        return replace(self.space, constraints=())

    @cached_property
    def _deciding(self) -> npt.NDArray[np.bool_]:
        deciding = self.space.deciding
        return np.array([d.parameter.name in deciding for d in self.dimensions], bool)

    def _snapped(self, points: Array) -> Array:
        """Points with each discrete number in the middle of its cell."""
        snapped = points.copy()
        for column, dimension in enumerate(self.dimensions):
            edges = dimension.cells
            if edges is not None:
                at = np.searchsorted(edges, points[:, column], side="right") - 1
                at = np.clip(at, 0, len(edges) - 2)
                snapped[:, column] = (edges[at] + edges[at + 1]) / 2
        return snapped
