"""The compiled trainer: an epoch and its validation are one call of one TensorFlow graph."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from hpsearch.training.measures import Measures, Sums
from hpsearch.training.trainer import (
    OPTIMIZER_NUMBERS,
    SCHEDULE_NUMBERS,
    FirstValues,
    State,
    nbytes,
    read,
    write,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    from hpsearch.data.specs import Arrays

#: TensorFlow takes memory as it is only where Eigen's vector instructions can read it.
_ALIGNMENT_BYTES = 64


class Tensors(NamedTuple):
    """`Arrays` as tensors of the same shapes and types."""

    x_train: Any
    y_train: Any
    x_val: Any
    y_val: Any
    w_train: Any = None
    w_val: Any = None


class _Latest:
    """The tensors of the arrays that were used last: a process trains on one data set."""

    arrays: Arrays | None = None
    tensors: Tensors | None = None


def as_tensors(arrays: Arrays) -> Tensors:
    """The same tensors as the last time where `arrays` is the same object."""
    if _Latest.tensors is None or _Latest.arrays is not arrays:
        _Latest.tensors = Tensors(
            *map(_tensor, (arrays.x_train, arrays.y_train, arrays.x_val, arrays.y_val)),
            *(None if each is None else _tensor(each) for each in (arrays.w_train, arrays.w_val)),
        )
        _Latest.arrays = arrays
    return _Latest.tensors


class _Fitted:
    """The arrays that were made to fit last."""

    arrays: Arrays | None = None
    asked: tuple[tuple[int, ...], int | None] | None = None
    fitted: Arrays | None = None


def fitted(arrays: Arrays, shape: tuple[int, ...], *, classes: int | None) -> Arrays:
    """The same data as a model of one's own takes it; the same object as the last time.

    Args:
        shape: Of a row; rows are not copied.
        classes: Labels are one-hot in so many classes; None leaves them.
    """
    if arrays.x_train.shape[1:] == shape and classes is None:
        return arrays
    asked = (shape, classes)
    if _Fitted.fitted is None or _Fitted.arrays is not arrays or _Fitted.asked != asked:
        y_train, y_val = arrays.y_train, arrays.y_val
        if classes is not None:
            y_train, y_val = (np.eye(classes, dtype=np.float32)[y] for y in (y_train, y_val))
        x_train, x_val = (x.reshape(-1, *shape) for x in (arrays.x_train, arrays.x_val))
        _Fitted.arrays, _Fitted.asked = arrays, asked
        _Fitted.fitted = replace(arrays, x_train=x_train, x_val=x_val, y_train=y_train, y_val=y_val)
    return _Fitted.fitted


def _tensor(array: npt.NDArray[Any]) -> Any:
    if _is_shareable(array):
        return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
    return tf.constant(array)


def _is_shareable(array: npt.NDArray[Any]) -> bool:
    """Whether TensorFlow can use the array's memory; read-only arrays have no DLPack form."""
    return bool(
        array.size
        and array.flags.writeable
        and array.flags.c_contiguous
        and array.ctypes.data % _ALIGNMENT_BYTES == 0
    )


#: What `fit` calls and a subclass may replace; the compiled trainer has its own of each.
_OWN_STEP = (
    "compute_metrics",
    "evaluate",
    "fit",
    "make_test_function",
    "make_train_function",
    "test_step",
    "train_step",
)


def expressible(model: keras.Model, *, several_targets: bool = False) -> bool:
    """Whether the compiled trainer does what `fit` would do with this model.

    It does unless the model replaces one of the methods of its training step, is to run
    eagerly, has several inputs, or several outputs for one target, a layer keeps state in a
    `tf.Variable` that Keras does not know as a weight, or from one batch to the next. An overridden
    `compute_loss` is honoured.

    Args:
        several_targets: Whether each output has a target of its own.
    """
    return (
        not any(_overrides(model, name) for name in _OWN_STEP)
        and not model.run_eagerly
        and _is_single(model, "inputs")
        and (several_targets or _is_single(model, "outputs"))
        and not any(_hides_state(layer) or _is_stateful(layer) for layer in _layers(model))
    )


