"""What every strategy promises, asked directly."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from strategy_conformance import Conformance, Make

from hpsearch.errors import NotSupportedError
from hpsearch.space import Config, Space
from hpsearch.strategies import METHODS, Strategy, make_strategy
from hpsearch.sweep.method import METHODS as NAMED
from hpsearch.sweep.method import MethodSpec


def _make(method: str, space: Space, listed: Sequence[Config] = (), **settings: object) -> Strategy:
    return make_strategy(MethodSpec(method), space, listed, **settings)


class TestStrategies(Conformance):
    @pytest.fixture
    def make(self) -> Make:
        return _make


def test_every_method_of_a_sweep_file_has_a_strategy() -> None:
    assert {*METHODS} == {*NAMED, "configs"}
    with pytest.raises(NotSupportedError, match="what runs today"):
        make_strategy(MethodSpec("annealing"), Space(()))
