"""What a worker is called for when a model's hyperparameters are to be found.

Importable without TensorFlow, which is imported where it is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from hpsearch.space import Parameter
from hpsearch.trial import Arrays, Recipe, Target

if TYPE_CHECKING:
    from hpsearch.usermodel.found import Found

__all__ = ["find_in"]


class HasArrays(Protocol):
    """The data that workers read."""

    @property
    def arrays(self) -> Arrays: ...

    @property
    def target(self) -> Target: ...


def find_in(recipe: Recipe, given: Sequence[Parameter], data: HasArrays) -> Found:
    """The hyperparameters of a recipe's model; see `probing.discover`.

    Raises:
        InputError: It cannot be loaded or built.
    """
    from hpsearch.usermodel.probing import discover

    arrays = data.arrays
    rows = (arrays.x_train, arrays.y_train), (arrays.x_val, arrays.y_val)
    return discover(recipe, given, *rows, data.target)
