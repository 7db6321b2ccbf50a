"""Parameters with their domains, conditions and constraints, their configs, kinds and grid."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from itertools import accumulate, product
from statistics import NormalDist
from typing import Any, Final

from hpsearch.space.constraints import Constraint
from hpsearch.space.mlp import DEFAULTS, NOTES, MLPConfig, hashed
from hpsearch.wording import is_number

#: Number of epochs of a training that ends by itself.
ENDLESS = 2**31
#: Hyperparameters of the MLP whose values decide which other ones are active.
_DECIDING = frozenset({"hidden_layers", "units", "layer_type", "optimizer"})
#: Largest space to enumerate in order to find out what it contains.
_COUNTABLE = 10_000

Value = Any

#: Message for a parameter that a grid cannot enumerate.
GRID_NEEDS = "a grid needs a list of values or a step"


class Kind(StrEnum):
    """The kind of thing that a config describes, and what follows from it for a config."""

    MLP = "mlp"
    #: A function of the user that returns one score.
    FUNCTION = "function"
    #: A function of the user that yields a score per epoch.
    STEPWISE = "stepwise"
    #: A Keras model that the user builds.
    MODEL = "model"
    #: A Keras model built for a number of epochs: a shorter training is not its beginning.
    WHOLE_MODEL = "whole_model"
    #: A program of the user, which alone defines its parameters, even `epochs`.
    PROGRAM = "program"

    @property
    def is_model(self) -> bool:
        """True if the user builds the model."""
        return self in (Kind.MODEL, Kind.WHOLE_MODEL)

    @property
    def is_predefined(self) -> bool:
        """True if names such as `units` have a meaning, a default, and a bearing on others."""
        return self is Kind.MLP

    @property
    def is_network(self) -> bool:
        """True if names such as `units` probably mean what they do in an MLP."""
        return self not in (Kind.FUNCTION, Kind.STEPWISE)

    @property
    def has_budget(self) -> bool:
        """True if the hyperparameter `epochs` sets where a training ends."""
        return self is not Kind.PROGRAM

    @property
    def gets_epochs(self) -> bool:
        """True if `epochs` is among the values that a training gets."""
        return self not in (Kind.MLP, Kind.MODEL)

    @property
    def continues(self) -> bool:
        """True if a longer training begins as a shorter one: it can go on from there, or be both.

        A program keeps its checkpoints itself.
        """
        return self in (Kind.MLP, Kind.MODEL, Kind.STEPWISE)

    @property
    def scores_once(self) -> bool:
        """True if a training is a single epoch."""
        return self is Kind.FUNCTION

    @property
    def takes_device(self) -> bool:
        """True if each training gets its own GPU; of MLPs only large ones do."""
        return self is not Kind.MLP

    @property
    def names_metrics(self) -> bool:
        """True if the user's code names the metrics that it reports."""
        return self.is_model or self is Kind.PROGRAM

    @property
    def names_code(self) -> bool:
        """True if rows name the commit and the fingerprint of the user's code."""
        return self is Kind.PROGRAM


@dataclass(frozen=True)
class Choices:
    """A finite list of values, in the file's order.

    Attributes:
        weights: The probability of each value in a random draw, above 0; empty if all are equal.
    """

    values: tuple[Value, ...]
    weights: tuple[float, ...] = ()

    def at(self, position: float) -> Value:
        """Return the value at `position` in [0, 1)."""
        index = int(position * len(self.values))
        if self.weights:
            reached = list(accumulate(self.weights))
            index = bisect.bisect_right(reached, position * reached[-1])
        # Rounding may lead beyond the last.
        return self.values[min(index, len(self.values) - 1)]


@dataclass(frozen=True)
class Range:
    """Numbers from `min` to `max`, both included; with a step, only min, min + step, ..."""

    min: float
    max: float
    step: float | None = None
    log: bool = False
    integer: bool = False

    @property
    def count(self) -> int | None:
        """The number of values of a range with a step; None for a continuous one."""
        return None if self.step is None else round((self.max - self.min) / self.step) + 1

    def steps(self) -> tuple[float, ...] | None:
        """Return every value of a range with a step; None for a continuous one."""
        if self.count is None or self.step is None:
            return None
        values = (self.min + index * self.step for index in range(self.count))
        # Twelve digits, so that 0.1 + 2 * 0.1 is 0.3.
        return tuple(int(v) if self.integer else float(f"{v:.12g}") for v in values)

    def at(self, position: float) -> float:
        """Return the value at `position` in [0, 1) of a range without a step."""
        # Integers get intervals of equal size, so that both ends are as likely as the others.
        low, high = self.min, self.max + (1 if self.integer else 0)
        if self.log:
            low, high = math.log(low), math.log(high)
        value = low + position * (high - low)
        value = math.exp(value) if self.log else value
        value = min(max(math.floor(value) if self.integer else value, self.min), self.max)
        return int(value) if self.integer else value


