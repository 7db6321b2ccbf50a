"""Methods that learn nothing: listed configs, grid, random and Sobol' draws, in a fixed order."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from hpsearch.search.strategy import Outcome, Proposal
from hpsearch.space.seeds import uniform
from hpsearch.space.space import Config, Space

#: A config, and the assignment of values to the space's parameters that gives it.
Draw = tuple[Config, dict[str, Any]]

#: The methods of which this module knows all proposals; `configs` is a list without a method.
FIXED_METHODS = ("grid", "random", "sobol", "configs")

#: A space no larger than this is counted to tell when it is exhausted.
_COUNTABLE = 100_000
#: Draws in a row without a new config after which it is worth counting: that takes seconds.
_SUSPICIOUS = 100
#: Draws in a row without a new config after which a larger one counts as exhausted.
_PATIENCE = 10_000
#: Draws whose numbers are made at once.
_BLOCK = 256
#: So many bits a coordinate has, and so many points, as a power of two, the sequence.
_SOBOL_BITS = 40


def draws(method: str, space: Space, listed: Iterable[Config], seed: int) -> Iterator[Draw]:
    """What a method of METHODS proposes, in order; `listed` are the configs of a list.

    Raises:
        ValueError: The method is another, or a grid's parameter is continuous.
    """
    match method:
        case "configs":
            return listed_draws(listed)
        case "grid":
            return grid_draws(space)
        case "random":
            return random_draws(space, seed)
        case "sobol":
            return sobol_draws(space, seed)
    raise ValueError(f"the proposals of {method} depend on scores")


class Source:
    """Hands out the configs of draws as they are asked for; an oracle that learns nothing."""

    #: Whether proposals depend on outcomes.
    adaptive = False
    rungs: tuple[int, ...] = ()

    def __init__(self, drawn: Iterator[Draw]) -> None:
        self._draws = drawn
        self.exhausted = False

    def ask(self, count: int) -> list[Proposal]:
        """At most `count` configs that were not proposed before; fewer once it is exhausted."""
        asked = [Proposal(config) for config, _ in itertools.islice(self._draws, count)]
        self.exhausted = self.exhausted or len(asked) < count
        return asked

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Outcomes change nothing."""

    def restore(self, configs: Sequence[Config], outcomes: Sequence[Outcome]) -> None:
        """Nothing to take up: all is proposed anew, and what has a row is known."""


def listed_draws(configs: Iterable[Config]) -> Iterator[Draw]:
    """Each config once, in order; a listed config need not lie in a space: no assignment."""
    seen: set[str] = set()
    for config in configs:
        if config.id not in seen:
            seen.add(config.id)
            yield config, {}


def grid_draws(space: Space) -> Iterator[Draw]:
    """Every config once, in file order (the last parameter varies fastest), and its assignment.

    Raises:
        ValueError: A parameter is continuous.
    """
    seen: set[str] = set()
    for assignment in space.assignments():
        config = space.config(assignment)
        if config is not None and config.id not in seen:
            seen.add(config.id)
            yield config, assignment


def random_draws(space: Space, seed: int) -> Iterator[Draw]:
    """Uniform points, each config once, until the space is exhausted.

    Draw k derives from (seed, k, parameter's name). Draws that break a constraint or repeat a
    config are passed over.
    """
    countable = _is_countable(space)
    distinct: int | None = None
    met: set[str] = set()
    failures = 0
    for assignment in _assignments(space, seed):
        config = space.config(assignment)
        if config is not None and config.id not in met:
            met.add(config.id)
            failures = 0
            yield config, assignment
        else:
            failures += 1
            if countable and failures == _SUSPICIOUS and distinct is None:
                distinct = sum(1 for _ in grid_draws(space))
        if len(met) == distinct or (not countable and failures == _PATIENCE):
            return


