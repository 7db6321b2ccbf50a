"""Constraints against the space: can any config satisfy them?"""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from itertools import islice, product
from typing import TYPE_CHECKING, Any, Final

from hpsearch.constraints import Constraint, parse
from hpsearch.errors import ConstraintError
from hpsearch.hyperparameters import NOTES
from hpsearch.keras_names import ACTIVATIONS, INITIALIZERS, OPTIMIZERS
from hpsearch.space import Space
from hpsearch.sweep.names import LAYER_TYPES
from hpsearch.sweep.rules import Collector, Fault, Invalid
from hpsearch.sweep.wording import did_you_mean

if TYPE_CHECKING:
    from hpsearch.sweep.model import Sweep

__all__ = ["check_constraints", "parse_constraint"]

#: Points looked at before a constraint counts as one that nothing satisfies.
MOST_TRIES: Final = 10_000
#: Single evaluations, over all constraints; they bound the seconds.
_MOST_EVALUATIONS: Final = 40_000


def parse_constraint(text: str) -> Constraint:
    """The constraint that `text` is.

    Raises:
        Invalid: It is none.
    """
    try:
        return parse(text)
    except ConstraintError as error:
        raise Invalid.at(str(error)) from None


def check_constraints(
    sweep: Sweep, broken: Collection[str], *, searchable: bool
) -> Iterator[Fault]:
    """Unknown names, types that do not fit, and constraints that no config satisfies."""
    named = [name for config in sweep.configs for name in config]
    allowed = list(dict.fromkeys([*sweep.parameters, *NOTES, *named]))
    sound: dict[int, Constraint] = {}
    for index, text in enumerate(sweep.constraints):
        constraint = parse(text)
        unknown = sorted(constraint.names - {*allowed, *broken})
        for name in unknown:
            yield ("constraints", index), _unknown(name, allowed)
        if not unknown:
            sound[index] = constraint
    if searchable and len(sound) == len(sweep.constraints):
        search = _Search(sweep, sound)
        faults = list(search.faults()) if sound else []
        yield from faults
        if not faults:
            yield from _configs(sweep, sound)


def _unknown(name: str, allowed: list[str]) -> str:
    hint = did_you_mean(name, allowed)
    if name in {*ACTIVATIONS, *INITIALIZERS, *OPTIMIZERS, *LAYER_TYPES, "momentum", "nesterov"}:
        hint = f"; to compare with the text, quote it: '{name}'"
    return f"{name!r} is no parameter of this sweep{hint}"


class _Search:
    """Looks for one config that satisfies every constraint."""

    def __init__(self, sweep: Sweep, constraints: Mapping[int, Constraint]) -> None:
        self.constraints = constraints
        self.space = Space(tuple(s.parameter(n) for n, s in sweep.parameters.items()))
        counts = [spec.count for spec in sweep.parameters.values()]
        self.points = None if None in counts else math.prod(count or 1 for count in counts)
        self.tries = min(MOST_TRIES, max(200, _MOST_EVALUATIONS // max(1, len(constraints))))
        self.everything = self.points is not None and self.points <= self.tries

    def _assignments(self) -> Iterator[dict[str, Any]]:
        parameters = self.space.parameters
        if self.everything:
            names = [parameter.name for parameter in parameters]
            for point in product(*(parameter.choices or () for parameter in parameters)):
                yield dict(zip(names, point, strict=True))
            return
        # Always the same points: a file that is accepted today is accepted tomorrow.
        draw = random.Random(0)  # noqa: S311 - no secret
        while True:
            yield {parameter.name: parameter.at(draw.random()) for parameter in parameters}

    def faults(self) -> Iterator[Fault]:
        """One fault a constraint that never holds; one for all where only together they fail."""
        never = dict(self.constraints)
        wrong: dict[int, str] = {}
        for assignment in islice(self._assignments(), self.tries):
            config = self.space.config(assignment)
            values = config.values if config is not None else {}
            holding = 0
            for index, constraint in self.constraints.items():
                try:
                    holds = index not in wrong and constraint.holds(values)
                except ConstraintError as error:
                    wrong[index] = str(error)
                    continue
                holding += holds
                if holds:
                    never.pop(index, None)
            if holding == len(self.constraints) or len(wrong) == len(self.constraints):
                break
        else:
            yield from self._unsatisfied(never, wrong)
        for index, message in wrong.items():
            yield ("constraints", index), message

    def _unsatisfied(
        self, never: Mapping[int, Constraint], wrong: Mapping[int, str]
    ) -> Iterator[Fault]:
        looked = (
            f"none of the {self.points:,} points of the grid"
            if self.everything
            else f"none of {self.tries:,} random points"
        )
        for index in never.keys() - wrong.keys():
            yield ("constraints", index), f"nothing satisfies it: {looked} does"
        if not never and not wrong:
            yield ("constraints",), f"nothing satisfies all of them together: {looked} does"


def _configs(sweep: Sweep, constraints: Mapping[int, Constraint]) -> Iterator[Fault]:
    space = Space(tuple(s.parameter(n) for n, s in sweep.parameters.items()))
    for index, point in enumerate(sweep.points):
        config = space.config(point)
        for constraint in constraints.values():
            faults = Collector()
            values = config.values if config is not None else {}
            if not faults.run(partial(_holds, constraint), values):
                yield ("configs", index), f"breaks the constraint {constraint.text!r}"
                break


def _holds(constraint: Constraint, values: Mapping[str, Any]) -> bool:
    try:
        return constraint.holds(values)
    except ConstraintError as error:
        raise Invalid.at(str(error)) from None
