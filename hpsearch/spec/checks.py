"""Checks across keys that are valid one by one: conditions, constraints, budgets and names.

These checks also run on the valid part of a sweep, so that all problems of a file are reported at
once.
"""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, NamedTuple

from hpsearch.errors import ConstraintError
from hpsearch.space.constraints import Constraint, parse
from hpsearch.space.keras_names import ACTIVATIONS, INITIALIZERS, METRICS, OPTIMIZERS
from hpsearch.space.mlp import LAYER_TYPES, NOTES, layer_of
from hpsearch.space.space import GRID_NEEDS, Range, Space
from hpsearch.spec.fields import SweepFields
from hpsearch.spec.hyperparameters import is_known, suggestion
from hpsearch.spec.method import CONFIGS
from hpsearch.spec.parameters import ParameterSpec
from hpsearch.spec.rules import Fault, is_number
from hpsearch.spec.settings import SeedRace
from hpsearch.spec.words import OF_DATA
from hpsearch.wording import did_you_mean, listing, show

#: Most points of a grid without `budget.trials`; planning more would take hours.
MOST_POINTS: Final = 1_000_000
_ACCURACY: Final = ("accuracy", "val_accuracy")
#: Metrics that only a regression can have.
_ERRORS: Final = ("mae", "val_mae", "r2_score", "val_r2_score")


def _takes_unknown(sweep: SweepFields) -> bool:
    """Check if a custom model or layer type may take hyperparameters unknown to hpsearch."""
    if isinstance(sweep.model, str):
        return True
    spec = sweep.parameters.get("layer_type")
    listed = spec.domain if spec is not None and isinstance(spec.domain, tuple) else ()
    others = [config["layer_type"] for config in sweep.configs if "layer_type" in config]
    return any(name not in LAYER_TYPES for name in (*listed, *others))


class Broken(NamedTuple):
    """Keys and parameters that are themselves faulty.

    They are left out of the sweep that is checked, so their absence is not reported.
    """

    keys: frozenset[str]
    parameters: frozenset[str]

    @classmethod
    def of(cls, faults: Iterable[Fault]) -> Broken:
        """Return the keys and parameters that contain the faults."""
        places = [loc for loc, _ in faults if loc]
        inner = {str(loc[1]) for loc in places if loc[0] == "parameters" and len(loc) > 1}
        keys = {str(loc[0]) for loc in places if loc[0] != "parameters" or len(loc) == 1}
        return cls(frozenset(keys), frozenset(inner))


def cross_faults(sweep: SweepFields, broken: Broken) -> Iterator[Fault]:
    """Yield faults between valid parts; broken parts are skipped."""
    if not {"method", "early_terminate"} & broken.keys:
        yield from _budget(sweep, broken)
        yield from _grid(sweep, broken)
    # A custom model's hyperparameters are unknown until it is built.
    if "parameters" not in broken.keys and not isinstance(sweep.model, str):
        yield from _names(sweep, broken)
        conditions = list(_conditions(sweep, broken))
        yield from conditions
        yield from check_constraints(
            sweep, broken.parameters, searchable=not conditions and not any(broken)
        )
    yield from _metric(sweep)
    if sweep.data.cv is not None and isinstance(sweep.seeds, SeedRace):
        yield (
            ("seeds",),
            "a race of seeds and cross-validation do not go together: give seeds as a number, "
            "or leave data.cv out",
        )


def _budget(sweep: SweepFields, broken: Broken) -> Iterator[Fault]:
    if (
        sweep.budget is None
        and not sweep.method.exhausts
        and not {"budget", "run_cap"} & broken.keys
    ):
        yield (
            (),
            f"budget is missing: method {sweep.method.name} needs trials or time, "
            "such as budget: {trials: 100}",
        )


