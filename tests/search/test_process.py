"""The Gaussian process: its posterior, with fitted and with given noise."""

from __future__ import annotations

import numpy as np
import pytest

from hpsearch.search.bayesian import GaussianProcess
from hpsearch.search.methods import make_strategy
from hpsearch.search.strategy import Outcome, Strategy
from hpsearch.space.space import Config, Parameter, Range, Space
from hpsearch.spec.method import MethodSpec

X = np.linspace(0, 1, 9)[:, None]
Y = np.where(np.arange(9) % 2, 1.0, -1.0)
NUMBERS = np.array([False])


@pytest.mark.parametrize("alpha", [1e-8, 1e-2, 0.5, 10.0])
def test_a_given_noise_is_added_to_the_diagonal(alpha: float) -> None:
    process = GaussianProcess(X, Y, NUMBERS, alpha)
    mean, _ = process.predict(X)
    # Rasmussen and Williams, equation 2.23; 1e-6 is added, too, to keep the matrix regular.
    kernel = process._kernel(X, X)
    expected = kernel @ np.linalg.solve(kernel + (alpha + 1e-6) * np.eye(len(X)), Y)
    np.testing.assert_allclose(mean, expected, atol=1e-6)


def asked(strategy: Strategy) -> list[Config]:
    configs = []
    for _ in range(14):
        (proposal,) = strategy.ask(1)
        x = proposal.config.values["x"]
        strategy.tell([Outcome(proposal.config, (x - 0.3) ** 2)])
        configs.append(proposal.config)
    return configs


def test_bayesian_takes_alpha_for_its_noise() -> None:
    space = Space((Parameter("x", Range(0.0, 1.0)),))
    own, noisy, again = (
        asked(make_strategy(MethodSpec("bayesian", options), space, goal="minimize"))
        for options in ({}, {"alpha": 1.0}, {"alpha": 1.0})
    )
    assert own[:10] == noisy[:10]
    assert own[10:] != noisy[10:]
    assert noisy == again
