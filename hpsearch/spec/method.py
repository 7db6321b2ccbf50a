"""`method:` how configs are chosen, and each method's options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from hpsearch.spec.rules import (
    Collector,
    InvalidValue,
    Rule,
    flag,
    integer,
    number,
    one_of,
    plain,
)
from hpsearch.wording import did_you_mean, listing, show

#: The method of a sweep with `configs` and no method: exactly these. No file writes it.
CONFIGS: Final = "configs"

_FACTOR = integer(2, 100)
_PROPOSALS = one_of(("random", "grid", "bayesian", "tpe", "sobol"), "method", {"bayes": "bayesian"})
_EARLY_TERMINATE_KEYS: Final[dict[str, Rule]] = {
    "type": one_of(("hyperband",), "early_terminate type"),
    "min_iter": integer(1),
    "max_iter": integer(1),
    "s": integer(1),
    "eta": number(above=1),
    "strict": flag(),
}


def early_terminate(value: Any) -> dict[str, Any]:
    """W&B's `early_terminate`, checked.

    Raises:
        Invalid: With the place of every fault within `value`.
    """
    if not isinstance(value, Mapping):
        raise InvalidValue.at(f"must be a mapping such as {{type: hyperband}}, not {show(value)}")
    faults = Collector()
    if "type" not in value:
        faults.add("type is missing; it is hyperband")
    checked: dict[str, Any] = {}
    for key, item in value.items():
        if key not in _EARLY_TERMINATE_KEYS:
            hint = did_you_mean(key, _EARLY_TERMINATE_KEYS)
            faults.add(f"unknown key; allowed are {listing(_EARLY_TERMINATE_KEYS)}{hint}", key)
        else:
            checked[key] = faults.run(_EARLY_TERMINATE_KEYS[key].check, item, key)
    faults.finish()
    return checked


_BAYESIAN: Final[dict[str, Rule]] = {
    "num_initial_points": integer(1),
    "alpha": number(above=0),
    "beta": number(minimum=0),
}

#: Method -> its options; names as in KerasTuner where it has the method.
METHODS: Final[dict[str, dict[str, Rule]]] = {
    "grid": {"median_stopping": flag()},
    "random": {"median_stopping": flag()},
    "sobol": {"median_stopping": flag()},
    "bayesian": _BAYESIAN,
    "tpe": {"num_initial_points": integer(1), "candidates": integer(1)},
    "hyperband": {
        "factor": _FACTOR,
        "hyperband_iterations": integer(1),
        "min_epochs": integer(1),
        "proposals": _PROPOSALS,
        "early_terminate": Rule(early_terminate, {"type": "object", "required": ["type"]}),
    },
    "asha": {
        "factor": _FACTOR,
        "min_epochs": integer(1),
        "brackets": integer(1),
        "proposals": _PROPOSALS,
    },
    "auto": {},
}
#: Option -> what it is, and an example.
_DESCRIBED: Final[dict[str, tuple[str, Any]]] = {
    "median_stopping": (
        "Whether a training ends when its best score is worse than the median of the earlier "
        "ones' averages.",
        True,
    ),
    "num_initial_points": (
        "Random configs before the model is asked; 10 where absent, of bayesian two a parameter "
        "where that is more.",
        20,
    ),
    "alpha": (
        "Noise of the scores, added to the diagonal of the kernel matrix; fitted where absent.",
        0.0001,
    ),
    "beta": (
        "Weight of what is unknown: by the lower confidence bound in place of the expected "
        "improvement.",
        2.6,
    ),
    "candidates": ("Drawn for each proposal; 24 where absent.", 48),
    "factor": ("Of so many trainings, one goes on from a rung to the next; 3 where absent.", 4),
    "hyperband_iterations": ("How often all brackets are run; endless where absent.", 1),
    "min_epochs": (
        "Epochs of the lowest rung; where absent, the largest epochs divided by factor twice.",
        2,
    ),
    "proposals": (
        "The method that new configs come from; where absent random, of hyperband tpe.",
        "tpe",
    ),
    "brackets": ("How many ladders of rungs, each begun a rung higher; 1 where absent.", 2),
    "early_terminate": ("W&B's, as its own key says it.", {"type": "hyperband", "min_iter": 3}),
}
_NAME = one_of(METHODS, "method", {"bayes": "bayesian"})


@dataclass(frozen=True)
class MethodSpec:
    """A method's name and the options that the file sets.

    The name is one of METHODS, CONFIGS, or a package's method, whose options are its own business.
    W&B's `early_terminate` becomes `hyperband` with the options `early_terminate` and `proposals`,
    the method that W&B's file names.
    """

    name: str = "grid"
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def _proposals(self) -> str:
        return str(self.options.get("proposals", self.name))

    @property
    def exhausts(self) -> bool:
        """Whether it ends by itself, so that it needs no budget."""
        return self._proposals in {"grid", CONFIGS}

    @property
    def enumerates(self) -> bool:
        """Whether every parameter needs a finite list of values."""
        return self._proposals == "grid"

    def raw(self) -> Any:
        """As a sweep file writes it."""
        if not self.options:
            return self.name
        return {"name": self.name, **{key: plain(item) for key, item in self.options.items()}}


def parse_method(value: Any) -> MethodSpec:
    """A method's name, or a mapping with a name and options.

    Raises:
        Invalid: With the place of every fault within `value`.
    """
    if isinstance(value, MethodSpec):
        return value
    if not isinstance(value, Mapping):
        return MethodSpec(_NAME.check(value))
    if "name" not in value:
        raise InvalidValue.at(f"name is missing; it is {listing(METHODS)}")
    faults = Collector()
    name = faults.run(_NAME.check, value["name"], "name")
    faults.finish()
    assert name is not None
    accepted = METHODS.get(name, {})
    options: dict[str, Any] = {}
    for key, item in value.items():
        if key == "name":
            continue
        if key in accepted:
            options[key] = faults.run(accepted[key].check, item, key)
        else:
            known = listing(accepted) if accepted else "none"
            hint = did_you_mean(key, accepted)
            faults.add(f"method {name} has no such option; it takes {known}{hint}", key)
    faults.finish()
    return MethodSpec(name, options)


def _described(option: str, rule: Rule) -> dict[str, Any]:
    description, example = _DESCRIBED[option]
    return {**rule.schema, "description": description, "examples": [example]}


def _schema() -> dict[str, Any]:
    variants = [
        {
            "type": "object",
            "properties": {
                "name": {"enum": [name, "bayes"] if name == "bayesian" else [name]},
                **{key: _described(key, rule) for key, rule in options.items()},
            },
            "required": ["name"],
            "additionalProperties": False,
        }
        for name, options in METHODS.items()
    ]
    return {"anyOf": [dict(_NAME.schema), *variants]}


#: The type of the field: a name, or a mapping with a name and options.
Method = Annotated[MethodSpec, Rule(parse_method, _schema())]
