"""Project directories that KerasTuner wrote (1.0 to 1.4), read without KerasTuner.

A project holds oracle.json and a trial_ID/trial.json for each trial. Neither names the objective:
it is the metric that equals the trials' scores.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import dropwhile
from pathlib import Path
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hpsearch.errors import InputError
from hpsearch.machine import odd_kind
from hpsearch.wording import printable

Scalar = bool | int | float | str | None
Step = Annotated[float, Field(ge=0, le=2**53)]
Config = TypeVar("Config")
#: The statuses of results.csv that a trial can have.
Outcome = Literal["completed", "diverged", "failed"]

_GOALS = {"min": "minimize", "max": "maximize"}
#: Values that tuners add to a trial's hyperparameters: `tuner/epochs`, `tuner/bracket`, ...
_OF_TUNER = "tuner/"
#: Ids of trials count from 0 since KerasTuner 1.1; before, they were random.
_COUNTED = re.compile(r"[0-9]{1,9}")
_TRACEBACK = "Traceback (most recent call last):"


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class _Object(_Part, Generic[Config]):
    """A serialized object of one of KerasTuner's classes."""

    config: Config


class _Condition(_Part):
    """The hyperparameter is active if another one, its parent, has one of these values."""

    name: str
    values: list[Scalar]


class _Declared(_Part):
    name: str
    conditions: list[_Object[_Condition]] = []


class _Hyperparameters(_Part):
    space: list[_Object[_Declared]] = []
    values: dict[str, Scalar] = {}

    @property
    def names(self) -> list[str]:
        """The declared names, then those that only have a value."""
        return [*(each.config.name for each in self.space), *self.values]

    @property
    def active(self) -> dict[str, Scalar]:
        """The values whose conditions hold. A parent is declared before its children."""
        declared = {each.config.name for each in self.space}
        active = {name: value for name, value in self.values.items() if name not in declared}
        for each in self.space:
            name, parents = each.config.name, [c.config for c in each.config.conditions]
            met = all(p.name in active and active[p.name] in p.values for p in parents)
            if met and name in self.values:
                active[name] = self.values[name]
        return active


class _Observation(_Part):
    """The values of a metric at a step: one an execution, or their mean."""

    value: float | list[float]
    step: Step

    @property
    def mean(self) -> float:
        values = self.value if isinstance(self.value, list) else [self.value]
        return sum(values) / len(values) if values else math.nan


class _History(_Part):
    direction: Literal["min", "max"]
    observations: list[_Observation]

    def at(self, step: float | None) -> float | None:
        """The mean at a step."""
        return next((each.mean for each in self.observations if each.step == step), None)


class _Metrics(_Part):
    metrics: dict[str, _History]


