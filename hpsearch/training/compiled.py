"""The compiled trainer: one call of a TensorFlow graph trains an epoch and validates."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from typing import Any, Final

import keras
import tensorflow as tf

from hpsearch.data.dataset import unpacked
from hpsearch.data.specs import Arrays
from hpsearch.models.mlp import build_optimizer, reseed
from hpsearch.models.problem import Problem
from hpsearch.space.mlp import MLPConfig
from hpsearch.training.measures import Measures, Sums, as_tensor, tensor_of
from hpsearch.training.trainer import KerasTrainer, TrainerRequest
from hpsearch.training.update import FirstValues, OptimizerNumbers, Update

Tensor = Any
Step = Callable[[Tensor, Tensor, Sums], Sums]
Rows = tuple[Tensor, Tensor, Tensor | None]

#: Rows of a validation step: enough to make dispatch negligible, few enough for the processor's
#: cache. Its only effect on results is the order of sums.
_VALIDATION_ROWS = 1024


#: Methods that `fit` calls and that a model may override.
FIT_METHODS: Final = frozenset(
    {
        "compute_metrics",
        "evaluate",
        "fit",
        "make_test_function",
        "make_train_function",
        "test_step",
        "train_step",
    }
)


# Only the last arrays' results are kept: a process trains on one data set.
@lru_cache(maxsize=1)
def as_tensors(arrays: Arrays) -> tuple[Tensor, ...]:
    """Return the arrays as tensors of the same shapes and types, which are cached."""
    given = (arrays.x_train, arrays.y_train, arrays.x_val, arrays.y_val)
    weights = (arrays.w_train, arrays.w_val)
    return (*map(tensor_of, given), *(None if w is None else tensor_of(w) for w in weights))


def expressible(model: keras.Model, problem: Problem) -> bool:
    """Check if the compiled trainer trains this model as `fit` would.

    It does not if the model overrides a method of its training step, runs eagerly, or has several
    inputs for one array or several outputs for one target. Nor does it if a layer keeps state in a
    `tf.Variable` that is not a Keras weight, or from one batch to the next. An overridden
    `compute_loss` is used.
    """
    methods = (getattr(type(model), name) for name in FIT_METHODS)
    layers = model._flatten_layers()  # noqa: SLF001
    return (
        all(method.__module__.startswith("keras.") for method in methods)
        and not model.run_eagerly
        and (bool(problem.input.parts) or _is_single(model, "inputs"))
        and (bool(problem.target.parts) or _is_single(model, "outputs"))
        and not any(_keeps_state(layer) for layer in layers)
    )


def _is_single(model: keras.Model, name: str) -> bool:
    tensors = getattr(model, name, None)
    return tensors is None or len(tensors) == 1


def _keeps_state(layer: Any) -> bool:
    if isinstance(layer, keras.layers.RNN) and getattr(layer, "stateful", False):
        return True
    return any(isinstance(value, tf.Variable) for value in vars(layer).values())


class CompiledTrainer(KerasTrainer):
    """Trains by a `tf.while_loop` over batches, gathered by the epoch's permutation.

    Kind `graph`: one loop, whose last step may be shorter. Kind `xla`: XLA needs known shapes, so
    it compiles the loop over full batches, and the graph around it trains the partial batch and
    validates. The data are arguments, because constants would be copied into the graph, which may
    not exceed 2 GB.

    Args:
        model: Compiled; its optimizer is used.
    """

    def __init__(
        self, model: keras.Model, request: TrainerRequest, kind: str, measures: Measures
    ) -> None:
        super().__init__(model)
        self.kind = kind
        problem = request.problem
        self._inputs = problem.input.parts
        self._measures = measures
        self._batch_size = request.batch_size
        self._take(request)
        self._names: tuple[str, ...] = ()
        self._knows_training = bool(model._call_has_training_arg)  # noqa: SLF001
        self._build()
        self._run = tf.function(self._epoch_graph, autograph=False)

    def _take(self, request: TrainerRequest) -> None:
        """Take the rows of a training, and their orders."""
        self._data, self._order, self._epoch = as_tensors(request.arrays), request.order, 0

    def run_epoch(self) -> dict[str, float]:
        self._epoch += 1
        numbers = self._run(*self._data, tf.constant(self._order(self._epoch)))
        return dict(zip(self._names, numbers.numpy().tolist(), strict=True))

    @property
    def nbytes(self) -> int:
        """Bytes of the variables of model and optimizer."""
        variables = self._state_variables()
        return sum(math.prod(variable.shape) * variable.value.dtype.size for variable in variables)

    def restart(self, request: TrainerRequest) -> None:
        """Begin another training with the same graph, equal to that of a new trainer to the bit."""
        self._take(request)
        self._first.restore()
        reseed(self.model, request.problem.recipe.sweep_seed, request.seed)
        self._update.restart()
        optimizer = build_optimizer(request.values)
        self._numbers.take(optimizer, MLPConfig(request.values).l2)

    def _build(self) -> None:
        """Create all variables, since a traced function may not."""
        x, y = (rows[:1] for rows in self._data[:2])
        self._measures.build(unpacked(x, self._inputs, as_tensor), y)
        self._first = FirstValues(self.model.variables)
        self._variables = self.model.trainable_variables
        self.model.optimizer.build(self._variables)
        self._update = Update(self.model.optimizer)
        self.restarts = self._update.restarts
        regularizers = [getattr(layer, "kernel_regularizer", None) for layer in self.model.layers]
        penalties = [
            regularizer
            for regularizer in regularizers
            if type(regularizer) is keras.regularizers.L2
        ]
        self._numbers = OptimizerNumbers(self.model.optimizer, penalties)

    def _epoch_graph(  # noqa: PLR0917 - `as_tensors`, then the order
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
        # XLA lacks these kernels.
        fused = fused_lstms(self.model) if self.kind == "graph" else contextlib.nullcontext()
        with self._numbers.in_graph(), fused:
            trained = self._train((x, measures.prepare(y), w), order)
            # Before validation, which reuses a custom model's metric objects.
            numbers = measures.result(trained, x.shape[0])
            rows = x_val.shape[0]
            if rows:
                validated = self._validate((x_val, measures.prepare(y_val), w_val))
                result = measures.result(validated, rows)
                numbers |= {f"val_{name}": number for name, number in result.items()}
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
            x_batch = unpacked(x[begin : begin + rows], self._inputs, as_tensor)
            y_batch = y[begin : begin + rows]
            weights = None if w is None else w[begin : begin + rows]
            batch = (x_batch, y_batch, self._call(x_batch, training=False), weights)
            return self._measures.add(sums, batch, self._measures.objective(batch))

        return _over_rows(x.shape[0], _VALIDATION_ROWS, step, self._measures.start())

    def _step(self, rows: Rows, sums: Sums) -> Sums:
        x, y, weights = rows
        x = unpacked(x, self._inputs, as_tensor)
        with tf.GradientTape() as tape:
            batch = (x, y, self._call(x, training=True), weights)
            objective = self._measures.objective(batch)
            scaled = self.model.optimizer.scale_loss(objective)
        # Before the update, as regularisation counts the weights that predicted.
        sums = self._measures.add(sums, batch, objective)
        gradients = tape.gradient(scaled, self._variables)
        self.model.optimizer.apply(gradients, self._variables)
        return sums

    def _call(self, x: Tensor, *, training: bool) -> Tensor:
        # A subclass's `call` may lack the argument.
        return self.model(x, training=training) if self._knows_training else self.model(x)


def _over_rows(rows: int, size: int, step: Step, sums: Sums) -> Sums:
    """Run `step(begin, rows, sums)` for every `size` rows; the last step may have fewer."""
    if rows <= size:
        return step(0, rows, sums)
    steps_are_equal = rows % size == 0

    def body(begin: Tensor, *sums: Tensor) -> tuple[Tensor, ...]:
        count = size if steps_are_equal else tf.minimum(size, rows - begin)
        return (begin + size, *step(begin, count, sums))

    start = tf.constant(0)
    _, *done = tf.while_loop(lambda begin, *_: begin < rows, body, (start, *sums))
    return tuple(done)


@contextlib.contextmanager
def fused_lstms(model: keras.Model) -> Iterator[None]:
    """Within this context, graphs run the kernel for LSTM layers that have its formula."""
    fused = []
    if not tf.config.list_physical_devices("GPU"):  # On a GPU Keras calls cuDNN.
        fused = [layer for layer in model._flatten_layers() if _has_kernel(layer)]  # noqa: SLF001
    for layer in fused:
        layer.inner_loop = partial(_inner_loop, layer)
    try:
        yield
    finally:
        for layer in fused:
            del layer.inner_loop


def _has_kernel(layer: Any) -> bool:
    # Only the exact class: a subclass may have another formula.
    return (
        type(layer) is keras.layers.LSTM
        and not {"call", "inner_loop"} & vars(layer).keys()
        and layer.activation is keras.activations.tanh
        and layer.recurrent_activation is keras.activations.sigmoid
        and layer.dtype_policy.name == "float32"
        and not layer.recurrent_dropout
        and not layer.stateful
    )


def _inner_loop(
    layer: Any,
    sequences: Tensor,
    initial_state: Sequence[Tensor],
    mask: Tensor | None,
    training: bool = False,
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Return the last output, all outputs `(rows, steps, units)`, and the state.

    Args:
        sequences: `(rows, steps, features)`.
        initial_state: Two tensors `(rows, units)`.
        mask: A mask, with which Keras' `LSTM.inner_loop` runs, or None.
    """
    if mask is not None:
        whole: tuple[Tensor, Tensor, list[Tensor]] = keras.layers.LSTM.inner_loop(
            layer, sequences, initial_state, mask, training
        )
        return whole
    cell = layer.cell
    if training and layer.dropout:
        dropped = cell.get_dropout_mask(sequences[:, 0, :])
        sequences *= tf.expand_dims(dropped, axis=1)
    steps = tf.transpose(sequences, (1, 0, 2))
    kernels = tf.concat([cell.kernel.value, cell.recurrent_kernel.value], axis=0)
    unused = tf.zeros((layer.units,))
    run = tf.raw_ops.BlockLSTM(
        seq_len_max=tf.shape(steps, out_type=tf.int64)[0],
        x=tf.reverse(steps, axis=[0]) if layer.go_backwards else steps,
        h_prev=initial_state[0],
        cs_prev=initial_state[1],
        w=_in_the_kernels_order(kernels),
        b=tf.zeros((4 * layer.units,)) if cell.bias is None else _in_the_kernels_order(cell.bias),
        wci=unused,
        wcf=unused,
        wco=unused,
        forget_bias=0.0,
        cell_clip=-1.0,
        use_peephole=False,
    )
    outputs = tf.transpose(run.h, (1, 0, 2))
    return outputs[:, -1], outputs, [run.h[-1], run.cs[-1]]


def _in_the_kernels_order(gates: Tensor) -> Tensor:
    """Return gates `(..., 4 * units)` in the kernel's order: the cell before the forget gate."""
    at_input, forget, cell, at_output = tf.split(tf.convert_to_tensor(gates), 4, axis=-1)
    return tf.concat([at_input, cell, forget, at_output], axis=-1)
