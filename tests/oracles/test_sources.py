"""The driver's plain source and KerasTuner's oracle of a method propose the same."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpsearch.constraints import parse
from hpsearch.errors import NotSupportedError
from hpsearch.oracles import make_oracle
from hpsearch.sampling import METHODS, Source, draws, grid_draws
from hpsearch.space import Choices, Parameter, Range, Space
from hpsearch.trial import Outcome

_PARAMETERS = (
    Parameter("hidden_layers", Choices((0, 1, 2))),
    Parameter("units", Choices((10, [20, 5], [10, 10]))),
    Parameter("layer_type", Choices(("dense", "dropout"))),
    Parameter("dropout", Range(0.1, 0.3, 0.1), {"layer_type": ("dropout",)}),
    Parameter("optimizer", Choices(("adam", {"name": "sgd", "momentum": 0.9}))),
    Parameter("learning_rate", Choices((0.1, 0.2)), {"optimizer": ("adam",)}),
)
_CONTINUOUS = (
    Parameter("l2", Range(1e-6, 1e-2, log=True)),
    Parameter("batch_size", Range(8, 64, integer=True)),
)
_CONSTRAINTS = tuple(
    map(parse, ("hidden_layers * units <= 20", "epochs > 99", "dropout < 0.3", "l2 < 0.001"))
)


@st.composite
def spaces(draw: st.DrawFn, *, continuous: bool) -> Space:
    """Some of the parameters, in any order."""
    known = _PARAMETERS + (_CONTINUOUS if continuous else ())
    chosen = draw(st.lists(st.sampled_from(known), unique_by=lambda each: each.name))
    constraints = draw(st.lists(st.sampled_from(_CONSTRAINTS), max_size=2, unique=True))
    names = {parameter.name for parameter in chosen}
    parameters = tuple(p for p in chosen if p.when.keys() <= names)
    return Space(parameters, tuple(constraints))


@settings(max_examples=120, deadline=None)
@given(st.data(), st.sampled_from(METHODS), st.integers(0, 2**32 - 1))
def test_the_source_and_the_oracle_propose_the_same(data: Any, method: str, seed: int) -> None:
    space = data.draw(spaces(continuous=method == "random"))
    finite = space.cardinality() is not None
    listed = [config for config, _ in islice(grid_draws(space), 5)] if finite else []
    listed += listed[:2]
    source = Source(draws(method, space, listed, seed))
    oracle = make_oracle(method, space, listed, goal="maximize", seed=seed)
    for count in data.draw(st.lists(st.integers(0, 30), min_size=1, max_size=4)):
        asked = source.ask(count)
        assert asked == oracle.ask(count)
        assert source.exhausted == oracle.exhausted
        outcomes = [Outcome(config.id, 0.5) for config in asked]
        source.tell(outcomes)
        oracle.tell(outcomes)
    assert source.adaptive == oracle.adaptive


def test_a_method_that_depends_on_scores_has_no_draws() -> None:
    with pytest.raises(ValueError, match="tpe depend on scores"):
        draws("tpe", Space(()), (), 0)
    with pytest.raises(NotSupportedError):
        make_oracle("tpe", Space(()), (), goal="maximize", seed=0)
