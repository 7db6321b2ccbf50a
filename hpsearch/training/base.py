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

    def run_epoch(self) -> dict[str, float]:
        """Trains the next epoch, then validates.

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
