"""The keys of a sweep file, each valid by itself, and the space they span."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any, Final, Literal

from hpsearch.errors import ConstraintError
from hpsearch.space.constraints import parse
from hpsearch.space.execution import Repetition
from hpsearch.space.space import Config, Kind, Space
from hpsearch.spec.data import DataSpec
from hpsearch.spec.hyperparameters import rule_of
from hpsearch.spec.method import CONFIGS, METHOD, MethodSpec
from hpsearch.spec.parameters import PARAMETERS, ParameterSpec
from hpsearch.spec.rules import (
    Collector,
    InvalidValue,
    Rule,
    Spec,
    check_each,
    choice,
    integer,
    key,
    require_mapping,
    required,
    text,
)
from hpsearch.spec.settings import (
    METRIC,
    MODEL,
    SEEDS,
    Budget,
    EarlyStoppingSpec,
    ExecutionSettings,
    MetricSpec,
    ModelSpec,
    SeedRace,
    seeds_of,
)
from hpsearch.wording import show

#: A sweep's name is that of its results directory: no separator, not `.` or `..`.
MOST_NAME: Final = 64
NAME: Final = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,64}\Z", re.ASCII)
MOST_CONSTRAINTS: Final = 100
MOST_CONFIGS: Final = 10_000


_CONSTRAINT: Final = text(
    requirement="must be a constraint as text, such as 'hidden_layers * units <= 600'"
)


def check_constraint(value: Any) -> str:
    """Check a constraint's grammar.

    Raises:
        InvalidValue: It is not text, or not a constraint.
    """
    constraint: str = _CONSTRAINT.check(value)
    try:
        parse(constraint)
    except ConstraintError as error:
        raise InvalidValue.at(str(error)) from None
    return constraint


def _config(value: Any) -> dict[str, Any]:
    config = require_mapping(value, "must be a mapping of hyperparameters to values")
    faults = Collector()
    checked = {name: faults.run(rule_of(name).check, item, name) for name, item in config.items()}
    faults.finish()
    return checked


def check_items(check: Callable[[Any], Any], noun: str, most: int, value: Any) -> tuple[Any, ...]:
    """Check a list and each of its items.

    Raises:
        InvalidValue: With the faults of all items.
    """
    if not isinstance(value, list | tuple):
        raise InvalidValue.at(f"must be a list of {noun}, not {show(value)}")
    if len(value) > most:
        raise InvalidValue.at(f"must have at most {most:,} {noun}, not {len(value):,}")
    return tuple(check_each(check, enumerate(value)).values())


def written(raw: dict[str, Any], method: MethodSpec) -> dict[str, Any]:
    """Return a sweep's keys as a file has them, without empty ones and the method `configs`."""
    if method.name == CONFIGS:
        del raw["method"]
    return {
        key: value for key, value in raw.items() if value not in ({}, []) or key == "parameters"
    }


class SweepFields(Spec):
    """The keys of a sweep file, each checked by itself; `Sweep` checks them together."""

    name: str = required(
        text(NAME, "must be 1 to 64 of A-Z a-z 0-9 . _ - and not . or .."),
        "Name of the results directory; by default the file's stem.",
        "fashion-mlp",
    )
    description: str | None = key(text(), "Purpose of the sweep.", "How wide an MLP should be.")
    seed: int = key(
        integer(0, 2**32 - 1),
        "Seed of weights, shuffles, dropout masks and proposals.",
        7,
        default=0,
    )
    data: DataSpec = required(
        DataSpec.rule(), "Source of the rows, and their split.", {"dataset": "digits"}
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
    parameters: dict[str, ParameterSpec] = key(
        PARAMETERS,
        "Hyperparameters: a list means choices, a scalar a fixed value.",
        {"units": [50, 100], "epochs": 10},
        factory=dict,
    )
    constraints: tuple[str, ...] = key(
        Rule(
            partial(check_items, check_constraint, "constraints in quotes", MOST_CONSTRAINTS),
            {"type": "array", "items": {"type": "string"}, "maxItems": MOST_CONSTRAINTS},
        ),
        "Conditions such as 'hidden_layers * units <= 600'.",
        ["hidden_layers * units <= 600"],
        default=(),
    )
    configs: tuple[dict[str, Any], ...] = key(
        Rule(
            partial(check_items, _config, "mappings", MOST_CONFIGS),
            {"type": "array", "items": {"type": "object"}, "maxItems": MOST_CONFIGS},
        ),
        "Configs to train first; without a method, train only these.",
        [{"hidden_layers": 0, "epochs": 5}],
        default=(),
    )
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
        "Limits of the search; required for every method but grid.",
        {"trials": 200, "time": "30m"},
    )
    early_stopping: EarlyStoppingSpec | None = key(
        EarlyStoppingSpec.rule(), "End trainings that no longer improve.", {"patience": 3}
    )
    execution: ExecutionSettings = key(
        ExecutionSettings.rule(),
        "Where and how trainings run; scores do not depend on it.",
        {"workers": 2},
        default=ExecutionSettings(),
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
    def repetitions(self) -> tuple[Repetition, ...]:
        """Each seed, repeated for each fold in cross-validation."""
        folds = range(1, self.data.cv + 1) if self.data.cv else (None,)
        return tuple(Repetition(seed, fold) for seed in self.trial_seeds for fold in folds)

    @property
    def class_weight(self) -> dict[str, float] | str | None:
        """Weights of the classes in the loss; None if all are equal."""
        return None if isinstance(self.model, str) else self.model.class_weight

    @property
    def trial_seeds(self) -> tuple[int, ...]:
        """Seeds of a trial's executions; in a race, the seeds that every trial gets."""
        return seeds_of(self.seeds)

    @cached_property
    def space(self) -> Space:
        """The parameters in file order, with the constraints.

        Hyperparameters that only a custom model requests are not included.
        """
        return Space(
            tuple(spec.parameter(name) for name, spec in self.parameters.items()),
            tuple(parse(constraint) for constraint in self.constraints),
            Kind.MODEL if isinstance(self.model, str) else Kind.MLP,
        )

    @cached_property
    def points(self) -> tuple[dict[str, Any], ...]:
        """`configs`, each completed by the first value of every other parameter."""
        first = {name: spec.first for name, spec in self.parameters.items()}
        return tuple({**first, **config} for config in self.configs)

    @cached_property
    def listed(self) -> tuple[Config, ...]:
        """The configs of `points` that satisfy the constraints."""
        configs = map(self.space.config, self.points)
        return tuple(config for config in configs if config is not None)

    def raw(self) -> Any:
        """Return the sweep as a file has it, including every default."""
        return written(super().raw(), self.method)
