"""Checks across keys that are valid one by one: conditions, constraints, budgets and names.

They also run on the valid part of a sweep, so that all of a file's problems are reported at once.
"""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from itertools import islice
from typing import Any, Final, NamedTuple

from hpsearch.errors import ConstraintError
from hpsearch.space.execution import Repetition
from hpsearch.space.keras_names import METRICS
from hpsearch.space.mlp import LAYER_TYPES, NOTES
from hpsearch.space.space import GRID_NEEDS, Choices, Drawn, Parameter, Range, Space, matches
from hpsearch.spec.command import DEFAULT_COMMAND, command_faults
from hpsearch.spec.keys import ModelFields, ProgramFields, SeedRace, SweepFields
from hpsearch.spec.method import CONFIGS
from hpsearch.spec.parameters import HYPERPARAMETERS, is_known, suggestion
from hpsearch.spec.rules import Fault, Loc
from hpsearch.spec.words import OF_DATA
from hpsearch.wording import did_you_mean, listing, show

#: Most points of a grid without `budget.trials`; planning more would take hours.
MOST_POINTS: Final = 1_000_000
_ACCURACY: Final = ("accuracy", "val_accuracy")
#: Metrics that only a regression can have.
_ERRORS: Final = ("mae", "val_mae", "r2", "val_r2", "r2_score", "val_r2_score")


def _takes_unknown(sweep: ModelFields) -> bool:
    """Check if a custom model or layer type may take hyperparameters unknown to hpsearch."""
    return sweep.kind.is_model or not sweep.layer_types <= {*LAYER_TYPES}


