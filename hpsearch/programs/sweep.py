"""The sweep file of a program: read it, check it, and turn it into a space."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final, Self

from hpsearch.errors import InputError
from hpsearch.programs.command import (
    DEFAULT_COMMAND,
    UserProgram,
    command_faults,
    command_in,
)
from hpsearch.programs.parameters import PLAIN, ProgramParameters, parse_parameters
from hpsearch.space.constraints import parse
from hpsearch.space.execution import Repetition
from hpsearch.space.keras_names import METRICS
from hpsearch.space.space import GRID_NEEDS, Choices, Config, Kind, Parameter, Space
from hpsearch.spec.fields import (
    MOST_CONFIGS,
    MOST_CONSTRAINTS,
    MOST_NAME,
    NAME,
    check_constraint,
    check_items,
    written,
)
from hpsearch.spec.method import METHOD, MethodSpec
from hpsearch.spec.rules import (
    Fault,
    InvalidValue,
    Rule,
    Spec,
    integer,
    key,
    mapping_of,
    require_mapping,
    required,
    text,
)
from hpsearch.spec.settings import (
    SEEDS,
    Budget,
    ExecutionSettings,
    MetricSpec,
    SeedRace,
    parse_metric,
    seeds_of,
)
from hpsearch.spec.wandb import IGNORED, OF_PROGRAMS, translate_search
from hpsearch.wording import did_you_mean, show

#: Keys of W&B without meaning for a run on this machine.
IGNORED_KEYS: Final = (*(key for key in IGNORED if key not in OF_PROGRAMS), "apiVersion", "kind")
#: Keys of a metric that only W&B's service reads.
METRIC_KEYS: Final = ("target", "impute", "impute_while_running")
_OF_MODELS: Final = ("data", "model")
_HALVING: Final = ("hyperband", "asha")


def _command(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise InvalidValue.at(
            "must be a list of a program and its arguments, such as [python, train.py, "
            f'"${{args}}"], not {show(value)}'
        )
    for index, item in enumerate(value):
        if isinstance(item, bool) or not isinstance(item, str | int | float):
            raise InvalidValue.at(f"must be text, not {show(item)}", index)
    return tuple(str(item) for item in value)


def _config(value: Any) -> dict[str, Any]:
    config = require_mapping(value, "must be a mapping of parameters to values")
    return {name: PLAIN.check(item) for name, item in config.items()}


class ProgramFields(Spec):
    """The keys of a program's sweep file, each checked by itself."""

    name: str = required(
        text(NAME, "must be 1 to 64 of A-Z a-z 0-9 . _ - and not . or .."),
        "Name of the results directory; by default the file's stem.",
        "my-program",
    )
    description: str | None = key(text(), "Purpose of the sweep.", "How fast.")
    seed: int = key(integer(0, 2**32 - 1), "Seed of proposals.", 7, default=0)
    program: str | None = key(
        text(), "The program's file, relative to the sweep file or the working directory.", "run.py"
    )
    command: tuple[str, ...] | None = key(
        Rule(_command, {"type": "array", "items": {"type": "string"}, "minItems": 1}),
        "The command line, with W&B's macros.",
        ["${interpreter}", "${program}", "${args}"],
    )
    method: MethodSpec = key(METHOD, "How configs are chosen.", "random", default=MethodSpec())
    metric: MetricSpec = required(
        Rule(parse_metric, {"anyOf": [{"type": "string"}, MetricSpec.schema()]}),
        "The score: a metric that the program tells.",
        {"name": "val_loss"},
    )
    parameters: ProgramParameters = key(
        Rule(parse_parameters, {"type": "object"}),
        "The program's parameters.",
        factory=lambda: parse_parameters({}),
    )
    constraints: tuple[str, ...] = key(
        Rule(
            partial(check_items, check_constraint, "constraints in quotes", MOST_CONSTRAINTS),
            {"type": "array", "items": {"type": "string"}},
        ),
        "Conditions on numbers.",
        ["batch_size * steps <= 600"],
        default=(),
    )
    configs: tuple[dict[str, Any], ...] = key(
        Rule(
            partial(check_items, _config, "mappings", MOST_CONFIGS),
            {"type": "array", "items": {"type": "object"}},
        ),
        "Points to try first; without a method, exactly these.",
        [{"x": 1}],
        default=(),
    )
    seeds: int | tuple[int, ...] | SeedRace = key(SEEDS, "Runs of each trial.", 3, default=1)
    budget: Budget | None = key(Budget.rule(), "When to end the search.", {"trials": 50})
    execution: ExecutionSettings = key(
        ExecutionSettings.rule(), "Where programs run.", {"workers": 4}, default=ExecutionSettings()
    )


