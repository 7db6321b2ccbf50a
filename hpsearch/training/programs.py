"""Compiled trainers kept between trainings that differ only in numbers."""

from __future__ import annotations

import dataclasses
import json
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hpsearch.models.layers import is_custom
from hpsearch.space import keras_names
from hpsearch.space.mlp import MLPConfig
from hpsearch.training.trainer import OPTIMIZER_NUMBERS, SCHEDULE_NUMBERS

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from hpsearch.data.specs import Arrays
    from hpsearch.models.mlp import Seeds
    from hpsearch.models.problem import Problem
    from hpsearch.training.compiled import CompiledTrainer

#: Hyperparameters that are no part of a program's key, or in another form.
NUMBERS: Final = frozenset(
    {"epochs", "l2", "learning_rate", "momentum", "optimizer", "weight_decay"}
)

#: XLA's programs take about 11 MB each, graphs 3 MB; a worker may grow by 250 MB in all.
_MOST_PROGRAMS = 8
_MOST_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Program:
    """A compiled trainer, and where its model's random numbers come from."""

    trainer: CompiledTrainer
    seeds: Seeds


class Programs:
    """The programs of a process, the latest used last, a few at most.

    Args:
        most: How many are kept.
        most_bytes: Of all their variables together.
    """

    def __init__(self, most: int = _MOST_PROGRAMS, most_bytes: int = _MOST_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._kept: OrderedDict[Hashable, Program] = OrderedDict()
        self._traces = 0

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def traces(self) -> int:
        """How often a graph was traced for all that were ever kept."""
        return self._traces + sum(program.trainer.traces for program in self._kept.values())

    def find(self, key: Hashable) -> Program | None:
        """The program of that key, now the latest used, or None."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def keep(self, key: Hashable, program: Program) -> None:
        """Keeps a new program if it can begin anew; lets go of those not used for longest."""
        if not (program.trainer.restarts and program.seeds.complete):
            return
        self._kept[key] = program
        while len(self._kept) > self._most or self._nbytes() > self._most_bytes:
            _, dropped = self._kept.popitem(last=False)
            self._traces += dropped.trainer.traces

    def _nbytes(self) -> int:
        return sum(program.trainer.nbytes for program in self._kept.values())


def program_key(
    problem: Problem, values: Mapping[str, Any], arrays: Arrays, *, kind: str | None
) -> Hashable | None:
    """What two trainings must have in common for one graph to train both.

    Args:
        kind: That was asked for; what is asked for by None follows from the rest.

    Returns:
        None where nothing tells what a graph depends on: a model or a layer type of one's own.
    """
    recipe, mlp = problem.recipe, MLPConfig(values)
    if recipe.model or is_custom(mlp.layer_type):
        return None
    others = {name: value for name, value in values.items() if name not in NUMBERS}
    every = (arrays.x_train, arrays.y_train, arrays.x_val, arrays.y_val)
    shapes = tuple((array.shape, str(array.dtype)) for array in every)
    weighted = (arrays.w_train is not None, arrays.w_val is not None)
    config = json.dumps([others, bool(mlp.l2), _structure(mlp)], sort_keys=True)
    rest = (problem.input, problem.target, shapes, weighted)
    return kind, config, dataclasses.replace(recipe, sweep_seed=0), *rest


def _structure(config: MLPConfig) -> list[Any]:
    """The optimizer's name and arguments; of numbers that are variables, what branches ask."""
    name, own = config.optimizer
    settings = {**keras_names.OPTIMIZERS[name], **own}
    rate = settings.pop("learning_rate")
    schedule = _without_numbers(rate, SCHEDULE_NUMBERS) if isinstance(rate, dict) else None
    return [name, schedule, _without_numbers(settings, OPTIMIZER_NUMBERS)]


def _without_numbers(settings: Mapping[str, Any], numbers: tuple[str, ...]) -> dict[str, Any]:
    kept = dict(settings)
    for name in set(numbers) & settings.keys():
        number = settings[name]
        # Without momentum, Keras keeps no velocity.
        kept[name] = number > 0 if name == "momentum" else number is not None
    return kept