def _grid(sweep: SweepFields, broken: Broken) -> Iterator[Fault]:
    if not sweep.method.enumerates:
        return
    for name, spec in sweep.parameters.items():
        if spec.count is None:
            whole = isinstance(spec.domain, Range) and spec.domain.integer
            hint = "; for every whole number write step: 1" if whole else ""
            yield ("parameters", name), f"{GRID_NEEDS}{hint}"
    points = math.prod(spec.count or 1 for spec in sweep.parameters.values())
    limited = (
        sweep.budget is not None and sweep.budget.trials is not None
    ) or "budget" in broken.keys
    if points > MOST_POINTS and not limited:
        yield (
            ("parameters",),
            f"a grid of {points:,} points; above {MOST_POINTS:,} it needs budget.trials, "
            "or method: random",
        )


def _names(sweep: SweepFields, broken: Broken) -> Iterator[Fault]:
    if "model" in broken.keys or "layer_type" in broken.parameters:
        return
    takes_unknown = _takes_unknown(sweep)
    names = [*sweep.parameters, *sorted(broken.parameters)]
    places: list[tuple[str, tuple[str | int, ...]]] = [(n, ("parameters", n)) for n in names]
    for index, config in enumerate(sweep.configs):
        places += [(name, ("configs", index, name)) for name in config]
    for name, loc in places:
        if name in OF_DATA or not (takes_unknown or is_known(name)):
            yield loc, f"unknown hyperparameter{suggestion(name) or _ALL_NAMES}"


_ALL_NAMES: Final = (
    "; known are hidden_layers, units, units_1 ..., activation, layer_type, batch_size, epochs, "
    "optimizer, learning_rate, momentum, weight_decay, dropout, l2, kernel_initializer, and the "
    "arguments of a layer type or model of your own"
)


def _conditions(sweep: SweepFields, broken: Broken) -> Iterator[Fault]:
    for name, spec in sweep.parameters.items():
        for parent, accepted in spec.when.items():
            loc = ("parameters", name, "when", parent)
            if parent == name:
                yield loc, f"{name} cannot depend on itself"
            elif parent in sweep.parameters:
                yield from _unreachable(sweep, loc, parent, accepted)
            elif parent not in broken.parameters:
                hint = did_you_mean(parent, sweep.parameters) or suggestion(parent)
                yield loc, f"{parent!r} is no parameter of this sweep{hint}"
    for cycle in _cycles(sweep.parameters):
        path = " -> ".join([*cycle, cycle[0]])
        yield ("parameters", cycle[0], "when"), f"a cycle of conditions: {path}"


def _unreachable(
    sweep: SweepFields, loc: tuple[str | int, ...], parent: str, accepted: tuple[Any, ...]
) -> Iterator[Fault]:
    """Yield a fault for each value in a condition that the parent never has."""
    spec = sweep.parameters[parent]
    units = sweep.parameters.get("units")
    lengths: set[int] = set()
    if parent == "hidden_layers" and units is not None and not isinstance(units.domain, Range):
        lengths = {len(value) for value in units.domain if isinstance(value, list)}
    for value in accepted:
        if value not in lengths and not _takes(spec, value):
            names = [name for name in _choices(spec) if isinstance(name, str)]
            near = did_you_mean(value, names)
            shown = repr(value) if isinstance(value, str) else show(value)
            yield loc, f"{parent} never is {shown}{_taken(spec)}{near}"


def _takes(spec: ParameterSpec, value: Any) -> bool:
    if isinstance(spec.domain, Range):
        return is_number(value) and spec.domain.min <= value <= spec.domain.max
    return any(
        type(value) is type(choice) and value == choice
        if isinstance(value, bool) or isinstance(choice, bool)
        else value == choice
        for choice in _choices(spec)
    )


def _choices(spec: ParameterSpec) -> list[Any]:
    """Return the values of a list, and the name of each mapping among them."""
    domain = () if isinstance(spec.domain, Range) else spec.domain
    names = [value["name"] for value in domain if isinstance(value, Mapping) and "name" in value]
    return [*domain, *names]