class ProgramSweep(ProgramFields):
    """A validated sweep file of a program; build one with `load_any` or `program_sweep`.

    Attributes:
        warnings: One line for each ignored key and each setting that is probably not intended.
    """

    warnings: tuple[str, ...] = field(default=(), compare=False)

    @property
    def limit(self) -> int | None:
        """Upper bound on the trials."""
        return self.budget.trials if self.budget else None

    @property
    def repetitions(self) -> tuple[Repetition, ...]:
        """One repetition for each seed."""
        return tuple(Repetition(seed) for seed in seeds_of(self.seeds))

    @property
    def race(self) -> SeedRace | None:
        """The settings of the competition for further seeds, or None."""
        return self.seeds if isinstance(self.seeds, SeedRace) and self.seeds.race else None

    @cached_property
    def space(self) -> Space:
        """The parameters in file order, with the constraints."""
        enumerates = self.method.enumerates
        found = self.parameters.for_grid() if enumerates else self.parameters.parameters
        return Space(found, tuple(map(parse, self.constraints)), Kind.PROGRAM)

    @cached_property
    def listed(self) -> tuple[Config, ...]:
        """The configs to try first, completed by the first value of every other parameter."""
        first = {parameter.name: parameter.at(0.0) for parameter in self.space.parameters}
        found = (self.space.config({**first, **config}) for config in self.configs)
        return tuple(config for config in found if config is not None)

    @property
    def file(self) -> str:
        """The program's file as an absolute path; empty without one."""
        return "" if self.program is None else str(Path(self.program).absolute())

    def run_of(
        self, trials: str, environment: Mapping[str, str | None] | None = None
    ) -> UserProgram:
        """Return the program as plain data, for this process's working directory.

        Args:
            trials: The directory with one directory for each trial.
            environment: See `UserProgram`.
        """
        here = Path.cwd()
        return UserProgram(
            command=command_in(here, self.command or DEFAULT_COMMAND, self.file),
            program=self.file,
            metric=self.metric.name,
            paths=self.parameters.paths,
            directory=str(here),
            trials=trials,
            environment=environment or {},
            timeout_seconds=self.execution.timeout_seconds,
        )

    def raw(self) -> Any:
        """Return the sweep as a file has it, including every default."""
        return written(super().raw(), self.method)

    @classmethod
    def parse(cls, data: Any) -> Self:
        """Read a whole file.

        Raises:
            InvalidValue: With the place of every fault.
        """
        if isinstance(data, cls):
            return data
        raw, warnings, faults = _translated(mapping_of(data))
        values, further = cls.read(raw)
        faults += further
        if not further:
            sweep = cls(**values)
            faults += _cross_faults(sweep)
        if faults:
            raise InvalidValue(faults)
        return replace(sweep, warnings=(*warnings, *_advice(sweep)))


def _translated(data: Mapping[str, Any]) -> tuple[dict[str, Any], list[str], list[Fault]]:
    """Return the data with W&B's keys replaced, the warnings, and the faults of these keys."""
    faults: list[Fault] = [
        (
            (key,),
            f"a sweep trains models on data, or runs a program, not both: leave {key} out, or "
            "program and command",
        )
        for key in _OF_MODELS
        if key in data
    ]
    kept = {k: v for k, v in data.items() if k not in (*IGNORED_KEYS, *_OF_MODELS)}
    warnings = [f"{key} is W&B's key; hpsearch ignores it" for key in IGNORED_KEYS if key in data]
    raw, further = translate_search(kept)
    faults += further
    name = raw.get("name")
    if isinstance(name, str) and name.strip() and not NAME.match(name):
        raw["name"] = clean_name(name)
        warnings.append(f"name: {name!r} is no directory's name; it is {raw['name']!r} here")
    metric = raw.get("metric")
    if isinstance(metric, Mapping):
        warnings += [
            f"metric.{k} is W&B's key; hpsearch ignores it" for k in METRIC_KEYS if k in metric
        ]
        metric = {key: item for key, item in metric.items() if key not in METRIC_KEYS}
    elif isinstance(metric, str):
        metric = {"name": metric}
    if isinstance(metric, dict) and "goal" not in metric and isinstance(metric.get("name"), str):
        # W&B's default is to minimize, but some names make the goal obvious.
        metric["goal"] = METRICS.get(metric["name"], "minimize")
        if metric["goal"] == "maximize":
            warnings.append(
                f"metric: {metric['name']} has no goal: it is maximized; W&B would minimize it"
            )
    if metric is not None:
        raw["metric"] = metric
    return raw, warnings, faults


