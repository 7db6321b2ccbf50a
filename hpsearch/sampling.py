"""Points of a space in a fixed order: pure, so that `plan` knows what a search will propose."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from typing import Any

from hpsearch.space import Config, Space
from hpsearch.streams import uniform

__all__ = ["grid_draws", "random_draws"]

#: A space no larger than this is counted to tell when it is exhausted.
_COUNTABLE = 100_000
#: Draws in a row without a new config after which it is worth counting: that takes seconds.
_SUSPICIOUS = 100
#: Draws in a row without a new config after which a larger one counts as exhausted.
_PATIENCE = 10_000
#: Draws whose numbers are made at once.
_BLOCK = 256


def grid_draws(space: Space) -> Iterator[tuple[Config, dict[str, Any]]]:
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


def random_draws(space: Space, seed: int) -> Iterator[tuple[Config, dict[str, Any]]]:
    """Uniform points, each config once, until the space is exhausted.

    Draw k derives from (seed, k, parameter's name). Draws that break a constraint or repeat a
    config are passed over.
    """
    size = space.cardinality()
    countable = size is not None and size <= _COUNTABLE
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


def _assignments(space: Space, seed: int) -> Iterator[dict[str, Any]]:
    """Every draw's values, without end."""
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
