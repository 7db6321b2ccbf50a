"""The keys of a sweep file, each checked by itself, and the space that they span."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import Field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from hpsearch.errors import ConstraintError
from hpsearch.space.constraints import parse
from hpsearch.space.execution import Repetition
from hpsearch.space.keras_names import ACTIVATIONS, LOSSES, METRICS
from hpsearch.space.kinds import Kind
from hpsearch.space.space import Config, Space
from hpsearch.spec import words
from hpsearch.spec.command import COMMAND, DEFAULT_COMMAND, UserProgram, command_in
from hpsearch.spec.data import DataSpec
from hpsearch.spec.hyperparameters import rule_of
from hpsearch.spec.method import CONFIGS, METHOD, MethodSpec
from hpsearch.spec.parameters import (
    PARAMETERS,
    PLAIN,
    PROGRAM_PARAMETERS,
    ParameterSpec,
    ProgramParameters,
)
from hpsearch.spec.rules import (
    NAME,
    REFERENCE,
    Collector,
    Fault,
    InvalidValue,
    Loc,
    Rule,
    Spec,
    byte_size,
    check_each,
    choice,
    duration,
    flag,
    integer,
    is_number,
    key,
    number,
    one_of,
    reference,
    refused_unless,
    require_mapping,
    required,
    sequence,
    text,
)
from hpsearch.wording import show, unknown_hint

#: Engines that are part of hpsearch.
ENGINES: Final = ("local", "ray")
_TRIAL_SEED = integer(0, 2**32 - 1)
_MOST_SEEDS: Final = 10_000


class MetricSpec(Spec):
    """The score of an execution; `goal` may be omitted for a known metric."""

    words = words.METRIC_KEYS

    name: str = required(text(), "Column of curves.csv, such as val_accuracy.", "val_loss")
    goal: Literal["maximize", "minimize"] | None = key(
        one_of(("maximize", "minimize"), "goal"),
        "Required unless the metric is a known one.",
        "minimize",
    )
    epoch: Literal["last", "best"] = key(
        one_of(("last", "best"), "epoch"), "Epoch whose value is the score.", "best", default="last"
    )

    def check(self, _: Collection[str]) -> Iterator[Fault]:
        """Yield a fault if the goal is neither known nor given."""
        if self.goal is None and self.name not in METRICS:
            yield (
                (),
                f"goal is missing: maximize or minimize, as {self.name!r} is not a known metric"
                f"{unknown_hint(self.name, words.METRICS, METRICS)}",
            )

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        """The goal, inferred if the file omits it."""
        if self.goal is not None:
            return self.goal
        return "maximize" if METRICS.get(self.name) == "maximize" else "minimize"


def _metric(value: Any) -> MetricSpec:
    if isinstance(value, list | tuple):
        raise InvalidValue.at("a sweep has one metric; the others are columns of results.csv")
    metric = MetricSpec.parse({"name": value} if isinstance(value, str) else value)
    return replace(metric, goal=metric.direction)


#: A name or a mapping.
METRIC: Final = Rule(_metric, {"anyOf": [{"type": "string", "minLength": 1}, MetricSpec.schema()]})


class SeedRace(Spec):
    """Repeat each trial `min` times, and promising ones up to `max` times."""

    min: int = required(integer(1, _MOST_SEEDS), "Executions of every trial.", 1)
    max: int = required(integer(1, _MOST_SEEDS), "Executions of the best trials.", 5)
    race: bool = key(flag(), "Drop trials that can no longer win.", True, default=True)

    def check(self, _: Collection[str]) -> Iterator[Fault]:
        """Yield a fault if `min` exceeds `max`."""
        if self.min > self.max:
            yield ("min",), f"must be at most max, {self.max}, not {self.min}"


def _seeds(value: Any) -> int | tuple[int, ...] | SeedRace | None:
    if isinstance(value, Mapping | SeedRace):
        return SeedRace.parse(value)
    if isinstance(value, list | tuple):
        return _seed_list(value)
    whole = is_number(value) and isinstance(value, int)
    return value if whole and 1 <= value <= _MOST_SEEDS else None


def _seed_list(value: list[Any] | tuple[Any, ...]) -> tuple[int, ...]:
    if not 1 <= len(value) <= _MOST_SEEDS:
        raise InvalidValue.at(f"must list 1 to {_MOST_SEEDS} seeds, not {len(value)}")
    faults = Collector()
    seen: set[int] = set()
    for index, item in enumerate(value):
        seed = faults.run(_TRIAL_SEED.check, item, index)
        if seed is not None and seed in seen:
            faults.add(f"the seed {seed} is listed twice", index)
        elif seed is not None:
            seen.add(seed)
    faults.finish()
    return tuple(value)


_SEEDS_SCHEMA = {
    "anyOf": [
        {"type": "integer", "minimum": 1, "maximum": _MOST_SEEDS},
        {"type": "array", "items": dict(_TRIAL_SEED.schema), "minItems": 1, "uniqueItems": True},
        SeedRace.schema(),
    ]
}
#: A number of seeds, a list of them, or a race.
_SEEDS_REQUIREMENT: Final = (
    f"must be how many (1 to {_MOST_SEEDS}), a list of seeds, or {{min, max, race}}"
)
SEEDS: Final = Rule(refused_unless(_SEEDS_REQUIREMENT, _seeds), _SEEDS_SCHEMA)


class Budget(Spec):
    """Limits of a search."""

    words = words.BUDGET

    trials: int | None = key(
        integer(1, 10**9), "Most trials, that is configs; seeds and folds do not count.", 200
    )
    time_seconds: float | None = key(duration(), "Time after which no training starts.", "30m")

    def check(self, _: Collection[str]) -> Iterator[Fault]:
        """Yield a fault if no limit is given."""
        if self.trials is None and self.time_seconds is None:
            yield (), "needs trials, time or both"


class EarlyStoppingSpec(Spec):
    """Stop a training whose metric no longer improves."""

    words = words.EARLY_STOPPING

    patience: int = required(
        integer(1, 10**6), "Epochs without improvement after which a training ends.", 3
    )
    min_delta: float = key(
        number(minimum=0), "Smallest change that counts as an improvement.", 0.001, default=0.0
    )


def _workers(value: Any) -> Any:
    whole = is_number(value) and isinstance(value, int)
    return value if value == "auto" or (whole and 1 <= value <= 1024) else None


def _resources(value: Any) -> dict[str, float]:
    requirement = "must be a mapping such as {CPU: 1, GPU: 0.5}"
    return check_each(number(minimum=0).check, require_mapping(value, requirement).items())


class ExecutionSettings(Spec):
    """Where and how trainings run; no key changes a score."""

    words = words.EXECUTION

    workers: int | Literal["auto"] = key(
        Rule(
            refused_unless("must be auto or a whole number from 1 to 1024", _workers),
            {"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1, "maximum": 1024}]},
        ),
        "Single-threaded processes; auto: one per core.",
        4,
        default="auto",
    )
    timeout_seconds: float | None = key(duration(), "Longest time of one training.", "10m")
    memory: int | Literal["auto"] = key(
        byte_size(),
        "Memory limit of a worker; auto: its share of 80% of the machine's memory.",
        "2GB",
        default="auto",
    )
    retries: int = key(
        integer(0, 100), "How often to restart a training whose worker died.", 2, default=1
    )
    engine: str = choice(
        ENGINES, "engine", "Run trainings on this machine or on a Ray cluster.", "local"
    )
    address: str | None = key(
        text(), "Address of the cluster: auto, or HOST:PORT of its head.", "10.0.0.5:6379"
    )
    resources: dict[str, float] | None = key(
        Rule(_resources, {"type": "object", "additionalProperties": {"type": "number"}}),
        "Resources of the cluster that a worker takes.",
        {"CPU": 1},
    )

    def check(self, _: Collection[str]) -> Iterator[Fault]:
        """Yield a fault for each cluster key that is set without a cluster."""
        for name in ("address", "resources"):
            if getattr(self, name) is not None and self.engine == "local":
                yield (name,), "has a meaning only with engine: ray"


_CLASS_WEIGHT_REQUIREMENT: Final = (
    "must be balanced, or a mapping of classes to weights such as {'0': 1, '1': 5}"
)


def _class_weight(value: Any) -> dict[str, float] | Literal["balanced"]:
    if value == "balanced":
        return "balanced"
    if not isinstance(value, Mapping) or not value:
        raise InvalidValue.at(f"{_CLASS_WEIGHT_REQUIREMENT}, not {show(value)}")
    labelled: dict[str, Any] = {}
    for label, weight in value.items():
        if str(label) in labelled:
            raise InvalidValue.at(f"{label!s} and {str(label)!r} are the same class; give it once")
        labelled[str(label)] = weight
    return check_each(number(minimum=0).check, labelled.items())


_CLASS_WEIGHT_SCHEMA = {
    "errorMessage": _CLASS_WEIGHT_REQUIREMENT,
    "anyOf": [
        {"const": "balanced"},
        {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {"type": "number", "minimum": 0},
        },
    ],
}


class ModelSpec(Spec):
    """hpsearch's MLP, with overrides of its output and loss."""

    words = words.MODEL

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
        Rule(_class_weight, _CLASS_WEIGHT_SCHEMA),
        "Weight of each class in the loss, by default 1; or balanced.",
        "balanced",
        {"0": 1, "1": 5},
    )


