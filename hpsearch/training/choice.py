"""Native, graph or XLA: a formula, so that a score never depends on a stopwatch. Pure.

The native trainer where it knows all of a config (`dense.knows`): it takes half a graph's time for
a step and a thousandth for the first. Else `fit` where the model is no graph (`expressible`), else
a graph, plain or under XLA:

XLA makes a step cheaper by what it costs to dispatch the step's operations one by one, and costs
a compilation once. Measured on one thread of the machine in DESIGN.md (TensorFlow 2.21, adam, a
step of digits 64-100-10 at batch 32: 99 us as a graph, 52 us under XLA): 16 to 23 us a Dense
layer with fused update kernels, 35 to 50 us with Keras' update; nothing where the layer's matrix
products take hundreds of microseconds themselves. Compilation: 0.25 s and 0.1 s a layer.
"""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch import native
from hpsearch.hyperparameters import DEFAULTS, widths
from hpsearch.preprocessing import n_features
from hpsearch.training.dense import DenseNetwork, describe, knows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpsearch.trial import InputSpec, Recipe, Target

__all__ = ["choose", "native_network", "needs_tensorflow", "suits_gpu"]

_COMPILE_SECONDS = 0.25
_COMPILE_SECONDS_PER_LAYER = 0.1
_SAVED_SECONDS_PER_LAYER = 40e-6
_SAVED_SECONDS_PER_LAYER_FUSED = 18e-6

#: Multiplications of a layer's forward product from which dispatch no longer counts.
_LARGE_PRODUCT = 10_000_000

#: Epochs after which a compilation must have paid. Fixed: were it the training's own number,
#: trials that differ only in `epochs` could not share a training.
_EPOCHS = 5


def choose(widths: Sequence[int], batch_size: int, rows: int, *, fused: bool) -> str:
    """`xla` where its compilation pays within five epochs, else `graph`.

    Args:
        widths: Of the input, every hidden layer and the output.
        batch_size: Rows a step.
        rows: Of the training split.
        fused: Whether the optimizer's update is one kernel a weight.
    """
    layers = list(pairwise(widths))
    small = sum(batch_size * width * units <= _LARGE_PRODUCT for width, units in layers)
    saved = small * (_SAVED_SECONDS_PER_LAYER_FUSED if fused else _SAVED_SECONDS_PER_LAYER)
    compilation = _COMPILE_SECONDS + _COMPILE_SECONDS_PER_LAYER * len(layers)
    return "xla" if _EPOCHS * (rows // batch_size) * saved > compilation else "graph"


def native_network(
    values: Mapping[str, Any], seed: int, recipe: Recipe, input_spec: InputSpec, target: Target
) -> DenseNetwork | None:
    """What the native trainer trains of this config, or None where TensorFlow has to.

    It does wherever the extension is there and knows all of the config, except that a GPU trains
    layers whose products are large.
    """
    if needs_tensorflow(values, recipe, input_spec, target):
        return None
    return describe(values, seed, recipe, input_spec, target)


def needs_tensorflow(
    values: Mapping[str, Any], recipe: Recipe, input_spec: InputSpec, target: Target
) -> bool:
    """Whether a training of this config needs a process that can use TensorFlow."""
    if not native.available() or not knows(values, recipe, target):
        return True
    every = (n_features(input_spec), *widths(values), target.outputs)
    return suits_gpu(every, int(values.get("batch_size", DEFAULTS["batch_size"])))


def suits_gpu(widths: Sequence[int], batch_size: int) -> bool:
    """Whether there is a GPU, and a layer large enough for it.

    Args:
        widths: Of the input, every hidden layer and the output.
    """
    largest = max(batch_size * width * units for width, units in pairwise(widths))
    return largest > _LARGE_PRODUCT and _gpu_is_visible()


def _gpu_is_visible() -> bool:
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all") in ("", "-1"):
        return False
    return any(Path(device).exists() for device in ("/dev/nvidia0", "/dev/kfd"))
