"""From a training's description to the trainer that runs it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from hpsearch.hyperparameters import DEFAULTS, widths
from hpsearch.layer_types import is_own_function
from hpsearch.seeds import epoch_order
from hpsearch.training.choice import choose, native_network

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    import numpy.typing as npt

    from hpsearch.training.base import Trainer
    from hpsearch.trial import Arrays, InputSpec, Recipe, Target

__all__ = ["make_trainer"]


def make_trainer(  # noqa: PLR0917 - named at every call
    values: Mapping[str, Any],
    seed: int,
    recipe: Recipe,
    input_spec: InputSpec,
    target: Target,
    arrays: Arrays,
    *,
    kind: str | None = None,
) -> Trainer:
    """Builds the model and what trains it.

    Args:
        values: The live hyperparameters; `epochs` is not among what is read.
        seed: The trial's seed.
        recipe: Loss, metric, the sweep's seed.
        input_spec: What a raw row is.
        target: What is predicted.
        arrays: The data; kept in memory, not copied where the arrays allow it, so they must not
            change while trainings go on.
        kind: `native`, `graph`, `xla` or `fit`; None picks one by the rule below.

    The rule: `native` where the extension knows the config (see `choice`); else `fit` where the
    model cannot be expressed as a graph (see `expressible`); `graph` for a model or a layer type
    of one's own, since XLA might not support it; else what `choose` says. So the kind depends on
    the config, the model and the data's size only.

    Raises:
        InputError: If a function of the user cannot be loaded.
        ValueError: If the kind is unknown, or the model cannot be trained by it.
    """
    if kind not in (None, "native", "graph", "xla", "fit"):
        raise ValueError(f"kind must be native, graph, xla, fit or None, not {kind!r}")
    network = None
    if kind in (None, "native"):
        network = native_network(values, seed, recipe, input_spec, target)
    if kind == "native" and network is None:
        raise ValueError("the extension cannot train this MLP")
    order = partial(epoch_order, recipe.sweep_seed, seed, rows=len(arrays.x_train))
    build = partial(_build, values, seed, recipe, input_spec, target)
    if network is not None:
        from hpsearch.training.native import NativeTrainer

        return NativeTrainer(network, arrays, target, order, model=build)
    return _by_tensorflow(build(), values, recipe, target, arrays, order, kind)


def _by_tensorflow(  # noqa: PLR0917 - named by their types
    model: Any,
    values: Mapping[str, Any],
    recipe: Recipe,
    target: Target,
    arrays: Arrays,
    order: Callable[[int], npt.NDArray[np.int32]],
    kind: str | None,
) -> Trainer:
    from hpsearch.training.compiled import CompiledTrainer
    from hpsearch.training.fit import FitTrainer
    from hpsearch.training.measures import make_measures
    from hpsearch.training.tensors import as_tensors

    batch_size = int(values.get("batch_size", DEFAULTS["batch_size"]))
    kind = _kind(model, values, recipe, target, len(arrays.x_train), kind)
    if kind == "fit":
        return FitTrainer(model, arrays, target, batch_size, order)
    measures = make_measures(model, recipe, target)
    return CompiledTrainer(
        model, as_tensors(arrays), measures, batch_size=batch_size, order=order, kind=kind
    )


def _kind(  # noqa: PLR0917 - named by their types
    model: Any,
    values: Mapping[str, Any],
    recipe: Recipe,
    target: Target,
    rows: int,
    asked: str | None,
) -> str:
    from hpsearch.training.expressible import expressible
    from hpsearch.training.update import is_fused

    if not expressible(model):
        if asked not in (None, "fit"):
            raise ValueError(f"a model with its own training step cannot be trained by {asked!r}")
        return "fit"
    if asked is not None:
        return asked
    if recipe.model or is_own_function(str(values.get("layer_type", ""))):
        return "graph"
    layers = (_inputs(model), *widths(values), target.outputs)
    batch_size = int(values.get("batch_size", DEFAULTS["batch_size"]))
    return choose(layers, batch_size, rows, fused=is_fused(model.optimizer))


def _inputs(model: Any) -> int:
    size = 1
    for length in model.input_shape[1:]:
        size *= length
    return size


def _build(*arguments: Any) -> Any:
    from hpsearch.hypermodel import build_model

    return build_model(*arguments)
