"""Points of a space in a fixed order: pure, so that `plan` knows what a search will propose.

The one definition of what the methods propose that no score changes: the driver asks a `Source`,
`oracles` gives KerasTuner the same draws.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from hpsearch.space import Config, Space
from hpsearch.trial import Outcome

__all__ = ["METHODS", "Draw", "Source", "draws", "grid_draws", "listed_draws", "random_draws"]

#: A config, and the assignment of values to the space's parameters that gives it.
Draw = tuple[Config, dict[str, Any]]

#: The methods of which this module knows all proposals; `configs` is a list without a method.
METHODS = ("grid", "random", "configs")

#: A space no larger than this is counted to tell when it is exhausted.
_COUNTABLE = 100_000
#: Draws in a row without a new config after which a larger one counts as exhausted.
_PATIENCE = 10_000


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
    raise ValueError(f"the proposals of {method} depend on scores")


class Source:
    """Hands out the configs of draws as they are asked for; an oracle that learns nothing."""

    #: Whether proposals depend on outcomes.
    adaptive = False

    def __init__(self, drawn: Iterator[Draw]) -> None:
        self._draws = drawn
        self.exhausted = False

    def ask(self, count: int) -> list[Config]:
        """At most `count` configs that were not proposed before; fewer once it is exhausted."""
        asked = [config for config, _ in islice(self._draws, count)]
        self.exhausted = self.exhausted or len(asked) < count
        return asked

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Outcomes change nothing."""


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
    # The driver starts its workers before anything needs NumPy.
    import numpy as np

    sequence = np.random.SeedSequence([seed, draw, stream])
    return float(int(sequence.generate_state(1, np.uint64)[0]) >> 11) / 2.0**53


def _stream(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
