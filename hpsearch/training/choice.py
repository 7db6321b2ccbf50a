"""Graph or XLA: a formula, so that a score never depends on a stopwatch. Pure.

XLA makes a step cheaper by what it costs to dispatch the step's operations one by one, and costs
a compilation once. Measured on one thread of the machine in DESIGN.md (TensorFlow 2.21, adam, a
step of digits 64-100-10 at batch 32: 99 us as a graph, 52 us under XLA): 16 to 23 us a Dense
layer with fused update kernels, 35 to 50 us with Keras' update; nothing where the layer's matrix
products take hundreds of microseconds themselves. Compilation: 0.25 s and 0.1 s a layer.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpsearch.trial import InputSpec, Recipe, Target

__all__ = ["choose", "needs_tensorflow"]

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


def needs_tensorflow(
    values: Mapping[str, Any], recipe: Recipe, input_spec: InputSpec, target: Target
) -> bool:
    """Whether a training with these hyperparameters runs TensorFlow: every trainer does."""
    del values, recipe, input_spec, target
    return True