#: The ends of [0, 1], slightly moved, since some distributions have no quantile there.
_LEAST, _MOST = 2.0**-60, 1.0 - 2.0**-53
#: Largest number to draw; the steps of a `q_` distribution may still be added to it.
_LARGEST = 1e307

#: Distribution -> its arguments -> the default, or None if the argument is required.
ARGUMENTS: Final[Mapping[str, Mapping[str, float | None]]] = {
    "q_uniform": {"min": None, "max": None, "q": 1},
    "log_uniform": {"min": None, "max": None},
    "q_log_uniform": {"min": None, "max": None, "q": 1},
    "q_log_uniform_values": {"min": None, "max": None, "q": 1},
    "inv_log_uniform": {"min": None, "max": None},
    "inv_log_uniform_values": {"min": None, "max": None},
    "normal": {"mu": 0.0, "sigma": 1.0},
    "q_normal": {"mu": 0.0, "sigma": 1.0, "q": 1},
    "log_normal": {"mu": 0.0, "sigma": 1.0},
    "q_log_normal": {"mu": 0.0, "sigma": 1.0, "q": 1},
    "beta": {"a": 1, "b": 1},
    "q_beta": {"a": 1, "b": 1, "q": 1},
}


@dataclass(frozen=True)
class Drawn:
    """A number drawn from one of W&B's distributions.

    Source: `sweeps.params.HyperParameter.ppf` of the package `sweeps`, W&B's own, 0.3.0.

    Attributes:
        distribution: A name of ARGUMENTS.
        arguments: Its arguments, all of them, in the order of ARGUMENTS.
    """

    distribution: str
    arguments: tuple[tuple[str, float], ...]

    @property
    def given(self) -> dict[str, float]:
        """The arguments by name."""
        return dict(self.arguments)

    def steps(self) -> None:
        """Return None: its values are not enumerated."""

    def at(self, position: float) -> float:
        """Return the quantile at `position` in [0, 1)."""
        value = self._quantile(min(max(position, _LEAST), _MOST))
        if self._is_log:
            value = math.exp(min(value, math.log(_LARGEST)))
        value = min(max(value, -_LARGEST), _LARGEST)
        step = self.given.get("q")
        if step is None:
            return value
        rounded = _rounded(value, step)
        # Twelve digits, so that 3 * 0.1 is 0.3.
        return int(rounded) if isinstance(step, int) else float(f"{rounded:.12g}")

    def position(self, value: float) -> float:
        """Return the share of the distribution below `value`, from 0 to 1."""
        numbers = self.given
        if self._is_log:
            value = math.log(value) if value > 0 else -math.inf
        if "mu" in numbers:
            mean, deviation = numbers["mu"], numbers["sigma"]
            if deviation == 0:
                return 0.5
            return 0.5 * math.erfc((mean - value) / (deviation * math.sqrt(2)))
        if "a" in numbers:
            # Imported here because it is slow, and only this distribution needs it.
            from scipy.special import betainc

            return float(betainc(numbers["a"], numbers["b"], min(max(value, 0.0), 1.0)))
        low, high = self._ends
        return min(max((value - low) / (high - low), 0.0), 1.0)

    def contains(self, value: float) -> bool:
        """Check if the distribution can yield `value`."""
        step = self.given.get("q", 0)
        if step and not math.isclose(value, _rounded(value, step), abs_tol=1e-9 * step):
            return False
        low, high = self.at(0.0), self.at(1.0)
        # Rounding may move a number beyond the ends.
        margin = 1e-9 * max(abs(low), abs(high))
        return low - margin <= value <= high + margin

    @property
    def _ends(self) -> tuple[float, float]:
        """The ends of the uniform quantity: the number itself or its logarithm."""
        low, high = self.given["min"], self.given["max"]
        if self.distribution.endswith("_values"):
            return math.log(low), math.log(high)
        return (-high, -low) if self.distribution == "inv_log_uniform" else (low, high)

    @property
    def _is_log(self) -> bool:
        """True if the logarithm of the number has the distribution."""
        return "log" in self.distribution

    def _quantile(self, position: float) -> float:
        """Return the quantile of the number or its logarithm."""
        numbers = self.given
        if "mu" in numbers:
            return numbers["mu"] + numbers["sigma"] * NormalDist().inv_cdf(position)
        if "a" in numbers:
            from scipy.special import betaincinv

            return float(betaincinv(numbers["a"], numbers["b"], position))
        low, high = self._ends
        return low + position * (high - low)


