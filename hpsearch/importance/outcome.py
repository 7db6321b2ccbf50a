"""What an analysis of importance comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from hpsearch.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from hpsearch.importance.axes import Floats

__all__ = ["Effect", "Importance", "Share"]


@dataclass(frozen=True)
class Share:
    """How much of the variance one hyperparameter or pair explains, 0 to 1, and its interval.

    Attributes:
        names: One column or two.
        share: Of a pair, what it explains beyond its two members.
        low, high: Of 90% of the forests that other trials would have given.
    """

    names: tuple[str, ...]
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Effect:
    """The mean score at each level of one hyperparameter, over the whole space.

    Attributes:
        levels: Numbers in order, or the text of categories.
        mean, low, high: `(n_levels,)`; the band is that of 90% of the forests.
        log: Whether the levels are even on a log scale.
    """

    name: str
    levels: tuple[float | str, ...]
    numeric: bool
    log: bool
    mean: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class Importance:
    """How much of the score's variance each hyperparameter and pair explains.

    Attributes:
        shares: Largest first; of singles and of pairs of the most important.
        effects: Column -> its effect, in the order of the columns.
        joints: Pair of columns -> the mean score `(n_first_levels, n_second_levels)`.
        explained: The forest's R squared on trials that it has not seen: near 0 or below, it has
            learnt nothing, and its shares mean nothing.
        trials: How many trials it has learnt from.
        reason: Why there are no shares, or empty.
    """

    shares: tuple[Share, ...] = ()
    effects: Mapping[str, Effect] = field(default_factory=dict)
    joints: Mapping[tuple[str, str], Floats] = field(default_factory=dict)
    explained: float = 0.0
    trials: int = 0
    reason: str = ""

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a hyperparameter or pair, largest share first.

        Columns: `hyperparameter`, `with` (the other of a pair, or empty), `share`, `low`, `high`.
        """
        import pandas as pd

        rows = [(*(*s.names, "")[:2], s.share, s.low, s.high) for s in self.shares]
        return pd.DataFrame(rows, columns=["hyperparameter", "with", "share", "low", "high"])

    @property
    def paired(self) -> list[str]:
        """The hyperparameters of which any two can be looked at, most important first."""
        known = {name for pair in self.joints for name in pair}
        singles = [s.names[0] for s in self.shares if len(s.names) == 1]
        return [name for name in singles if name in known]

    def joint(self, first: str, second: str) -> Floats:
        """The mean score at each pair of levels of two hyperparameters.

        Returns:
            `(n_first_levels, n_second_levels)`, in the order of `effects[...].levels`.

        Raises:
            InputError: There is no such pair.
        """
        if (first, second) in self.joints:
            return self.joints[first, second]
        if (second, first) in self.joints:
            return self.joints[second, first].T
        known = ", ".join(sorted({name for pair in self.joints for name in pair})) or "none"
        raise InputError(
            f"{first}, {second}: no two hyperparameters whose joint effect is known; choose two "
            f"of: {known}"
        )

    def __repr__(self) -> str:
        if self.reason:
            return f"<importance: {self.reason}>"
        head = f"{self.trials} trials, {self.explained:.0%} of the variance explained out of bag"
        return f"{head}\n{self.table.to_string(index=False, float_format='{:.3f}'.format)}"

    def _repr_html_(self) -> str:
        if self.reason:
            return f"<p>No importance: {self.reason}.</p>"
        said = f"{self.trials} trials; {self.explained:.0%} of the variance explained out of bag"
        return f"<p>{said}</p>{self.table.to_html(index=False, float_format='{:.3f}'.format)}"
