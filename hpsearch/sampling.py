"""Points of a space in a fixed order: pure, so that `plan` knows what a search will propose."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from hpsearch.space import Config, Space

__all__ = ["grid_draws", "random_draws"]

#: A space no larger than this is counted to tell when it is exhausted.
_COUNTABLE = 100_000
#: Draws in a row without a new config after which a larger one counts as exhausted.
_PATIENCE = 10_000


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
    streams = {name: _stream(name) for name in space.names}
    size = space.cardinality()
    countable = size is not None and size <= _COUNTABLE
    distinct = sum(1 for _ in grid_draws(space)) if countable else None
    met: set[str] = set()
    draw = failures = 0
    while (failures < _PATIENCE) if distinct is None else (len(met) < distinct):
        assignment = {
            parameter.name: parameter.at(_position(seed, draw, streams[parameter.name]))
            for parameter in space.parameters
        }
        draw += 1
        failures += 1
        config = space.config(assignment)
        if config is not None and config.id not in met:
            met.add(config.id)
            failures = 0
            yield config, assignment


def _position(seed: int, draw: int, stream: int) -> float:
    """A number in [0, 1) with 53 random bits."""
    sequence = np.random.SeedSequence([seed, draw, stream])
    return float(int(sequence.generate_state(1, np.uint64)[0]) >> 11) / 2.0**53


def _stream(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