def _overrides(model: keras.Model, name: str) -> bool:
    return not getattr(type(model), name).__module__.startswith("keras.")


def _is_single(model: keras.Model, name: str) -> bool:
    tensors = getattr(model, name, None)
    return tensors is None or len(tensors) == 1


def _layers(layer: Any) -> list[Any]:
    return list(layer._flatten_layers())  # noqa: SLF001


def _is_stateful(layer: Any) -> bool:
    return bool(getattr(layer, "stateful", False)) and isinstance(layer, keras.layers.RNN)


def _hides_state(layer: Any) -> bool:
    return any(isinstance(value, tf.Variable) for value in vars(layer).values())


Tensor = Any
Kernel = Callable[[Any, Tensor, Any], None]


class Update:
    """How a built optimizer changes weights.

    Args:
        optimizer: Of Keras; it updates by fused kernels from now on, where its formula has one.
    """

    def __init__(self, optimizer: Any) -> None:
        self._optimizer = optimizer
        self._scratch = _scratch(optimizer)
        _fuse(optimizer, self._scratch)
        self._first = FirstValues(optimizer.variables)

    def apply(self, gradients: Sequence[Tensor], variables: Sequence[Any]) -> None:
        """One update of `variables`."""
        self._optimizer.apply(gradients, variables)

    @property
    def restarts(self) -> bool:
        """Whether `restart` knows all first values."""
        return self._first.complete or _begins_with_weights(self._optimizer)

    def restart(self) -> None:
        """Sets the state to that before any update; the weights have their first values already."""
        self._first.restore()
        for variable in self._scratch:
            variable.assign(tf.zeros_like(variable))
        if _begins_with_weights(self._optimizer):
            _begin_with_weights(self._optimizer)


def is_fused(optimizer: Any) -> bool:
    """Whether there is a kernel for this optimizer as it is set."""
    return _maker(optimizer) is not None


def _fuse(optimizer: Any, scratch: Sequence[Any]) -> None:
    maker = _maker(optimizer)
    if maker is None:
        return
    kernel = maker(optimizer, scratch)
    by_operations = optimizer._backend_update_step  # noqa: SLF001

    def update_step(
        gradients: Sequence[Tensor], variables: Sequence[Any], learning_rate: Tensor
    ) -> None:
        if not all(_is_plain(gradient) for gradient in gradients):
            by_operations(gradients, variables, learning_rate)
            return
        kernel(gradients, variables, tf.cast(learning_rate, tf.float32))

    optimizer._backend_update_step = update_step  # noqa: SLF001


def _is_plain(gradient: Tensor) -> bool:
    return not isinstance(gradient, tf.IndexedSlices) and gradient.dtype == tf.float32


def _scratch(optimizer: Any) -> list[Any]:
    """Variables that a kernel writes to and Keras has not; what they hold has no effect."""
    if not is_fused(optimizer) or not isinstance(optimizer, keras.optimizers.RMSprop):
        return []
    slots = [] if optimizer.momentum else optimizer._velocities  # noqa: SLF001
    return [tf.Variable(tf.zeros_like(slot.value), trainable=False) for slot in slots]


def _begins_with_weights(optimizer: Any) -> bool:
    # By its name: not every Keras has the class.
    return type(optimizer).__name__ == "ScheduleFreeAdamW"


def _begin_with_weights(optimizer: Any) -> None:
    for slot, weight in zip(
        optimizer._momentums,  # noqa: SLF001
        optimizer._trainable_variables,  # noqa: SLF001
        strict=True,
    ):
        slot.assign(weight)


