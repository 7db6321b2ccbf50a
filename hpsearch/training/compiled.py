"""The compiled trainer: an epoch and its validation are one call of one graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from hpsearch.training.measures import Measures, Sums
from hpsearch.training.numbers import Numbers
from hpsearch.training.state import FirstValues, State, nbytes, read, write
from hpsearch.training.update import Update

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from hpsearch.training.tensors import Tensors

__all__ = ["CompiledTrainer"]

Tensor = Any
Step = Callable[[Tensor, Tensor, Sums], Sums]
Rows = tuple[Tensor, Tensor, Tensor | None]

#: Rows of a validation step: large enough that dispatch does not count, small enough to fit
#: the processor's cache. Predictions do not depend on it, but for the order of a sum.
_VALIDATION_ROWS = 1024


class CompiledTrainer:
    """Trains by a `tf.while_loop` over batches that are gathered by the epoch's permutation.

    Kind `graph`: one loop whose last step may be shorter. Kind `xla`: shapes must be known, so
    XLA compiles the loop over the full batches, and the graph around it trains the partial
    batch and validates. Data enters as arguments: as constants it would be copied into the
    graph, which may not exceed 2 GB.

    Args:
        model: Compiled; its optimizer, and for a model of one's own its loss and metrics, are
            used.
        data: Rows to train on and to validate on.
        measures: Loss and metrics.
        batch_size: Rows a step.
        order: Epoch (from 1) -> permutation of the training rows, int32.
        kind: `graph` or `xla`.
    """

    def __init__(
        self,
        model: keras.Model,
        data: Tensors,
        measures: Measures,
        *,
        batch_size: int,
        order: Callable[[int], npt.NDArray[np.int32]],
        kind: str,
    ) -> None:
        self.kind = kind
        self.model = model
        self._data = data
        self._measures = measures
        self._order = order
        self._batch_size = batch_size
        self._epoch = 0
        self._names: tuple[str, ...] = ()
        self._knows_training = bool(model._call_has_training_arg)  # noqa: SLF001
        self._build()
        self._run = tf.function(self._epoch_graph, autograph=False)

    @property
    def weights_count(self) -> int:
        return int(self.model.count_params())

    def run_epoch(self) -> dict[str, float]:
        self._epoch += 1
        numbers = self._run(*self._data, tf.constant(self._order(self._epoch)))
        return dict(zip(self._names, numbers.numpy().tolist(), strict=True))

    @property
    def traces(self) -> int:
        """How often the epoch was traced."""
        return int(self._run.experimental_get_tracing_count())

    @property
    def nbytes(self) -> int:
        """Of the variables of model and optimizer."""
        return nbytes(self._state_variables())

    @property
    def restarts(self) -> bool:
        """Whether `restart` can begin another training."""
        return self._update.restarts

    def restart(
        self,
        data: Tensors,
        *,
        order: Callable[[int], npt.NDArray[np.int32]],
        set_random: Callable[[], None],
        optimizer: Any,
        l2: float,
    ) -> None:
        """Begins another training by the same graph; to the bit a new trainer's.

        Args:
            data: Of the same shapes as before.
            order: See the class.
            set_random: Gives the model's random weights and seeds their first values.
            optimizer: Of the training, which differs from the one that this trainer was made for
                in seeds and numbers alone (see `programs.program_key`).
            l2: Weight of the penalty, where there is one.
        """
        self._data, self._order, self._epoch = data, order, 0
        self._first.restore()
        set_random()
        self._update.restart()
        self._numbers.take(optimizer, l2)

    def weights(self) -> tuple[npt.NDArray[np.generic], ...]:
        return tuple(self.model.get_weights())

    def set_weights(self, weights: Sequence[npt.NDArray[np.generic]]) -> None:
        self.model.set_weights(list(weights))

    def state(self) -> State:
        return read(self._state_variables())

    def resume(self, epoch: int, state: State) -> None:
        write(self._state_variables(), epoch, state)
        self._epoch = epoch

    def _state_variables(self) -> list[Any]:
        return [*self.model.variables, *self.model.optimizer.variables]

    def _build(self) -> None:
        """Makes all variables: a traced function may not."""
        self._measures.build(self._data.x_train[:1], self._data.y_train[:1])
        self._first = FirstValues(self.model.variables)
        self._variables = self.model.trainable_variables
        self.model.optimizer.build(self._variables)
        self._update = Update(self.model.optimizer)
        self._numbers = Numbers(self.model.optimizer, _penalties(self.model))

    def _epoch_graph(  # noqa: PLR0917 - `Tensors`, then the order
        self,
        x: Tensor,
        y: Tensor,
        x_val: Tensor,
        y_val: Tensor,
        w: Tensor | None,
        w_val: Tensor | None,
        order: Tensor,
    ) -> Tensor:
        measures = self._measures
        with self._numbers.in_graph():
            trained = self._train((x, measures.prepare(y), w), order)
            # Before validation: metrics of a model's own are the same objects in both.
            numbers = measures.result(trained, x.shape[0])
            validated = self._validate((x_val, measures.prepare(y_val), w_val))
        for name, number in measures.result(validated, x_val.shape[0]).items():
            numbers[f"val_{name}"] = number
        self._names = tuple(numbers)
        return tf.stack(list(numbers.values()))

    def _train(self, data: Rows, order: Tensor) -> Sums:
        x, y, w = data

        def step(begin: Tensor, rows: Tensor, sums: Sums) -> Sums:
            batch = tf.slice(order, [begin], [rows])
            weights = None if w is None else tf.gather(w, batch)
            return self._step((tf.gather(x, batch), tf.gather(y, batch), weights), sums)

        rows, size = x.shape[0], self._batch_size
        sums = self._measures.start()
        if self.kind == "graph":
            return _over_rows(rows, size, step, sums)
        full = rows - rows % size
        if full:
            loop = tf.function(
                lambda sums: _over_rows(full, size, step, sums), autograph=False, jit_compile=True
            )
            sums = loop(sums)
        return sums if full == rows else step(full, rows - full, sums)

    def _validate(self, data: Rows) -> Sums:
        x, y, w = data

        def step(begin: Tensor, rows: Tensor, sums: Sums) -> Sums:
            x_batch, y_batch = x[begin : begin + rows], y[begin : begin + rows]
            weights = None if w is None else w[begin : begin + rows]
            prediction = self._call(x_batch, training=False)
            objective = self._measures.objective(x_batch, y_batch, prediction, weights)
            return self._measures.add(sums, (x_batch, y_batch, prediction, weights), objective)

        return _over_rows(x.shape[0], _VALIDATION_ROWS, step, self._measures.start())

    def _step(self, batch: Rows, sums: Sums) -> Sums:
        x, y, weights = batch
        optimizer = self.model.optimizer
        with tf.GradientTape() as tape:
            prediction = self._call(x, training=True)
            objective = self._measures.objective(x, y, prediction, weights)
            scaled = optimizer.scale_loss(objective)
        # Measured before the update: regularisation is that of the weights that predicted.
        sums = self._measures.add(sums, (x, y, prediction, weights), objective)
        gradients = tape.gradient(scaled, self._variables)
        self._update.apply(gradients, self._variables)
        return sums

    def _call(self, x: Tensor, *, training: bool) -> Tensor:
        # A subclass's `call` need not know of training; Keras' own models do.
        return self.model(x, training=training) if self._knows_training else self.model(x)


def _penalties(model: keras.Model) -> list[Any]:
    regularizers = [getattr(layer, "kernel_regularizer", None) for layer in model.layers]
    return [each for each in regularizers if type(each) is keras.regularizers.L2]


def _over_rows(rows: int, size: int, step: Step, sums: Sums) -> Sums:
    """`step(begin, rows of this step, sums)` for every `size` rows; the last may have fewer."""
    if rows <= size:
        return step(0, rows, sums)
    steps_are_equal = rows % size == 0

    def body(begin: Tensor, *sums: Tensor) -> tuple[Tensor, ...]:
        count = size if steps_are_equal else tf.minimum(size, rows - begin)
        return (begin + size, *step(begin, count, sums))

    start = tf.constant(0)
    _, *done = tf.while_loop(lambda begin, *_: begin < rows, body, (start, *sums))
    return tuple(done)
