"""The conformance suite on strategies themselves."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from search_spaces import FINITE, MIXED
from strategy_conformance import METHODS_ONCE, Conformance, Make, search

from hpsearch.search.methods import make_strategy
from hpsearch.search.strategy import Strategy
from hpsearch.space.space import Config, Space
from hpsearch.spec.method import METHODS, MethodSpec


def _make(method: str, space: Space, listed: Sequence[Config] = (), **settings: object) -> Strategy:
    return make_strategy(MethodSpec(method), space, listed, **settings)


@pytest.mark.parametrize("method", METHODS_ONCE)
class TestStrategies(Conformance):
    @pytest.fixture
    def make(self) -> Make:
        return _make


@pytest.mark.parametrize(("trials", "method"), [(None, "tpe"), (1_000, "bayesian"), (1_001, "tpe")])
def test_auto_is_another(trials: int | None, method: str) -> None:
    settings = {"seed": 3, "trials": trials}
    auto, other = (_make(each, MIXED, **settings) for each in ("auto", method))
    assert type(auto) is type(other)
    assert search(auto, 12, width=5) == search(other, 12, width=5)


class Watched(dict[str, object]):
    """Options that record which of them were read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: set[str] = set()

    def get(self, key: str, default: object = None) -> object:
        self.read.add(key)
        return default

    def __contains__(self, key: object) -> bool:
        self.read.add(str(key))
        return False


@pytest.mark.parametrize("method", METHODS)
def test_every_option_of_a_sweep_file_is_looked_at(method: str) -> None:
    options = Watched()
    make_strategy(MethodSpec(method, options), FINITE, trials=9)
    assert options.read >= {*METHODS[method].options}
