"""Finding a hypermodel's hyperparameters by building it until no new ones appear."""

from __future__ import annotations

import math
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy.typing as npt
from keras_tuner.src.engine.hyperparameters import hp_types

from hpsearch.data.specs import Target
from hpsearch.errors import InputError
from hpsearch.models.custom import (
    TrackedHyperParameters,
    hypermodel_of,
    labels_for,
    named_anew,
    require_model,
    seeded,
    trains_itself,
)
from hpsearch.models.problem import Recipe
from hpsearch.models.shipping import ModelHyperparameters
from hpsearch.space.space import Choices, Parameter, Range

#: A log scale's steps: below it a value counts as the last one, as KerasTuner rounds.
_ROUNDING = 1e-8

When = Mapping[str, tuple[Any, ...]]


def described(name: str, declared: Sequence[Any]) -> Parameter:
    """A parameter for all that was declared under one name.

    Where it was declared under several conditions, it lives under any of them; where these are
    not of one parent, under what they have in common, so that it may live where it is not used.

    Raises:
        InputError: They differ in more than their conditions.
    """
    domains = [domain_of(each) for each in declared]
    if any(domain != domains[0] for domain in domains):
        raise InputError(
            f"hp: {name!r} is declared more than once, with other values under other conditions; "
            "give each a name of its own"
        )
    when = _conditions(declared[0])
    for other in declared[1:]:
        when = _either(when, _conditions(other))
    return Parameter(name, domains[0], when)


def _conditions(hyperparameter: Any) -> When:
    accepted: dict[str, tuple[Any, ...]] = {}
    for condition in hyperparameter.conditions:
        known = accepted.get(condition.name)
        values = tuple(condition.values)
        accepted[condition.name] = (
            values if known is None else tuple(value for value in known if value in values)
        )
    return accepted


def _either(one: When, other: When) -> When:
    """What holds where one of two conditions does, or more than that."""
    shared = [name for name in one if name in other]
    differing = [name for name in shared if one[name] != other[name]]
    if len(shared) < max(len(one), len(other)) or len(differing) > 1:
        return {name: one[name] for name in shared if name not in differing}
    return {name: tuple(dict.fromkeys((*one[name], *other[name]))) for name in shared}


def domain_of(hyperparameter: Any) -> Choices | Range:
    """Its values.

    A range whose step does not divide it ends at its last step, as KerasTuner's does; one with a
    step on a logarithmic scale is a list. Of `reverse_log` without a step only the ends are kept.

    Raises:
        InputError: KerasTuner has a kind of hyperparameter that is not known here.
    """
    if isinstance(hyperparameter, hp_types.Boolean):
        return Choices((False, True))
    if isinstance(hyperparameter, hp_types.Choice | hp_types.Fixed):
        return Choices(tuple(hyperparameter.values))
    if not isinstance(hyperparameter, hp_types.Int | hp_types.Float):
        raise InputError(
            f"hp: {hyperparameter.name!r} is a {type(hyperparameter).__name__}; what is known are "
            "Int, Float, Choice, Boolean and Fixed"
        )
    return _numbers(hyperparameter, whole=isinstance(hyperparameter, hp_types.Int))


def _numbers(hyperparameter: Any, *, whole: bool) -> Choices | Range:
    low, high, step = hyperparameter.min_value, hyperparameter.max_value, hyperparameter.step
    linear = hyperparameter.sampling == "linear"
    if low == high:
        return Choices((low,))
    if step is None:
        return Range(low, high, log=hyperparameter.sampling == "log", integer=whole)
    if not linear:
        numbers = list(hyperparameter.values)
        return Choices(tuple(int(n) if whole else float(f"{n:.12g}") for n in numbers))
    steps = math.floor((high - low) / step + _ROUNDING)
    if steps < 1:
        return Choices((low,))
    last = low + steps * step
    return Range(low, last if whole else float(f"{last:.12g}"), step, integer=whole)


