"""Configs as rows of numbers, and back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from search_spaces import CONTINUOUS, FINITE, FUNCTION, MIXED

from hpsearch.search.encoding import Dimension, Encoding
from hpsearch.space.space import Choices, Config, Parameter, Range, Space

RANGES = [
    Range(-5.0, 10.0),
    Range(1e-5, 1.0, log=True),
    Range(0, 7, integer=True),
    Range(1, 512, log=True, integer=True),
    Range(0.1, 0.7, 0.1),
    Range(16, 128, 16, integer=True),
]


def dimension(domain: Any) -> Dimension:
    return Dimension(Parameter("x", domain))


@pytest.mark.parametrize("domain", RANGES)
@given(position=st.floats(0, 1, exclude_max=True))
def test_a_number_has_its_place_on_the_line(domain: Range, position: float) -> None:
    column = dimension(domain)
    value = column.decode(position)
    place = column.encode(value)
    assert place is not None
    assert 0 <= place <= 1
    assert column.ordered
    assert column.decode(place) == pytest.approx(value, rel=1e-9)
    if column.cells is not None:
        assert column.decode(place) == value
        assert abs(place - position) <= np.diff(column.cells).max()


@pytest.mark.parametrize("domain", RANGES)
def test_the_ends_belong_to_a_range_and_no_more(domain: Range) -> None:
    column = dimension(domain)
    for value in (domain.min, domain.max):
        place = column.encode(value)
        assert place is not None
        assert column.decode(place) == pytest.approx(value)
    assert column.encode(domain.max + 1) is None
    assert column.encode("text") is None
    assert column.encode(True) is None


def test_numbers_in_a_list_are_ordered_by_rank_other_choices_are_categories() -> None:
    numbers = dimension(Choices((100, 50, 200.0)))
    assert numbers.ordered
    assert [numbers.encode(value) for value in (50, 100, 200)] == pytest.approx([1 / 6, 0.5, 5 / 6])
    odd = (True, None, "text", [200, 100], {"name": "sgd", "momentum": 0.9}, 1.5)
    categories = dimension(Choices(odd))
    assert not categories.ordered
    assert [categories.encode(value) for value in odd] == [0, 1, 2, 3, 4, 5]
    assert [categories.decode(number) for number in range(6)] == list(odd)
    assert not dimension(Choices((True, False))).ordered
    assert dimension(Choices((1, 2))).encode(2.0) == dimension(Choices((1.0, 2.0))).encode(2)


def test_dead_values_are_nan_and_single_ones_no_column() -> None:
    encoding = Encoding(MIXED)
    names = [d.parameter.name for d in encoding.dimensions]
    assert "epochs" not in names
    config = MIXED.config({p.name: p.at(0.0) for p in MIXED.parameters})
    assert config is not None
    row = dict(zip(names, encoding.row(config), strict=True))
    assert {name for name, number in row.items() if math.isnan(number)} == {
        "units", "units_2", "activation", "layer_type", "dropout",
    }  # fmt: skip


@pytest.mark.parametrize("space", [FINITE, MIXED, CONTINUOUS, FUNCTION])
def test_many_points_are_encoded_as_one_by_one(space: Space) -> None:
    encoding = Encoding(space)
    random = np.random.default_rng(0)
    points = encoding.uniform(random.random((300, len(encoding.dimensions))))
    found = [(place, encoding.config(point)) for place, point in enumerate(points)]
    valid = [(place, config) for place, config in found if config is not None]
    rows = encoding.rows(points)[[place for place, _ in valid]]
    np.testing.assert_allclose(rows, [encoding.row(config) for _, config in valid], atol=1e-12)
    assert len(valid) > 100


def test_what_the_space_cannot_express_has_no_row() -> None:
    encoding = Encoding(FINITE)
    inside = FINITE.config(next(FINITE.assignments()))
    assert inside is not None
    assert encoding.row_if_inside(inside) is not None
    for values in ({"units": 77}, {**inside.values, "epochs": 3}, {**inside.values, "l2": 0.1}):
        assert encoding.row_if_inside(Config(values)) is None