def _maker(optimizer: Any) -> Callable[[Any, Sequence[Any]], Kernel] | None:
    # The exact class: a subclass may have another formula.
    maker = _MAKERS.get(type(optimizer))
    if maker is None or not hasattr(optimizer, "_backend_update_step"):
        return None
    if not 0 < getattr(optimizer, "beta_2", 0.5) < 1:
        return None
    if getattr(optimizer, "amsgrad", False) or getattr(optimizer, "centered", False):
        return None
    return maker


def _handle(variable: Any) -> Any:
    return getattr(variable, "value", variable).handle


def _index(optimizer: Any, variable: Any) -> int:
    return int(optimizer._get_variable_index(variable))  # noqa: SLF001


def _sgd(optimizer: Any, _: Sequence[Any]) -> Kernel:
    def kernel(gradients: Sequence[Tensor], variables: Sequence[Any], rate: Tensor) -> None:
        for gradient, variable in zip(gradients, variables, strict=True):
            if not optimizer.momentum:
                tf.raw_ops.ResourceApplyGradientDescent(
                    var=_handle(variable), alpha=rate, delta=gradient
                )
                continue
            slot = optimizer.momentums[_index(optimizer, variable)]
            tf.raw_ops.ResourceApplyKerasMomentum(
                var=_handle(variable),
                accum=_handle(slot),
                lr=rate,
                grad=gradient,
                momentum=optimizer.momentum,
                use_nesterov=optimizer.nesterov,
            )

    return kernel


def _adam(optimizer: Any, _: Sequence[Any]) -> Kernel:
    def kernel(gradients: Sequence[Tensor], variables: Sequence[Any], rate: Tensor) -> None:
        step = tf.cast(optimizer.iterations + 1, tf.float32)
        powers = tf.pow(optimizer.beta_1, step), tf.pow(optimizer.beta_2, step)
        rate = rate * _adam_correction(optimizer.beta_2, step, powers[1])
        for gradient, variable in zip(gradients, variables, strict=True):
            index = _index(optimizer, variable)
            tf.raw_ops.ResourceApplyAdam(
                var=_handle(variable),
                m=_handle(optimizer._momentums[index]),  # noqa: SLF001
                v=_handle(optimizer._velocities[index]),  # noqa: SLF001
                beta1_power=powers[0],
                beta2_power=powers[1],
                lr=rate,
                beta1=optimizer.beta_1,
                beta2=optimizer.beta_2,
                epsilon=optimizer.epsilon,
                grad=gradient,
            )

    return kernel


def _adam_correction(beta_2: float, step: Tensor, power: Tensor) -> Tensor:
    """Learning rate's factor that makes the kernel's step Keras' step.

    The kernel weighs a squared gradient by `1 - float32(beta_2)`, Keras by `float32(1 - beta_2)`;
    for 0.999 these differ by 1.3e-5. After t steps the kernel's velocity is Keras' times
    `(1 - float32(beta_2)^t) / (1 - beta_2^t)`: exactly so where squared gradients are constant,
    and within 1e-8 a step of their age where not.
    """
    return tf.sqrt((1.0 - power) / -tf.math.expm1(step * math.log(beta_2)))


def _rmsprop(optimizer: Any, scratch: Sequence[Any]) -> Kernel:
    # Without momentum the kernel writes the increment there.
    momentums = scratch or [slot.value for slot in optimizer._momentums]  # noqa: SLF001

    def kernel(gradients: Sequence[Tensor], variables: Sequence[Any], rate: Tensor) -> None:
        for gradient, variable in zip(gradients, variables, strict=True):
            index = _index(optimizer, variable)
            tf.raw_ops.ResourceApplyRMSProp(
                var=_handle(variable),
                ms=_handle(optimizer._velocities[index]),  # noqa: SLF001
                mom=momentums[index].handle,
                lr=rate,
                rho=optimizer.rho,
                momentum=optimizer.momentum,
                epsilon=optimizer.epsilon,
                grad=gradient,
            )

    return kernel