def _rounded(value: float, step: float) -> float:
    """Return the multiple of `step` next to `value`; `value` itself if their ratio is infinite."""
    count = value / step
    return round(count) * step if math.isfinite(count) else value


@dataclass(frozen=True)
class Parameter:
    """One hyperparameter: its values and the condition under which it is active.

    Attributes:
        path: The names that lead to a nested parameter of a program; empty if it is not nested.
    """

    name: str
    domain: Choices | Range | Drawn
    when: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    path: tuple[str, ...] = ()

    @cached_property
    def choices(self) -> tuple[Value, ...] | None:
        """All values; None for a range without a step."""
        return self.domain.values if isinstance(self.domain, Choices) else self.domain.steps()

    @property
    def count(self) -> int | None:
        """The number of values; None if it is continuous."""
        if isinstance(self.domain, Choices):
            return len(self.domain.values)
        return self.domain.count if isinstance(self.domain, Range) else None

    @property
    def varies(self) -> bool:
        """True if it has more than one value."""
        return self.count != 1

    def at(self, position: float) -> Value:
        """Return the value at `position` in [0, 1)."""
        domain = self.domain
        if isinstance(domain, Range) and self.choices is not None:
            domain = Choices(self.choices)
        return domain.at(position)

    def contains(self, value: Value) -> bool:
        """Check if it can have a value."""
        domain = self.domain
        if isinstance(domain, Drawn):
            return is_number(value) and domain.contains(value)
        if self.choices is None and isinstance(domain, Range):
            inside = is_number(value) and domain.min <= value <= domain.max
            return inside and not (domain.integer and value % 1)
        return value in (self.choices or ())


@dataclass(frozen=True)
class Config:
    """One point of a space: its active values.

    Attributes:
        values: The active values; an MLP's include the defaults of NOTES.
        kind: The kind of thing described. Names such as `units` are defined for MLPs alone.
    """

    values: Mapping[str, Value]
    kind: Kind = Kind.MLP

    @cached_property
    def id(self) -> str:
        """`c` and 11 hex digits; equal for configs that train equally."""
        if self.kind.is_predefined:
            return MLPConfig(self.values).id
        return hashed(self.values)

    @property
    def without_epochs(self) -> dict[str, Value]:
        """All values but `epochs`."""
        return {name: value for name, value in self.values.items() if name != "epochs"}

    @property
    def trained(self) -> dict[str, Value]:
        """The values that a training gets: without `epochs` if they only set its end."""
        return dict(self.values) if self.kind.gets_epochs else self.without_epochs

    @cached_property
    def prefix(self) -> str:
        """Hash that is equal for configs that can share one training."""
        if not self.kind.continues:
            return self.id
        return Config(self.without_epochs, self.kind).id


