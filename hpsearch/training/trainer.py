"""The trainer protocol, and the state that a halted training leaves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

#: Arguments of an optimizer that a graph reads as variables, beside a constant learning rate.
OPTIMIZER_NUMBERS: Final = ("weight_decay", "adam_weight_decay", "momentum")
#: Arguments of a learning rate schedule that a graph reads as variables.
SCHEDULE_NUMBERS: Final = ("initial_learning_rate",)


class Trainer(Protocol):
    """One MLP in training, an epoch at a time.

    Equal arguments give equal numbers, to the bit, in any process on one processor type with
    one TensorFlow thread.

    Attributes:
        kind: `native`, `graph`, `xla` or `fit`.
        weights_count: Numbers in all weights, trainable and not.
        model: The compiled `keras.Model` that is trained.
    """

    @property
    def kind(self) -> str: ...

    @property
    def weights_count(self) -> int: ...

    @property
    def model(self) -> Any: ...

    def run_epoch(self) -> dict[str, float] | None:
        """Trains the next epoch, then validates; None where a `fit` of one's own has ended.

        Returns:
            `loss`, `accuracy` (regression: `mae`), `val_loss`, `val_accuracy`, as
            `keras.Model.fit` defines them, in the target's own units; a model of one's own has
            its own metrics. NaN and infinity are returned as they are.
        """
        ...

    def weights(self) -> tuple[npt.NDArray[np.generic], ...]:
        """Copies of all weights, in the order of `model.get_weights()`."""
        ...

    def set_weights(self, weights: Sequence[npt.NDArray[np.generic]]) -> None:
        """Sets what `weights()` gave."""
        ...

    def state(self) -> tuple[npt.NDArray[np.generic], ...]:
        """Copies of all that later epochs depend on, beside how many are over.

        Weights, the optimizer's variables and the states of random generators; arrays of numbers.
        """
        ...

    def resume(self, epoch: int, state: tuple[npt.NDArray[np.generic], ...]) -> None:
        """Goes on after `epoch` epochs, from what `state()` gave then.

        The epochs that follow are to the bit those of the training that was halted, in any
        process, where the trainer was made with the same arguments and is of the same kind.

        Raises:
            ValueError: The epoch is negative, or the arrays are not those of such a training.
        """
        ...


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