def _model(value: Any) -> ModelSpec | str:
    if isinstance(value, str):
        if REFERENCE.match(value):
            return value
        raise InvalidValue.at(
            "must be a mapping such as {type: mlp}, with output_activation, loss and class_weight, "
            f"or a function as 'package.module:build', not {show(value)}"
        )
    return ModelSpec.parse(value)


#: Overrides of the MLP, or the user's builder as `package.module:function`.
MODEL: Final = Rule(
    _model,
    {"anyOf": [dict(reference().schema), ModelSpec.rule().schema]},
    part=ModelSpec,
)


def _constraint(value: Any) -> str:
    example = "'hidden_layers * units <= 600'"
    constraint: str = text(None, f"must be a constraint as text, such as {example}").check(value)
    try:
        parse(constraint)
    except ConstraintError as error:
        raise InvalidValue.at(str(error)) from None
    return constraint


def _config(rule: Callable[[str], Rule], value: Any) -> dict[str, Any]:
    config = require_mapping(value, "must be a mapping of parameters to values")
    faults = Collector()
    checked = {name: faults.run(rule(name).check, item, name) for name, item in config.items()}
    faults.finish()
    return checked


def _configs(rule: Callable[[str], Rule]) -> Any:
    """Declare the key `configs`, whose values follow the rule of their name."""
    config = Rule(partial(_config, rule), {"type": "object"})
    return key(
        sequence(config, "mappings", least=0, most=10_000),
        "Configs to try first; without a method, only these.",
        [{"hidden_layers": 0, "epochs": 5}],
        default=(),
    )


