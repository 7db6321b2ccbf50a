"""The keys of a sweep file, each checked by itself, and the space that they span."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import Field, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Self

from hpsearch.errors import ConstraintError
from hpsearch.space.constraints import parse
from hpsearch.space.execution import Repetition
from hpsearch.space.keras_names import ACTIVATIONS, LOSSES, METRICS
from hpsearch.space.mlp import is_custom
from hpsearch.space.space import Config, Kind, Parameter, Range, Space
from hpsearch.spec import words
from hpsearch.spec.command import COMMAND, DEFAULT_COMMAND, UserProgram, command_in
from hpsearch.spec.data import DataSpec
from hpsearch.spec.execution import ExecutionSettings, ProgramExecutionSettings
from hpsearch.spec.method import CONFIGS, METHOD, MethodSpec
from hpsearch.spec.parameters import (
    PLAIN,
    PROGRAM_PARAMETERS,
    custom_rule_of,
    enumerated,
    parameters,
    raw_parameters,
    rule_of,
)
from hpsearch.spec.rules import (
    NAME,
    Fault,
    InvalidValue,
    Loc,
    Rule,
    Spec,
    check_each,
    check_keys,
    choice,
    duration,
    either,
    flag,
    integer,
    key,
    number,
    one_of,
    reference,
    require_mapping,
    required,
    sequence,
    text,
)
from hpsearch.wording import unknown_hint

_MOST_SEEDS: Final = 10_000


class MetricSpec(Spec):
    """The score of an execution; `goal` may be omitted for a known metric."""

    name: str = required(text(), "Column of curves.csv, such as val_accuracy.", "val_loss")
    goal: Literal["maximize", "minimize"] = key(
        one_of(("maximize", "minimize"), "goal"),
        "Required unless the metric is a known one.",
        "minimize",
    )
    epoch: Literal["last", "best"] = choice(
        ("last", "best"), "epoch", "Epoch whose value is the score.", "best"
    )
    also: tuple[str, ...] | None = key(
        sequence(text().then(lambda name: name.removeprefix("val_")), "metrics", unique=True),
        "Metrics of an MLP that are reported as well.",
        ["auc", "mcc"],
    )

    def check(self, _: Collection[str]) -> Iterator[Fault]:
        if not self.goal and self.name not in METRICS:
            yield (
                (),
                f"goal is missing: maximize or minimize, as {self.name!r} is not a known metric"
                f"{unknown_hint(self.name, words.METRICS, METRICS)}",
            )
        for index, name in enumerate(self.also or ()):
            if name not in METRICS:
                hint = unknown_hint(name, words.METRICS, METRICS)
                yield ("also", index), f"{name!r} is not one of `hpsearch list metrics`{hint}"

    @classmethod
    def parse(cls, data: Any) -> Self:
        """Read a name or a mapping; the goal is inferred if the file omits it."""
        metric = super().parse({"name": data} if isinstance(data, str) else data)
        return metric if metric.goal else replace(metric, goal=METRICS[metric.name])


METRIC: Final = Rule(
    MetricSpec.parse, {"anyOf": [{"type": "string", "minLength": 1}, MetricSpec.schema()]}
)


class SeedRace(Spec):
    """Repeat each trial `min` times, and promising ones up to `max` times."""

    min: int = required(integer(1, _MOST_SEEDS), "Executions of every trial.", 1)
    max: int = required(integer(1, _MOST_SEEDS), "Executions of the best trials.", 5)
    race: bool = key(flag(), "Drop trials that can no longer win.", True, default=True)

    def check(self, _: Collection[str]) -> Iterator[Fault]:
        if self.min > self.max:
            yield ("min",), f"must be at most max, {self.max}, not {self.min}"


SEEDS: Final = either(
    f"must be how many (1 to {_MOST_SEEDS}), a list of seeds, or {{min, max, race}}",
    integer(1, _MOST_SEEDS),
    sequence(integer(0, 2**32 - 1), "seeds", most=_MOST_SEEDS, unique=True),
    SeedRace.rule(),
)


class Budget(Spec):
    """Limits of a search."""

    words = words.BUDGET

    trials: int | None = key(
        integer(1, 10**9), "Most trials, that is configs; seeds and folds do not count.", 200
    )
    time_seconds: float | None = key(duration(), "Time after which no training starts.", "30m")
    patience: int | None = key(
        integer(1, 10**9), "Trials in a row without improvement that end the search.", 30
    )
    min_delta: float = key(
        number(minimum=0), "Smallest change that counts as an improvement.", 0.001, default=0.0
    )
    score: float | None = key(number(), "The score that ends the search.", 0.98)

    @property
    def ends_by_score(self) -> bool:
        """True if scores may end the search."""
        return self.patience is not None or self.score is not None

    @property
    def is_sure(self) -> bool:
        """True if it ends every search; a score may never be reached."""
        ends = (self.trials, self.time_seconds, self.patience)
        return any(each is not None for each in ends)

    def check(self, _: Collection[str]) -> Iterator[Fault]:
        if not self.is_sure and self.score is None:
            yield (), "needs trials, time, patience or score"
        if self.min_delta and self.patience is None:
            yield ("min_delta",), "has a meaning only with patience"


class EarlyStoppingSpec(Spec):
    """Stop a training whose metric no longer improves."""

    words = words.EARLY_STOPPING

    patience: int = required(
        integer(1, 10**6), "Epochs without improvement after which a training ends.", 3
    )
    min_delta: float = key(
        number(minimum=0), "Smallest change that counts as an improvement.", 0.001, default=0.0
    )


def _weights(value: Any) -> dict[str, float]:
    if not isinstance(value, Mapping) or not value:
        raise InvalidValue.at("must name a class")
    for label in value:
        if not isinstance(label, str) and str(label) in value:
            said = f"{label} and {str(label)!r} are the same class; give it once"
            raise InvalidValue.at(said, str(label))
    return check_each(_WEIGHT.check, ((str(label), item) for label, item in value.items()))


_WEIGHT: Final = number(minimum=0)
_CLASS_WEIGHT: Final = either(
    "must be balanced, or a mapping of classes to weights such as {'0': 1, '1': 5}",
    one_of(("balanced",), "weights"),
    Rule(_weights, {"type": "object", "minProperties": 1, "additionalProperties": _WEIGHT.schema}),
)


class ModelSpec(Spec):
    """hpsearch's MLP, with overrides of its output and loss."""

    type: Literal["mlp"] = choice(
        ("mlp",), "model type", "Build the MLP that `parameters` describe.", "mlp"
    )
    output_activation: str | None = key(
        one_of(ACTIVATIONS, "activation"),
        "Activation of the output layer; by default the task decides.",
        "softmax",
    )
    loss: str | None = key(
        one_of(sorted(set(LOSSES.values())), "loss", LOSSES),
        "A Keras loss; by default the task decides.",
        "huber",
    )
    class_weight: dict[str, float] | Literal["balanced"] | None = key(
        _CLASS_WEIGHT,
        "Weight of each class in the loss, by default 1; or balanced.",
        "balanced",
        {"0": 1, "1": 5},
    )