def _adagrad(optimizer: Any, _: Sequence[Any]) -> Kernel:
    for slot in optimizer._accumulators:  # noqa: SLF001
        # Keras adds epsilon under the root at every step, the kernel not at all: the sum of
        # squares starts with it instead.
        slot.value.assign_add(tf.fill(slot.shape, optimizer.epsilon))

    def kernel(gradients: Sequence[Tensor], variables: Sequence[Any], rate: Tensor) -> None:
        for gradient, variable in zip(gradients, variables, strict=True):
            slot = optimizer._accumulators[_index(optimizer, variable)]  # noqa: SLF001
            tf.raw_ops.ResourceApplyAdagrad(
                var=_handle(variable), accum=_handle(slot), lr=rate, grad=gradient
            )

    return kernel


_MAKERS: dict[type, Callable[[Any, Sequence[Any]], Kernel]] = {
    keras.optimizers.SGD: _sgd,
    keras.optimizers.Adam: _adam,
    keras.optimizers.AdamW: _adam,
    keras.optimizers.RMSprop: _rmsprop,
    keras.optimizers.Adagrad: _adagrad,
}


class OptimizerNumbers:
    """Those that Keras keeps as Python numbers, which a graph would hold as constants.

    Args:
        optimizer: Of Keras; it and the regularizers keep their own numbers between traces.
        regularizers: `keras.regularizers.L2`, with one weight.
    """

    def __init__(self, optimizer: Any, regularizers: Sequence[Any] = ()) -> None:
        self._optimizer = optimizer
        self._regularizers = regularizers
        self._places = [*_places(optimizer), *((each, "l2") for each in regularizers)]
        self._variables = [
            tf.Variable(float(value), dtype=tf.float32, trainable=False)
            for value in _values(self._places)
        ]

    @contextlib.contextmanager
    def in_graph(self) -> Iterator[None]:
        """As long as it lasts, what is traced reads variables."""
        values = _values(self._places)
        _set(self._places, list(map(_Number, values, self._variables)))
        try:
            yield
        finally:
            _set(self._places, values)

    def take(self, optimizer: Any, l2: float) -> None:
        """Sets the numbers to those of another optimizer with the same arguments, and the L2's."""
        values = [*_values(_places(optimizer)), *[l2] * len(self._regularizers)]
        _set(self._places, values)
        for variable, value in zip(self._variables, values, strict=True):
            variable.assign(float(value))
        own, other = self._optimizer._learning_rate, optimizer._learning_rate  # noqa: SLF001
        if isinstance(own, keras.Variable):
            own.assign(other)


class _Number:
    """A number in a graph: Python's branches see its value, operations its variable."""

    def __init__(self, value: float, variable: Any) -> None:
        self._value = value
        self._variable = variable

    def __tf_tensor__(self, dtype: Any = None, name: str | None = None) -> Any:
        return tf.convert_to_tensor(self._variable, dtype=dtype, name=name)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return self._value == other

    def __hash__(self) -> int:
        return hash(self._value)

    def __gt__(self, other: float) -> bool:
        return self._value > other

    def __sub__(self, other: Any) -> Any:
        return self._variable - other

    def __mul__(self, other: Any) -> Any:
        return self._variable * other


Place = tuple[Any, str]


def _places(optimizer: Any) -> list[Place]:
    """Objects and the names of their attributes that hold a number."""
    places = [(optimizer, name) for name in OPTIMIZER_NUMBERS]
    rate = optimizer._learning_rate  # noqa: SLF001 - the property would call a schedule
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        places += [(rate, name) for name in SCHEDULE_NUMBERS]
    return [place for place in places if isinstance(getattr(*place, None), int | float)]


def _values(places: Sequence[Place]) -> list[Any]:
    return [getattr(*place) for place in places]


def _set(places: Sequence[Place], values: Sequence[Any]) -> None:
    for (owner, name), value in zip(places, values, strict=True):
        setattr(owner, name, value)


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
        self._numbers = OptimizerNumbers(self.model.optimizer, _penalties(self.model))

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
