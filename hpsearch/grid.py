"""The points of a grid, without those that differ from an earlier one in dead values alone.

Which parameters are alive depends on the deciding ones only. So liveness is found once for each
combination of their values, and a parameter that is dead there does not enter the product: it
keeps its first value, which the first point of each config has in the product of all, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import Any, Protocol

__all__ = ["grid_assignments"]

#: With more combinations of deciding values than this, liveness is left to each point.
_MOST_COMBINATIONS = 20_000

_Places = Mapping[str, int]


class Parameter(Protocol):
    """What a space's parameter says of itself."""

    @property
    def name(self) -> str: ...
    @property
    def choices(self) -> tuple[Any, ...] | None: ...
    @property
    def when(self) -> Mapping[str, tuple[Any, ...]]: ...


class Space(Protocol):
    """What a space says of itself; `hpsearch.space.Space` has it."""

    @property
    def parameters(self) -> Sequence[Any]: ...
    @property
    def by_dependence(self) -> Sequence[Any]: ...
    @property
    def deciding(self) -> frozenset[str]: ...
    def alive(self, assignment: Mapping[str, Any]) -> frozenset[str]: ...
    def is_met(self, parameter: Any, assignment: Mapping[str, Any]) -> bool: ...


@dataclass(frozen=True)
class _Combination:
    """Values of the deciding parameters by their places in the lists, and what lives with them."""

    places: _Places
    alive: frozenset[str]


def grid_assignments(space: Space) -> Iterator[dict[str, Any]]:
    """Assignments in file order (the last parameter varies fastest); of each config, the first.

    Of the further assignments that give a config which came before, some come, too. No parameter
    is continuous.
    """
    names = [parameter.name for parameter in space.parameters]
    combinations = _combinations(space)
    if combinations is None:
        for point in product(*(parameter.choices or () for parameter in space.parameters)):
            yield dict(zip(names, point, strict=True))
        return
    last = max(
        (at for at, p in enumerate(space.parameters, 1) if p.name in space.deciding), default=0
    )
    walk = _Walk(space.parameters[:last], space.parameters[last:])
    for point in walk.from_position(0, combinations, ()):
        yield dict(zip(names, point, strict=True))


def _combinations(space: Space) -> Sequence[_Combination] | None:
    """Those that differ in more than dead values; None where there are too many to look at."""
    deciding = [p for p in space.by_dependence if p.name in space.deciding]
    first = {p.name: p.choices[0] for p in space.parameters if p.choices}
    found: list[_Places] = [{}]
    for parameter in deciding:
        longer = _extended(space, found, parameter, first)
        found = list(islice(longer, _MOST_COMBINATIONS + 1))
        if len(found) > _MOST_COMBINATIONS:
            return None
    whole = {
        tuple(places.values()): _Combination(places, space.alive(_assignment(space, places, first)))
        for places in found
    }
    names = [parameter.name for parameter in deciding]
    return [each for key, each in whole.items() if not _is_another(key, names, whole)]


def _assignment(space: Space, places: _Places, first: Mapping[str, Any]) -> dict[str, Any]:
    choices = {p.name: p.choices or () for p in space.parameters if p.name in places}
    return {**first, **{name: choices[name][place] for name, place in places.items()}}


def _extended(
    space: Space, found: Sequence[_Places], parameter: Parameter, first: Mapping[str, Any]
) -> Iterator[_Places]:
    for places in found:
        met = not parameter.when or space.is_met(parameter, _assignment(space, places, first))
        # What its own condition keeps out has no part in anything: one value stands for all.
        for place in range(len(parameter.choices or ()) if met else 1):
            yield {**places, parameter.name: place}


def _is_another(
    key: tuple[int, ...], names: Sequence[str], whole: Mapping[tuple[int, ...], _Combination]
) -> bool:
    """Whether a combination is an earlier one with another value of what is dead in both."""
    alive = whole[key].alive
    for at, name in enumerate(names):
        if key[at] and name not in alive:
            earlier = whole.get((*key[:at], 0, *key[at + 1 :]))
            if earlier is not None and earlier.alive == alive:
                return True
    return False


@dataclass(frozen=True)
class _Walk:
    """Goes through points in file order.

    Attributes:
        head: Parameters up to the last deciding one.
        tail: Those after it.
    """

    head: Sequence[Parameter]
    tail: Sequence[Parameter]

    def from_position(
        self, position: int, combinations: Sequence[_Combination], chosen: tuple[Any, ...]
    ) -> Iterator[tuple[Any, ...]]:
        """Every point that begins with `chosen` and has one of the combinations."""
        if position == len(self.head):
            for combination in combinations:
                yield from (chosen + point for point in self._tails(combination.alive))
            return
        parameter = self.head[position]
        for place, value in enumerate(parameter.choices or ()):
            left = [c for c in combinations if _may_have(c, parameter.name, place)]
            if left:
                yield from self.from_position(position + 1, left, (*chosen, value))

    def _tails(self, alive: frozenset[str]) -> Iterator[tuple[Any, ...]]:
        choices = [parameter.choices or () for parameter in self.tail]
        names = [parameter.name for parameter in self.tail]
        return product(
            *(
                values if name in alive else values[:1]
                for name, values in zip(names, choices, strict=True)
            )
        )


def _may_have(combination: _Combination, name: str, place: int) -> bool:
    if name in combination.places:
        return combination.places[name] == place
    return not place or name in combination.alive
