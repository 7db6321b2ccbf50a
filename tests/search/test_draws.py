"""Grid and random draws: order, no duplicates, determinism, exhaustion."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest

from hpsearch.search.draws import grid_draws, random_draws
from hpsearch.space.constraints import parse
from hpsearch.space.space import Choices, Parameter, Range, Space

SMALL = Space(
    (
        Parameter("hidden_layers", Choices((0, 1, 2))),
        Parameter("units", Choices((10, 20))),
        Parameter("epochs", Choices((5, 7))),
    )
)
LARGE = Space(
    (
        Parameter("learning_rate", Range(1e-4, 0.1, log=True)),
        Parameter("units", Range(1, 50, integer=True)),
        Parameter("activation", Choices(("relu", "tanh"))),
    )
)


def ids(draws: Any) -> list[str]:
    return [config.id for config in draws]


def test_grid_order_is_the_files_the_last_fastest() -> None:
    drawn = [
        (config.values["hidden_layers"], config.values.get("units"), config.values["epochs"])
        for config in grid_draws(SMALL)
    ]
    assert drawn == [
        (0, None, 5), (0, None, 7),
        (1, 10, 5), (1, 10, 7), (1, 20, 5), (1, 20, 7),
        (2, 10, 5), (2, 10, 7), (2, 20, 5), (2, 20, 7),
    ]  # fmt: skip


def test_a_draw_depends_on_names_not_on_places() -> None:
    """Reordering the file's lines changes no proposal."""
    moved = Space(LARGE.parameters[::-1])
    assert ids(islice(random_draws(moved, 7), 50)) == ids(islice(random_draws(LARGE, 7), 50))


def test_draws_are_uniform_on_their_scales() -> None:
    drawn = [config.values for config in islice(random_draws(LARGE, 11), 3000)]
    below = sum(values["learning_rate"] < 10**-2.5 for values in drawn) / 3000
    assert below == pytest.approx(0.5, abs=0.03)
    assert sum(v["activation"] == "relu" for v in drawn) / 3000 == pytest.approx(0.5, abs=0.03)
    assert {values["units"] for values in drawn} == set(range(1, 51))


def test_constraints_and_what_nothing_satisfies() -> None:
    bounded = Space(SMALL.parameters, (parse("hidden_layers * units <= 20"),))
    drawn = list(random_draws(bounded, 0))
    assert set(ids(drawn)) == set(ids(grid_draws(bounded)))
    assert all(c.values["hidden_layers"] * c.values.get("units", 0) <= 20 for c in drawn)
    assert not list(random_draws(Space(SMALL.parameters, (parse("epochs > 9"),)), 0))


def test_a_large_space_ends_when_nothing_new_comes() -> None:
    """A million values of a key that is inactive in every config."""
    space = Space(
        (
            Parameter("hidden_layers", Choices((0,))),
            Parameter("units", Range(1, 1_000_000, integer=True)),
            Parameter("epochs", Choices((1, 2, 3))),
        )
    )
    assert len(ids(random_draws(space, 0))) == 3


def test_a_finite_space_is_counted_only_when_nothing_new_comes(monkeypatch) -> None:
    """Counting takes as long as drawing all of it."""
    space = Space((Parameter("units", Choices(tuple(range(1, 50_001)))),))
    counted = []

    def counting(of: Space) -> Any:
        counted.append(of)
        return grid_draws(of)

    monkeypatch.setattr("hpsearch.search.draws.grid_draws", counting)
    assert len(ids(islice(random_draws(space, 0), 1000))) == 1000
    assert not counted
    assert len(ids(random_draws(SMALL, 0))) == 10
    assert counted == [SMALL]
