"""Parameters with conditions and constraints, the configs that they span, and their grid."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from itertools import islice, product
from typing import Any

from hpsearch.space.constraints import Constraint
from hpsearch.space.mlp import DEFAULTS, NOTES, MLPConfig, hashed

#: The MLP has a use for other hyperparameters, or none, by the values of these.
_DECIDING = frozenset({"hidden_layers", "units", "layer_type", "optimizer"})
#: A space no larger than this is enumerated to tell what it contains.
_COUNTABLE = 10_000

Value = Any

#: The rule of parameters that a grid is to enumerate.
GRID_NEEDS = "a grid needs a list of values or a step"


class Kind(StrEnum):
    """What a config is of."""

    MLP = "mlp"
    #: A function of the user's that gives one score.
    FUNCTION = "function"
    #: One that yields a score an epoch.
    STEPWISE = "stepwise"
    #: A Keras model of the user's own building.
    MODEL = "model"
    #: One that is told how many epochs it is to train, so that none is the beginning of another.
    WHOLE_MODEL = "whole_model"

    @property
    def is_model(self) -> bool:
        """Whether it is a model of the user's own."""
        return self in (Kind.MODEL, Kind.WHOLE_MODEL)


@dataclass(frozen=True)
class Choices:
    """A finite list of values, in the file's order."""

    values: tuple[Value, ...]


@dataclass(frozen=True)
class Range:
    """Numbers from `min` to `max`, both included; with a step, only min, min + step, ..."""

    min: float
    max: float
    step: float | None = None
    log: bool = False
    integer: bool = False

    def steps(self) -> tuple[float, ...] | None:
        """Every value of a stepped range; None where it is continuous."""
        if self.step is None:
            return None
        count = round((self.max - self.min) / self.step) + 1
        values = (self.min + index * self.step for index in range(count))
        # Twelve digits: 0.1 + 2 * 0.1 reads 0.3, as the file's author means it.
        return tuple(int(v) if self.integer else float(f"{v:.12g}") for v in values)

    def at(self, position: float) -> float:
        """The value at `position` in [0, 1) of a range without a step, by its scale."""
        if self.integer:
            return self._integer_at(position)
        if self.log:
            low, high = math.log(self.min), math.log(self.max)
            return min(max(math.exp(low + position * (high - low)), self.min), self.max)
        return self.min + position * (self.max - self.min)

    def _integer_at(self, position: float) -> int:
        # Each integer owns the half-open interval around it, so the ends are as likely.
        low, high = self.min, self.max + 1
        if self.log:
            value = math.exp(math.log(low) + position * (math.log(high) - math.log(low)))
        else:
            value = low + position * (high - low)
        return int(min(max(math.floor(value), self.min), self.max))


@dataclass(frozen=True)
class Parameter:
    """One hyperparameter: where its values come from and the condition under which it lives."""

    name: str
    domain: Choices | Range
    when: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)

    @cached_property
    def choices(self) -> tuple[Value, ...] | None:
        """All its values; None where it is continuous, or an integer range without a step."""
        return self.domain.values if isinstance(self.domain, Choices) else self.domain.steps()

    def at(self, position: float) -> Value:
        """The value at `position` in [0, 1)."""
        values = self.choices
        if values is not None:
            return values[min(int(position * len(values)), len(values) - 1)]
        assert isinstance(self.domain, Range)
        return self.domain.at(position)


@dataclass(frozen=True)
class Config:
    """One point of a space: its active values, defaults of the notes' hyperparameters included.

    Attributes:
        kind: What the values are of: to a function of one's own, `units` is a name like any other.
    """

    values: Mapping[str, Value]
    kind: Kind = Kind.MLP

    @cached_property
    def id(self) -> str:
        """`c` and 11 hex digits; equal for configs that train equally."""
        if self.kind is Kind.MLP:
            return MLPConfig(self.values).id
        return hashed(self.values)

    @property
    def without_epochs(self) -> dict[str, Value]:
        """All values but `epochs`: what an MLP is built from."""
        return {name: value for name, value in self.values.items() if name != "epochs"}

    @property
    def trained(self) -> dict[str, Value]:
        """What a training is told: without `epochs` where these only say when it ends."""
        return self.without_epochs if self.kind in (Kind.MLP, Kind.MODEL) else dict(self.values)

    @cached_property
    def prefix(self) -> str:
        """Equal for configs of which one is the beginning of the other: all but epochs is equal."""
        if self.kind in (Kind.FUNCTION, Kind.WHOLE_MODEL):
            return self.id
        return Config(self.without_epochs, self.kind).id


