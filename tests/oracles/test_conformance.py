"""What every strategy promises, asked through KerasTuner's Oracle."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from strategy_conformance import Conformance, Make

from hpsearch.oracles import StrategyOracle, make_oracle
from hpsearch.space import Config, Space
from hpsearch.sweep.method import MethodSpec


def _make(
    method: str, space: Space, listed: Sequence[Config] = (), **settings: object
) -> StrategyOracle:
    return make_oracle(MethodSpec(method), space, listed, **settings)


class TestOracles(Conformance):
    @pytest.fixture
    def make(self) -> Make:
        return _make