def clean_name(name: str) -> str:
    """Return a sweep's name in the characters that a directory may have."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:MOST_NAME].strip(".-") or "sweep"


def _cross_faults(sweep: ProgramSweep) -> Iterator[Fault]:
    """Yield faults between keys that are valid one by one."""
    for index, message in command_faults(
        sweep.command or DEFAULT_COMMAND, program=sweep.program is not None
    ):
        yield ("command", index), message
    if sweep.execution.engine != "local":
        yield (
            ("execution", "engine"),
            f"must be local, not {sweep.execution.engine}: programs run on this machine; models "
            "run on a cluster",
        )
    yield from _method_faults(sweep)
    yield from _condition_faults(sweep)
    names = {parameter.name for parameter in sweep.space.parameters}
    for index, constraint in enumerate(sweep.constraints):
        for name in sorted(parse(constraint).names - names):
            hint = did_you_mean(name, names)
            yield ("constraints", index), f"there is no parameter {name!r}{hint}"
    if "seed" in names and (sweep.repetitions != (Repetition(0),) or sweep.race is not None):
        yield (
            ("seeds",),
            "the program's own seed is a parameter, so it has the value that parameters gives it: "
            "list the seeds there, or leave it out there and write ${seed} in command",
        )
    if "seed" in names and any("${seed}" in item for item in sweep.command or ()):
        yield ("command",), "${seed} would give the program the seed that it has by a parameter"


def _method_faults(sweep: ProgramSweep) -> Iterator[Fault]:
    method = sweep.method
    if method.is_oracle:
        yield ("method",), "an oracle of KerasTuner's proposes for Keras models alone"
        return
    for parameter in sweep.space.parameters if method.enumerates else ():
        if parameter.choices is None:
            path = sweep.parameters.paths.get(parameter.name, (parameter.name,))
            yield ("parameters", path[0]), f"{parameter.name}: {GRID_NEEDS}"
        elif isinstance(parameter.domain, Choices) and parameter.domain.weights:
            yield ("parameters", parameter.name), "probabilities have no meaning in a grid"
    halves = method.name in _HALVING and "early_terminate" not in method.options
    first = method.options.get("min_epochs") if method.name == "asha" else None
    if halves and first is None and sweep.space.most_epochs is None:
        hint = ", or method: {name: asha, min_epochs: 3}" if method.name == "asha" else ""
        yield (
            ("method",),
            f"{method.name} halts a program by the epochs that it tells: the parameter epochs has "
            f"to say how many there are{hint}",
        )


def _condition_faults(sweep: ProgramSweep) -> Iterator[Fault]:
    names = [parameter.name for parameter in sweep.space.parameters]
    unknown = False
    for parameter in sweep.space.parameters:
        for parent in parameter.when:
            if parent not in names:
                unknown = True
                hint = did_you_mean(parent, names)
                place = sweep.parameters.paths.get(parameter.name, (parameter.name,))[0]
                yield ("parameters", place), f"when: there is no parameter {parent!r}{hint}"
    if unknown:
        return
    try:
        Space(sweep.space.parameters, kind=Kind.PROGRAM).config({})
    except ValueError as error:
        yield ("parameters",), str(error)
        return
    yield from _length_faults(sweep)


def _length_faults(sweep: ProgramSweep) -> Iterator[Fault]:
    """Yield a fault if the longest values make the command line too long."""
    longest = {each.name: _longest(each) for each in sweep.space.parameters}
    configs = [longest, *({**longest, **config} for config in sweep.configs)]
    program = sweep.run_of("")
    if any(True for _ in command_faults(program.command, program=True)):
        return
    for config in configs:
        try:
            program.arguments(config, 0, Path(), look_up=False)
        except InputError as error:
            yield ("parameters",), str(error)
            return


def _longest(parameter: Parameter) -> Any:
    if isinstance(parameter.domain, Choices):
        return max(parameter.domain.values, key=lambda value: len(str(value)))
    return parameter.at(0.5)


def _advice(sweep: ProgramSweep) -> Iterator[str]:
    if sweep.budget is None and not sweep.method.exhausts:
        yield (
            f"no budget: method {sweep.method.name} goes on until Ctrl-C; run_cap: 50, or --set "
            "budget.trials=50, ends it"
        )
    told = any("${seed}" in item for item in sweep.command or ())
    if not told and (len(sweep.repetitions) > 1 or sweep.race is not None):
        yield (
            "seeds: no argument tells the program its seed: it has HPSEARCH_SEED, or write ${seed} "
            "in command"
        )
