"""Columns as axes of a picture: where each value stands, and what the ticks say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.importance.axes import is_log
from hpsearch.values import text_of

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

__all__ = ["Dimension", "dimensions_of"]

#: Numbers of no more distinct values are marked each on an axis.
_MOST_MARKED = 8
#: Where dead values stand on an axis of numbers: below it, by this share of its length.
_BELOW = 0.12


@dataclass(frozen=True)
class Dimension:
    """One column as an axis.

    Attributes:
        levels: The text of each category in order; empty for numbers.
        marked: Distinct numbers where they are few, else empty.
        low, high: Of the numbers.
        log: Whether the axis is logarithmic.
        dead: Whether some trials have no value here.
    """

    name: str
    levels: tuple[str, ...] = ()
    marked: tuple[float, ...] = ()
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    dead: bool = False

    @property
    def numeric(self) -> bool:
        """Whether the values are numbers."""
        return not self.levels

    @property
    def ends(self) -> tuple[float, float]:
        """Positions of the axis' ends."""
        if not self.numeric:
            return 0.0, max(len(self.levels) - 1 + self.dead, 1)
        low, high = self._scaled(self.low), self._scaled(self.high)
        return (self.dead_at if self.dead else low), high

    @property
    def dead_at(self) -> float:
        """The position of dead values."""
        if not self.numeric:
            return float(len(self.levels))
        low, high = self._scaled(self.low), self._scaled(self.high)
        return low - _BELOW * ((high - low) or 1.0)

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.log else value

    def codes(self, column: pd.Series[Any]) -> list[Any]:
        """Numbers, or indices of levels; None where dead."""
        if self.numeric:
            return [None if v != v else v for v in column.astype("float64")]  # noqa: PLR0124 - nan
        index = {level: code for code, level in enumerate(self.levels)}
        return [None if c is None else index[c] for c in _texts(column)]

    def positions(self, column: pd.Series[Any]) -> npt.NDArray[np.float64]:
        """Where each value stands on the axis `(n_rows,)`."""
        codes = np.array([np.nan if c is None else c for c in self.codes(column)], np.float64)
        if self.log:
            codes = np.log10(codes)
        return np.where(np.isnan(codes), self.dead_at, codes)

    def ticks(self) -> tuple[list[float], list[str]] | None:
        """Positions and texts of the ticks; None where the numbers' own will do.

        Brushes of parallel coordinates snap to ticks, so only few values have their own.
        """
        if self.numeric and not self.marked:
            return None
        if self.numeric:
            at, said = [self._scaled(v) for v in self.marked], [text_of(v) for v in self.marked]
            return ([self.dead_at, *at], ["-", *said]) if self.dead else (at, said)
        at, said = [float(i) for i in range(len(self.levels))], list(self.levels)
        return ([*at, self.dead_at], [*said, "-"]) if self.dead else (at, said)


def dimensions_of(table: pd.DataFrame, names: Sequence[str]) -> dict[str, Dimension]:
    """The axis of each column."""
    return {name: _dimension(table[name]) for name in names}


def _texts(column: pd.Series[Any]) -> list[str | None]:
    return [None if text == "-" else text for text in map(text_of, column.astype(object))]


def _dimension(column: pd.Series[Any]) -> Dimension:
    import pandas as pd

    name, dead = str(column.name), bool(column.isna().any())
    numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    if not numeric or column.isna().all():
        levels = dict.fromkeys(text for text in _texts(column) if text is not None)
        return Dimension(name, levels=tuple(levels) or ("-",), dead=dead)
    values = np.unique(column.dropna().astype("float64"))
    return Dimension(
        name,
        marked=tuple(map(float, values)) if len(values) <= _MOST_MARKED else (),
        low=float(values[0]),
        high=float(values[-1]),
        log=is_log(values),
        dead=dead,
    )
