"""The keys `metric`, `seeds`, `budget`, `early_stopping`, `execution` and `model`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, Literal

from hpsearch.space.keras_names import ACTIVATIONS, LOSSES, METRICS
from hpsearch.spec import words
from hpsearch.spec.rules import (
    REFERENCE,
    Collector,
    Fault,
    InvalidValue,
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


def parse_metric(value: Any) -> MetricSpec:
    """Check a metric, a name or a mapping.

    Raises:
        InvalidValue: It is neither, or a list of several.
    """
    if isinstance(value, list | tuple):
        raise InvalidValue.at("a sweep has one metric; the others are columns of results.csv")
    return MetricSpec.parse({"name": value} if isinstance(value, str) else value)


def _metric(value: Any) -> MetricSpec:
    metric = parse_metric(value)
    if metric.name == "weights":
        raise InvalidValue.at("weights is no score; it is a column of results.csv")
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


def seeds_of(seeds: int | tuple[int, ...] | SeedRace) -> tuple[int, ...]:
    """Return the seeds of a trial's executions; in a race, the seeds that every trial gets."""
    if isinstance(seeds, tuple):
        return seeds
    if isinstance(seeds, SeedRace):
        return tuple(range(seeds.min if seeds.race else seeds.max))
    return tuple(range(seeds))


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
MODEL: Final = Rule(_model, {"anyOf": [dict(reference().schema), ModelSpec.schema()]})
