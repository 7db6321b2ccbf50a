"""Which trainer a training gets, by a formula, and making it."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.data.specs import Target, Task, n_features
from hpsearch.errors import InputError
from hpsearch.models.layers import is_custom
from hpsearch.models.problem import Problem, Recipe
from hpsearch.native.extension import native_available
from hpsearch.native.network import DenseNetwork, describe, knows
from hpsearch.space.mlp import MLPConfig
from hpsearch.space.seeds import epoch_order
from hpsearch.training.native import NativeTrainer
from hpsearch.training.programs import Program, program_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    import numpy.typing as npt

    from hpsearch.data.specs import Arrays, Target
    from hpsearch.models.problem import Recipe
    from hpsearch.training.compiled import CompiledTrainer
    from hpsearch.training.programs import Programs
    from hpsearch.training.trainer import Trainer

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


def native_network(problem: Problem, values: Mapping[str, Any], seed: int) -> DenseNetwork | None:
    """What the native trainer trains of this config, or None where TensorFlow has to.

    It does wherever the extension is there and knows all of the config, except that a GPU trains
    layers whose products are large.
    """
    return None if needs_tensorflow(problem, values) else describe(problem, values, seed)


def needs_tensorflow(problem: Problem, values: Mapping[str, Any]) -> bool:
    """Whether a training of this config needs a process that can use TensorFlow."""
    if not native_available() or not knows(problem, values):
        return True
    config = MLPConfig(values)
    every = (n_features(problem.input), *config.widths, problem.target.outputs)
    return suits_gpu(every, config.batch_size)


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


_NOT_NATIVE = "the extension cannot train this MLP"


def make_trainer(
    problem: Problem,
    values: Mapping[str, Any],
    seed: int,
    arrays: Arrays,
    *,
    kind: str | None = None,
    programs: Programs | None = None,
    epochs: int | None = None,
) -> Trainer:
    """Builds the model and what trains it.

    Args:
        values: The live hyperparameters; `epochs` is not among what is read.
        seed: The trial's seed.
        arrays: The data; kept in memory, not copied where the arrays allow it, so they must not
            change while trainings go on.
        kind: `native`, `graph`, `xla` or `fit`; None picks one by the rule below.
        programs: Trainers of earlier trainings, which must be over: one whose graph serves this
            training, too, is begun anew and returned.
        epochs: How many the training takes; what a `fit` of one's own is told.

    The rule: `native` where the extension knows the config (see `needs_tensorflow`) or the model of
    one's own (see `native.keras_model`); else `fit` where the hypermodel has a `fit` of its own or
    the model cannot be expressed as a graph (see `compiled.expressible`); `graph` for a model or a
    layer type of one's own, since XLA might not support it; else what `choose` says. So the kind
    depends on the config, the model and the data only.

    Raises:
        InputError: If a function of the user cannot be loaded.
        ValueError: If the kind is unknown, or the model cannot be trained by it.
    """
    if kind not in (None, "native", "graph", "xla", "fit"):
        raise ValueError(f"kind must be native, graph, xla, fit or None, not {kind!r}")
    wanted = _Wanted(problem, values, seed, arrays, epochs)
    network = native_network(problem, values, seed) if kind in (None, "native") else None
    if network is not None:
        return NativeTrainer(network, arrays, wanted.order, model=wanted.build)
    if kind == "native" and not problem.recipe.model:
        raise ValueError(_NOT_NATIVE)
    return _by_tensorflow(wanted, kind, programs)


@dataclass(frozen=True)
class _Wanted:
    """What a trainer is made for."""

    problem: Problem
    values: Mapping[str, Any]
    seed: int
    arrays: Arrays
    epochs: int | None = None

    @property
    def recipe(self) -> Recipe:
        return self.problem.recipe

    @property
    def target(self) -> Target:
        return self.problem.target

    @property
    def config(self) -> MLPConfig:
        return MLPConfig(self.values)

    @property
    def batch_size(self) -> int:
        return self.config.batch_size

    @property
    def order(self) -> Callable[[int], npt.NDArray[np.int32]]:
        rows = len(self.arrays.x_train)
        return partial(epoch_order, self.recipe.sweep_seed, self.seed, rows=rows)

    def build(self) -> Any:
        from hpsearch.models.mlp import build_model

        return build_model(self.problem, self.values, self.seed)


def _by_tensorflow(wanted: _Wanted, kind: str | None, programs: Programs | None) -> Trainer:
    from hpsearch.models.mlp import Seeds, build_optimizer
    from hpsearch.training.compiled import as_tensors
    from hpsearch.training.fit import FitTrainer

    key = None
    if programs is not None:
        key = program_key(wanted.problem, wanted.values, wanted.arrays, kind=kind)
    seeds = (wanted.recipe.sweep_seed, wanted.seed)
    if programs is not None and (program := programs.find(key)) is not None:
        program.trainer.restart(
            as_tensors(wanted.arrays),
            order=wanted.order,
            set_random=partial(program.seeds.set, *seeds),
            optimizer=build_optimizer(wanted.values),
            l2=wanted.config.l2,
        )
        return program.trainer
    model = wanted.build()
    if wanted.recipe.model:
        wanted = replace(wanted, arrays=_as_input(model, wanted))
        if kind in (None, "fit") and (trainer := _custom_fit(wanted, model)) is not None:
            return trainer
        if kind in (None, "native") and (trainer := _custom_native(wanted, model)) is not None:
            return trainer
        if kind == "native":
            raise ValueError(_NOT_NATIVE)
    kind = _kind(model, wanted, kind)
    if kind == "fit":
        _require_fit_can(wanted)
        return FitTrainer(model, wanted.arrays, wanted.target, wanted.batch_size, wanted.order)
    trainer = _compiled(wanted, model, kind)
    if programs is not None and key is not None:
        programs.keep(key, Program(trainer, Seeds(model, *seeds)))
    return trainer


def _as_input(model: Any, wanted: _Wanted) -> Arrays:
    """The data in the shape that the model takes; a `fit` of one's own gets shaped rows as is."""
    from hpsearch.models.custom import hypermodel_of, labels_for, trains_itself
    from hpsearch.models.mlp import rows_shape
    from hpsearch.training.compiled import fitted

    arrays = wanted.arrays
    shape = arrays.x_train.shape[1:]
    if len(shape) == 1 or not trains_itself(hypermodel_of(wanted.recipe)):
        shape = rows_shape(model, shape)
    if wanted.target.parts:
        return fitted(arrays, shape, classes=None)
    one_hot = labels_for(model, arrays.y_train[:1], wanted.target).ndim > arrays.y_train.ndim
    return fitted(arrays, shape, classes=wanted.target.outputs if one_hot else None)


