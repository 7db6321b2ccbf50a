"""What a dataset request looks like to the loaders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from hpsearch.trial import TargetPart

__all__ = ["DataSpec", "Folds", "Kind", "Options", "Scale"]

Kind = Literal["classification", "regression"]
Scale = Literal["auto", "none", "unit", "standard"]


class ByColumn(Protocol):
    """A column that decides which rows may stand on which side of a split."""

    @property
    def by(self) -> Literal["group", "time"]:
        """What its cells are."""

    @property
    def column(self) -> str:
        """Its name."""


class DataSpec(Protocol):
    """The `data:` block of a sweep, with every path absolute.

    Exactly one of `dataset`, `csv`, `npz`, `python` and `memory` is set. A fraction is of all
    rows of the file (or set) that it is taken from.
    """

    @property
    def dataset(self) -> str | None:
        """Name of a built-in set."""

    @property
    def csv(self) -> str | None:
        """Path of a CSV file."""

    @property
    def npz(self) -> str | None:
        """Path of a NumPy archive."""

    @property
    def python(self) -> str | None:
        """`package.module:function`."""

    @property
    def memory(self) -> object | None:
        """What is said of arrays that no file has."""

    @property
    def folder(self) -> str | None:
        """Where to look for the files of a built-in image set."""

    @property
    def validation(self) -> float | str:
        """A fraction, or the path of a file of the same kind."""

    @property
    def test(self) -> float | str | None:
        """A fraction, a path, or None: the split that the set ships, else none."""

    @property
    def cv(self) -> int | None:
        """Folds of cross-validation in place of a validation part."""

    @property
    def split(self) -> ByColumn | None:
        """The column of a CSV file that decides about splits."""

    @property
    def seed(self) -> int:
        """Of the split."""

    @property
    def scale(self) -> Scale:
        """How features are scaled."""

    @property
    def target(self) -> str | None:
        """The target column of a CSV file."""

    @property
    def drop(self) -> tuple[str, ...]:
        """Columns of a CSV file to leave out."""

    @property
    def task(self) -> Kind | None:
        """What is predicted; inferred where None."""


Indices = npt.NDArray[np.intp]
Folds = Callable[[Indices, Indices | None], Sequence[tuple[Indices, Indices]]]
"""From rows' places `(n_samples,)` and their classes, or None for a regression, to the rows of
each training and validation part, as indices into these."""


@dataclass(frozen=True)
class Options:
    """What does not depend on where the rows come from.

    Attributes:
        validation, test: Fractions to split off; None where the source brings the part, or
            (for `test`) where there is none.
        cv: Folds of cross-validation in place of a validation part, or None.
        folds: Makes these folds, or without `cv` the one split; None for the usual ones.
        parts: Of several targets; see `Target`.
    """

    validation: float | None = 0.2
    test: float | None = None
    seed: int = 42
    scale: Scale = "auto"
    task: Kind | None = None
    cv: int | None = None
    folds: Folds | None = None
    parts: tuple[TargetPart, ...] = ()