class Broken(NamedTuple):
    """Faulty keys and parameters, left out of the checked sweep; their absence is no fault."""

    keys: frozenset[str]
    parameters: frozenset[str]

    @classmethod
    def of(cls, faults: Iterable[Fault]) -> Broken:
        """Return the keys and parameters that contain the faults."""
        places = [loc for loc, _ in faults if loc]
        inner = {str(loc[1]) for loc in places if loc[0] == "parameters" and len(loc) > 1}
        keys = {str(loc[0]) for loc in places if loc[0] != "parameters" or len(loc) == 1}
        return cls(frozenset(keys), frozenset(inner))

    def without(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Return a file's data without them."""
        sound = {key: value for key, value in raw.items() if key not in self.keys}
        if self.parameters and "parameters" in sound:
            parameters = sound["parameters"].items()
            sound["parameters"] = {n: p for n, p in parameters if n not in self.parameters}
        return sound


_SEARCHING: Final = {"method", "early_terminate"}


def cross_faults(sweep: SweepFields, broken: Broken) -> Iterator[Fault]:
    """Yield faults between valid parts; broken parts are skipped."""
    if isinstance(sweep, ProgramFields):
        yield from _program_faults(sweep, broken)
    elif isinstance(sweep, ModelFields):
        yield from _model_faults(sweep, broken)
    if not _SEARCHING & broken.keys:
        yield from _budget(sweep, broken)
        yield from _grid(sweep, broken)
    # A custom model's hyperparameters are unknown until it is built.
    if "parameters" not in broken.keys and not sweep.kind.is_model:
        further = [*(name for config in sweep.configs for name in config)]
        further += NOTES if sweep.space.kind.is_predefined else ()
        unknown = unknown_names(sweep.space, further=further, skipped=broken.parameters)
        faults = [(_place(sweep, loc), message) for loc, message in unknown]
        faults += _conditions(sweep)
        yield from faults
        yield from _constraints(sweep) if not faults and not any(broken) else ()


def _place(sweep: SweepFields, loc: Loc) -> Loc:
    """Return the place in the file of a place within a parameter."""
    return (*sweep.place(str(loc[1])), *loc[2:]) if loc[0] == "parameters" else loc


def _model_faults(sweep: ModelFields, broken: Broken) -> Iterator[Fault]:
    """Yield faults between valid parts that only a sweep over models has."""
    if "parameters" not in broken.keys and not sweep.kind.is_model:
        yield from _names(sweep, broken)
    yield from _metric(sweep)
    if sweep.method.is_oracle and sweep.configs:
        yield ("configs",), "an oracle proposes every config: leave these out, or name a method"
    if sweep.data.cv is not None and isinstance(sweep.seeds, SeedRace):
        yield ("seeds",), "a race of seeds does not go with data.cv: give a number, or no cv"


def _program_faults(sweep: ProgramFields, broken: Broken) -> Iterator[Fault]:
    """Yield faults between valid parts that only a sweep over a program has."""
    if "metric" not in broken.keys:
        yield from _also(sweep, "all that a program reports is in curves.csv")
    if not broken.parameters and not (_SEARCHING | {"parameters"}) & broken.keys:
        yield from _halving(sweep)
    if not {"program", "command"} & broken.keys:
        command = sweep.command or DEFAULT_COMMAND
        for index, message in command_faults(command, program=sweep.program is not None):
            yield ("command", index), message
    if sweep.execution.engine != "local":
        message = f"must be local, not {sweep.execution.engine}: programs run on this machine"
        yield ("execution", "engine"), message
    if sweep.method.is_oracle:
        yield ("method",), "an oracle of KerasTuner's proposes for Keras models alone"
    repeats = sweep.repetitions != (Repetition(0),) or sweep.race is not None
    if repeats and "seed" in sweep.space.names:
        yield (
            ("seeds",),
            "the program's own seed is a parameter: list the seeds there, or leave it out there "
            "and write ${seed} in command",
        )


def _halving(sweep: ProgramFields) -> Iterator[Fault]:
    method = sweep.method
    halves = method.halves and "early_terminate" not in method.options
    first = method.options.get("min_epochs") if method.name == "asha" else None
    if halves and first is None and sweep.space.most_epochs is None:
        yield (
            ("method",),
            f"{method.name} halts a program by the epochs that it reports: the parameter epochs "
            "has to say how many there are, or min_epochs of asha",
        )


#: The reason why scores end no such search, and why it learns from no known results.
NEEDS_WHOLE: Final = "does not go with {}, which may train a trial further"


def _budget(sweep: SweepFields, broken: Broken) -> Iterator[Fault]:
    budget, method = sweep.budget, sweep.method
    given = {"budget", "run_cap"} & broken.keys or (budget is not None and budget.is_sure)
    if not (given or sweep.endless or method.exhausts):
        example = "trials, time or patience, such as budget: {trials: 100}"
        place, what = (("budget",), "lacks an end") if budget else ((), "budget is missing")
        yield place, f"{what}: method {method.name} needs {example}"
    decides = method.halves or method.is_oracle
    judge = method.name if decides else "a race of seeds"
    for name in ("patience", "score"):
        given = budget is not None and getattr(budget, name) is not None
        if given and (decides or sweep.race is not None):
            yield ("budget", name), NEEDS_WHOLE.format(judge)
    if sweep.known is not None and decides:
        yield ("known",), NEEDS_WHOLE.format(judge)


def _grid(sweep: SweepFields, broken: Broken) -> Iterator[Fault]:
    if not sweep.method.enumerates:
        return
    for parameter in sweep.space.parameters:
        domain = parameter.domain
        if parameter.count is None:
            whole = isinstance(domain, Range) and domain.integer
            hint = "; for every whole number write step: 1" if whole else ""
            yield sweep.place(parameter.name), f"{GRID_NEEDS}{hint}"
        elif isinstance(domain, Choices) and domain.weights:
            yield sweep.place(parameter.name), "probabilities have no meaning in a grid"
    points = math.prod(parameter.count or 1 for parameter in sweep.space.parameters)
    if points > MOST_POINTS and not (sweep.limit or sweep.endless or "budget" in broken.keys):
        needs = f"above {MOST_POINTS:,} it needs budget.trials, or method: random"
        yield ("parameters",), f"a grid of {points:,} points; {needs}"


def _names(sweep: ModelFields, broken: Broken) -> Iterator[Fault]:
    if "model" in broken.keys or "layer_type" in broken.parameters:
        return
    takes_unknown = _takes_unknown(sweep)
    names = [*sweep.parameters, *sorted(broken.parameters)]
    places: list[tuple[str, Loc]] = [(n, ("parameters", n)) for n in names]
    for index, config in enumerate(sweep.configs):
        places += [(name, ("configs", index, name)) for name in config]
    for name, loc in places:
        if name in OF_DATA or not (takes_unknown or is_known(name)):
            yield loc, f"unknown hyperparameter{suggestion(name) or _ALL_NAMES}"


_ALL_NAMES: Final = (
    f"; known are {', '.join(HYPERPARAMETERS)}, units_1 and so on for a layer, and the arguments "
    "of a layer type or model of your own"
)


def unknown_names(
    space: Space,
    configs: Sequence[Collection[str]] = (),
    *,
    further: Collection[str] = (),
    skipped: Collection[str] = (),
) -> Iterator[Fault]:
    """Yield a fault for each name in conditions, constraints and configs that no parameter has.

    Args:
        further: Names that constraints may have, too.
        skipped: Names of parameters that the space lacks because they are faulty.
    """
    names: list[tuple[Loc, str]] = [
        (("parameters", parameter.name, "when", parent), parent)
        for parameter in space.parameters
        for parent in parameter.when
    ]
    for index, constraint in enumerate(space.constraints):
        names += [(("constraints", index), name) for name in sorted(constraint.names - {*further})]
    for index, config in enumerate(configs):
        names += [(("configs", index, name), name) for name in config]
    valid_names = {*space.names, *skipped}
    for loc, name in names:
        if name not in valid_names:
            hint = did_you_mean(name, [*space.names, *further])
            if loc[0] == "constraints" and not hint:
                hint = f"; a text is written {name!r}, in quotes"
            yield loc, f"there is no parameter {name!r}{hint}"


def _conditions(sweep: SweepFields) -> Iterator[Fault]:
    parameters = sweep.parameters
    lengths: set[Any] = set()
    if sweep.space.kind.is_predefined and "units" in parameters:
        # A list of units sets the number of layers.
        lengths = {len(v) for v in _values_of(parameters["units"]) if isinstance(v, list)}
    for name, parameter in parameters.items():
        for parent, accepted in parameter.when.items():
            loc = (*sweep.place(name), "when", parent)
            if parent == name:
                yield loc, f"{name} cannot depend on itself"
            elif parent in parameters:
                others = lengths if parent == "hidden_layers" else ()
                for message in _unreachable(parameters[parent], accepted, others):
                    yield loc, message
    parents = {name: parameter.when.keys() - {name} for name, parameter in parameters.items()}
    try:
        TopologicalSorter(parents).prepare()
    except CycleError as error:
        # Reversed, each is followed by the one that its condition names.
        cycle: list[str] = error.args[1][::-1]
        yield (*sweep.place(cycle[0]), "when"), f"a cycle of conditions: {' -> '.join(cycle)}"


def _unreachable(
    parent: Parameter, accepted: tuple[Any, ...], others: Collection[Any]
) -> Iterator[str]:
    """Yield a message for each value in a condition that is neither the parent's nor in others."""
    values = _values_of(parent)
    names = [str(v["name"]) if isinstance(v, Mapping) and "name" in v else str(v) for v in values]
    for value in accepted:
        if value not in others and not (
            parent.contains(value) or any(matches(choice, (value,)) for choice in values)
        ):
            taken = f"; it is {listing(names)}" if 0 < len(names) <= 12 else ""
            yield f"{parent.name} never is {show(value)}{taken}{did_you_mean(value, names)}"


def _values_of(parameter: Parameter) -> tuple[Any, ...]:
    """Return the values of a list; nothing for a range."""
    return parameter.domain.values if isinstance(parameter.domain, Choices) else ()


def _metric(sweep: ModelFields) -> Iterator[Fault]:
    task, name = sweep.data.known_task, sweep.metric.name if sweep.metric is not None else ""
    if name == "weights":
        yield ("metric",), "weights is no score; it is a column of results.csv"
    if sweep.kind.is_model:
        yield from _also(sweep, "the metrics that your model is compiled with are reported")
        return
    if name in {"regression": _ACCURACY, "classification": _ERRORS}.get(task or "", ()):
        use = "val_mae" if task == "regression" else "val_accuracy"
        yield ("metric",), f"{name} is not for {task}; use {use} or val_loss"


def _also(sweep: ModelFields | ProgramFields, instead: str) -> Iterator[Fault]:
    if sweep.metric is not None and sweep.metric.also:
        yield ("metric", "also"), f"is for hpsearch's own MLPs; leave it out: {instead}"


def is_regression(sweep: ModelFields) -> bool:
    """Check if the metric makes the task a regression, which the data alone may leave open."""
    if sweep.metric is None or sweep.kind.is_model:
        return False
    return sweep.data.known_task is None and sweep.metric.name in _ERRORS


def advice(sweep: SweepFields) -> Iterator[str]:
    """Yield warnings about settings that are allowed but probably not intended."""
    varied = [parameter.name for parameter in sweep.space.parameters if parameter.varies]
    if sweep.method.name == CONFIGS and varied:
        yield (
            f"without a method only the {len(sweep.configs)} configs are tried, and "
            f"{listing(varied)} not varied; add method: grid to try all"
        )
    if isinstance(sweep, ProgramFields):
        yield from _program_advice(sweep)
    elif isinstance(sweep, ModelFields):
        yield from _model_advice(sweep)


def _program_advice(sweep: ProgramFields) -> Iterator[str]:
    """Yield such warnings that only a sweep over a program has."""
    ends = sweep.budget is not None and sweep.budget.is_sure
    if not (ends or sweep.method.exhausts):
        yield (
            f"no budget: method {sweep.method.name} goes on until Ctrl-C; run_cap: 50, or --set "
            "budget.trials=50, ends it"
        )
    repeats = len(sweep.repetitions) > 1 or sweep.race is not None
    if repeats and not any("${seed}" in item for item in sweep.command or ()):
        yield (
            "seeds: no argument tells the program its seed: it has HPSEARCH_SEED, or write ${seed} "
            "in command"
        )
    for name, parameter in sweep.parameters.items():
        domain = parameter.domain
        if isinstance(domain, Drawn) and domain.distribution == "log_uniform":
            low, high = domain.given.values()
            # The ends are probably values instead of exponents.
            if low > 0:
                yield (
                    f"parameters.{name}: log_uniform takes exponents of e, so this draws from "
                    f"{math.exp(low):.5g} to {math.exp(high):.5g}; to draw from {low:g} to "
                    f"{high:g}, write distribution: log_uniform_values"
                )


def _model_advice(sweep: ModelFields) -> Iterator[str]:
    """Yield such warnings that only a sweep over models has."""
    training = sweep.metric.name if sweep.metric is not None else ""
    if training and f"val_{training}" in METRICS:
        yield (
            f"metric: {training} is the score on the training rows, which rewards overfitting; "
            f"val_{training} is the one on the validation rows"
        )
    if _takes_unknown(sweep):
        return
    if "embedding" in sweep.parameters and sweep.data.scale in ("none", "unit", "minmax"):
        yield (
            f"data.scale: is {sweep.data.scale}, and embedding has bins for numbers of mean 0 and "
            "standard deviation 1; scale: standard gives it such"
        )
    kinds = sweep.parameters.get("layer_type")
    if "dropout" in sweep.parameters and (kinds is None or "dropout" not in _values_of(kinds)):
        yield "parameters.dropout is never active: it needs layer_type dropout"


#: Most points to try to find one that satisfies the constraints.
_MOST_TRIES: Final = 10_000
#: Most evaluations of single constraints, to bound the time.
_MOST_EVALUATIONS: Final = 40_000


def _constraints(sweep: SweepFields) -> Iterator[Fault]:
    """Yield a fault if types do not fit, or no config satisfies the constraints."""
    constraints = sweep.space.constraints
    if not constraints:
        return
    space = replace(sweep.space, constraints=())
    points = space.cardinality()
    tries = min(_MOST_TRIES, max(200, _MOST_EVALUATIONS // len(constraints)))
    every = points is not None and points <= tries
    for assignment in islice(space.assignments() if every else _drawn(space), tries):
        values = space.active(assignment)
        broken = False
        for index, constraint in enumerate(constraints):
            try:
                broken = broken or not constraint.holds(values)
            except ConstraintError as error:
                yield ("constraints", index), str(error)
                return
        if not broken:
            break
    else:
        tried = f"the {points:,} points of the grid" if every else f"{tries:,} random points"
        yield ("constraints",), f"nothing satisfies all of them: none of {tried} does"
        return
    for index, point in enumerate(sweep.points):
        try:
            fault = "breaks a constraint" if sweep.space.config(point) is None else ""
        except ConstraintError as error:
            fault = str(error)
        if fault:
            yield ("configs", index), fault


def _drawn(space: Space) -> Iterator[dict[str, Any]]:
    # A fixed seed, so that the same file is always accepted or always refused.
    draw = random.Random(0)  # noqa: S311 - no secret
    while True:
        yield {parameter.name: parameter.at(draw.random()) for parameter in space.parameters}
