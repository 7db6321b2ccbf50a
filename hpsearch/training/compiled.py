"""The compiled trainer: one call of a TensorFlow graph trains an epoch and validates."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

import keras
import tensorflow as tf

from hpsearch.data.dataset import unpacked
from hpsearch.data.specs import Arrays
from hpsearch.models.mlp import build_optimizer, reseed
from hpsearch.space.mlp import MLPConfig
from hpsearch.training.faster import BaseAndHead, fused_lstms
from hpsearch.training.measures import Measures, Sums, as_tensor, tensor_of
from hpsearch.training.trainer import KerasTrainer, State, TrainerRequest
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


class Tensors(NamedTuple):
    """`Arrays` as tensors of the same shapes and types."""

    x_train: Any
    y_train: Any
    x_val: Any
    y_val: Any
    w_train: Any = None
    w_val: Any = None


# Only the last arrays' results are kept: a process trains on one data set.
@lru_cache(maxsize=1)
def as_tensors(arrays: Arrays) -> Tensors:
    """Return the arrays as tensors, which are cached."""
    given = (arrays.x_train, arrays.y_train, arrays.x_val, arrays.y_val)
    weights = (arrays.w_train, arrays.w_val)
    return Tensors(*map(tensor_of, given), *(None if w is None else tensor_of(w) for w in weights))


def expressible(
    model: keras.Model, *, several_inputs: bool = False, several_targets: bool = False
) -> bool:
    """Check if the compiled trainer trains this model as `fit` would.

    It does not if the model overrides a method of its training step, runs eagerly, or has several
    inputs for one array or several outputs for one target. Nor does it if a layer keeps state in a
    `tf.Variable` that is not a Keras weight, or from one batch to the next. An overridden
    `compute_loss` is used.

    Args:
        several_inputs: Whether each input has its own array.
        several_targets: Whether each output has its own target.
    """
    methods = (getattr(type(model), name) for name in FIT_METHODS)
    layers = model._flatten_layers()  # noqa: SLF001
    return (
        all(method.__module__.startswith("keras.") for method in methods)
        and not model.run_eagerly
        and (several_inputs or _is_single(model, "inputs"))
        and (several_targets or _is_single(model, "outputs"))
        and not any(_keeps_state(layer) for layer in layers)
    )


def trains_in_graph(model: keras.Model, request: TrainerRequest, kind: str | None) -> bool:
    """Check if the compiled trainer can train the model; see `expressible`.

    Args:
        kind: The requested kind of trainer, or None.

    Raises:
        ValueError: It cannot, and the kind requires it.
    """
    problem = request.problem
    several = {
        "several_inputs": bool(problem.input.parts),
        "several_targets": bool(problem.target.parts),
    }
    if expressible(model, **several):
        return True
    if kind not in (None, "fit"):
        raise ValueError(f"a model with its own training step cannot be trained by {kind!r}")
    return False


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
        request: The training.
        kind: `graph` or `xla`.
        measures: Compute the loss and the metrics of the model.
        split: The model's frozen base and its head, if there is a base. The base runs once, and its
            outputs are kept.
    """

    def __init__(
        self,
        model: keras.Model,
        request: TrainerRequest,
        kind: str,
        measures: Measures,
        split: BaseAndHead | None = None,
    ) -> None:
        super().__init__(model)
        self.kind = kind
        self._split = split
        self._called = split.head if split else model
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
        #: The data after the frozen base, or without one unchanged.
        self._rows: Tensors | None = None if self._split else self._data

    def run_epoch(self) -> dict[str, float]:
        self._epoch += 1
        if self._rows is None:
            assert self._split is not None
            self._rows = _after(self._split.base, self._data)
        numbers = self._run(*self._rows, tf.constant(self._order(self._epoch)))
        return dict(zip(self._names, numbers.numpy().tolist(), strict=True))

    def resume(self, epoch: int, state: State) -> None:
        super().resume(epoch, state)
        if self._split is not None:
            self._rows = None

    @property
    def traces(self) -> int:
        """How often the epoch was traced."""
        return int(self._run.experimental_get_tracing_count())

    @property
    def nbytes(self) -> int:
        """Bytes of the variables of model and optimizer."""
        variables = self._state_variables()
        return sum(math.prod(variable.shape) * variable.value.dtype.size for variable in variables)

    @property
    def restarts(self) -> bool:
        """True if `restart` is possible."""
        return self._update.restarts

    def restart(self, request: TrainerRequest) -> None:
        """Begin another training with the same graph; it equals that of a new trainer to the bit.

        Args:
            request: A training of an MLP with the same `graphs.graph_key`.
        """
        self._take(request)
        self._first.restore()
        reseed(self.model, request.problem.recipe.sweep_seed, request.seed)
        self._update.restart()
        optimizer = build_optimizer(request.values)
        self._numbers.take(optimizer, MLPConfig(request.values).l2)

    def _build(self) -> None:
        """Create all variables, since a traced function may not."""
        x = unpacked(self._data.x_train[:1], self._inputs, as_tensor)
        self._measures.build(x, self._data.y_train[:1])
        self._first = FirstValues(self.model.variables)
        self._variables = self.model.trainable_variables
        self.model.optimizer.build(self._variables)
        self._update = Update(self.model.optimizer)
        regularizers = [getattr(layer, "kernel_regularizer", None) for layer in self.model.layers]
        penalties = [
            regularizer
            for regularizer in regularizers
            if type(regularizer) is keras.regularizers.L2
        ]
        self._numbers = OptimizerNumbers(self.model.optimizer, penalties)

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
        with self._numbers.in_graph(), self._fused():
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

    def _fused(self) -> contextlib.AbstractContextManager[None]:
        # XLA lacks these kernels.
        return fused_lstms(self.model) if self.kind == "graph" else contextlib.nullcontext()

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
        self._update.apply(gradients, self._variables)
        return sums

    def _call(self, x: Tensor, *, training: bool) -> Tensor:
        # A subclass's `call` may lack the argument.
        called = self._called
        return called(x, training=training) if self._knows_training else called(x)


def _after(base: keras.Model, data: Tensors) -> Tensors:
    """Return the data with the base's outputs in place of x."""
    apply = tf.function(lambda x: base(x, training=False), autograph=False, reduce_retracing=True)

    def applied(x: Tensor) -> Tensor:
        if not x.shape[0]:
            return tf.zeros((0, *base.output_shape[1:]))
        starts = range(0, x.shape[0], _VALIDATION_ROWS)
        return tf.concat([apply(x[n : n + _VALIDATION_ROWS]) for n in starts], axis=0)

    return data._replace(x_train=applied(data.x_train), x_val=applied(data.x_val))


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