MODEL: Final = replace(
    either(
        "must be a mapping such as {type: mlp}, with output_activation, loss and class_weight, "
        "or a function as 'package.module:build'",
        reference(),
        ModelSpec.rule(),
    ),
    part=ModelSpec,
)


def _constraint(value: str) -> str:
    try:
        parse(value)
    except ConstraintError as error:
        raise InvalidValue.at(str(error)) from None
    return value


_CONSTRAINT: Final = text(
    requirement="must be a constraint as text, such as 'hidden_layers * units <= 600'"
).then(_constraint)


def _configs(rule: Callable[[str], Rule]) -> Any:
    """Declare the key `configs`, whose values follow the rule of their name."""

    def check(value: Any) -> dict[str, Any]:
        config = require_mapping(value, "must be a mapping of parameters to values")
        return check_keys(config, {name: rule(name) for name in config})

    return key(
        sequence(Rule(check, {"type": "object"}), "mappings", least=0, most=10_000),
        "Configs to try first; without a method, only these.",
        [{"hidden_layers": 0, "epochs": 5}],
        default=(),
    )


#: The keys of either kind of file, in the order in which a file is written.
_ORDER: Final = (
    *("name", "description", "seed", "data", "program", "command", "method", "metric"),
    *("parameters", "constraints", "configs", "seeds", "budget", "known", "early_stopping"),
    "execution",
    *("model", "keep"),
)


class Role(StrEnum):
    """The role of a function that a sweep names, in words."""

    DATA = "its data is read by"
    MODEL = "its model is built by"
    LAYERS = "its layers are built by"
    ORACLE = "its trials are proposed by"