#: The keys of either kind of file, in the order in which a file is written.
_ORDER: Final = (
    *("name", "description", "seed", "data", "program", "command", "method", "metric"),
    *("parameters", "constraints", "configs", "seeds", "budget", "early_stopping", "execution"),
    *("model", "keep"),
)


class SweepFields(Spec):
    """The keys of every sweep file, each checked by itself; `Sweep` checks them together."""

    #: Whether a search without a budget may go on until Ctrl-C.
    endless: ClassVar[bool] = False

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
        sequence(Rule(_constraint, {"type": "string"}), "constraints in quotes", least=0, most=100),
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
    def space(self) -> Space:
        """The parameters in file order, with the constraints.

        Hyperparameters that only a custom model requests are not included.
        """
        raise NotImplementedError

    @property
    def first(self) -> Mapping[str, Any]:
        """The first value of each parameter."""
        return {parameter.name: parameter.at(0.0) for parameter in self.space.parameters}

    def place(self, name: str) -> Loc:
        """Return the place of a parameter in the file."""
        return ("parameters", name)

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
        """Return the sweep as a file has it, including every default.

        Empty keys are left out, and so is the method `configs`.
        """
        raw = super().raw()
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
    parameters: dict[str, ParameterSpec] = key(
        PARAMETERS,
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

    @cached_property
    def space(self) -> Space:
        """The hyperparameters in file order, with the constraints."""
        return Space(
            tuple(spec.parameter(name) for name, spec in self.parameters.items()),
            tuple(map(parse, self.constraints)),
            Kind.MODEL if isinstance(self.model, str) else Kind.MLP,
        )

    @property
    def layer_types(self) -> frozenset[str]:
        """The layer types that its parameters and listed configs name."""
        spec = self.parameters.get("layer_type")
        domain = None if spec is None else spec.parameter("layer_type").domain
        listed = [point["layer_type"] for point in self.configs if "layer_type" in point]
        return frozenset(map(str, (*getattr(domain, "values", ()), *listed)))

    @property
    def first(self) -> Mapping[str, Any]:
        """The first value of each hyperparameter."""
        return {name: spec.first for name, spec in self.parameters.items()}

    @property
    def repetitions(self) -> tuple[Repetition, ...]:
        """Each seed, repeated for each fold in cross-validation."""
        folds = range(1, self.data.cv + 1) if self.data.cv else (None,)
        return tuple(Repetition(seed, fold) for seed in self.trial_seeds for fold in folds)

    @property
    def class_weight(self) -> dict[str, float] | str | None:
        """Weights of the classes in the loss; None if all are equal."""
        return None if isinstance(self.model, str) else self.model.class_weight


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
    parameters: ProgramParameters = key(
        PROGRAM_PARAMETERS,
        "The program's parameters.",
        {"x": [1, 2]},
        factory=partial(PROGRAM_PARAMETERS.check, {}),
    )
    configs: tuple[dict[str, Any], ...] = _configs(lambda _: PLAIN)

    @cached_property
    def space(self) -> Space:
        """The parameters in file order, in a grid with lists for W&B's whole numbers."""
        given = self.parameters
        parameters = given.for_grid() if self.method.enumerates else given.parameters
        return Space(parameters, tuple(map(parse, self.constraints)), Kind.PROGRAM)

    def place(self, name: str) -> Loc:
        """Return the place of a parameter in the file, where it may be nested."""
        path = self.parameters.paths.get(name, (name,))
        return tuple(step for inner in path for step in ("parameters", inner))

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
