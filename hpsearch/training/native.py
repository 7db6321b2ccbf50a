"""The native trainer: one call of the C extension trains an epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hpsearch.native.metrics import Measure
from hpsearch.native.network import DenseNetwork, WeightArray, native_extension, native_number
from hpsearch.training.trainer import State, TrainerRequest, require_fit

if TYPE_CHECKING:
    from hpsearch.native._native import Network

Floats = npt.NDArray[np.float32]


class NativeTrainer:
    """Trains a dense network without TensorFlow.

    Args:
        network: The network to train.
        request: The training; contiguous arrays are not copied.
        model: Returns the Keras model of this training.
        weights: First weights in the order of `model.get_weights()`, if the network lacks them.
        instructions: The instruction set, or empty for the best one.
    """

    kind = "native"

    def __init__(
        self,
        network: DenseNetwork,
        request: TrainerRequest,
        *,
        model: Callable[[], Any],
        weights: Sequence[npt.NDArray[np.generic]] | None = None,
        instructions: str = "",
    ) -> None:
        self._parts = network.parts
        self._slots = network.optimizer.slots
        self._order = request.order
        self._threads = request.threads
        self._model = model
        self._epoch = 0
        arrays = request.arrays
        self._train = _Rows(network, arrays.x_train, arrays.y_train, arrays.w_train)
        self._validation = _Rows(network, arrays.x_val, arrays.y_val, arrays.w_val)
        self._network = _make(network, len(arrays.x_train), instructions)
        if weights is None:
            weights = [_first_values(part) for part in network.parts]
        for part, values in zip(self._parts, weights, strict=True):
            self._set_numbers(part, 0, values)
        self.weights_count = network.weights_count

    @property
    def model(self) -> Any:
        """The compiled Keras model with the current weights; imports TensorFlow."""
        model = self._model()
        model.set_weights(list(self.weights()))
        return model

    def set_learning_rate(self, rate: float) -> None:
        """Set the learning rate of later updates."""
        self._network.learning_rate = rate

    def run_epoch(self) -> dict[str, float]:
        self._epoch += 1
        order = np.ascontiguousarray(self._order(self._epoch), np.int32)
        # Any number gives the same bits.
        self._network.threads = self._threads()
        rows = self._train
        sums = self._network.train(rows.x, rows.y, order, rows.weights, rows.outputs)
        numbers = rows.numbers(sums, order)
        rows = self._validation
        if len(rows.y):
            sums = self._network.evaluate(rows.x, rows.y, rows.weights, rows.outputs)
            numbers |= {f"val_{name}": number for name, number in rows.numbers(sums).items()}
        return numbers

    def weights(self) -> State:
        return tuple(self._numbers(part, 0) for part in self._parts)

    @property
    def iterations(self) -> int:
        """Number of updates so far."""
        return int(self._network.iterations)

    def slots(self) -> list[list[Floats]]:
        """Return the optimizer's arrays: for each kind a list in the order of trained weights."""
        trained = [part for part in self._parts if part.trained]
        kinds = range(1, 1 + self._slots)
        return [[self._numbers(part, which) for part in trained] for which in kinds]

    def state(self) -> State:
        numbers = [self._numbers(part, which) for part, which in self._arrays()]
        # Dropout masks and adam's corrections depend on the iterations.
        return (*numbers, np.array(self._network.iterations, np.int64))

    def resume(self, epoch: int, state: State) -> None:
        require_fit(epoch, state, self.state())
        *numbers, iterations = state
        for (part, which), values in zip(self._arrays(), numbers, strict=True):
            self._set_numbers(part, which, values)
        self._network.iterations = int(iterations)
        self._epoch = epoch

    def _arrays(self) -> list[tuple[WeightArray, int]]:
        """Return the network's arrays: parts with 0 for values, 1 and 2 for optimizer arrays."""
        return [
            (part, which)
            for part in self._parts
            for which in range(1 + (self._slots if part.trained else 0))
        ]

    def _set_numbers(self, part: WeightArray, which: int, values: npt.NDArray[np.generic]) -> None:
        array = np.ascontiguousarray(values, np.float32)
        self._network.set(part.layer, native_number(part.part), which, array)

    def _numbers(self, part: WeightArray, which: int) -> Floats:
        values = np.empty(part.shape, np.float32)
        self._network.get(part.layer, native_number(part.part), which, values)
        return values


