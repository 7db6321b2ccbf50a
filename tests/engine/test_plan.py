"""Numbers, shared prefixes, duplicates and weight counts."""

from __future__ import annotations

from typing import Any

import pytest
from engines import space_of

from hpsearch.engine.planning import Trials, group
from hpsearch.search.draws import grid_draws
from hpsearch.space.execution import Execution, Repetition, Training
from hpsearch.space.mlp import LAYER_TYPES, MLPConfig
from hpsearch.space.space import Config, Space


def configs(**choices: list[Any]) -> list[Config]:
    return list(grid_draws(space_of(**choices)))


SEEDS = (Repetition(0), Repetition(1))


def trials_of(*stored: Execution) -> Trials:
    return Trials(Space(()), (), SEEDS, stored=stored, limit=None)


def numbered(tried: list[Config]) -> list[Execution]:
    return trials_of().new(tried, SEEDS[:1])


def test_known_and_repeated_configs_get_no_new_number() -> None:
    first, second = configs(units=[10, 20])
    same = Config({**first.values, "units": [10]})
    trials = trials_of(Execution(7, 3, first, 0)).new([first, second, same, second], SEEDS)
    assert [(t.number, t.trial, t.config.id, t.seed) for t in trials] == [
        (8, 3, first.id, 1), (9, 4, second.id, 0), (10, 4, second.id, 1),
    ]  # fmt: skip


def test_trials_that_differ_only_in_epochs_share_a_training() -> None:
    trainings = group(numbered(configs(epochs=[20, 5, 10], units=[10, 20])))
    assert [t.stops for t in trainings] == [((5, 3), (10, 5), (20, 1)), ((5, 4), (10, 6), (20, 2))]
    assert [(t.number, t.epochs, t.executions) for t in trainings] == [
        (1, 20, (3, 5, 1)),
        (2, 20, (4, 6, 2)),
    ]
    assert all("epochs" not in t.values for t in trainings)
    assert [t.values["units"] for t in trainings] == [10, 20]


def test_what_is_answered_is_not_trained() -> None:
    trials = numbered(configs(epochs=[5, 10, 20]))
    assert group(trials, answered={3})[0].stops == ((5, 1), (10, 2))
    assert group(trials, answered={1, 2})[0].stops == ((20, 3),)
    assert group(trials, answered={1, 2, 3}) == []


def test_equal_prefixes_are_found_however_written() -> None:
    one = Config({"hidden_layers": 2, "units": 10, "epochs": 5, "optimizer": "momentum"})
    two = Config(
        {"hidden_layers": 2, "units": [10, 10], "epochs": 9,
         "optimizer": {"name": "sgd", "momentum": 0.9}}
    )  # fmt: skip
    trainings = group([Execution(1, 1, one, 0), Execution(2, 2, two, 0)])
    values = {n: v for n, v in two.values.items() if n != "epochs"}
    assert trainings == [Training(values, 0, ((5, 1), (9, 2)), trial=2)]


SHAPES: list[dict[str, Any]] = [
    {"hidden_layers": 0},
    {"hidden_layers": 3, "units": 7},
    {"units": [8, 8, 4]},
    {"units": [8, 4], "activation": "glu"},
    {"units": [12, 6, 6], "activation": "glu"},
]


@pytest.mark.parametrize("layer_type", LAYER_TYPES)
def test_weight_count_is_keras_own(layer_type: str) -> None:
    from hpsearch.data.specs import InputSpec, Target, Task
    from hpsearch.models.mlp import build_model
    from hpsearch.models.problem import Problem, Recipe

    recipe = Recipe(0, "sparse_categorical_crossentropy", "softmax", "val_accuracy", "maximize")
    for shape in SHAPES:
        values = {**shape, "layer_type": layer_type, "l2": 0.01}
        problem = Problem(recipe, InputSpec((6,), "float32"), Target(Task.MULTICLASS, 3))
        model = build_model(problem, values, 0)
        assert MLPConfig(values).weight_count(6, 3) == model.count_params(), shape


def test_ones_own_layers_are_not_counted() -> None:
    assert MLPConfig({"layer_type": "my.module:block"}).weight_count(6, 3) is None
    config = MLPConfig({"layer_type": "my.module:block", "hidden_layers": 0})
    assert config.weight_count(6, 3) == 21