@dataclass(frozen=True)
class Space:
    """Parameters in file order, and the constraints that a config must satisfy.

    Only an MLP has defaults, and values that other values make inactive.
    """

    parameters: tuple[Parameter, ...]
    constraints: tuple[Constraint, ...] = ()
    kind: Kind = Kind.MLP

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Parameter names in file order."""
        return tuple(parameter.name for parameter in self.parameters)

    @property
    def most_epochs(self) -> int | None:
        """The largest value of `epochs`; None if it is absent or not always a number."""
        parameter = next((p for p in self.parameters if p.name == "epochs"), None)
        if parameter is None or isinstance(parameter.domain, Drawn):
            return None
        domain, choices = parameter.domain, parameter.choices
        values = (domain.max,) if choices is None and isinstance(domain, Range) else choices or ()
        numbers = [v for v in values if is_number(v)]
        return max(1, int(max(numbers))) if len(numbers) == len(values) else None

    @cached_property
    def by_dependence(self) -> tuple[Parameter, ...]:
        """Parameters, each after those in its condition, and deciding ones as early as possible."""
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
        """Parameters whose values decide which other ones are active."""
        of_mlp = {
            p.name
            for p in self.parameters
            if self.kind.is_predefined
            and p.name in _DECIDING
            # Only lists of units decide, since they set the number of layers.
            and (p.name != "units" or any(isinstance(v, list) for v in p.choices or ()))
        }
        return frozenset(of_mlp) | self._when_names

    @cached_property
    def _when_names(self) -> frozenset[str]:
        return frozenset(parent for p in self.parameters for parent in p.when)

    def config(self, assignment: Mapping[str, Value]) -> Config | None:
        """Return the config of an assignment of values, or None if a constraint fails.

        Inactive values are dropped, and NOTES that the space lacks get their defaults.
        """
        active = self.active(assignment)
        if not all(constraint.holds(active) for constraint in self.constraints):
            return None
        if not self.kind.is_predefined:
            return Config(active, self.kind)
        order = [*NOTES, *(name for name in active if name not in NOTES)]
        return Config({name: active[name] for name in order if name in active})

    def active(self, assignment: Mapping[str, Value]) -> dict[str, Value]:
        """Return the active values of an assignment, even if a constraint fails."""
        active: dict[str, Value] = {}
        for parameter in self.by_dependence if self._when_names else self.parameters:
            name = parameter.name
            if name in assignment and self._condition_holds(parameter, active):
                active[name] = assignment[name]
        # `configs` may have names that are not in the space.
        active.update((n, v) for n, v in assignment.items() if n not in self.names)
        if not self.kind.is_predefined:
            return active
        for name in NOTES:
            if name not in self.names:
                active.setdefault(name, assignment.get(name, DEFAULTS[name]))
        if isinstance(active.get("units"), list) and active.get("hidden_layers") != 0:
            active["hidden_layers"] = len(active["units"])
        for name in MLPConfig(active).inactive:
            del active[name]
        return active

    def _condition_holds(self, parameter: Parameter, active: Mapping[str, Value]) -> bool:
        for parent, accepted in parameter.when.items():
            value = active.get(parent)
            units = active.get("units") if self.kind.is_predefined else None
            if parent == "hidden_layers" and value != 0 and isinstance(units, list):
                value = len(units)
            if parent not in active or not matches(value, accepted):
                return False
            if self.kind.is_predefined and parent in MLPConfig(active).inactive:
                return False
        return True

    def cardinality(self) -> int | None:
        """Return the number of assignments; None for a continuous space."""
        counts = [p.count for p in self.parameters if p.count is not None]
        return math.prod(counts) if len(counts) == len(self.parameters) else None

    def assignments(self) -> Iterator[dict[str, Value]]:
        """Yield assignments in file order, the last parameter varying fastest.

        They include the first assignment of every config, and leave out those that differ from it
        only in inactive values after the last parameter that decides on others.

        Raises:
            ValueError: A parameter is continuous.
        """
        if any(parameter.choices is None for parameter in self.parameters):
            raise ValueError(GRID_NEEDS)
        deciding = [
            n for n, p in enumerate(self.parameters) if p.name in self.deciding and p.varies
        ]
        head = self.parameters[: max(deciding, default=-1) + 1]
        tail = self.parameters[len(head) :]
        first = {parameter.name: parameter.at(0.0) for parameter in self.parameters}
        for values in product(*(parameter.choices or () for parameter in head)):
            begun = first | dict(zip(self.names, values, strict=False))
            active = self.active(begun)
            # One value of an inactive parameter is enough.
            axes = [(p.choices or ())[: None if p.name in active else 1] for p in tail]
            for others in product(*axes):
                yield begun | dict(zip(self.names[len(head) :], others, strict=True))

    def contains(self, config: Config) -> bool:
        """Check if a config of the space trains equally."""
        if self._ids is not None:
            return config.id in self._ids
        return self.assignment(config) is not None

    def assignment(self, config: Config) -> dict[str, Value] | None:
        """Return an assignment whose config trains equally; None without one."""
        assignment = {name: v for name, v in config.values.items() if name in self.names}
        for parameter in self.parameters:
            name = parameter.name
            if name in assignment and parameter.contains(assignment[name]):
                continue
            # The parameter is inactive, or another of its values is equivalent.
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
        other = self.config(assignment)
        return other is not None and other.id == config.id


def matches(value: Value, accepted: tuple[Value, ...]) -> bool:
    """Check if a value is among the accepted ones; an optimizer with arguments also by its name."""
    if isinstance(value, Mapping):
        return any(
            item == value if isinstance(item, Mapping) else item == value.get("name")
            for item in accepted
        )
    return value in accepted