class _Rows:
    """The rows of a split, and their loss and metrics.

    Attributes:
        x, y, weights: Arrays in the extension's form.
        outputs: The outputs `(n_samples, outputs)`, filled by the extension if a metric needs
            them; else None.
    """

    def __init__(
        self,
        network: DenseNetwork,
        x: npt.NDArray[Any],
        y: npt.NDArray[Any],
        weights: npt.NDArray[Any] | None,
    ) -> None:
        self.x, self.y = np.ascontiguousarray(x), np.ascontiguousarray(y)
        self.weights = None if weights is None else np.ascontiguousarray(weights, np.float32)
        self._measures = network.measures
        units, width = np.asarray(network.unit, np.float32), network.layers[-1].width
        self._unit = units if np.any(units != 1) else None
        measures = [measure for measure in self._measures if measure.of is not None]
        self.outputs = np.empty((len(y), width), np.float32) if measures else None
        self._targets = self.y
        if any(not measure.sparse for measure in measures):
            is_class = network.loss == "SOFTMAX_CROSSENTROPY"
            self._targets = np.eye(width, dtype=np.float32)[y] if is_class else y.reshape(-1, width)

    def numbers(
        self, sums: tuple[float, float], order: npt.NDArray[np.int32] | None = None
    ) -> dict[str, float]:
        """Return loss and metrics by name."""
        loss, metric = (_rounded(total / len(self.y)) for total in sums)
        numbers = {"loss": loss}
        for measure in self._measures:
            numbers[measure.name] = metric if measure.of is None else self._measured(measure, order)
        return numbers

    def _measured(self, measure: Measure, order: npt.NDArray[np.int32] | None) -> float:
        predictions = self.outputs
        assert measure.of is not None
        assert predictions is not None
        targets = self.y if measure.sparse else self._targets
        weights = self.weights if measure.weighted else None
        if order is not None:
            targets = targets[order]
            weights = None if weights is None else weights[order]
        # If a training diverges, so do its metrics.
        with np.errstate(over="ignore", invalid="ignore"):
            if self._unit is not None:
                targets, predictions = targets * self._unit, predictions * self._unit
            return _rounded(measure.of(targets, predictions, weights))


def _rounded(number: float) -> float:
    """Round to float32, as Keras' metrics do."""
    with np.errstate(over="ignore"):
        return float(np.float32(number))


def _make(network: DenseNetwork, rows: int, instructions: str) -> Network:
    kind, _, *numbers = astuple(network.optimizer)
    sizes = min(network.batch_size, rows), network.binned
    made: Network = native_extension().Network(
        instructions,
        network.features,
        tuple(_described(network, number) for number in range(len(network.layers))),
        (*sizes, *map(native_number, (network.loss, network.rows, kind))),
        (*numbers, network.huber),
        np.asarray(network.shift, np.float32),
        np.asarray(network.scale, np.float32),
        np.asarray(network.unit, np.float32),
    )
    return made


def _described(network: DenseNetwork, number: int) -> tuple[float, ...]:
    """Return the extension's description of a layer, with one bit for each part."""
    width, block, activation, *numbers = astuple(network.layers[number])
    parts = sum(1 << native_number(part.part) for part in network.parts if part.layer == number)
    return (width, native_number(block), parts, native_number(activation), *numbers)


def _first_values(part: WeightArray) -> Floats:
    """Return a part's first values, equal to the bit to those of Keras' initializer."""
    initial = part.initial
    assert initial is not None
    if initial.distribution == "CONSTANT":
        return np.full(part.shape, initial.first, np.float32)
    values = np.empty(part.shape, np.float32)
    native_extension().random(native_number(initial.distribution), initial.seed, values)
    first, second = np.float32(initial.first), np.float32(initial.second)
    # The same operations as in tf.random.stateless_uniform and stateless_normal.
    values *= second - first if initial.distribution == "UNIFORM" else second
    values += first
    return values