def _taken(spec: ParameterSpec) -> str:
    if isinstance(spec.domain, Range):
        return f"; it runs from {show(spec.domain.min)} to {show(spec.domain.max)}"
    values = [str(value) for value in spec.domain if not isinstance(value, list | Mapping)]
    return f"; it is {listing(values)}" if 0 < len(values) <= 12 else ""


def _cycles(parameters: Mapping[str, ParameterSpec]) -> Iterator[list[str]]:
    """Yield each cycle among conditions, except a parameter's condition on itself."""
    done: set[str] = set()
    for start in parameters:
        # Depth first without recursion, because a file may chain thousands of conditions.
        path: list[str] = []
        stack: list[tuple[str, Iterator[str]]] = []
        if start not in done:
            path, stack = [start], [(start, iter(parameters[start].when))]
        while stack:
            name, parents = stack[-1]
            parent = next((p for p in parents if p in parameters and p != name), None)
            if parent is None:
                done.add(name)
                stack.pop()
                path.pop()
            elif parent in path:
                yield path[path.index(parent) :]
            elif parent not in done:
                path.append(parent)
                stack.append((parent, iter(parameters[parent].when)))


def _metric(sweep: SweepFields) -> Iterator[Fault]:
    if sweep.metric is None or isinstance(sweep.model, str):
        return
    task, name = sweep.data.known_task, sweep.metric.name
    if task == "regression" and name in _ACCURACY:
        yield ("metric",), f"{name} is for classification, not regression; use val_mae or val_loss"
    if task == "classification" and name in _ERRORS:
        yield (
            ("metric",),
            f"{name} is for regression, not classification; use val_accuracy or val_loss",
        )


def is_regression(sweep: SweepFields) -> bool:
    """Check if the metric makes the task a regression, which the data alone may leave open."""
    if sweep.metric is None or isinstance(sweep.model, str):
        return False
    return sweep.data.known_task is None and sweep.metric.name in _ERRORS


def advice(sweep: SweepFields) -> Iterator[str]:
    """Yield warnings about settings that are allowed but probably not intended."""
    varied = [name for name, spec in sweep.parameters.items() if spec.count != 1]
    if sweep.method.name == CONFIGS and varied:
        yield (
            f"without a method only the {len(sweep.configs)} configs are tried, and "
            f"{listing(varied)} not varied; add method: grid to try all"
        )
    training = sweep.metric.name if sweep.metric is not None else ""
    if training and f"val_{training}" in METRICS:
        yield (
            f"metric: {training} is the score on the training rows, which rewards overfitting; "
            f"val_{training} is the one on the validation rows"
        )
    if _takes_unknown(sweep):
        return
    yield from _unequal_lists(sweep)
    deepest = _deepest(sweep)
    for name in sweep.parameters:
        layer = layer_of(name)
        if layer is not None and deepest is not None and layer > deepest:
            yield f"parameters.{name} is never active: hidden_layers is at most {deepest}"
    layers = sweep.parameters.get("layer_type")
    listed = layers.domain if layers is not None else ("dense",)
    if "dropout" in sweep.parameters and "dropout" not in (
        listed if isinstance(listed, tuple) else ()
    ):
        yield "parameters.dropout is never active: it needs layer_type dropout"


def _unequal_lists(sweep: SweepFields) -> Iterator[str]:
    """Warn of lists of units whose length differs from every value of hidden_layers."""
    layers, units = sweep.parameters.get("hidden_layers"), sweep.parameters.get("units")
    if layers is None or units is None or isinstance(layers.domain, Range):
        return
    for value in () if isinstance(units.domain, Range) else units.domain:
        if isinstance(value, list) and len(value) not in layers.domain:
            yield (
                f"parameters.units: {value} is a network of {len(value)} hidden layers, which "
                f"hidden_layers, {listing(map(str, layers.domain))}, does not list"
            )