#: Builds in all. A count, not a time: what is found must not depend on the machine.
_MOST_BUILDS = 64
#: Values of one list that are tried.
_MOST_VALUES = 8
#: Rows that a `fit` of one's own is tried with.
_ROWS = 64

_OURS = str(Path(__file__).parents[1])

Pair = tuple[npt.NDArray[Any], npt.NDArray[Any]]


def discover(
    recipe: Recipe,
    given: Sequence[Parameter],
    train: Pair,
    validation: Pair,
    target: Target | None = None,
) -> ModelHyperparameters:
    """The hyperparameters of a recipe's model.

    Args:
        given: Of the sweep, in place of what the model says of that name.
        train, validation: x and y; a `fit` of one's own is run once on some of the rows, with the
            defaults, for the hyperparameters that it has.
        target: What is predicted, where y is as `labels_for` takes it.

    Raises:
        InputError: It cannot be loaded, or not be built with its defaults.
    """
    return discover_in(hypermodel_of(recipe), recipe.model, given, train, validation, target)


def discover_in(  # noqa: PLR0917 - as `discover`
    hypermodel: Any,
    name: str,
    given: Sequence[Parameter] = (),
    train: Pair | None = None,
    validation: Pair | None = None,
    target: Target | None = None,
) -> ModelHyperparameters:
    """As `discover`, of a hypermodel that is at hand; without rows its `fit` is not run."""
    custom_fit = trains_itself(hypermodel)
    probe = _Probe(hypermodel, name, {parameter.name: parameter for parameter in given})
    probe.run()
    if custom_fit and train is not None and validation is not None:
        probe.fit(train, validation, target)
    return probe.found(custom_fit=custom_fit)


def declared_in(
    hypermodel: Any,
    name: str,
    given: Sequence[Parameter] = (),
    rows: tuple[Pair, Pair] | None = None,
    target: Target | None = None,
) -> list[Any]:
    """What a hypermodel asks for, as KerasTuner's own hyperparameters.

    Args:
        rows: To train and to validate on: its `fit` is run on some of them, and nothing else.
        target: As for `discover`.
    """
    probe = _Probe(hypermodel, name, {parameter.name: parameter for parameter in given})
    if rows is None:
        probe.run()
    else:
        probe.fit(*rows, target)
    return [each for declared in probe.declared.values() for each in declared]


