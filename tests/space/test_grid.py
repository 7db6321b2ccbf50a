"""Leaving inactive values out of a grid keeps all configs and their order."""

from __future__ import annotations

import time
from itertools import islice, product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpsearch.search.draws import grid_draws
from hpsearch.space.constraints import parse
from hpsearch.space.space import Choices, Config, Kind, Parameter, Range, Space

_VALUES: dict[str, list[Any]] = {
    "hidden_layers": [0, 1, 2, 3],
    "units": [8, [8, 4], 4, [4]],
    "units_1": [4, 8],
    "units_2": [4, 8],
    "activation": ["relu", "tanh"],
    "layer_type": ["dense", "dropout", "batch_norm", "mine:layer"],
    "dropout": [0.1, 0.5],
    "epochs": [1, 2],
    "learning_rate": [0.001, 0.1],
    "momentum": [0.0, 0.9],
    "optimizer": ["adam", "sgd", "nesterov", {"name": "sgd", "momentum": 0.5}],
    "l2": [0.0, 0.1],
}
_CONSTRAINTS = ["hidden_layers * units <= 8", "momentum < 0.5 or l2 == 0", "dropout > 0.2"]


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    names = draw(st.lists(st.sampled_from(sorted(_VALUES)), max_size=6, unique=True))
    values = {
        name: draw(st.lists(st.sampled_from(_VALUES[name]), min_size=1, max_size=3, unique_by=str))
        for name in names
    }
    # Parents come earlier in a random order, so there is no cycle.
    order = draw(st.permutations(names))
    parameters = []
    for name in names:
        parents = order[: order.index(name)]
        when = {}
        if parents and draw(st.booleans()):
            parent = draw(st.sampled_from(parents))
            accepted = draw(st.lists(st.sampled_from(values[parent]), min_size=1, max_size=2))
            when[parent] = tuple(accepted)
        parameters.append(Parameter(name, Choices(tuple(values[name])), when))
    texts = [
        text
        for text in draw(st.lists(st.sampled_from(_CONSTRAINTS), max_size=1))
        if parse(text).names <= set(names)
    ]
    kind = draw(st.sampled_from([Kind.MLP, Kind.MLP, Kind.MLP, Kind.FUNCTION, Kind.MODEL]))
    return Space(tuple(parameters), tuple(map(parse, texts)) if kind is Kind.MLP else (), kind)


def every_point(space: Space) -> list[Config]:
    """Each config once, in the order of the first of all points that give it."""
    seen: set[str] = set()
    found = []
    for point in product(*(parameter.choices or () for parameter in space.parameters)):
        config = space.config(dict(zip(space.names, point, strict=True)))
        if config is not None and config.id not in seen:
            seen.add(config.id)
            found.append(config)
    return found


@settings(max_examples=150)
@given(spaces())
def test_only_inactive_values_are_left_out(space: Space) -> None:
    assert list(grid_draws(space)) == every_point(space)


def test_inactive_values_behind_the_deciding_ones_are_not_enumerated() -> None:
    """Half a million points of 42 configs."""
    space = Space(
        (
            Parameter("layer_type", Choices(("dense", "batch_norm"))),
            Parameter("units", Choices((*range(1, 21), [8, 4]))),
            Parameter("dropout", Range(0.0, 0.99, 0.001), {"layer_type": ("dropout",)}),
            Parameter("momentum", Choices(tuple(n / 20 for n in range(12)))),
            Parameter("optimizer", Choices(("adam",))),
        )
    )
    assert space.cardinality() == 2 * 21 * 991 * 12
    assert len(list(space.assignments())) == len(list(grid_draws(space))) == 42


def test_a_grid_of_a_billion_begins_at_once() -> None:
    layers = [Parameter(f"units_{n}", Choices(tuple(range(1, 11)))) for n in range(1, 10)]
    chained = [
        Parameter(f"p{n}", Choices(tuple(range(10))), {f"p{n - 1}": tuple(range(10))} if n else {})
        for n in range(9)
    ]
    for space in (Space(tuple(layers)), Space(tuple(chained), (), Kind.FUNCTION)):
        began = time.process_time()
        assert len(list(islice(grid_draws(space), 10))) == 10
        assert time.process_time() - began < 2


def test_a_grid_needs_steps() -> None:
    with pytest.raises(ValueError, match="a list of values or a step"):
        next(Space((Parameter("l2", Range(0.0, 1.0)),)).assignments())
