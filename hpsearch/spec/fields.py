"""The fields of a sweep, each valid by itself, and what they span."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from hpsearch.errors import ConstraintError
from hpsearch.space.constraints import Constraint, parse
from hpsearch.space.space import Config, Kind, Space
from hpsearch.space.trial import Repetition
from hpsearch.spec.data import DataSpec
from hpsearch.spec.hyperparameters import rule_of
from hpsearch.spec.method import CONFIGS, Method, MethodSpec
from hpsearch.spec.parameters import Parameters
from hpsearch.spec.rules import (
    Collector,
    InvalidValue,
    Rule,
    Spec,
    integer,
    one_of,
    require_mapping,
    text,
)
from hpsearch.spec.settings import (
    Budget,
    EarlyStoppingSpec,
    Execution,
    Metric,
    Model,
    ModelSpec,
    SeedRace,
    Seeds,
)
from hpsearch.wording import show

#: A sweep's name is a directory's: no separator, no `.` or `..`.
NAME: Final = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,64}\Z", re.ASCII)
_MOST_CONSTRAINTS: Final = 100
_MOST_CONFIGS: Final = 10_000


def parse_constraint(text: str) -> Constraint:
    """The constraint that `text` is.

    Raises:
        Invalid: It is none.
    """
    try:
        return parse(text)
    except ConstraintError as error:
        raise InvalidValue.at(str(error)) from None


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise InvalidValue.at(f"must be a list of constraints in quotes, not {show(value)}")
    if len(value) > _MOST_CONSTRAINTS:
        raise InvalidValue.at(f"must be at most {_MOST_CONSTRAINTS} constraints, not {len(value)}")
    faults = Collector()
    rule = text(law="must be a constraint as text, such as 'hidden_layers * units <= 600'")
    for index, item in enumerate(value):
        checked = faults.run(rule.check, item, index)
        if checked is not None:
            faults.run(parse_constraint, checked, index)
    faults.finish()
    return tuple(value)


def _config(value: Any) -> Mapping[str, Any]:
    return require_mapping(value, "must be a mapping of hyperparameters to values")


def _configs(value: Any) -> tuple[dict[str, Any], ...]:
    if not isinstance(value, list | tuple):
        raise InvalidValue.at(f"must be a list of mappings, not {show(value)}")
    if len(value) > _MOST_CONFIGS:
        raise InvalidValue.at(f"must be at most {_MOST_CONFIGS:,} configs, not {len(value):,}")
    faults = Collector()
    configs = []
    for index, item in enumerate(value):
        entry = faults.run(_config, item, index)
        configs.append(
            {
                name: faults.run(rule_of(name).check, setting, index, name)
                for name, setting in (entry or {}).items()
            }
        )
    faults.finish()
    return tuple(configs)


_CONFIGS_SCHEMA = {"type": "array", "items": {"type": "object"}, "maxItems": _MOST_CONFIGS}
_TEXTS_SCHEMA = {"type": "array", "items": {"type": "string"}, "maxItems": _MOST_CONSTRAINTS}


class SweepFields(Spec):
    """The keys of a sweep file; `Sweep` also checks them against each other."""

    name: Annotated[
        str,
        text(NAME, "must be 1 to 64 of A-Z a-z 0-9 . _ - and not . or .."),
        Field(
            description="Names the results directory; default: the file's stem.",
            examples=["fashion-mlp"],
        ),
    ]
    description: Annotated[
        str | None,
        text(),
        Field(
            description="What the sweep is for, in words.", examples=["How wide an MLP should be."]
        ),
    ] = None
    seed: Annotated[
        int,
        integer(0, 2**32 - 1),
        Field(description="Seed of weights, shuffles, dropout masks and proposals.", examples=[7]),
    ] = 0
    data: Annotated[
        DataSpec, Field(description="The rows and their split.", examples=[{"dataset": "digits"}])
    ]
    method: Annotated[
        Method,
        Field(
            description="How configs are chosen; grid where absent, or exactly `configs`.",
            examples=["random", {"name": "hyperband", "factor": 3}],
        ),
    ] = MethodSpec()
    metric: Annotated[
        Metric,
        Field(
            description="A trial's score; where absent val_accuracy, for regression val_loss.",
            examples=["val_accuracy", {"name": "val_loss", "goal": "minimize", "epoch": "best"}],
        ),
    ] = None
    parameters: Annotated[
        Parameters,
        Field(
            default_factory=dict,
            description="Hyperparameters: a list means choices, a scalar means fixed.",
            examples=[{"units": [50, 100], "epochs": 10}],
        ),
    ]
    constraints: Annotated[
        tuple[str, ...],
        Rule(_texts, _TEXTS_SCHEMA),
        Field(
            description="Conditions such as 'hidden_layers * units <= 600'.",
            examples=[["hidden_layers * units <= 600"]],
        ),
    ] = ()
    configs: Annotated[
        tuple[dict[str, Any], ...],
        Rule(_configs, _CONFIGS_SCHEMA),
        Field(
            description="Points to try first; with no method, exactly these.",
            examples=[[{"hidden_layers": 0, "epochs": 5}]],
        ),
    ] = ()
    seeds: Annotated[
        Seeds,
        Field(
            description="Repetitions: how many, a list of seeds, or {min, max, race}.",
            examples=[3, [0, 7], {"min": 1, "max": 5, "race": True}],
        ),
    ] = 1
    budget: Annotated[
        Budget | None,
        Field(
            description="When a search ends; required for every method but grid.",
            examples=[{"trials": 200, "time": "30m"}],
        ),
    ] = None
    early_stopping: Annotated[
        EarlyStoppingSpec | None,
        Field(
            description="Which trainings end early, since they no longer improve.",
            examples=[{"patience": 3}],
        ),
    ] = None
    execution: Annotated[
        Execution,
        Field(
            description="Where and how trainings run; no score depends on it.",
            examples=[{"workers": 2}],
        ),
    ] = Execution()
    model: Annotated[
        Model,
        Field(
            description="The MLP, with overrides of its output, or a builder of one's own.",
            examples=[{"type": "mlp", "loss": "huber"}],
        ),
    ] = ModelSpec()
    keep: Annotated[
        Literal["best", "all"],
        one_of(("best", "all"), "keep"),
        Field(description="Whose weights are kept.", examples=["all"]),
    ] = "best"

    @property
    def repetitions(self) -> tuple[Repetition, ...]:
        """Each seed, or with cross-validation each seed with each fold."""
        folds = range(1, self.data.cv + 1) if self.data.cv else (None,)
        return tuple(Repetition(seed, fold) for seed in self.trial_seeds for fold in folds)

    @property
    def class_weight(self) -> dict[str, float] | str | None:
        """Of the classes in the loss; None where each counts the same."""
        return None if isinstance(self.model, str) else self.model.class_weight

    @property
    def trial_seeds(self) -> tuple[int, ...]:
        """The seed of each repetition of a config; of a race, those that every config has."""
        if isinstance(self.seeds, tuple):
            return self.seeds
        if isinstance(self.seeds, SeedRace):
            return tuple(range(self.seeds.min if self.seeds.race else self.seeds.max))
        return tuple(range(self.seeds))

    @cached_property
    def space(self) -> Space:
        """The parameters in file order, with the constraints.

        Of a model of one's own, what the file says; what the model asks for is known to a run.
        """
        return Space(
            tuple(spec.parameter(name) for name, spec in self.parameters.items()),
            tuple(parse(constraint) for constraint in self.constraints),
            Kind.MODEL if isinstance(self.model, str) else Kind.MLP,
        )

    @cached_property
    def points(self) -> tuple[dict[str, Any], ...]:
        """`configs`, each with the fixed values, and the first of several, that it leaves open."""
        first = {name: spec.first for name, spec in self.parameters.items()}
        return tuple({**first, **config} for config in self.configs)

    @cached_property
    def listed(self) -> tuple[Config, ...]:
        """The configs of `points`; one that breaks a constraint is a fault of the sweep."""
        configs = map(self.space.config, self.points)
        return tuple(config for config in configs if config is not None)

    def raw(self) -> Any:
        """As a sweep file writes it, every default included."""
        raw = super().raw()
        if self.method.name == CONFIGS:
            del raw["method"]
        return {
            key: value for key, value in raw.items() if value not in ({}, []) or key == "parameters"
        }

    def __eq__(self, other: object) -> bool:
        """Equal where they ask for the same; warnings do not count."""
        return isinstance(other, SweepFields) and self.raw() == other.raw()

    __hash__ = None  # type: ignore[assignment]


def layer_types(sweep: SweepFields) -> tuple[str, ...]:
    """The layer types that its file names, each once; none where it is the default's."""
    spec = sweep.parameters.get("layer_type")
    listed = spec.domain if spec is not None and isinstance(spec.domain, tuple) else ()
    from_configs = [config["layer_type"] for config in sweep.configs if "layer_type" in config]
    return tuple(dict.fromkeys([*listed, *from_configs]))