class _Trial(_Part):
    hyperparameters: _Hyperparameters
    metrics: _Metrics
    score: float | None
    best_step: Step | None
    status: str
    message: str | None = None

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None if it has not."""
        lost = self.score is not None and not math.isfinite(self.score)
        if self.status == "COMPLETED" and self.score is not None:
            return "diverged" if lost else "completed"
        if self.status in ("COMPLETED", "INVALID", "FAILED"):
            # KerasTuner fails trials whose score is not a number, without a message.
            return "diverged" if lost and not self.message else "failed"
        return None

    def has_score_of(self, metric: str) -> bool:
        """Whether the score is this metric at the best step."""
        history = self.metrics.metrics.get(metric)
        value = history.at(self.best_step) if history else None
        return value is not None and self.score is not None and math.isclose(value, self.score)


class _Oracle(_Part):
    hyperparameters: _Hyperparameters = _Hyperparameters()
    start_order: list[str] = []


@dataclass(frozen=True)
class ProjectTrial:
    """A trial that has ended.

    Attributes:
        number: From 1.
        config: The active hyperparameters.
        metrics: Those at the scored step, or the last ones if there is no score.
        best_epoch: The scored epoch, from 1; None if it is not known.
        error: One line.
    """

    number: int
    status: Outcome
    score: float | None
    config: Mapping[str, Scalar]
    metrics: Mapping[str, float]
    best_epoch: int | None
    error: str


@dataclass(frozen=True)
class Project:
    """A project of KerasTuner.

    Attributes:
        hyperparameters: Names in the order of the search space.
        metric: `name:goal:best`; empty if no trial has a score.
        left_out: A line for each file that is half written, which KerasTuner leaves when killed.
    """

    name: str
    hyperparameters: tuple[str, ...]
    metric: str
    trials: tuple[ProjectTrial, ...]
    left_out: tuple[str, ...]


def is_project(directory: Path) -> bool:
    """Whether KerasTuner wrote the directory, and hpsearch has no results there."""
    return (directory / "oracle.json").is_file() and not (directory / "results.csv").exists()


def read_project(directory: Path) -> Project:
    """Read a project directory of KerasTuner.

    Raises:
        InputError: A file is not as KerasTuner writes it, or no metric equals the scores.
    """
    left_out: list[str] = []
    oracle = _read(directory / "oracle.json", _Oracle, left_out) or _Oracle()
    files = {path.parent.name: path for path in directory.glob("trial_*/trial.json")}
    numbers = _numbers([name.removeprefix("trial_") for name in files], oracle.start_order)
    read = {n: _read(files[f"trial_{each}"], _Trial, left_out) for each, n in numbers.items()}
    trials = {number: trial for number, trial in read.items() if trial is not None}
    spaces = [oracle.hyperparameters, *(trial.hyperparameters for trial in trials.values())]
    own = _own([name for space in spaces for name in space.names])
    counted = all(map(_COUNTED.fullmatch, numbers))
    ended = (_ended(number, trial, own, counted=counted) for number, trial in trials.items())
    return Project(
        name=printable(directory.resolve().name),
        hyperparameters=tuple(own.values()),
        metric=_metric(directory, [t for t in trials.values() if t.outcome == "completed"]),
        trials=tuple(trial for trial in ended if trial is not None),
        left_out=tuple(left_out),
    )


Model = TypeVar("Model", bound=_Part)


def _read(path: Path, model: type[Model], left_out: list[str]) -> Model | None:
    """Read a file; None if it is not whole, which adds a line to `left_out`."""
    name = printable(str(path))
    if kind := odd_kind(path):
        raise InputError(f"{name}: is {kind}, not a file of KerasTuner")
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror}") from None
    except RecursionError:
        raise InputError(f"{name}: not a file of KerasTuner: it is nested too deeply") from None
    except ValueError:
        left_out.append(f"{name}: left out, because it is not whole; KerasTuner writes it in place")
        return None
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = printable(".".join(map(str, first["loc"])))
        raise InputError(f"{name}: not as KerasTuner writes it: {place}: {first['msg']}") from None


def _numbers(ids: Collection[str], start_order: Sequence[str]) -> dict[str, int]:
    """The number of each trial, ascending: its id counted from 1, else its place in the order."""
    if all(map(_COUNTED.fullmatch, ids)) and len(set(map(int, ids))) == len(ids):
        return {each: int(each) + 1 for each in sorted(ids, key=int)}
    places = {each: place for place, each in enumerate(start_order)}
    ordered = sorted(ids, key=lambda each: (places.get(each, len(places)), each))
    return {each: number for number, each in enumerate(ordered, start=1)}


def _metric(directory: Path, scored: Sequence[_Trial]) -> str:
    """The objective: the metric that equals the score of every trial, one of validation first."""
    if not scored:
        return ""
    histories = scored[0].metrics.metrics
    equal = [name for name in histories if all(trial.has_score_of(name) for trial in scored)]
    if len({histories[name].direction for name in equal}) != 1:
        raise InputError(
            f"{printable(str(directory))}: whether large scores are good is not known: KerasTuner "
            "does not write which metric its scores are, and those equal to all of them are: "
            f"{printable(', '.join(equal)) or 'none'}"
        )
    name = min(equal, key=lambda each: not each.startswith("val_"))
    return f"{printable(name)}:{_GOALS[histories[name].direction]}:best"


def _own(names: Collection[str]) -> dict[str, str]:
    """KerasTuner's name -> ours for each hyperparameter; Hyperband's epochs count as one."""
    own = {name: name for name in names if not name.startswith(_OF_TUNER)}
    if "epochs" not in own and f"{_OF_TUNER}epochs" in names:
        own[f"{_OF_TUNER}epochs"] = "epochs"
    return own


def _ended(
    number: int, trial: _Trial, own: Mapping[str, str], *, counted: bool
) -> ProjectTrial | None:
    status = trial.outcome
    if status is None:
        return None
    active = trial.hyperparameters.active
    has_score = status == "completed"
    return ProjectTrial(
        number=number,
        status=status,
        score=trial.score if has_score else None,
        config={own[name]: value for name, value in active.items() if name in own},
        metrics=dict(_metrics(trial, at_best=has_score)),
        best_epoch=_best_epoch(trial, active, counted=counted) if has_score else None,
        error="" if has_score else _last_error(trial.message or ""),
    )


def _metrics(trial: _Trial, *, at_best: bool) -> Iterator[tuple[str, float]]:
    for name, history in trial.metrics.metrics.items():
        steps = [each.step for each in history.observations]
        value = history.at(trial.best_step if at_best else max(steps, default=None))
        if value is not None:
            yield name, value


def _best_epoch(trial: _Trial, active: Mapping[str, Scalar], *, counted: bool) -> int | None:
    """The best epoch, from 1.

    None if step 0 need not be an epoch: KerasTuner 1.0 reports no other, nor does a trial that
    returns numbers in place of the history of `fit`, which has a loss.
    """
    step = trial.best_step
    if step is None or (not step and not (counted and "loss" in trial.metrics.metrics)):
        return None
    # Steps of a trial that Hyperband continues count from its first new epoch.
    first = active.get(f"{_OF_TUNER}initial_epoch")
    return int(step) + 1 + (first if isinstance(first, int) else 0)


def _last_error(message: str) -> str:
    """The exception of a traceback, on one line; another message as it is."""
    lines = message.rpartition(_TRACEBACK)[2].splitlines()
    if _TRACEBACK in message:
        lines = list(dropwhile(lambda line: not line or line.startswith(" "), lines))
    return " ".join(printable(" ".join(lines)).split())
