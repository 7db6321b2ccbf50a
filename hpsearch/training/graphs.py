"""Keep compiled trainers for later trainings that differ only in numbers."""

from __future__ import annotations

import dataclasses
import json
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from hpsearch.space.keras_names import OPTIMIZERS
from hpsearch.space.mlp import MLPConfig, is_custom
from hpsearch.training.trainer import OPTIMIZER_NUMBERS, SCHEDULE_NUMBERS

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from hpsearch.data.specs import Arrays
    from hpsearch.models.problem import Problem
    from hpsearch.training.compiled import CompiledTrainer

#: Hyperparameters that a graph's key leaves out or contains in another form.
NUMBERS: Final = frozenset(
    {"epochs", "l2", "learning_rate", "momentum", "optimizer", "weight_decay"}
)

#: An XLA program takes about 11 MB, a graph 3 MB; a worker may grow by 250 MB in all.
_MOST_GRAPHS = 8
_MOST_BYTES = 64 * 2**20


class Graphs:
    """The few compiled trainers that a process keeps, the most recently used last.

    Args:
        most: Largest number of graphs.
        most_bytes: Largest size of all their variables together.
    """

    def __init__(self, most: int = _MOST_GRAPHS, most_bytes: int = _MOST_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._kept: OrderedDict[Hashable, CompiledTrainer] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, key: Hashable) -> CompiledTrainer | None:
        """Return the trainer with that key, or None."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def keep(self, key: Hashable, trainer: CompiledTrainer) -> None:
        """Keep a new trainer if it can restart; drop the least recently used if necessary."""
        if not trainer.restarts:
            return
        self._kept[key] = trainer
        while len(self._kept) > self._most or (
            sum(graph.nbytes for graph in self._kept.values()) > self._most_bytes
        ):
            self._kept.popitem(last=False)


def graph_key(
    problem: Problem, values: Mapping[str, Any], arrays: Arrays, *, kind: str | None
) -> Hashable | None:
    """Return a key that is equal for trainings that one graph can train.

    Args:
        kind: The requested kind; if None, it follows from the rest.

    Returns:
        None for custom layer types, whose graphs may depend on anything.
    """
    recipe, mlp = problem.recipe, MLPConfig(values)
    if is_custom(mlp.layer_type):
        return None
    others = {name: value for name, value in values.items() if name not in NUMBERS}
    data = (arrays.x_train, arrays.y_train, arrays.x_val, arrays.y_val)
    shapes = tuple((array.shape, str(array.dtype)) for array in data)
    weighted = (arrays.w_train is not None, arrays.w_val is not None)
    config = json.dumps([others, bool(mlp.l2), _structure(mlp)], sort_keys=True)
    parts = (problem.input, problem.target, shapes, weighted)
    return kind, config, dataclasses.replace(recipe, sweep_seed=0), *parts


def _structure(config: MLPConfig) -> list[Any]:
    """Return the optimizer's name and arguments; of variable numbers, only what branches test."""
    name, given = config.optimizer
    settings = {**OPTIMIZERS[name].defaults, **given}
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
