"""The native trainer: an epoch is one call of the C extension."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hpsearch.data.specs import Arrays
from hpsearch.native.extension import native_extension
from hpsearch.native.network import CONSTANT, UNIFORM, DenseNetwork, WeightArray
from hpsearch.training.trainer import State, require_fit

if TYPE_CHECKING:
    from hpsearch.native._native import Network

Floats = npt.NDArray[np.float32]


class NativeTrainer:
    """Trains a dense network without TensorFlow.

    Args:
        network: The network to train.
        arrays: Rows to train on and to validate on; contiguous arrays are not copied.
        order: Epoch (from 1) -> permutation of the training rows, int32.
        model: Returns the Keras model of this training.
        weights: First weights in the order of `model.get_weights()`, if the network has none.
        engine: The instruction set, or empty for the best.
    """

    kind = "native"

    def __init__(
        self,
        network: DenseNetwork,
        arrays: Arrays,
        order: Callable[[int], npt.NDArray[np.int32]],
        *,
        model: Callable[[], Any],
        weights: Sequence[npt.NDArray[np.generic]] | None = None,
        engine: str = "",
    ) -> None:
        self._parts = network.parts
        self._slots = network.optimizer.slots
        self._order = order
        self._model = model
        self._epoch = 0
        self._metric = network.metric
        contiguous = np.ascontiguousarray
        self._train = contiguous(arrays.x_train), contiguous(arrays.y_train)
        self._validation = contiguous(arrays.x_val), contiguous(arrays.y_val)
        self._network = _make(network, len(arrays.x_train), engine)
        if weights is None:
            weights = [_first_values(part) for part in network.parts]
        self.set_weights(weights)
        self.weights_count = network.weights_count

    @property
    def model(self) -> Any:
        """The compiled Keras model with the current weights; imports TensorFlow."""
        model = self._model()
        model.set_weights(list(self.weights()))
        return model

    def set_learning_rate(self, rate: float) -> None:
        """Update with this rate from now on."""
        self._network.learning_rate = rate

    def run_epoch(self) -> dict[str, float]:
        self._epoch += 1
        order = np.ascontiguousarray(self._order(self._epoch), np.int32)
        numbers = self._named("", self._network.train(*self._train, order), self._train)
        if len(self._validation[1]):
            validated = self._network.evaluate(*self._validation)
            numbers |= self._named("val_", validated, self._validation)
        return numbers

    def _named(
        self, prefix: str, sums: tuple[float, float], rows: Sequence[Any]
    ) -> dict[str, float]:
        loss, metric = (_mean(total, len(rows[1])) for total in sums)
        return {f"{prefix}loss": loss, **({prefix + self._metric: metric} if self._metric else {})}

    def weights(self) -> State:
        return tuple(self._numbers(part, 0) for part in self._parts)

    def set_weights(self, weights: Sequence[npt.NDArray[np.generic]]) -> None:
        for part, values in zip(self._parts, weights, strict=True):
            self._set_numbers(part, 0, values)

    @property
    def iterations(self) -> int:
        """Number of updates so far."""
        return int(self._network.iterations)

    def slots(self) -> list[list[Floats]]:
        """Return the optimizer's arrays, one list a kind, in the order of the trained weights."""
        trained = [part for part in self._parts if part.trained]
        kinds = range(1, 1 + self._slots)
        return [[self._numbers(part, which) for part in trained] for which in kinds]

    def state(self) -> State:
        numbers = [self._numbers(part, which) for part, which in self._arrays()]
        # Dropout masks and adam's corrections derive from the iterations.
        return (*numbers, np.array(self._network.iterations, np.int64))

    def resume(self, epoch: int, state: State) -> None:
        require_fit(epoch, state, self.state())
        *numbers, iterations = state
        for (part, which), values in zip(self._arrays(), numbers, strict=True):
            self._set_numbers(part, which, values)
        self._network.iterations = int(iterations)
        self._epoch = epoch

    def _arrays(self) -> list[tuple[WeightArray, int]]:
        """Return each part with 0 for its values, and with 1 and 2 for the optimizer's arrays."""
        return [
            (part, which)
            for part in self._parts
            for which in range(1 + (self._slots if part.trained else 0))
        ]

    def _set_numbers(self, part: WeightArray, which: int, values: npt.NDArray[np.generic]) -> None:
        self._network.set(part.layer, part.code, which, np.ascontiguousarray(values, np.float32))

    def _numbers(self, part: WeightArray, which: int) -> Floats:
        values = np.empty(part.shape, np.float32)
        self._network.get(part.layer, part.code, which, values)
        return values


def _mean(total: float, rows: int) -> float:
    """Divide and round to float32, as Keras' metrics do."""
    with np.errstate(over="ignore"):
        return float(np.float32(total / rows))


def _make(network: DenseNetwork, rows: int, engine: str) -> Network:
    optimizer, rate, decay, *numbers = astuple(network.optimizer)
    made: Network = native_extension().Network(
        engine,
        network.widths,
        network.blocks,
        network.activations,
        network.dropouts,
        network.mask_seeds,
        (min(network.batch_size, rows), network.loss, network.rows, optimizer),
        (rate, decay, network.l2, *numbers),
        np.asarray(network.shift, np.float32),
        np.asarray(network.scale, np.float32),
        np.asarray(network.unit, np.float32),
    )
    return made


def _first_values(part: WeightArray) -> Floats:
    """Return the first values of a part: to the bit those of Keras' initializer."""
    initial = part.initial
    assert initial is not None
    if initial.distribution == CONSTANT:
        return np.full(part.shape, initial.first, np.float32)
    values = np.empty(part.shape, np.float32)
    native_extension().random(initial.distribution, initial.seed, values)
    first, second = np.float32(initial.first), np.float32(initial.second)
    # The operations of tf.random.stateless_uniform and stateless_normal.
    values *= second - first if initial.distribution == UNIFORM else second
    values += first
    return values