@dataclass(frozen=True)
class Space:
    """Parameters in file order, and the constraints that a config must satisfy.

    Attributes:
        kind: What they are of; an MLP has defaults and inactive values.
    """

    parameters: tuple[Parameter, ...]
    constraints: tuple[Constraint, ...] = ()
    kind: Kind = Kind.MLP

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Parameter names in file order."""
        return tuple(parameter.name for parameter in self.parameters)

    @cached_property
    def by_dependence(self) -> tuple[Parameter, ...]:
        """Parameters, each after those that its condition names.

        Those that decide whether the MLP has a use for others come as early as they can.
        """
        deciding = self._with_ancestors(_DECIDING)
        ordered: dict[str, Parameter] = {}
        pending = sorted(self.parameters, key=lambda p: p.name not in deciding)
        while pending:
            ready = [p for p in pending if all(parent in ordered for parent in p.when)]
            if not ready:
                raise ValueError(f"a cycle of when: {[p.name for p in pending]}")
            early = [p for p in ready if p.name in deciding]
            ordered.update((p.name, p) for p in early or ready)
            pending = [p for p in pending if p.name not in ordered]
        return tuple(ordered.values())

    def _with_ancestors(self, names: frozenset[str]) -> frozenset[str]:
        parents = {parent for p in self.parameters if p.name in names for parent in p.when}
        return names if parents <= names else self._with_ancestors(names | parents)

    @cached_property
    def deciding(self) -> frozenset[str]:
        """Parameters whose values decide which others are active."""
        of_mlp = {
            p.name
            for p in self.parameters
            if self.kind is Kind.MLP
            and p.name in _DECIDING
            # Numbers of units decide nothing, lists of them the number of layers.
            and (p.name != "units" or any(isinstance(v, list) for v in p.choices or ()))
        }
        return frozenset(of_mlp) | self._when_names

    @cached_property
    def _when_names(self) -> frozenset[str]:
        return frozenset(parent for p in self.parameters for parent in p.when)

    def config(self, assignment: Mapping[str, Value]) -> Config | None:
        """The config of an assignment of values to parameters; None where a constraint fails.

        Dead values are dropped; those of the notes' hyperparameters that the space does not
        name take their defaults.
        """
        active = self._active(assignment)
        if not self._holds(active):
            return None
        if self.kind is not Kind.MLP:
            return Config(active, self.kind)
        order = [*NOTES, *(name for name in active if name not in NOTES)]
        return Config({name: active[name] for name in order if name in active})

    def active(self, assignment: Mapping[str, Value]) -> frozenset[str]:
        """The names that are active with an assignment, whether or not its constraints hold."""
        return frozenset(self._active(assignment))

    def is_met(self, parameter: Parameter, assignment: Mapping[str, Value]) -> bool:
        """Whether a parameter's own condition holds; the MLP may have no use for it yet."""
        return parameter.name in self._met(assignment)

    def _active(self, assignment: Mapping[str, Value]) -> dict[str, Value]:
        active = self._met(assignment)
        if self.kind is not Kind.MLP:
            return active
        for name in NOTES:
            if name not in self.names:
                active.setdefault(name, assignment.get(name, DEFAULTS[name]))
        if isinstance(active.get("units"), list) and active.get("hidden_layers") != 0:
            active["hidden_layers"] = len(active["units"])
        for name in MLPConfig(active).inactive:
            del active[name]
        return active

    def _holds(self, active: Mapping[str, Value]) -> bool:
        return all(constraint.holds(active) for constraint in self.constraints)

    def _met(self, assignment: Mapping[str, Value]) -> dict[str, Value]:
        active: dict[str, Value] = {}
        for parameter in self.by_dependence if self._when_names else self.parameters:
            name = parameter.name
            if name in assignment and self._condition_holds(parameter, active):
                active[name] = assignment[name]
        # Names outside the space (of `configs:`) are active unless the MLP has no use for them.
        active.update((n, v) for n, v in assignment.items() if n not in self.names)
        return active

    def _condition_holds(self, parameter: Parameter, active: Mapping[str, Value]) -> bool:
        for parent, accepted in parameter.when.items():
            if parent not in active:
                return False
            value = active[parent]
            if self.kind is not Kind.MLP:
                if not _matches(value, accepted):
                    return False
                continue
            if parent == "hidden_layers" and value != 0 and isinstance(active.get("units"), list):
                value = len(active["units"])
            if parent in MLPConfig(active).inactive or not _matches(value, accepted):
                return False
        return True

    def cardinality(self) -> int | None:
        """Points of the grid before inactive keys and constraints; None where it is continuous."""
        sizes = [None if p.choices is None else len(p.choices) for p in self.parameters]
        finite = [size for size in sizes if size is not None]
        return math.prod(finite) if len(finite) == len(sizes) else None

    def assignments(self) -> Iterator[dict[str, Value]]:
        """Assignments of values in file order: the last parameter varies fastest.

        Every config's first one is among them; most that differ from it in inactive values are not.

        Raises:
            ValueError: A parameter is continuous.
        """
        if any(parameter.choices is None for parameter in self.parameters):
            raise ValueError(GRID_NEEDS)
        return grid_assignments(self)

    def contains(self, config: Config) -> bool:
        """Whether the space holds a config that trains equally and satisfies its constraints."""
        if self._ids is not None:
            return config.id in self._ids
        return self.assignment(config) is not None

    def assignment(self, config: Config) -> dict[str, Value] | None:
        """Values of all parameters that give the config, or one that trains equally.

        None where the space holds none.
        """
        assignment = {name: v for name, v in config.values.items() if name in self.names}
        for parameter in self.parameters:
            name = parameter.name
            if name in assignment and _lies_in(assignment[name], parameter):
                continue
            # It is inactive here, or another of its values means the same.
            candidates = parameter.choices or (parameter.at(0.5),)
            value = next((v for v in candidates if self._is(config, assignment | {name: v})), None)
            if value is None:
                return None
            assignment[name] = value
        return assignment if self._is(config, assignment) else None

    @cached_property
    def _ids(self) -> frozenset[str] | None:
        size = self.cardinality()
        if size is None or size > _COUNTABLE:
            return None
        configs = map(self.config, self.assignments())
        return frozenset(config.id for config in configs if config is not None)

    def _is(self, config: Config, assignment: Mapping[str, Value]) -> bool:
        found = self.config(assignment)
        return found is not None and found.id == config.id


