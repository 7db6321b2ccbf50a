"""What a store says of its sweep as a whole: identity, sweep, task, recorded evaluations."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self, TypedDict, Unpack

from hpsearch.data.specs import Task
from hpsearch.errors import RefusedError
from hpsearch.machine import version_of
from hpsearch.space.space import Kind
from hpsearch.store.tables import Provenance


@dataclass(frozen=True)
class Identity:
    """What two runs must have in common for their rows to share a table.

    Attributes:
        data: Fingerprint of values, labels and split.
        split: How the split was asked for.
        metric: `name:goal:epoch`.
        recipe: What else decides a score.
    """

    data: str
    split: Mapping[str, Any]
    metric: str
    recipe: Mapping[str, Any]

    @property
    def recipe_id(self) -> str:
        """`r` and 11 hex digits of the recipe."""
        text = json.dumps(self.recipe, sort_keys=True, separators=(",", ":"))
        return "r" + hashlib.sha256(text.encode()).hexdigest()[:11]

    def provenance(self, sweep: str) -> Provenance:
        """The columns that every row shares."""
        return Provenance(
            metric=self.metric,
            sweep=sweep,
            data=self.data,
            recipe=self.recipe_id,
            **installed(),
        )

    def to_json(self) -> str:
        """The identity as sorted JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The identity that `to_json` wrote."""
        return cls(**json.loads(text))


def installed() -> dict[str, str]:
    """The versions that every row names, by column."""
    packages = {"version": "hpsearch", "tensorflow": "tensorflow", "keras": "keras"}
    return {column: version_of(package) for column, package in packages.items()}


@dataclass(frozen=True)
class Measurement:
    """A mean over rows.

    Attributes:
        low, high: Of its 95% interval; None where there is none.
        method: What gives the interval: `wilson`, `bootstrap`, `t`, or empty.
    """

    value: float
    low: float | None = None
    high: float | None = None
    method: str = ""


@dataclass(frozen=True)
class Evaluation:
    """One evaluation of a trial on a split.

    Attributes:
        time: When, in UTC, as ISO 8601 to the second.
        trial, config, seed: Which model.
        split: `train`, `validation` or `test`.
        rows: In the split.
        metric: The name in `metrics` that the sweep scores by.
        metrics: Name, as `accuracy`, -> what was measured.
    """

    time: str
    trial: int
    config: str
    seed: int
    split: str
    rows: int
    metric: str
    metrics: Mapping[str, Measurement]

    @property
    def score(self) -> Measurement:
        """What was measured of the metric that the sweep scores by."""
        return self.metrics[self.metric]

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """The evaluation whose `asdict` is `record`."""
        metrics = {name: Measurement(**numbers) for name, numbers in record["metrics"].items()}
        return cls(**{**record, "metrics": metrics})


class Changes(TypedDict, total=False):
    """Facts to set; see the properties of `Facts`."""

    identity: Identity
    sweep: str
    task: Task
    kind: Kind
    asked: tuple[str, ...]
    best_model: str
    evaluations: tuple[Evaluation, ...]


@dataclass(frozen=True)
class Facts:
    """The rows of the store's table `meta`, decoded; a fact that is not there is None or empty.

    What a row holds may be damaged although its checksum fits: each property then raises one of
    `records.UNREADABLE`.
    """

    meta: Mapping[str, str]

    @property
    def identity(self) -> Identity | None:
        """What the rows have in common."""
        return Identity.from_json(self.meta["identity"]) if "identity" in self.meta else None

    @property
    def sweep(self) -> str:
        """The resolved sweep, as YAML."""
        return self.meta.get("sweep", "")

    @property
    def task(self) -> Task | None:
        """What is predicted."""
        return Task(self.meta["task"]) if "task" in self.meta else None

    @property
    def kind(self) -> Kind:
        """What the configs are of; an MLP's store does not say it."""
        return Kind(self.meta.get("kind", Kind.MLP))

    @property
    def asked(self) -> tuple[str, ...]:
        """`Recipe.asked` of a model of the user's own."""
        return tuple(self.meta.get("asked", "").split())

    @property
    def best_model(self) -> str:
        """`TRIAL:CONFIG` of best.keras, as it was written."""
        return self.meta.get("best_model", "")

    @property
    def evaluations(self) -> tuple[Evaluation, ...]:
        """Every evaluation on the record, the first one first.

        Raises:
            RefusedError: They cannot be read.
        """
        try:
            return tuple(map(Evaluation.from_record, json.loads(self.meta.get("looks", "[]"))))
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise RefusedError(f"the store's evaluations cannot be read: {error}") from None

    @staticmethod
    def encoded(**changes: Unpack[Changes]) -> dict[str, str]:
        """Rows of `meta` for some facts."""
        rows: dict[str, Any] = dict(changes)
        if "identity" in changes:
            rows["identity"] = changes["identity"].to_json()
        if "asked" in changes:
            rows["asked"] = " ".join(changes["asked"])
        if "evaluations" in changes:
            del rows["evaluations"]
            rows["looks"] = json.dumps([asdict(each) for each in changes["evaluations"]])
        return {key: str(value) for key, value in rows.items()}
