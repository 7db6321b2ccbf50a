"""The words of Weights & Biases' sweeps, in ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from hpsearch import extensions
from hpsearch.sweep.method import METHODS, early_terminate
from hpsearch.sweep.rules import Collector, Fault, Invalid, integer, number, one_of
from hpsearch.sweep.wording import listing

__all__ = ["DISTRIBUTIONS", "IGNORED", "KEYS", "Translation", "parameter", "translate"]

#: W&B's distribution -> the keys that go with it.
DISTRIBUTIONS: Final[dict[str, tuple[str, ...]]] = {
    "uniform": ("min", "max"),
    "int_uniform": ("min", "max"),
    "q_uniform": ("min", "max", "q"),
    "log_uniform_values": ("min", "max"),
    "categorical": ("values",),
    "constant": ("value",),
}
_DISTRIBUTION = one_of(DISTRIBUTIONS, "distribution")
_Q = number(above=0)
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


def parameter(raw: Mapping[str, Any], *, whole: bool = False) -> dict[str, Any]:
    """A parameter's mapping without W&B's `distribution` and `q`.

    Args:
        raw: The mapping, `when` left out.
        whole: Whether it takes whole numbers only, so that `uniform` draws such.

    Raises:
        Invalid: An unknown distribution, or keys that do not go with it.
    """
    if "distribution" not in raw:
        if "q" in raw:
            raise Invalid.at("has a meaning only with distribution: q_uniform; write step", "q")
        return dict(raw)
    faults = Collector()
    name = faults.run(_DISTRIBUTION.check, raw["distribution"], "distribution")
    faults.finish()
    assert name is not None
    body = {key: item for key, item in raw.items() if key != "distribution"}
    for key in body:
        if key not in DISTRIBUTIONS[name]:
            takes = listing(DISTRIBUTIONS[name])
            faults.add(f"has no meaning with distribution: {name}, which takes {takes}", key)
    for key in DISTRIBUTIONS[name]:
        if key not in body and key != "q":
            faults.add(f"{key} is missing: distribution: {name} needs it")
    faults.finish()
    rendered = _RENDER.get(name, dict)(body)
    if whole and rendered.get("type") == "float":
        del rendered["type"]
    return rendered


def _quantised(body: dict[str, Any]) -> dict[str, Any]:
    low, high, step = body["min"], body["max"], body.get("q", 1)
    faults = Collector()
    faults.run(_Q.check, step, "q")
    for key in ("min", "max"):
        faults.run(number().check, body[key], key)
    faults.finish()
    # W&B rounds to multiples of q; whole steps from min are the nearest thing to list.
    exact, width = Decimal(repr(low)), Decimal(repr(step))
    count = (Decimal(repr(high)) - exact) // width
    if count >= 1:
        top = exact + count * width
        high = int(top) if isinstance(low, int) and isinstance(step, int) else float(top)
    return {"min": low, "max": high, "step": step}


_RENDER: Final[dict[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    "int_uniform": lambda body: {**body, "type": "int"},
    "uniform": lambda body: {**body, "type": "float"},
    "q_uniform": _quantised,
    "log_uniform_values": lambda body: {**body, "scale": "log", "type": "float"},
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
        raise Invalid.at("budget.trials says the same; give one of the two")
    raw["budget"] = {**budget, "trials": trials}


def _proposes(method: Any) -> bool:
    """Whether `hyperband` takes its proposals; what is no method at all is another fault."""
    known = method in tuple(METHODS) or method in extensions.names(extensions.METHODS)
    return method in _PROPOSING or not known


def _early_terminate(raw: dict[str, Any], value: Any) -> None:
    options = early_terminate(value)
    method = raw.get("method", "grid")
    if isinstance(method, Mapping) or not _proposes(method):
        raise Invalid.at(
            f"goes with method: {listing(_PROPOSING)}; the options of hyperband are written "
            "method: {name: hyperband, factor: 3}"
        )
    if method in _PROPOSING:
        raw["method"] = {"name": "hyperband", "proposals": method, "early_terminate": options}
