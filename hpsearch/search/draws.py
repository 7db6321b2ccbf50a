"""Methods that ignore scores: listed configs, grid, random and Sobol' draws."""

from __future__ import annotations

import hashlib
import itertools
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from hpsearch.search.strategy import Outcome, Proposal
from hpsearch.space.seeds import uniform
from hpsearch.space.space import Choices, Config, Space

#: Only a space of at most this size is enumerated to detect its exhaustion.
_COUNTABLE = 100_000
#: After this many draws without a new config, it is enumerated, which takes seconds.
_SUSPICIOUS = 100
#: After this many draws without a new config, a larger space counts as exhausted.
_PATIENCE = 10_000
#: The number of draws whose random numbers are made at once.
_BLOCK = 256
#: Bits of a coordinate of the Sobol' sequence, which has 2**_SOBOL_BITS points.
_SOBOL_BITS = 40


def draws(method: str, space: Space, listed: Iterable[Config], seed: int) -> Iterator[Config]:
    """Return the proposals of a method that ignores scores, in order; `configs` takes `listed`.

    Raises:
        ValueError: The method depends on scores, or a grid's parameter is continuous.
    """
    match method:
        case "configs":
            return distinct(listed)
        case "grid":
            return grid_draws(space)
        case "random":
            return random_draws(space, seed)
        case "sobol":
            return sobol_draws(space, seed)
    raise ValueError(f"the proposals of {method} depend on scores")


def distinct(configs: Iterable[Config | None]) -> Iterator[Config]:
    """Yield the configs in order, without repetitions and None."""
    met: set[str] = set()
    for config in configs:
        if config is not None and config.id not in met:
            met.add(config.id)
            yield config


def grid_draws(space: Space) -> Iterator[Config]:
    """Yield every config once, in file order: the last parameter varies fastest.

    Raises:
        ValueError: A parameter is continuous.
    """
    yield from distinct(map(space.config, space.assignments()))


def random_draws(space: Space, seed: int) -> Iterator[Config]:
    """Yield uniform points, each config once, until the space is exhausted.

    Draw k derives from (seed, k, parameter's name). Draws that break a constraint or repeat a
    config are skipped.
    """
    # Do not wait for values of tiny probability.
    countable = _is_countable(space) and not any(
        isinstance(p.domain, Choices) and p.domain.weights for p in space.parameters
    )
    distinct: int | None = None
    met: set[str] = set()
    failures = 0
    for config in map(space.config, _random_assignments(space, seed)):
        if config is not None and config.id not in met:
            met.add(config.id)
            failures = 0
            yield config
        else:
            failures += 1
            if countable and failures == _SUSPICIOUS and distinct is None:
                distinct = sum(1 for _ in grid_draws(space))
        if len(met) == distinct or (not countable and failures == _PATIENCE):
            return


def sobol_draws(space: Space, seed: int) -> Iterator[Config]:
    """Yield points that fill the space evenly, each config once, until the space is exhausted.

    Draw k is point k of a Sobol' sequence with a dimension for each parameter that varies,
    scrambled by (seed, method). Draws that break a constraint or repeat a config are skipped. After
    many such draws in a row, the rest of a finite space comes in an order derived from the seed.

    Source: S. Joe and F. Y. Kuo, 2008, as in `scipy.stats.qmc.Sobol`; J. Matousek, 1998, for
    the scrambling.
    """
    met: set[str] = set()
    failures = 0
    for config in map(space.config, _sobol_assignments(space, seed)):
        if config is not None and config.id not in met:
            met.add(config.id)
            failures = 0
            yield config
            continue
        failures += 1
        if failures == _SUSPICIOUS and _is_countable(space):
            unmet = [config for config in grid_draws(space) if config.id not in met]
            keys = uniform(seed, range(len(unmet)), stream_of("sobol")).tolist()
            yield from (unmet[index] for index in sorted(range(len(unmet)), key=keys.__getitem__))
            return
        if failures == _PATIENCE:
            return


def _is_countable(space: Space) -> bool:
    size = space.cardinality()
    return size is not None and size <= _COUNTABLE


def _random_assignments(space: Space, seed: int) -> Iterator[dict[str, Any]]:
    streams = [(parameter, stream_of(parameter.name)) for parameter in space.parameters]
    for first in itertools.count(0, _BLOCK):
        block = range(first, first + _BLOCK)
        positions = [uniform(seed, block, stream).tolist() for _, stream in streams]
        for index in range(_BLOCK):
            yield {
                parameter.name: parameter.at(numbers[index])
                for (parameter, _), numbers in zip(streams, positions, strict=True)
            }


def _sobol_assignments(space: Space, seed: int) -> Iterator[dict[str, Any]]:
    # Slow to import, and needed by this method only.
    from scipy.stats import qmc

    parameters = {p.name: p for p in space.parameters}
    fixed = {name: parameter.at(0.0) for name, parameter in parameters.items()}
    # Sorted, so that the order of the file's lines does not matter.
    varying = sorted(p.name for p in space.parameters if p.choices is None or len(p.choices) > 1)
    if not varying:
        yield from itertools.repeat(fixed)
    stream = np.random.SeedSequence([seed, stream_of("sobol")])
    points = qmc.Sobol(len(varying), rng=np.random.default_rng(stream), bits=_SOBOL_BITS)
    while points.num_generated + _BLOCK <= 2**_SOBOL_BITS:
        for positions in points.random(_BLOCK).tolist():
            drawn = zip(varying, positions, strict=True)
            yield fixed | {name: parameters[name].at(position) for name, position in drawn}


def stream_of(name: str) -> int:
    """Return the number of a stream of random numbers, for `seeds.uniform`."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")


class DrawStrategy:
    """Proposes listed configs, then the draws of a method that ignores scores, each config once."""

    adaptive = False
    foreseen = sys.maxsize
    rungs: tuple[int, ...] = ()

    def __init__(self, method: str, space: Space, listed: Sequence[Config], seed: int) -> None:
        self._draws = distinct(itertools.chain(listed, draws(method, space, listed, seed)))
        self._met: set[str] = set()
        self.exhausted = False

    def ask(self, count: int) -> list[Proposal]:
        new = (config for config in self._draws if config.id not in self._met)
        proposals = [Proposal(config) for config in itertools.islice(new, count)]
        self.exhausted = self.exhausted or len(proposals) < count
        return proposals

    def close(self) -> bool:
        self.exhausted = True
        return False

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Do nothing: outcomes do not change the draws."""

    def restore(self, configs: Sequence[Config], outcomes: Sequence[Outcome]) -> None:
        """Skip the configs that were proposed before, wherever they come in the order."""
        del outcomes
        self._met.update(config.id for config in configs)