def sobol_draws(space: Space, seed: int) -> Iterator[Draw]:
    """Points that fill the space evenly, each config once, until it is exhausted.

    Draw k is point k of a Sobol' sequence, one dimension a parameter that varies, scrambled by
    (seed, method). Draws that break a constraint or repeat a config are passed over; of a finite
    space, what many draws in a row do not find comes in a seeded order of its own.

    Source: S. Joe and F. Y. Kuo, 2008, as `scipy.stats.qmc.Sobol` has it; J. Matousek, 1998, for
    the scrambling.
    """
    met: set[str] = set()
    failures = 0
    for assignment in _sobol_assignments(space, seed):
        config = space.config(assignment)
        if config is not None and config.id not in met:
            met.add(config.id)
            failures = 0
            yield config, assignment
            continue
        failures += 1
        if failures == _SUSPICIOUS and _is_countable(space):
            rest = [draw for draw in grid_draws(space) if draw[0].id not in met]
            yield from _shuffled(rest, seed)
            return
        if failures == _PATIENCE:
            return


def _is_countable(space: Space) -> bool:
    size = space.cardinality()
    return size is not None and size <= _COUNTABLE


def _sobol_assignments(space: Space, seed: int) -> Iterator[dict[str, Any]]:
    """Every point's values, without end."""
    import numpy as np
    from scipy.stats import qmc

    # By name, so that a line that moves in the file changes no proposal.
    varying = sorted(p.name for p in space.parameters if p.choices is None or len(p.choices) > 1)
    fixed = {p.name: p.at(0.0) for p in space.parameters}
    parameters = {p.name: p for p in space.parameters}
    if not varying:
        yield from itertools.repeat(fixed)
    stream = np.random.SeedSequence([seed, _stream("sobol")])
    points = qmc.Sobol(len(varying), rng=np.random.default_rng(stream), bits=_SOBOL_BITS)
    while points.num_generated + _BLOCK <= 2**_SOBOL_BITS:
        for positions in points.random(_BLOCK).tolist():
            drawn = zip(varying, positions, strict=True)
            yield fixed | {name: parameters[name].at(position) for name, position in drawn}


def _shuffled(rest: Sequence[Draw], seed: int) -> Iterator[Draw]:

    keys = uniform(seed, range(len(rest)), _stream("sobol")).tolist()
    return (rest[index] for index in sorted(range(len(rest)), key=keys.__getitem__))


def _assignments(space: Space, seed: int) -> Iterator[dict[str, Any]]:
    """Every draw's values, without end."""
    # The driver starts its workers before anything needs NumPy.

    streams = [(parameter, _stream(parameter.name)) for parameter in space.parameters]
    for first in itertools.count(0, _BLOCK):
        block = range(first, first + _BLOCK)
        positions = [uniform(seed, block, stream).tolist() for _, stream in streams]
        for index in range(_BLOCK):
            yield {
                parameter.name: parameter.at(numbers[index])
                for (parameter, _), numbers in zip(streams, positions, strict=True)
            }


def _stream(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")


class DrawStrategy(Source):
    """Proposes listed configs, then a method's draws, no config twice.

    Args:
        method: One of `sampling.METHODS`; of `configs`, `listed` is all there is.
        listed: Configs to try first.

    Raises:
        ValueError: The method depends on scores.
    """

    def __init__(self, method: str, space: Space, listed: Sequence[Config], seed: int) -> None:
        self._met: set[str] = set()
        super().__init__(self._once(listed, draws(method, space, listed, seed)))

    def _once(self, listed: Sequence[Config], drawn: Iterator[Draw]) -> Iterator[Draw]:
        for source in (listed_draws(listed), drawn):
            for draw in source:
                if draw[0].id not in self._met:
                    self._met.add(draw[0].id)
                    yield draw

    def restore(self, configs: Sequence[Config], outcomes: Sequence[Outcome]) -> None:
        """What was proposed before is passed over, wherever it stands now."""
        del outcomes
        self._met.update(config.id for config in configs)