@dataclass
class _Probe:
    """Builds so far, and what they asked for: KerasTuner's hyperparameters by name."""

    hypermodel: Any
    name: str
    given: Mapping[str, Parameter]
    declared: dict[str, list[Any]] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)
    builds: int = 0

    def run(self) -> None:
        """All builds: the defaults, every condition, then combinations of values."""
        self._build(TrackedHyperParameters({}, self._default))
        tried: list[dict[str, Any]] = []
        while self.builds < _MOST_BUILDS:
            wanted = next((each for each in self._combinations() if each not in tried), None)
            if wanted is None:
                return
            tried.append(wanted)
            self._try(wanted)

    def fit(self, train: Pair, validation: Pair, target: Target | None = None) -> None:
        """Runs the model's own `fit` on a few rows; what it fails by will show in the trials."""
        x, y, x_val, y_val = (array[:_ROWS] for array in (*train, *validation))
        # It may set the epochs by itself, or want to be told them.
        for arguments in ({}, {"epochs": 1}):
            values = TrackedHyperParameters(self._values({}), self._default)
            try:
                with seeded(0), named_anew():
                    model = self.hypermodel.build(values)
                    if target is not None:
                        y, y_val = (labels_for(model, each, target) for each in (y, y_val))
                    self.hypermodel.fit(
                        values,
                        model,
                        x,
                        y,
                        validation_data=(x_val, y_val),
                        callbacks=[],
                        **arguments,
                    )
            except Exception:  # noqa: BLE001 - the user's code; a trial will say it
                traceback.print_exc()
                self._note(values)
                continue
            self._note(values)
            return

    def found(self, *, custom_fit: bool) -> ModelHyperparameters:
        """What came of it."""
        parameters = [self._parameter(name, declared) for name, declared in self.declared.items()]
        defaults = {name: declared[0].default for name, declared in self.declared.items()}
        return ModelHyperparameters(tuple(parameters), defaults, frozenset(self.read), custom_fit)

    def _parameter(self, name: str, declared: Sequence[Any]) -> Parameter:
        try:
            return described(name, declared)
        except InputError as error:
            raise InputError(f"{self.name}: {error}") from None

    # The builds

    def _build(self, values: TrackedHyperParameters) -> None:
        self.builds += 1
        try:
            with seeded(0), named_anew():
                model = self.hypermodel.build(values)
        except Exception as error:
            raise InputError(
                f"{self.name}: fails with the defaults of its hyperparameters"
                f"{_shown(values.values)}: {_words(error)}"
            ) from error
        finally:
            self._note(values)
        require_model(model, self.name)

    def _try(self, wanted: Mapping[str, Any]) -> None:
        """A build that may fail: not every combination makes a model."""
        self.builds += 1
        values = TrackedHyperParameters(self._values(wanted), self._default)
        try:
            with seeded(0), named_anew():
                self.hypermodel.build(values)
        except Exception as error:  # noqa: BLE001 - the user's code; a trial will say it
            print(f"{self.name}: a build failed{_shown(values.values)}: {_words(error)}")  # noqa: T201
        self._note(values)

    def _note(self, values: TrackedHyperParameters) -> None:
        for hyperparameter in values.space:
            known = self.declared.setdefault(hyperparameter.name, [])
            if all(each.conditions != hyperparameter.conditions for each in known):
                known.append(hyperparameter)
        self.read |= values.read

    def _default(self, hyperparameter: Any) -> Any:
        ours = self.given.get(hyperparameter.name)
        return hyperparameter.default if ours is None else ours.at(0.0)

    def _values(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Values of all that lives where `wanted` holds; defaults of what it does not name."""
        values = {
            name: parameter.at(0.0)
            for name, parameter in self.given.items()
            if name not in self.declared
        }
        for name, declared in self.declared.items():
            live = next((e for e in declared if _holds(e.conditions, values)), None)
            if live is not None:
                values[name] = wanted.get(name, self._default(live))
        return values

    def _combinations(self) -> Iterator[dict[str, Any]]:
        """What is still to be tried, by what is known now.

        Every condition is met once. Then all parameters take their second value together, their
        third, and so on, so that every value occurs; then their last ones one at a time.
        """
        for declared in self.declared.values():
            for hyperparameter in declared:
                if hyperparameter.conditions:
                    yield {c.name: c.values[0] for c in hyperparameter.conditions}
        values = {name: self._tried(name) for name in self.declared}
        for place in range(1, max(map(len, values.values()), default=0)):
            yield {name: each[place % len(each)] for name, each in values.items()}
        for name, each in values.items():
            if len(each) > 1:
                yield {name: each[-1]}

    def _tried(self, name: str) -> Sequence[Any]:
        """A default, then other values: all of a short list, the ends of a range."""
        ours, declared = self.given.get(name), self.declared[name][0]
        domain = domain_of(declared) if ours is None else ours.domain
        first = self._default(declared)
        if isinstance(domain, Choices):
            others = list(domain.values)
            others = others[: _MOST_VALUES - 1] + others[_MOST_VALUES - 1 :][-1:]
        else:
            others = [domain.min, domain.max]
        return [first, *(value for value in others if value != first)]


def _holds(conditions: Sequence[Any], values: Mapping[str, Any]) -> bool:
    return all(condition.is_active(values) for condition in conditions)


def _shown(values: Mapping[str, Any]) -> str:
    if not values:
        return ""
    return " (" + ", ".join(f"{name}: {value!r}" for name, value in values.items()) + ")"


def _words(error: Exception) -> str:
    """The exception, and the last line of the user's code that it passed."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        f for f in frames if not f.filename.startswith(_OURS) and "site-packages" not in f.filename
    ]
    at = f" ({own[-1].filename}:{own[-1].lineno})" if own else ""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}{at}"
