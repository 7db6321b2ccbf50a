"""The trainer protocol, including the state from which a stopped training can resume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

State = tuple[npt.NDArray[Any], ...]

#: Arguments of an optimizer that a graph reads as variables, like a constant learning rate.
OPTIMIZER_NUMBERS: Final = ("weight_decay", "adam_weight_decay", "momentum")
#: Arguments of a learning rate schedule that a graph reads as variables.
SCHEDULE_NUMBERS: Final = ("initial_learning_rate",)


class Trainer(Protocol):
    """Trains one model, or runs a user's function, an epoch at a time.

    Equal arguments give equal numbers, to the bit, in any process on the same type of processor
    with one TensorFlow thread.

    Attributes:
        kind: `native`, `graph`, `xla`, `fit` or `function`.
        weights_count: Number of weights, trainable or not; None for a function, and for a model
            that was never built.
        model: The compiled `keras.Model` in training; None for a function.
    """

    @property
    def kind(self) -> str: ...

    @property
    def weights_count(self) -> int | None: ...

    @property
    def model(self) -> Any: ...

    def run_epoch(self) -> Mapping[str, float] | None:
        """Train the next epoch, then validate; None if the training has ended by itself.

        Returns:
            `loss`, `accuracy` (regression: `mae`), `val_loss`, `val_accuracy`, as defined by
            `keras.Model.fit`, in the target's own units. Custom models report their own metrics.
            NaN and infinity stay unchanged.
        """
        ...

    def weights(self) -> State:
        """Return copies of all weights, in the order of `model.get_weights()`."""
        ...

    def state(self) -> State:
        """Return copies of all state that later epochs need, except for the number of epochs.

        That is the weights, the optimizer's variables and the states of random generators.
        """
        ...

    def resume(self, epoch: int, state: State) -> None:
        """Continue after `epoch` epochs, from the `state()` at that time.

        In any process, the next epochs equal those of the stopped training to the bit if the
        trainer is of the same kind and was made with the same arguments.

        Raises:
            ValueError: The epoch is negative, or the arrays do not fit the training.
        """
        ...


class KerasTrainer:
    """Base class of the trainers of a compiled Keras model."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self._epoch = 0

    @property
    def weights_count(self) -> int | None:
        # A user's `fit` may have trained another model.
        return int(self.model.count_params()) if self.model.built else None

    def weights(self) -> State:
        return tuple(self.model.get_weights())

    def state(self) -> State:
        return tuple(np.array(variable.numpy()) for variable in self._state_variables())

    def resume(self, epoch: int, state: State) -> None:
        variables = self._state_variables()
        require_fit(epoch, state, [variable.numpy() for variable in variables])
        for variable, array in zip(variables, state, strict=True):
            variable.assign(array)
        self._epoch = epoch

    def _state_variables(self) -> list[Any]:
        return [*self.model.variables, *self.model.optimizer.variables]


def require_fit(epoch: int, state: State, like: Sequence[npt.NDArray[Any]]) -> None:
    """Check that a state fits a training after `epoch` epochs.

    Args:
        like: Arrays with the expected shapes and types.

    Raises:
        ValueError: It does not fit.
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
