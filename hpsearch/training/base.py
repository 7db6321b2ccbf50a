"""What a trainer is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

__all__ = ["Trainer"]


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
