"""The trainer protocol, and the choice of a trainer by the config, the model and the data."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib import metadata
from itertools import pairwise
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from hpsearch.data.specs import Arrays
from hpsearch.machine import gpus
from hpsearch.models.problem import Problem
from hpsearch.space.mlp import MLPConfig
from hpsearch.space.seeds import epoch_order

State = tuple[npt.NDArray[Any], ...]

_COMPILE_SECONDS = 0.25
_COMPILE_SECONDS_PER_LAYER = 0.1
_SAVED_SECONDS_PER_LAYER = 40e-6
_SAVED_SECONDS_PER_LAYER_FUSED = 18e-6

#: With more multiplications in a layer's forward product, dispatch no longer matters.
_LARGE_PRODUCT = 10_000_000

_CUDNN = "libcudnn.so.9"

#: The fewest for which the native trainer gives a layer's product another thread.
_THREAD_PRODUCT = 500_000

#: Epochs within which a compilation must pay. Fixed: if it were the training's number of epochs,
#: trials that differ only in `epochs` could not share a training.
_EPOCHS = 5
#: Arguments of an optimizer that a graph reads as variables, like a constant learning rate.
OPTIMIZER_NUMBERS: Final = ("weight_decay", "adam_weight_decay", "momentum")
#: Arguments of a learning rate schedule that a graph reads as variables.
SCHEDULE_NUMBERS: Final = ("initial_learning_rate",)


@dataclass(frozen=True)
class TrainerRequest:
    """A training for which a trainer is to be made.

    Attributes:
        values: The active hyperparameters.
        threads: Returns the number of threads that the native trainer's next epoch may use.
    """

    problem: Problem
    values: Mapping[str, Any]
    seed: int
    arrays: Arrays
    epochs: int | None = None
    shuffled: bool = True
    threads: Callable[[], int] = lambda: 1

    @property
    def batch_size(self) -> int:
        """Rows of a step."""
        return MLPConfig(self.values).batch_size

    @property
    def order(self) -> Callable[[int], npt.NDArray[np.int32]]:
        """Epoch (from 1) -> permutation of the training rows, int32."""
        rows = len(self.arrays.x_train)
        if not self.shuffled:
            return lambda _: np.arange(rows, dtype=np.int32)
        return partial(epoch_order, self.problem.recipe.sweep_seed, self.seed, rows=rows)


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
    """Check that a state after `epoch` epochs has the shapes and types of the arrays `like`."""
    shapes = [(array.shape, array.dtype) for array in state]
    if epoch < 0 or shapes != [(array.shape, array.dtype) for array in like]:
        raise ValueError("the state is another training's")


def choose(widths: Sequence[int], batch_size: int, rows: int, *, fused: bool) -> str:
    """Return `xla` if compiling pays within five epochs, else `graph`.

    Args:
        widths: Widths of the input, every hidden layer and the output.
        batch_size: Rows of a step.
        rows: Rows of the training split.
        fused: Whether the optimizer updates each weight with one kernel.
    """
    layers = list(pairwise(widths))
    small = sum(batch_size * width * units <= _LARGE_PRODUCT for width, units in layers)
    saved = small * (_SAVED_SECONDS_PER_LAYER_FUSED if fused else _SAVED_SECONDS_PER_LAYER)
    compilation = _COMPILE_SECONDS + _COMPILE_SECONDS_PER_LAYER * len(layers)
    return "xla" if _EPOCHS * (rows // batch_size) * saved > compilation else "graph"


def all_widths(problem: Problem, values: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the widths of an MLP's input, every hidden layer and the output."""
    config = MLPConfig(values)
    return (problem.embedding(config).width, *config.widths, problem.target.outputs)


def suits_gpu(widths: Sequence[int], batch_size: int) -> bool:
    """Check if TensorFlow can use a GPU and a layer is large enough for it; see `choose`."""
    return batch_size * _largest(widths) > _LARGE_PRODUCT and gpu_is_usable()


def useful_threads(widths: Sequence[int], batch_size: int) -> int:
    """Return the number of threads that the native trainer keeps busy in its largest product."""
    return max(1, batch_size * _largest(widths) // _THREAD_PRODUCT)


def _largest(widths: Sequence[int]) -> int:
    """Return the weights of the largest layer, which is as many multiplications a row."""
    return max(width * units for width, units in pairwise(widths))


def gpu_is_usable() -> bool:
    """Check for a GPU and the libraries that TensorFlow needs, without importing TensorFlow.

    Source: https://www.tensorflow.org/install/pip, which takes the libraries from NVIDIA's packages
    (`tensorflow[and-cuda]`) or from the system.
    """
    return bool(gpus()) and _has_cudnn(_CUDNN)


@cache
def _has_cudnn(library: str) -> bool:
    with contextlib.suppress(metadata.PackageNotFoundError):
        return bool(metadata.version("nvidia-cudnn-cu12"))
    with contextlib.suppress(OSError):
        return bool(ctypes.CDLL(library))
    return False