class SweepFields(Spec):
    """The keys of every sweep file, each checked by itself; `Sweep` checks them together."""

    #: True if a search without a budget may go on until Ctrl-C.
    endless: ClassVar[bool] = False
    parameters: dict[str, Parameter]

    name: str = required(
        text(NAME, "must be 1 to 64 of A-Z a-z 0-9 . _ - and not . or .."),
        "Name of the results directory; by default the file's stem.",
        "fashion-mlp",
    )
    description: str | None = key(text(), "Purpose of the sweep.", "How wide an MLP should be.")
    seed: int = key(
        integer(0, 2**32 - 1),
        "Seed of proposals, and of a model's weights, shuffles and dropout masks.",
        7,
        default=0,
    )
    method: MethodSpec = key(
        METHOD,
        "How configs are chosen; by default grid, or exactly `configs` if given.",
        "random",
        {"name": "hyperband", "factor": 3},
        default=MethodSpec(),
    )
    metric: MetricSpec | None = key(
        METRIC,
        "Score of an execution; by default val_accuracy, for regression val_loss.",
        "val_accuracy",
        {"name": "val_loss", "goal": "minimize", "epoch": "best"},
    )
    constraints: tuple[str, ...] = key(
        sequence(_CONSTRAINT, "constraints in quotes", least=0, most=100),
        "Conditions such as 'hidden_layers * units <= 600'.",
        ["hidden_layers * units <= 600"],
        default=(),
    )
    configs: tuple[dict[str, Any], ...] = _configs(rule_of)
    seeds: int | tuple[int, ...] | SeedRace = key(
        SEEDS,
        "Executions of a trial: how many, a list of their seeds, or {min, max, race}.",
        3,
        [0, 7],
        {"min": 1, "max": 5, "race": True},
        default=1,
    )
    budget: Budget | None = key(
        Budget.rule(),
        "Limits of the search; of models, required for every method but grid.",
        {"trials": 200, "time": "30m"},
    )
    known: str | None = key(
        text(),
        "Results of others, a CSV file or a results directory, from which the method learns.",
        "earlier.csv",
    )
    execution: ExecutionSettings = key(
        ExecutionSettings.rule(),
        "Where and how trainings run; scores do not depend on it.",
        {"workers": 2},
        default=ExecutionSettings(),
    )

    @classmethod
    def keys(cls) -> Mapping[str, Field[Any]]:
        """Return the keys in the order in which a file is written."""
        declared = super().keys()
        return {name: declared[name] for name in _ORDER if name in declared}

    @property
    def kind(self) -> Kind:
        """The kind of thing that a config describes."""
        raise NotImplementedError

    @property
    def searched(self) -> Iterable[Parameter]:
        """The parameters of the space."""
        return self.parameters.values()

    @property
    def functions(self) -> Mapping[str, Role]:
        """The user's functions that it names, with their roles."""
        return {self.method.name: Role.ORACLE} if self.method.is_oracle else {}

    @cached_property
    def space(self) -> Space:
        """Parameters in file order and constraints, but not what only a custom model requests."""
        return Space(tuple(self.searched), tuple(map(parse, self.constraints)), self.kind)

    @property
    def first(self) -> Mapping[str, Any]:
        """The first value of each parameter."""
        return {parameter.name: parameter.at(0.0) for parameter in self.space.parameters}

    def place(self, name: str) -> Loc:
        """Return the place of a parameter in the file, where a program's may be nested."""
        parameter = self.parameters.get(name)
        path = (parameter.path if parameter is not None else ()) or (name,)
        return tuple(step for inner in path for step in ("parameters", inner))

    @property
    def limit(self) -> int | None:
        """Upper bound on the trials."""
        return self.budget.trials if self.budget else None

    @property
    def race(self) -> SeedRace | None:
        """The settings of the competition for further seeds, or None."""
        return self.seeds if isinstance(self.seeds, SeedRace) and self.seeds.race else None

    @property
    def trial_seeds(self) -> tuple[int, ...]:
        """Seeds of a trial's executions; in a race, the seeds that every trial gets."""
        seeds = self.seeds
        if isinstance(seeds, SeedRace):
            seeds = seeds.min if seeds.race else seeds.max
        return seeds if isinstance(seeds, tuple) else tuple(range(seeds))

    @property
    def repetitions(self) -> tuple[Repetition, ...]:
        """One repetition for each seed."""
        return tuple(map(Repetition, self.trial_seeds))

    @cached_property
    def points(self) -> tuple[dict[str, Any], ...]:
        """`configs`, each completed by the first value of every other parameter."""
        first = self.first
        return tuple({**first, **config} for config in self.configs)

    @cached_property
    def listed(self) -> tuple[Config, ...]:
        """The configs of `points` that satisfy the constraints."""
        configs = map(self.space.config, self.points)
        return tuple(config for config in configs if config is not None)

    def raw(self) -> Any:
        """Return a file's keys with every default, without empty ones and method `configs`."""
        raw = super().raw() | {"parameters": raw_parameters(self.parameters)}
        if self.method.name == CONFIGS:
            del raw["method"]
        return {
            key: value for key, value in raw.items() if value not in ({}, []) or key == "parameters"
        }