def _custom_fit(wanted: _Wanted, model: Any) -> Trainer | None:
    """What trains a model by the `fit` of its hypermodel; None where it has none of its own."""
    from hpsearch.models.custom import hypermodel_of, trains_itself
    from hpsearch.training.fit import CustomFitTrainer

    hypermodel = hypermodel_of(wanted.recipe)
    if not trains_itself(hypermodel):
        return None
    return CustomFitTrainer(
        hypermodel,
        model,
        wanted.problem,
        wanted.values,
        wanted.seed,
        wanted.arrays,
        epochs=wanted.epochs,
    )


def _custom_native(wanted: _Wanted, model: Any) -> Trainer | None:
    """The extension in place of Keras, from the model's own weights; None where it cannot."""
    target = wanted.target
    if not native_available() or target.parts or target.standardised:
        return None
    from hpsearch.native.keras_model import dense_model

    made = dense_model(model, wanted.arrays, wanted.batch_size)
    if made is None or suits_gpu(made[0].widths, wanted.batch_size):
        return None
    network, arrays = made

    return NativeTrainer(
        network, arrays, wanted.order, model=lambda: model, weights=model.get_weights()
    )


def _require_fit_can(wanted: _Wanted) -> None:
    """Where it cannot give the numbers that the other trainers give, it is not asked."""
    scored, target = wanted.recipe.keras_metric, wanted.target
    if scored:
        raise InputError(
            f"metric: {scored} is not reported of a layer type that keeps state of its own, which "
            "keras.Model.fit has to train; score loss, accuracy or mae, or leave the layer type out"
        )
    if wanted.recipe.weighted and target.task is Task.REGRESSION and target.standardised:
        raise InputError(
            "sample_weight: a layer type that keeps state of its own, which keras.Model.fit has "
            "to train, takes no weights for a regression; leave the weights or the layer type out"
        )


def _compiled(wanted: _Wanted, model: Any, kind: str) -> CompiledTrainer:
    from hpsearch.training.compiled import CompiledTrainer, as_tensors
    from hpsearch.training.measures import make_measures

    return CompiledTrainer(
        model,
        as_tensors(wanted.arrays),
        make_measures(model, wanted.recipe, wanted.target),
        batch_size=wanted.batch_size,
        order=wanted.order,
        kind=kind,
    )


def _kind(model: Any, wanted: _Wanted, asked: str | None) -> str:
    from hpsearch.training.compiled import expressible, is_fused

    if not expressible(model, several_targets=bool(wanted.target.parts)):
        if asked not in (None, "fit"):
            raise ValueError(f"a model with its own training step cannot be trained by {asked!r}")
        return "fit"
    if asked is not None:
        return asked
    if wanted.recipe.weighted or wanted.recipe.keras_metric:
        # Never tried under XLA, which has no kernels for all that Keras' metrics do.
        return "graph"
    if wanted.recipe.model or is_custom(wanted.config.layer_type):
        return "graph"
    layers = (_inputs(model), *wanted.config.widths, wanted.target.outputs)
    rows = len(wanted.arrays.x_train)
    return choose(layers, wanted.batch_size, rows, fused=is_fused(model.optimizer))


def _inputs(model: Any) -> int:
    size = 1
    for length in model.input_shape[1:]:
        size *= length
    return size