def _deepest(sweep: SweepFields) -> int | None:
    """Return the most hidden layers of any config; None if `configs` set them too."""
    if any({"hidden_layers", "units"} & config.keys() for config in sweep.configs):
        return None
    depths: list[float] = [1]
    layers, units = sweep.parameters.get("hidden_layers"), sweep.parameters.get("units")
    if layers is not None:
        depths += [layers.domain.max] if isinstance(layers.domain, Range) else layers.domain
    if units is not None and not isinstance(units.domain, Range):
        depths += [len(value) for value in units.domain if isinstance(value, list)]
    return int(max(depths))


#: Most points to try to find one that satisfies the constraints.
MOST_TRIES: Final = 10_000
#: Most evaluations of single constraints, to bound the time.
_MOST_EVALUATIONS: Final = 40_000


def check_constraints(
    sweep: SweepFields, broken: Collection[str], *, searchable: bool
) -> Iterator[Fault]:
    """Yield unknown names, types that do not fit, and constraints that no config satisfies."""
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
    if sound and searchable and len(sound) == len(sweep.constraints):
        space = Space(tuple(s.parameter(n) for n, s in sweep.parameters.items()))
        faults = list(_search(sweep, space, sound))
        yield from faults
        if not faults:
            yield from _configs(sweep, space, sound.values())


def _unknown(name: str, allowed: list[str]) -> str:
    hint = did_you_mean(name, allowed)
    if name in {*ACTIVATIONS, *INITIALIZERS, *OPTIMIZERS, *LAYER_TYPES, "momentum", "nesterov"}:
        hint = f"; to compare with the text, quote it: '{name}'"
    return f"{name!r} is no parameter of this sweep{hint}"


def _search(
    sweep: SweepFields, space: Space, constraints: Mapping[int, Constraint]
) -> Iterator[Fault]:
    """Try points until one satisfies all constraints, and yield faults if none does."""
    counts = [spec.count for spec in sweep.parameters.values()]
    points = None if None in counts else math.prod(count or 1 for count in counts)
    tries = min(MOST_TRIES, max(200, _MOST_EVALUATIONS // len(constraints)))
    every = points is not None and points <= tries
    never = dict(constraints)
    wrong: dict[int, str] = {}
    assignments = space.all_assignments() if every else _drawn(space)
    for assignment in islice(assignments, tries):
        values = _values(space, assignment)
        holding = 0
        for index, constraint in constraints.items():
            try:
                holds = index not in wrong and constraint.holds(values)
            except ConstraintError as error:
                wrong[index] = str(error)
                continue
            holding += holds
            if holds:
                never.pop(index, None)
        if holding == len(constraints) or len(wrong) == len(constraints):
            break
    else:
        tried = f"the {points:,} points of the grid" if every else f"{tries:,} random points"
        for index in never.keys() - wrong.keys():
            yield ("constraints", index), f"nothing satisfies it: none of {tried} does"
        if not never and not wrong:
            message = f"nothing satisfies all of them together: none of {tried} does"
            yield ("constraints",), message
    for index, message in wrong.items():
        yield ("constraints", index), message


def _drawn(space: Space) -> Iterator[dict[str, Any]]:
    # A fixed seed, so that the same file is always accepted or always refused.
    draw = random.Random(0)  # noqa: S311 - no secret
    while True:
        yield {parameter.name: parameter.at(draw.random()) for parameter in space.parameters}


def _values(space: Space, assignment: Mapping[str, Any]) -> Mapping[str, Any]:
    config = space.config(assignment)
    assert config is not None, "the space has no constraints"
    return config.values


def _configs(
    sweep: SweepFields, space: Space, constraints: Collection[Constraint]
) -> Iterator[Fault]:
    for index, point in enumerate(sweep.points):
        values = _values(space, point)
        for constraint in constraints:
            try:
                holds = constraint.holds(values)
            except ConstraintError:
                holds = False
            if not holds:
                yield ("configs", index), f"breaks the constraint {constraint.text!r}"
                break
