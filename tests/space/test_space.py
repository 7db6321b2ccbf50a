"""Spaces: conditions, inactive keys, equal configs and membership."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from hpsearch.search.draws import grid_draws
from hpsearch.space.space import Choices, Config, Parameter, Range, Space
from hpsearch.spec.sweep import Sweep


def space_of(parameters: Mapping[str, Any], *constraints: str) -> Space:
    raw = {
        "name": "s",
        "data": {"dataset": "digits"},
        "method": "random",
        "budget": {"trials": 1},
        "parameters": dict(parameters),
        "constraints": list(constraints),
    }
    return Sweep.parse(raw).space


def grid(parameters: Mapping[str, Any], *constraints: str) -> list[dict[str, Any]]:
    """The configs of the grid, of each what the sweep file names."""
    shown = {*parameters, "hidden_layers", "units"}
    return [
        {name: value for name, value in config.values.items() if name in shown}
        for config in grid_draws(space_of(parameters, *constraints))
    ]


def config(space: Space, **assignment: Any) -> Mapping[str, Any]:
    found = space.config(assignment)
    assert found is not None
    return found.values


def test_the_notes_hyperparameters_take_their_defaults() -> None:
    values = config(Space(()), epochs=3)
    assert values == {
        "hidden_layers": 1,
        "units": 100,
        "activation": "relu",
        "layer_type": "dense",
        "batch_size": 32,
        "epochs": 3,
        "optimizer": "rmsprop",
    }
    assert list(values) == list(config(Space(()), optimizer="rmsprop", epochs=3))


def test_a_list_of_units_says_how_many_layers() -> None:
    assert grid({"units": [[30, 5], 7]}) == [
        {"hidden_layers": 2, "units": [30, 5]},
        {"hidden_layers": 1, "units": 7},
    ]
    # hidden_layers is then no question, so its values collapse; 0 stays 0.
    assert grid({"hidden_layers": [0, 1, 3], "units": [[30, 5]]}) == [
        {"hidden_layers": 0},
        {"hidden_layers": 2, "units": [30, 5]},
    ]


WHEN: dict[str, Any] = {
    "dropout": {"values": [0.1, 0.3], "when": {"layer_type": "dropout"}},
    "layer_type": ["dense", "dropout"],
    "hidden_layers": [0, 1, 2, 3],
    "units_2": {"values": [25, 50], "when": {"hidden_layers": [2, 3]}},
    "optimizer": ["adam", {"name": "sgd", "momentum": 0.5}, {"name": "sgd", "nesterov": True}],
    "learning_rate": {"values": [0.1], "when": {"optimizer": "sgd"}},
    "l2": {"values": [0.01], "when": {"learning_rate": 0.1, "dropout": 0.1}},
}


@pytest.mark.parametrize(
    ("changes", "active"),
    [
        ({}, set()),
        ({"hidden_layers": 2}, {"units_2"}),
        ({"hidden_layers": 3}, {"units_2"}),
        ({"layer_type": "dropout"}, {"dropout"}),
        # The parent of `dropout` has the right value but is inactive.
        ({"layer_type": "dropout", "hidden_layers": 0}, set()),
        ({"optimizer": {"name": "sgd", "momentum": 0.5}}, {"learning_rate"}),
        ({"optimizer": "sgd"}, {"learning_rate"}),
        # A chain, and all conditions at once.
        ({"optimizer": "sgd", "layer_type": "dropout"}, {"learning_rate", "dropout", "l2"}),
        ({"optimizer": "sgd", "layer_type": "dropout", "dropout": 0.3},
         {"learning_rate", "dropout"}),
        ({"optimizer": "sgd", "layer_type": "dropout", "hidden_layers": 0}, {"learning_rate"}),
        # A list of units makes two layers of whatever hidden_layers says.
        ({"units": [9, 8]}, {"units_2"}),
        ({"units": [9]}, set()),
    ],
)  # fmt: skip
def test_conditions(changes: dict[str, Any], active: set[str]) -> None:
    base = {
        "dropout": 0.1, "layer_type": "dense", "hidden_layers": 1, "units_2": 25,
        "optimizer": "adam", "learning_rate": 0.1, "l2": 0.01,
    }  # fmt: skip
    values = config(space_of({**WHEN, "units": [1]}), **(base | changes))
    conditional = {"dropout", "units_2", "learning_rate", "l2"}
    assert conditional & values.keys() == active


def test_a_condition_may_ask_for_one_mapping_of_an_optimizer() -> None:
    when = {"optimizer": ({"name": "sgd", "momentum": 0.5},)}
    space = Space(
        (
            Parameter("optimizer", Choices(("sgd", {"name": "sgd", "momentum": 0.5}))),
            Parameter("l2", Choices((0.1,)), when),
        )
    )
    assert "l2" in config(space, optimizer={"name": "sgd", "momentum": 0.5}, l2=0.1)
    assert "l2" not in config(space, optimizer="sgd", l2=0.1)


def test_active_names_do_not_depend_on_the_order_in_the_file() -> None:
    parameters = [
        Parameter("mine", Choices((1,)), {"dropout": (0.5,)}),
        Parameter("dropout", Choices((0.5,))),
        Parameter("deep", Choices((1,)), {"hidden_layers": (2,)}),
        Parameter("layer_type", Choices(("dropout",)), {"activation": ("relu",)}),
        Parameter("units", Choices(([5, 4],)), {"activation": ("relu",)}),
        Parameter("activation", Choices(("relu",))),
        Parameter("hidden_layers", Choices((1,))),
    ]
    assignment = {
        "mine": 1, "dropout": 0.5, "deep": 1, "layer_type": "dropout", "units": [5, 4],
        "activation": "relu", "hidden_layers": 1,
    }  # fmt: skip
    for order in (parameters, parameters[::-1]):
        values = config(Space(tuple(order)), **assignment)
        assert assignment.keys() <= values.keys()
        assert values["hidden_layers"] == 2


def test_a_cycle_is_an_error() -> None:
    space = Space(
        (Parameter("a", Choices((1,)), {"b": (1,)}), Parameter("b", Choices((1,)), {"a": (1,)}))
    )
    with pytest.raises(ValueError, match="a cycle of when"):
        space.config({"a": 1, "b": 1})


def test_constraints_on_inactive_keys_hold_and_on_lists_check_every_element() -> None:
    configs = grid(
        {"hidden_layers": [0, 1, 2], "units": [10, 50, [5, 40], [10, 9]]},
        "hidden_layers * units <= 50",
    )
    assert configs == [
        {"hidden_layers": 0},
        {"hidden_layers": 1, "units": 10},
        {"hidden_layers": 1, "units": 50},
        {"hidden_layers": 2, "units": [10, 9]},
        {"hidden_layers": 2, "units": 10},
    ]


def test_steps_are_numbers_as_one_writes_them() -> None:
    assert Range(0.1, 0.5, 0.1).steps() == (0.1, 0.2, 0.3, 0.4, 0.5)
    assert Range(2, 8, 3, integer=True).steps() == (2, 5, 8)
    assert Range(0, 1).steps() is None


@pytest.mark.parametrize(
    ("domain", "ends"),
    [
        (Range(1e-4, 0.1, log=True), (1e-4, 0.1)),
        (Range(-1.0, 3.0), (-1.0, 3.0)),
        (Range(1, 7, integer=True), (1, 7)),
        (Range(1, 1000, integer=True, log=True), (1, 1000)),
        (Range(0.0, 1.0, 0.25), (0.0, 1.0)),
        (Choices(("a", "b", "c")), ("a", "c")),
    ],
)
def test_positions_reach_both_ends_and_no_further(domain: Any, ends: tuple[Any, Any]) -> None:
    parameter = Parameter("p", domain)
    assert parameter.at(0.0) == pytest.approx(ends[0])
    assert parameter.at(1 - 2**-53) == pytest.approx(ends[1])
    if not isinstance(domain, Choices):
        found = [parameter.at(index / 997) for index in range(997)]
        assert all(ends[0] <= value <= ends[1] for value in found)
        assert found == sorted(found)
        assert all(isinstance(value, int) for value in found) == domain.integer


def test_integers_are_equally_likely() -> None:
    parameter = Parameter("p", Range(1, 4, integer=True))
    found = [parameter.at(index / 1000) for index in range(1000)]
    assert [found.count(value) for value in (1, 2, 3, 4)] == [250] * 4


FINITE = {"hidden_layers": [0, 2], "units": [10, [30, 5]], "optimizer": ["rmsprop", "momentum"]}
#: The same, in a space that is not enumerated.
CONTINUOUS = {**FINITE, "l2": {"min": 1e-4, "max": 0.1, "scale": "log"}}


@pytest.mark.parametrize("parameters", [FINITE, CONTINUOUS])
@pytest.mark.parametrize(
    ("changes", "inside"),
    [
        ({}, True),
        ({"hidden_layers": 0}, True),
        ({"units": [30, 5]}, True),
        # Written otherwise, trained equally.
        ({"units": [10, 10]}, True),
        ({"hidden_layers": 2, "units": 10, "units_1": 10}, True),
        ({"optimizer": {"name": "sgd", "momentum": 0.9}}, True),
        ({"batch_size": 32}, True),
        ({"units": 11}, False),
        ({"hidden_layers": 1}, False),
        ({"units": [30, 6]}, False),
        ({"optimizer": "adam"}, False),
        # A hyperparameter that the file no longer names.
        ({"batch_size": 64}, False),
        ({"activation": "tanh"}, False),
        ({"learning_rate": 0.5}, False),
    ],
)
def test_contains(parameters: dict[str, Any], changes: dict[str, Any], *, inside: bool) -> None:
    base = {"hidden_layers": 2, "units": 10, "optimizer": "rmsprop"}
    base |= {"l2": 0.01} if "l2" in parameters else {}
    found = Space(()).config(base | changes)
    assert found is not None
    assert space_of(parameters).contains(found) is inside


@pytest.mark.parametrize(
    ("epochs", "most"),
    [([20, 10, 5], 20), ({"min": 2, "max": 8, "step": 3}, 8), ({"min": 2, "max": 9}, 9), (7, 7)],
)
def test_the_largest_number_of_epochs(epochs: Any, most: int) -> None:
    assert space_of({"units": [1], "epochs": epochs}).most_epochs == most


def test_a_range_of_whole_numbers_contains_no_other() -> None:
    (units,) = space_of({"units": {"min": 1, "max": 9}}).parameters
    assert [units.contains(value) for value in (3, 3.5, 0, "3")] == [True, False, False, False]


@pytest.mark.parametrize("extra", [{}, {"l2": {"min": 0.1, "max": 0.2}}])
def test_a_config_without_a_live_parameter_is_outside(extra: dict[str, Any]) -> None:
    """The file has gained a line since the config was trained."""
    old = Config(
        dict(config(Space(()), units=10, l2=0.1)) if extra else config(Space(()), units=10)
    )
    assert space_of({"units": [10], **extra}).contains(old)
    assert not space_of({"units": [10], "learning_rate": [0.1], **extra}).contains(old)
    # rmsprop's default among the values: the config is in there.
    assert space_of({"units": [10], "learning_rate": [0.1, 0.001], **extra}).contains(old)
    # Dead in that config.
    assert space_of({"units": [10], "dropout": [0.1], **extra}).contains(old)


def test_constraints_bound_what_a_space_contains() -> None:
    old = Config(config(Space(()), units=50))
    assert space_of({"units": [10, 50]}).contains(old)
    assert not space_of({"units": [10, 50]}, "units < 20").contains(old)


def test_contains_is_quick_in_a_large_space() -> None:
    space = Space(tuple(Parameter(f"p{index}", Choices(tuple(range(10)))) for index in range(9)))
    assert space.cardinality() == 10**9
    inside = config(space, **{f"p{index}": index for index in range(9)})
    assert space.contains(Config(inside))
    assert not space.contains(Config({**inside, "p3": 99}))
