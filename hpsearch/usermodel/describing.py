"""KerasTuner's hyperparameters as our parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from keras_tuner.src.engine.hyperparameters import hp_types

from hpsearch.errors import InputError
from hpsearch.space import Choices, Parameter, Range

__all__ = ["described", "domain_of"]

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