class ModelFields(SweepFields):
    """The keys of a sweep over MLPs or Keras models."""

    data: DataSpec = required(
        DataSpec.rule(), "Source of the rows, and their split.", {"dataset": "digits"}
    )
    parameters: dict[str, Parameter] = key(
        parameters(rule_of),
        "Hyperparameters: a list means choices, a scalar a fixed value.",
        {"units": [50, 100], "epochs": 10},
        factory=dict,
    )
    early_stopping: EarlyStoppingSpec | None = key(
        EarlyStoppingSpec.rule(), "End trainings that no longer improve.", {"patience": 3}
    )
    model: ModelSpec | str = key(
        MODEL,
        "The MLP with overrides of its output and loss, or your own builder.",
        {"type": "mlp", "loss": "huber"},
        default=ModelSpec(),
    )
    keep: Literal["best", "all"] = choice(
        ("best", "all"), "keep", "Keep the weights of the best trial or of all.", "all"
    )

    @property
    def kind(self) -> Kind:
        return Kind.MODEL if isinstance(self.model, str) else Kind.MLP

    @property
    def builder(self) -> str:
        """The `package.module:name` of a custom model; empty for MLPs."""
        return self.model if isinstance(self.model, str) else ""

    @property
    def mlp(self) -> ModelSpec:
        """The overrides of the MLP's output and loss; none for a custom model."""
        return ModelSpec() if isinstance(self.model, str) else self.model

    @property
    def functions(self) -> Mapping[str, Role]:
        roles = {} if self.data.python is None else {self.data.python: Role.DATA}
        if self.builder:
            roles[self.builder] = Role.MODEL
        else:
            types = filter(is_custom, sorted(self.layer_types))
            roles |= dict.fromkeys(types, Role.LAYERS)
        return {**roles, **super().functions}

    @property
    def layer_types(self) -> frozenset[str]:
        """The layer types that its parameters and listed configs name."""
        parameter = self.parameters.get("layer_type")
        values = (parameter.choices if parameter is not None else None) or ()
        listed = [point["layer_type"] for point in self.configs if "layer_type" in point]
        return frozenset(map(str, (*values, *listed)))

    @property
    def first(self) -> Mapping[str, Any]:
        # Range.at may differ from the end in the last digit.
        return {
            name: p.domain.min if isinstance(p.domain, Range) else p.at(0.0)
            for name, p in self.parameters.items()
        }

    @property
    def repetitions(self) -> tuple[Repetition, ...]:
        """Each seed, repeated for each fold in cross-validation."""
        folds = range(1, self.data.cv.count + 1) if self.data.cv else (None,)
        return tuple(Repetition(seed, fold) for seed in self.trial_seeds for fold in folds)


class CustomModelFields(ModelFields):
    """The keys of a sweep over a custom model, whose hyperparameters take any values."""

    parameters: dict[str, Parameter] = key(parameters(custom_rule_of), "", factory=dict)
    configs: tuple[dict[str, Any], ...] = _configs(custom_rule_of)


class ProgramFields(SweepFields):
    """The keys of a sweep over a program."""

    endless: ClassVar[bool] = True

    program: str | None = key(
        text(), "The program's file, relative to the sweep file or the working directory.", "run.py"
    )
    command: tuple[str, ...] | None = key(
        COMMAND, "The command line, with W&B's macros.", ["${interpreter}", "run.py", "${args}"]
    )
    metric: MetricSpec = required(
        METRIC, "The score: a metric that the program reports.", {"name": "val_loss"}
    )
    parameters: dict[str, Parameter] = key(
        PROGRAM_PARAMETERS, "The program's parameters.", {"x": [1, 2]}, factory=dict
    )
    configs: tuple[dict[str, Any], ...] = _configs(lambda _: PLAIN)
    execution: ExecutionSettings = key(
        ProgramExecutionSettings.rule(),
        "Where and how programs run.",
        {"workers": 2},
        default=ProgramExecutionSettings(),
    )

    @property
    def kind(self) -> Kind:
        return Kind.PROGRAM

    @property
    def searched(self) -> Iterable[Parameter]:
        """The parameters of the space; in a grid, W&B's whole numbers are lists."""
        declared = self.parameters.values()
        return map(enumerated, declared) if self.method.enumerates else declared

    @property
    def file(self) -> str:
        """The program's file as an absolute path; empty without one."""
        return "" if self.program is None else str(Path(self.program).absolute())

    def run_of(
        self, trials: str, environment: Mapping[str, str | None] | None = None
    ) -> UserProgram:
        """Return the program as plain data, for this process's working directory."""
        here = Path.cwd()
        return UserProgram(
            command=command_in(here, self.command or DEFAULT_COMMAND, self.file),
            program=self.file,
            metric=self.metric.name,
            paths={name: each.path for name, each in self.parameters.items() if each.path},
            directory=str(here),
            trials=trials,
            environment=environment or {},
            timeout_seconds=self.execution.timeout_seconds,
        )
