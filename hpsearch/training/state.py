"""What a halted training leaves and its continuation takes: plain arrays, one for each variable."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["FirstValues", "State", "nbytes", "read", "require_fit", "write"]

State = tuple[npt.NDArray[np.generic], ...]


class FirstValues:
    """What Keras variables hold before a training, where that is one number all over.

    Args:
        variables: They hold it now.
    """

    def __init__(self, variables: Sequence[Any]) -> None:
        arrays = [variable.numpy() for variable in variables]
        self._numbers = [
            (variable, array.flat[0])
            for variable, array in zip(variables, arrays, strict=True)
            if array.size and np.all(array == array.flat[0])
        ]
        #: Whether all variables are such.
        self.complete = len(self._numbers) == len(arrays)

    def restore(self) -> None:
        """Sets these variables to what they held."""
        for variable, number in self._numbers:
            variable.assign(np.full(variable.shape, number))


def nbytes(variables: Sequence[Any]) -> int:
    """Memory that Keras variables take."""
    return sum(math.prod(each.shape) * each.value.dtype.size for each in variables)


def read(variables: Sequence[Any]) -> State:
    """Copies of Keras variables."""
    return tuple(np.array(variable.numpy()) for variable in variables)


def write(variables: Sequence[Any], epoch: int, state: State) -> None:
    """Sets Keras variables to what `read` gave of their like.

    Raises:
        ValueError: See `require_fit`.
    """
    require_fit(epoch, state, [variable.numpy() for variable in variables])
    for variable, array in zip(variables, state, strict=True):
        variable.assign(array)


def require_fit(epoch: int, state: State, like: Sequence[npt.NDArray[np.generic]]) -> None:
    """Check that a state can be that of a training after so many epochs.

    Args:
        like: Arrays of the shapes and types that it must have.

    Raises:
        ValueError: It cannot.
    """
    if epoch < 0:
        raise ValueError(f"epoch: a training goes on after 0 or more epochs, not {epoch}")
    if len(state) != len(like):
        raise ValueError(
            f"the state is another training's: this one's has {len(like)} arrays, not {len(state)}"
        )
    for place, (array, expected) in enumerate(zip(state, like, strict=True), start=1):
        if (array.shape, array.dtype) != (expected.shape, expected.dtype):
            raise ValueError(
                f"the state is another training's: array {place} of this one's is "
                f"{expected.dtype} {expected.shape}, not {array.dtype} {array.shape}"
            )
