"""What a dataset request looks like to the loaders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

__all__ = ["DataSpec", "Kind", "Options", "Scale"]

Kind = Literal["classification", "regression"]
Scale = Literal["auto", "none", "unit", "standard"]


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


@dataclass(frozen=True)
class Options:
    """What does not depend on where the rows come from.

    Attributes:
        validation, test: Fractions to split off; None where the source brings the part, or
            (for `test`) where there is none.
    """

    validation: float | None = 0.2
    test: float | None = None
    seed: int = 42
    scale: Scale = "auto"
    task: Kind | None = None
