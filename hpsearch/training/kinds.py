"""Choose a trainer, by rules that depend only on the config, the model and the data."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch.data.specs import Arrays, n_features
from hpsearch.models.problem import Problem
from hpsearch.native.extension import native_available
from hpsearch.native.network import knows
from hpsearch.space.mlp import MLPConfig
from hpsearch.space.seeds import epoch_order

_COMPILE_SECONDS = 0.25
_COMPILE_SECONDS_PER_LAYER = 0.1
_SAVED_SECONDS_PER_LAYER = 40e-6
_SAVED_SECONDS_PER_LAYER_FUSED = 18e-6

#: With more multiplications in a layer's forward product, dispatch no longer matters.
_LARGE_PRODUCT = 10_000_000

_NVIDIA_DEVICE, _AMD_DEVICE = Path("/dev/nvidia0"), Path("/dev/kfd")
_CUDNN = "libcudnn.so.9"

#: Epochs within which a compilation must pay. Fixed: if it were the training's number of epochs,
#: trials that differ only in `epochs` could not share a training.
_EPOCHS = 5


@dataclass(frozen=True)
class TrainerRequest:
    """The arguments of `make_trainer` that describe the training."""

    problem: Problem
    values: Mapping[str, Any]
    seed: int
    arrays: Arrays
    epochs: int | None = None
    shuffled: bool = True

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


def needs_tensorflow(problem: Problem, values: Mapping[str, Any]) -> bool:
    """Check if training this config needs a process that can use TensorFlow.

    It does not if the extension is available and supports the config, unless a GPU trains layers
    with large products.
    """
    if not native_available() or not knows(problem, values):
        return True
    config = MLPConfig(values)
    widths = (n_features(problem.input), *config.widths, problem.target.outputs)
    return suits_gpu(widths, config.batch_size)


def suits_gpu(widths: Sequence[int], batch_size: int) -> bool:
    """Check if TensorFlow can use a GPU and a layer is large enough for it.

    Args:
        widths: Widths of the input, every hidden layer and the output.
    """
    largest = max(batch_size * width * units for width, units in pairwise(widths))
    return largest > _LARGE_PRODUCT and gpu_is_usable()


def gpu_is_usable() -> bool:
    """Check for a GPU and the libraries that TensorFlow needs, without importing TensorFlow.

    Source: https://www.tensorflow.org/install/pip, which takes the libraries from NVIDIA's packages
    (`tensorflow[and-cuda]`) or from the system.
    """
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all") in ("", "-1"):
        return False
    if _AMD_DEVICE.exists():
        return _is_installed("tensorflow-rocm")
    if not _NVIDIA_DEVICE.exists() or _is_installed("tensorflow-cpu"):
        return False
    return _is_installed("nvidia-cudnn-cu12") or _loads(_CUDNN)


def _is_installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