def _matches(value: Value, accepted: tuple[Value, ...]) -> bool:
    if isinstance(value, Mapping):
        return any(
            item == value if isinstance(item, Mapping) else item == value.get("name")
            for item in accepted
        )
    return value in accepted


def _lies_in(value: Value, parameter: Parameter) -> bool:
    choices = parameter.choices
    if choices is not None:
        return value in choices
    domain = parameter.domain
    return isinstance(domain, Range) and domain.min <= value <= domain.max


#: With more combinations of deciding values than this, liveness is left to each point.
_MOST_COMBINATIONS = 20_000

_Places = Mapping[str, int]


@dataclass(frozen=True)
class _Combination:
    """Values of the deciding parameters by their places in the lists, and what lives with them."""

    places: _Places
    active: frozenset[str]


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
    """Those that differ in more than inactive values; None where there are too many to look at."""
    deciding = [p for p in space.by_dependence if p.name in space.deciding]
    first = {p.name: p.choices[0] for p in space.parameters if p.choices}
    found: list[_Places] = [{}]
    for parameter in deciding:
        longer = _extended(space, found, parameter, first)
        found = list(islice(longer, _MOST_COMBINATIONS + 1))
        if len(found) > _MOST_COMBINATIONS:
            return None
    whole = {
        tuple(places.values()): _Combination(
            places, space.active(_assignment(space, places, first))
        )
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
    """Whether a combination is an earlier one with another value of what is inactive in both."""
    active = whole[key].active
    for at, name in enumerate(names):
        if key[at] and name not in active:
            earlier = whole.get((*key[:at], 0, *key[at + 1 :]))
            if earlier is not None and earlier.active == active:
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
                yield from (chosen + point for point in self._tails(combination.active))
            return
        parameter = self.head[position]
        for place, value in enumerate(parameter.choices or ()):
            left = [c for c in combinations if _may_have(c, parameter.name, place)]
            if left:
                yield from self.from_position(position + 1, left, (*chosen, value))

    def _tails(self, active: frozenset[str]) -> Iterator[tuple[Any, ...]]:
        choices = [parameter.choices or () for parameter in self.tail]
        names = [parameter.name for parameter in self.tail]
        return product(
            *(
                values if name in active else values[:1]
                for name, values in zip(names, choices, strict=True)
            )
        )


def _may_have(combination: _Combination, name: str, place: int) -> bool:
    if name in combination.places:
        return combination.places[name] == place
    return not place or name in combination.active
