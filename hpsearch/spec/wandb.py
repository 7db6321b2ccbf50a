"""Translate Weights & Biases' top-level keys into hpsearch's."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from hpsearch.space.keras_names import METRICS
from hpsearch.spec.method import CONFIGS, METHODS, MethodSpec, early_terminate
from hpsearch.spec.rules import (
    NAME,
    Collector,
    Fault,
    InvalidValue,
    clean_name,
    described,
    integer,
)
from hpsearch.wording import listing

#: Methods that can be combined with `early_terminate`.
_PROPOSING: Final = ("grid", "random", "bayes", "bayesian", "tpe", "sobol")

#: Keys without meaning for a run on this machine.
IGNORED: Final = (
    *("project", "entity", "controller", "job", "image_uri"),
    *("apiVersion", "kind"),
)
#: Keys of a metric that only W&B's service reads.
METRIC_KEYS: Final = ("target", "impute", "impute_while_running")
#: Keys that make a sweep one of a program.
OF_PROGRAMS: Final = frozenset({"program", "command"})
_OF_MODELS: Final = ("data", "model")
#: Keys that are translated -> their JSON Schema.
KEYS: Final[dict[str, dict[str, Any]]] = {
    "run_cap": described({"type": "integer", "minimum": 1}, "W&B's name of budget.trials.", 40),
    "early_terminate": described(
        {"type": "object", "required": ["type"]},
        "W&B's name of method: hyperband.",
        {"type": "hyperband", "min_iter": 3},
    ),
}


def translate(
    data: Mapping[str, Any], *, program: bool
) -> tuple[dict[str, Any], list[str], list[Fault]]:
    """Replace W&B's top-level keys by hpsearch's.

    Args:
        program: Whether the sweep is one of a program.

    Returns:
        The new data, warnings about ignored keys, and faults of the others.
    """
    others = [key for key in _OF_MODELS if program and key in data]
    faults: list[Fault] = [
        (
            (key,),
            f"a sweep trains models on data, or runs a program, not both: leave {key} out, or "
            "program and command",
        )
        for key in others
    ]
    raw, further = _translate_search(
        {key: item for key, item in data.items() if key not in (*IGNORED, *others)}
    )
    warnings = [f"{key} is W&B's key; hpsearch ignores it" for key in IGNORED if key in data]
    if program:
        _clean_name(raw, warnings)
        if "metric" in raw:
            raw["metric"] = _metric(raw["metric"], warnings)
    return raw, warnings, faults + further


def _clean_name(raw: dict[str, Any], warnings: list[str]) -> None:
    name = raw.get("name")
    if isinstance(name, str) and name.strip() and not NAME.match(name):
        raw["name"] = clean_name(name)
        warnings.append(f"name: {name!r} is no directory's name; it is {raw['name']!r} here")


def _metric(metric: Any, warnings: list[str]) -> Any:
    """Return a program's metric without W&B's own keys, and with a goal."""
    if isinstance(metric, str):
        metric = {"name": metric}
    if not isinstance(metric, Mapping):
        return metric
    ignored = [key for key in METRIC_KEYS if key in metric]
    warnings += [f"metric.{key} is W&B's key; hpsearch ignores it" for key in ignored]
    metric = {key: item for key, item in metric.items() if key not in ignored}
    if "goal" not in metric and isinstance(metric.get("name"), str):
        # W&B's default is to minimize, but some names make the goal obvious.
        metric["goal"] = METRICS.get(metric["name"], "minimize")
        if metric["goal"] == "maximize":
            warnings.append(
                f"metric: {metric['name']} has no goal: it is maximized; W&B would minimize it"
            )
    return metric


def _translate_search(data: Mapping[str, Any]) -> tuple[dict[str, Any], list[Fault]]:
    """Return `data` with `run_cap` and `early_terminate` replaced, and the faults of these keys.

    Listed configs without a method get the method CONFIGS, which trains only these.
    """
    raw = {key: item for key, item in data.items() if key not in KEYS}
    faults = Collector()
    if "run_cap" in data:
        faults.run(partial(_run_cap, raw), data["run_cap"], "run_cap")
    if "early_terminate" in data:
        faults.run(partial(_early_terminate, raw), data["early_terminate"], "early_terminate")
    if raw.get("configs") and "method" not in raw:
        raw["method"] = MethodSpec(CONFIGS)
    return raw, faults.faults


def _run_cap(raw: dict[str, Any], value: Any) -> None:
    trials = integer(1, 10**9).check(value)
    budget = raw.get("budget", {})
    if not isinstance(budget, Mapping):
        return
    if "trials" in budget:
        raise InvalidValue.at("means the same as budget.trials; give only one of them")
    raw["budget"] = {**budget, "trials": trials}


def _early_terminate(raw: dict[str, Any], value: Any) -> None:
    options = early_terminate(value)
    method = raw.get("method", "grid")
    # An unknown method is reported separately.
    if isinstance(method, Mapping) or (method in tuple(METHODS) and method not in _PROPOSING):
        raise InvalidValue.at(
            f"goes with method: {listing(_PROPOSING)}; the options of hyperband are written "
            "method: {name: hyperband, factor: 3}"
        )
    if method in _PROPOSING:
        raw["method"] = {"name": "hyperband", "proposals": method, "early_terminate": options}
