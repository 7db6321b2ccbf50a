"""From a training's description to the trainer that runs it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from hpsearch import native
from hpsearch.errors import InputError
from hpsearch.hyperparameters import DEFAULTS, widths
from hpsearch.layer_types import is_own_function
from hpsearch.seeds import epoch_order
from hpsearch.training.choice import choose, native_network, suits_gpu
from hpsearch.training.programs import Program, program_key
from hpsearch.trial import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    import numpy as np
    import numpy.typing as npt

    from hpsearch.training.base import Trainer
    from hpsearch.training.compiled import CompiledTrainer
    from hpsearch.training.programs import Programs
    from hpsearch.trial import Arrays, InputSpec, Recipe, Target

__all__ = ["make_trainer"]

_NOT_NATIVE = "the extension cannot train this MLP"


def make_trainer(  # noqa: PLR0917 - named at every call
    values: Mapping[str, Any],
    seed: int,
    recipe: Recipe,
    input_spec: InputSpec,
    target: Target,
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
        recipe: Loss, metric, the sweep's seed.
        input_spec: What a raw row is.
        target: What is predicted.
        arrays: The data; kept in memory, not copied where the arrays allow it, so they must not
            change while trainings go on.
        kind: `native`, `graph`, `xla` or `fit`; None picks one by the rule below.
        programs: Trainers of earlier trainings, which must be over: one whose graph serves this
            training, too, is begun anew and returned.
        epochs: How many the training takes; what a `fit` of one's own is told.

    The rule: `native` where the extension knows the config (see `choice`) or the model of one's own
    (see `dense_model`); else `fit` where the hypermodel has a `fit` of its own or the model cannot
    be expressed as a graph (see `expressible`); `graph` for a model or a layer type of one's own,
    since XLA might not support it; else what `choose` says. So the kind depends on the config, the
    model and the data only.

    Raises:
        InputError: If a function of the user cannot be loaded.
        ValueError: If the kind is unknown, or the model cannot be trained by it.
    """
    if kind not in (None, "native", "graph", "xla", "fit"):
        raise ValueError(f"kind must be native, graph, xla, fit or None, not {kind!r}")
    wanted = _Wanted(values, seed, recipe, input_spec, target, arrays, epochs)
    network = None
    if kind in (None, "native"):
        network = native_network(values, seed, recipe, input_spec, target)
    if network is not None:
        from hpsearch.training.native import NativeTrainer

        return NativeTrainer(network, arrays, wanted.order, model=wanted.build)
    if kind == "native" and not recipe.model:
        raise ValueError(_NOT_NATIVE)
    return _by_tensorflow(wanted, kind, programs)


@dataclass(frozen=True)
class _Wanted:
    """What a trainer is made for."""

    values: Mapping[str, Any]
    seed: int
    recipe: Recipe
    input_spec: InputSpec
    target: Target
    arrays: Arrays
    epochs: int | None = None

    @property
    def batch_size(self) -> int:
        return int(self.values.get("batch_size", DEFAULTS["batch_size"]))

    @property
    def order(self) -> Callable[[int], npt.NDArray[np.int32]]:
        rows = len(self.arrays.x_train)
        return partial(epoch_order, self.recipe.sweep_seed, self.seed, rows=rows)

    def build(self) -> Any:
        from hpsearch.hypermodel import build_model

        return build_model(self.values, self.seed, self.recipe, self.input_spec, self.target)

    def program_key(self, kind: str | None) -> Hashable | None:
        return program_key(
            self.values, self.recipe, self.input_spec, self.target, self.arrays, kind=kind
        )


