"""What a halted training leaves and its continuation takes: plain arrays, one for each variable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["State", "read", "require_fit", "write"]

State = tuple[npt.NDArray[np.generic], ...]


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
