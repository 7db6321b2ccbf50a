"""The native trainer: an epoch is one call of the C extension."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hpsearch.data.specs import Arrays
from hpsearch.native.extension import native_extension
from hpsearch.native.network import DenseNetwork, Optimizer, WeightArray
from hpsearch.training.trainer import State, require_fit

if TYPE_CHECKING:
    from hpsearch.native._native import Network

_CONSTANT = 3

Floats = npt.NDArray[np.float32]


class NativeTrainer:
    """Trains a dense network without TensorFlow.

    Args:
        network: What to train.
        arrays: Rows to train on and to validate on; contiguous ones are read where they lie.
        order: Epoch (from 1) -> permutation of the training rows, int32.
        model: Gives the Keras model of this training.
        weights: The first ones, in the order of `model.get_weights()`, where the network does not
            say them.
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
        self._train = _rows(arrays.x_train, arrays.y_train)
        self._validation = _rows(arrays.x_val, arrays.y_val)
        self._network = _make(network, len(arrays.x_train), engine)
        if weights is None:
            weights = [_first_values(part) for part in network.parts]
        self.set_weights(weights)
        self.weights_count = network.weights_count

    @property
    def model(self) -> Any:
        """The compiled Keras model with the present weights; imports TensorFlow."""
        model = self._model()
        model.set_weights(list(self.weights()))
        return model

    def run_epoch(self) -> dict[str, float]:
        self._epoch += 1
        order = np.ascontiguousarray(self._order(self._epoch), np.int32)
        trained = self._network.train(*self._train, order)
        validated = self._network.evaluate(*self._validation)
        numbers = {}
        for prefix, sums, rows in (
            ("", trained, self._train),
            ("val_", validated, self._validation),
        ):
            numbers[f"{prefix}loss"] = _mean(sums[0], rows)
            if self._metric:
                numbers[prefix + self._metric] = _mean(sums[1], rows)
        return numbers

    def weights(self) -> tuple[npt.NDArray[np.generic], ...]:
        return tuple(self._numbers(part, 0) for part in self._parts)

    def set_weights(self, weights: Sequence[npt.NDArray[np.generic]]) -> None:
        for part, values in zip(self._parts, weights, strict=True):
            self._set_numbers(part, 0, values)

    def state(self) -> State:
        numbers = [self._numbers(part, which) for part, which in self._arrays()]
        # Masks and adam's corrections derive from it.
        return (*numbers, np.array(self._network.iterations, np.int64))

    def resume(self, epoch: int, state: State) -> None:
        require_fit(epoch, state, self.state())
        *numbers, iterations = state
        for (part, which), values in zip(self._arrays(), numbers, strict=True):
            self._set_numbers(part, which, values)
        self._network.iterations = int(iterations)
        self._epoch = epoch

    def _arrays(self) -> list[tuple[WeightArray, int]]:
        """Each part's values (0), and what the optimizer keeps of it (1, 2)."""
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


def _rows(
    x: npt.NDArray[Any], y: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.generic]]:
    return np.ascontiguousarray(x), np.ascontiguousarray(y)


def _mean(total: float, rows: tuple[npt.NDArray[np.generic], ...]) -> float:
    """As Keras' metrics have it, in float32."""
    with np.errstate(over="ignore"):
        return float(np.float32(total / len(rows[1])))


def _make(network: DenseNetwork, rows: int, engine: str) -> Network:
    made: Network = native_extension().Network(
        engine,
        network.widths,
        network.blocks,
        network.activations,
        network.dropouts,
        network.mask_seeds,
        (min(network.batch_size, rows), network.loss, network.rows, network.optimizer.code),
        _numbers(network.optimizer, network.l2),
        np.asarray(network.shift, np.float32),
        np.asarray(network.scale, np.float32),
        np.asarray(network.unit, np.float32),
    )
    return made


def _numbers(optimizer: Optimizer, l2: float) -> tuple[float, ...]:
    return (
        optimizer.rate,
        optimizer.decay,
        l2,
        optimizer.momentum,
        optimizer.rho,
        optimizer.beta_1,
        optimizer.beta_2,
        optimizer.epsilon,
        optimizer.slot_start,
    )


def _first_values(part: WeightArray) -> Floats:
    """First values: to the bit what Keras' initializer gives for the seed."""
    initial = part.initial
    assert initial is not None
    if initial.distribution == _CONSTANT:
        return np.full(part.shape, initial.first, np.float32)
    values = np.empty(part.shape, np.float32)
    native_extension().random(initial.distribution, initial.seed, values)
    first, second = np.float32(initial.first), np.float32(initial.second)
    uniform = initial.distribution == 0
    # The operations of tf.random.stateless_uniform and stateless_normal.
    values *= second - first if uniform else second
    values += first
    return values
