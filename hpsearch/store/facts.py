"""The facts that a store holds about its sweep: identity, sweep, task, recorded evaluations."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Generic, Self, TypeVar

from hpsearch.data.specs import Task
from hpsearch.machine import version_of
from hpsearch.space.execution import label
from hpsearch.space.space import Kind
from hpsearch.store.columns import PACKAGES, Provenance
from hpsearch.wording import number

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Identity:
    """The properties that two runs must share for their rows to share a table.

    Attributes:
        data: The fingerprint of values, labels and split.
        split: The split as the sweep requests it.
        metric: `name:goal:epoch`.
        recipe: Everything else that decides a score.
    """

    data: str
    split: Mapping[str, Any]
    metric: str
    recipe: Mapping[str, Any]

    @property
    def recipe_id(self) -> str:
        """`r` and 11 hex digits of the recipe's hash."""
        text = json.dumps(self.recipe, sort_keys=True, separators=(",", ":"))
        return "r" + hashlib.sha256(text.encode()).hexdigest()[:11]

    def provenance(self, sweep: str) -> Provenance:
        """Return the columns that all rows of a sweep with this name share."""
        return Provenance(metric=self.metric, sweep=sweep, data=self.data, recipe=self.recipe_id)

    def to_json(self) -> str:
        """Encode the identity as sorted JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Decode the output of `to_json`."""
        return cls(**json.loads(text))


def installed() -> dict[str, str]:
    """Return the installed versions that a new row names, by column."""
    return {column: version_of(package) for column, package in PACKAGES.items()}


@dataclass(frozen=True)
class Measurement:
    """A mean over rows.

    Attributes:
        low, high: The ends of its 95% interval; None without an interval.
        method: How the interval was computed: `wilson`, `bootstrap`, `t`, or empty.
    """

    value: float
    low: float | None = None
    high: float | None = None
    method: str = ""

    @property
    def interval(self) -> str:
        """The interval as text; empty without one."""
        ends = (self.low, self.high)
        return " to ".join(number(end) for end in ends if end is not None)


@dataclass(frozen=True)
class Evaluation:
    """One evaluation of a trial on a split.

    Attributes:
        time: The time in UTC, as ISO 8601 to the second.
        trial, config, seed, fold: The evaluated model; an ensemble has trial 0.
        split: `train`, `validation` or `test`.
        metric: The name in `metrics` that the sweep scores by.
        metrics: Name, such as `accuracy`, -> measurement.
        confusion: Rows by true class (first index) and predicted class, for up to 30 classes.
        pairs: True and predicted target of up to 300 rows, evenly spread over the true ones.
    """

    time: str
    trial: int
    config: str
    seed: int
    split: str
    rows: int
    metric: str
    metrics: Mapping[str, Measurement]
    fold: int | None = None
    confusion: tuple[tuple[int, ...], ...] = ()
    pairs: tuple[tuple[float, float], ...] = ()

    @property
    def model(self) -> str:
        """The evaluated model, such as `trial 3, seed 1`; `ensemble` for an ensemble."""
        return label(self.trial, self.seed, self.fold) if self.trial else self.config

    @property
    def execution(self) -> str:
        """The model without the word "trial"."""
        return self.model.removeprefix("trial ")

    @property
    def score(self) -> Measurement:
        """The measurement of the metric that the sweep scores by."""
        return self.metrics[self.metric]

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Decode an evaluation's `asdict`."""
        metrics = {name: Measurement(**numbers) for name, numbers in record["metrics"].items()}
        answers = {
            name: tuple(tuple(row) for row in record[name]) for name in ("confusion", "pairs")
        }
        return cls(**{**record, "metrics": metrics, **answers})


class _Fact(Generic[_Value]):
    """A fact of `Facts`, and how a row of the table `meta` holds it.

    Args:
        missing: The value without such a row.
        decode, encode: Convert the row's text to the value, and back.
        key: The row's key; by default the fact's name.
    """

    def __init__(
        self,
        missing: _Value,
        decode: Callable[[str], _Value],
        encode: Callable[[Any], str] = str,
        key: str = "",
    ) -> None:
        self._missing, self._decode, self.encode, self.key = missing, decode, encode, key

    def __set_name__(self, owner: type, name: str) -> None:
        self.key = self.key or name

    def __get__(self, facts: Facts, owner: type) -> _Value:
        text = facts.meta.get(self.key)
        return self._missing if text is None else self._decode(text)


@dataclass(frozen=True)
class Facts:
    """The decoded rows of the store's table `meta`; a missing fact is None or empty."""

    meta: Mapping[str, str]

    #: The properties that all rows share.
    identity = _Fact[Identity | None](None, Identity.from_json, Identity.to_json)
    #: The resolved sweep, as YAML.
    sweep = _Fact("", str)
    #: The resolved sweep of a program, as YAML, else empty; the value of the column `sweep`.
    program, name = _Fact("", str), _Fact("", str)
    #: The task, such as classification.
    task = _Fact[Task | None](None, Task)
    #: Class names in the order of the model's outputs; empty without classes.
    classes = _Fact[tuple[str, ...]]((), lambda text: tuple(json.loads(text)), json.dumps)
    #: The kind of the configs; the store of an MLP sweep does not name it.
    kind = _Fact(Kind.MLP, Kind)
    #: `Recipe.asked` of a custom model.
    asked = _Fact[tuple[str, ...]]((), lambda text: tuple(text.split()), " ".join)
    #: A digest of the function that is tried or that builds the models.
    code = _Fact("", str)
    #: The known results from which the method learned, in a line; empty without any.
    known = _Fact("", str)
    #: The reason why the search ended; empty if it was interrupted, or goes on.
    ended = _Fact("", str)
    #: `EXECUTION:CONFIG` of the model in best.keras.
    best_model = _Fact("", str)
    #: The SHA-256 of best.keras as a run wrote it.
    best_digest = _Fact("", str)
    #: Every recorded evaluation, in order of time.
    evaluations = _Fact[tuple[Evaluation, ...]](
        (),
        lambda text: tuple(map(Evaluation.from_record, json.loads(text))),
        lambda evaluations: json.dumps([asdict(evaluation) for evaluation in evaluations]),
        key="looks",
    )
    #: The metrics of always guessing one value; empty if not known.
    guesses = _Fact[Mapping[str, float]]({}, json.loads, json.dumps)
    #: The predictions of best.keras for its validation split, if the run kept them.
    predictions = _Fact[Evaluation | None](
        None,
        lambda text: Evaluation.from_record(json.loads(text)) if text else None,
        lambda evaluation: "" if evaluation is None else json.dumps(asdict(evaluation)),
    )

    @classmethod
    def encoded(cls, **changes: Any) -> dict[str, str]:
        """Encode some facts, by name, as rows of `meta`."""
        facts = {name: vars(cls)[name] for name in changes}
        return {fact.key: fact.encode(changes[name]) for name, fact in facts.items()}