def _by_tensorflow(wanted: _Wanted, kind: str | None, programs: Programs | None) -> Trainer:
    from hpsearch.hypermodel import Seeds, build_optimizer
    from hpsearch.training.fit import FitTrainer
    from hpsearch.training.tensors import as_tensors

    key = wanted.program_key(kind) if programs is not None else None
    seeds = (wanted.recipe.sweep_seed, wanted.seed)
    if programs is not None and (program := programs.find(key)) is not None:
        program.trainer.restart(
            as_tensors(wanted.arrays),
            order=wanted.order,
            set_random=partial(program.seeds.set, *seeds),
            optimizer=build_optimizer(wanted.values),
            l2=float(wanted.values.get("l2", DEFAULTS["l2"])),
        )
        return program.trainer
    model = wanted.build()
    if wanted.recipe.model:
        wanted = replace(wanted, arrays=_as_input(model, wanted))
        if kind in (None, "fit") and (trainer := _own_fit(wanted, model)) is not None:
            return trainer
        if kind in (None, "native") and (trainer := _own_native(wanted, model)) is not None:
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
    from hpsearch.hypermodel import rows_shape
    from hpsearch.training.tensors import fitted
    from hpsearch.usermodel.loading import hypermodel_of, labels_for, trains_itself

    arrays = wanted.arrays
    shape = arrays.x_train.shape[1:]
    if len(shape) == 1 or not trains_itself(hypermodel_of(wanted.recipe)):
        shape = rows_shape(model, shape)
    if wanted.target.parts:
        return fitted(arrays, shape, classes=None)
    one_hot = labels_for(model, arrays.y_train[:1], wanted.target).ndim > arrays.y_train.ndim
    return fitted(arrays, shape, classes=wanted.target.outputs if one_hot else None)


def _own_fit(wanted: _Wanted, model: Any) -> Trainer | None:
    """What trains a model by the `fit` of its hypermodel; None where it has none of its own."""
    from hpsearch.training.ownfit import OwnFitTrainer
    from hpsearch.usermodel.loading import hypermodel_of, trains_itself

    hypermodel = hypermodel_of(wanted.recipe)
    if not trains_itself(hypermodel):
        return None
    return OwnFitTrainer(
        hypermodel,
        model,
        wanted.arrays,
        wanted.recipe,
        wanted.values,
        wanted.seed,
        target=wanted.target,
        epochs=wanted.epochs,
    )


def _own_native(wanted: _Wanted, model: Any) -> Trainer | None:
    """The extension in place of Keras, from the model's own weights; None where it cannot."""
    target = wanted.target
    if not native.available() or target.parts or target.standardised:
        return None
    from hpsearch.training.dense_model import dense_model

    made = dense_model(model, wanted.arrays, wanted.batch_size)
    if made is None or suits_gpu(made[0].widths, wanted.batch_size):
        return None
    network, arrays = made
    from hpsearch.training.native import NativeTrainer

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
    from hpsearch.training.compiled import CompiledTrainer
    from hpsearch.training.measures import make_measures
    from hpsearch.training.tensors import as_tensors

    return CompiledTrainer(
        model,
        as_tensors(wanted.arrays),
        make_measures(model, wanted.recipe, wanted.target),
        batch_size=wanted.batch_size,
        order=wanted.order,
        kind=kind,
    )


def _kind(model: Any, wanted: _Wanted, asked: str | None) -> str:
    from hpsearch.training.expressible import expressible
    from hpsearch.training.update import is_fused

    if not expressible(model, several_targets=bool(wanted.target.parts)):
        if asked not in (None, "fit"):
            raise ValueError(f"a model with its own training step cannot be trained by {asked!r}")
        return "fit"
    if asked is not None:
        return asked
    if wanted.recipe.weighted or wanted.recipe.keras_metric:
        # Never tried under XLA, which has no kernels for all that Keras' metrics do.
        return "graph"
    layer_type = str(wanted.values.get("layer_type", DEFAULTS["layer_type"]))
    if wanted.recipe.model or is_own_function(layer_type):
        return "graph"
    layers = (_inputs(model), *widths(wanted.values), wanted.target.outputs)
    rows = len(wanted.arrays.x_train)
    return choose(layers, wanted.batch_size, rows, fused=is_fused(model.optimizer))


def _inputs(model: Any) -> int:
    size = 1
    for length in model.input_shape[1:]:
        size *= length
    return size
