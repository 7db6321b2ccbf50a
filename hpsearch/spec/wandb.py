"""Translate Weights & Biases' top-level keys into hpsearch's."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final, NamedTuple

from hpsearch.spec.method import CONFIGS, METHODS, MethodSpec, early_terminate
from hpsearch.spec.rules import Collector, Fault, InvalidValue, described, integer
from hpsearch.wording import listing

#: Methods that can be combined with `early_terminate`.
_PROPOSING: Final = ("grid", "random", "bayes", "bayesian", "tpe", "sobol")

#: Keys that are ignored in the sweep of a model.
IGNORED: Final = ("program", "project", "command", "entity", "controller", "job", "image_uri")
#: The keys among IGNORED that make a sweep one of a program.
OF_PROGRAMS: Final = ("program", "command")
#: Keys that are translated -> their JSON Schema.
KEYS: Final[dict[str, dict[str, Any]]] = {
    "run_cap": described({"type": "integer", "minimum": 1}, "W&B's name of budget.trials.", 40),
    "early_terminate": described(
        {"type": "object", "required": ["type"]},
        "W&B's name of method: hyperband.",
        {"type": "hyperband", "min_iter": 3},
    ),
}


class Translation(NamedTuple):
    """A sweep file without W&B's keys, warnings about ignored keys, and faults of the others."""

    raw: dict[str, Any]
    warnings: list[str]
    faults: list[Fault]


def translate(data: Mapping[str, Any]) -> Translation:
    """Replace W&B's top-level keys by hpsearch's in the sweep file of a model."""
    kept = {key: item for key, item in data.items() if key not in IGNORED}
    raw, faults = translate_search(kept)
    said = program_fault(data)
    if said is not None:
        faults.insert(0, said)
    warnings = [
        f"{key} is W&B's key; hpsearch ignores it"
        for key in IGNORED
        if key in data and key not in OF_PROGRAMS
    ]
    return Translation(raw, warnings, faults)


def translate_search(data: Mapping[str, Any]) -> tuple[dict[str, Any], list[Fault]]:
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


def program_fault(data: Mapping[str, Any]) -> Fault | None:
    """Return a fault at a key that names a program, since a model's sweep is needed; else None."""
    for key in OF_PROGRAMS:
        if key in data:
            return (key,), (
                "this is the sweep of a program, and a model's is needed here: hpsearch run, plan, "
                "show, compare, report and reproduce take a program's"
            )
    return None


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
