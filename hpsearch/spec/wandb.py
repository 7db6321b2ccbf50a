"""Weights & Biases' top-level words, translated into hpsearch's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from hpsearch.spec.method import METHODS, early_terminate
from hpsearch.spec.rules import Collector, Fault, InvalidValue, integer
from hpsearch.wording import listing

#: Methods whose proposals `early_terminate` may halt.
_PROPOSING: Final = ("grid", "random", "bayes", "bayesian", "tpe", "sobol")

#: W&B's keys that say what to start and where to log, which is no question here.
IGNORED: Final = ("program", "project", "command", "entity", "controller", "job", "image_uri")
#: W&B's keys that mean something here -> their JSON Schema.
KEYS: Final[dict[str, dict[str, Any]]] = {
    "run_cap": {
        "type": "integer",
        "minimum": 1,
        "description": "W&B's word for budget.trials.",
        "examples": [40],
    },
    "early_terminate": {
        "type": "object",
        "required": ["type"],
        "description": "W&B's word for method: hyperband.",
        "examples": [{"type": "hyperband", "min_iter": 3}],
    },
}


@dataclass
class Translation:
    """A sweep file in our words.

    Attributes:
        raw: The file's mapping without W&B's keys.
        warnings: What was ignored.
        faults: What was wrong with W&B's keys.
    """

    raw: dict[str, Any]
    warnings: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def translate(data: Mapping[str, Any]) -> Translation:
    """Replace W&B's top-level keys by ours."""
    result = Translation({key: item for key, item in data.items() if key not in KEYS})
    for key in IGNORED:
        if key in result.raw:
            del result.raw[key]
            result.warnings.append(f"{key} is W&B's key; hpsearch ignores it")
    faults = Collector()
    if "run_cap" in data:
        faults.run(lambda value: _run_cap(result.raw, value), data["run_cap"], "run_cap")
    if "early_terminate" in data:
        stop = data["early_terminate"]
        faults.run(lambda value: _early_terminate(result.raw, value), stop, "early_terminate")
    result.faults = faults.faults
    return result


def _run_cap(raw: dict[str, Any], value: Any) -> None:
    trials = integer(1, 10**9).check(value)
    budget = raw.get("budget", {})
    if not isinstance(budget, Mapping):
        return
    if "trials" in budget:
        raise InvalidValue.at("budget.trials says the same; give one of the two")
    raw["budget"] = {**budget, "trials": trials}


def _proposes(method: Any) -> bool:
    """Whether `hyperband` takes its proposals; what is no method at all is another fault."""
    return method in _PROPOSING or method not in tuple(METHODS)


def _early_terminate(raw: dict[str, Any], value: Any) -> None:
    options = early_terminate(value)
    method = raw.get("method", "grid")
    if isinstance(method, Mapping) or not _proposes(method):
        raise InvalidValue.at(
            f"goes with method: {listing(_PROPOSING)}; the options of hyperband are written "
            "method: {name: hyperband, factor: 3}"
        )
    if method in _PROPOSING:
        raw["method"] = {"name": "hyperband", "proposals": method, "early_terminate": options}
