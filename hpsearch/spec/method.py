"""The key `method`: how configs are chosen, and each method's options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from hpsearch.spec.rules import (
    Collector,
    InvalidValue,
    Rule,
    check_key,
    described,
    flag,
    integer,
    number,
    one_of,
    plain,
    reference,
)
from hpsearch.wording import did_you_mean, listing, show

#: Method of a sweep with `configs` but no method: it trains only these. Not allowed in files.
CONFIGS: Final = "configs"

_EARLY_TERMINATE_KEYS: Final[dict[str, Rule]] = {
    "type": one_of(("hyperband",), "early_terminate type"),
    "min_iter": integer(1),
    "max_iter": integer(1),
    "s": integer(1),
    "eta": number(above=1),
    "strict": flag(),
}


def early_terminate(value: Any) -> dict[str, Any]:
    """Check W&B's `early_terminate`.

    Raises:
        InvalidValue: With the place of every fault within `value`.
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


_OPTIONS: Final[dict[str, Rule]] = {
    "num_initial_points": integer(1).about(
        "Configs before the first that the model proposes; default 10, or with a prior 5.",
        20,
    ),
    "alpha": number(above=0).about(
        "Observation noise, added to the diagonal of the kernel matrix; fitted if omitted.", 0.0001
    ),
    "beta": number(minimum=0).about(
        "Weight of the uncertainty in the lower confidence bound, which then replaces the expected "
        "improvement.",
        2.6,
    ),
    "candidates": integer(1).about("Candidates drawn for each proposal; default 24.", 48),
    "factor": integer(2, 100).about(
        "One of so many trainings continues from a rung to the next; default 3.", 4
    ),
    "hyperband_iterations": integer(1).about(
        "Number of runs of all brackets; unlimited if omitted.", 1
    ),
    "min_epochs": integer(1).about(
        "Epochs of the lowest rung; by default the largest epochs, divided by factor twice.", 2
    ),
    "brackets": integer(1).about(
        "Ladders of rungs, each of which starts a rung higher; default 2.", 1
    ),
    "proposals": one_of(
        ("random", "grid", "bayesian", "tpe", "sobol"), "method", {"bayes": "bayesian"}
    ).about(
        "Method that proposes new configs; default tpe. With tpe or bayesian, `asha` draws every "
        "second one at random.",
        "random",
    ),
    "prior": one_of(("mlp", "none"), "prior").about(
        "What is known of hyperparameters from MLPs on other tables: configs that are tried first, "
        "and a weight on later proposals that fades with the trials. Default mlp for sweeps over "
        "MLPs, else none.",
        "none",
    ),
    "early_terminate": Rule(early_terminate, {"type": "object", "required": ["type"]}).about(
        "W&B's key early_terminate.", {"type": "hyperband", "min_iter": 3}
    ),
}


@dataclass(frozen=True)
class Method:
    """A search method; its strategy is made in `search.methods`.

    Attributes:
        text: Its line in `hpsearch list methods`.
        options: Option -> rule, named as in KerasTuner if it has the method.
        draws: Whether its proposals ignore scores; see `search.draws`.
        halves: Whether it halts trainings at rungs.
    """

    text: str
    options: Mapping[str, Rule] = field(default_factory=dict)
    draws: bool = False
    halves: bool = False


def _options(*names: str) -> dict[str, Rule]:
    return {name: _OPTIONS[name] for name in names}


METHODS: Final = {
    "grid": Method("every config of the space, in file order", draws=True),
    "random": Method("uniform points, no config twice", draws=True),
    "sobol": Method("evenly spread points: a scrambled Sobol sequence", draws=True),
    "bayesian": Method(
        "where a Gaussian process expects the greatest improvement",
        _options("num_initial_points", "alpha", "beta", "prior"),
    ),
    "tpe": Method(
        "where good configs are dense and others are not: Parzen estimators",
        _options("num_initial_points", "candidates", "prior"),
    ),
    "hyperband": Method(
        "successive halving in brackets: many configs for few epochs, then the best",
        _options(
            "factor", "hyperband_iterations", "min_epochs", "proposals", "prior", "early_terminate"
        ),
        halves=True,
    ),
    "asha": Method(
        "asynchronous successive halving",
        _options("factor", "min_epochs", "brackets", "proposals", "prior"),
        halves=True,
    ),
    "auto": Method("bayesian up to 1,000 trials, else tpe", _options("prior")),
}
_NAME = one_of(METHODS, "method", {"bayes": "bayesian"})
_ORACLE = reference()


@dataclass(frozen=True)
class MethodSpec:
    """A method's name and the options that the file sets.

    The name is one of METHODS, CONFIGS, or `package.module:name` of a KerasTuner oracle, whose
    options are the arguments of its class.
    W&B's `early_terminate` becomes `hyperband` with the options `early_terminate` and `proposals`,
    the method in W&B's file.
    """

    name: str = "grid"
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_oracle(self) -> bool:
        """True for a KerasTuner oracle of the user."""
        return ":" in self.name

    @property
    def draws(self) -> bool:
        """True if proposals ignore scores."""
        return self.name == CONFIGS or (self.name in METHODS and METHODS[self.name].draws)

    @property
    def halves(self) -> bool:
        """True if the method halts trainings at rungs."""
        return self.name in METHODS and METHODS[self.name].halves

    @property
    def _proposals(self) -> str:
        return str(self.options.get("proposals", self.name))

    @property
    def exhausts(self) -> bool:
        """True if the method ends by itself and so needs no budget."""
        return self._proposals in {"grid", CONFIGS}

    @property
    def enumerates(self) -> bool:
        """True if every parameter must have a finite list of values."""
        return self._proposals == "grid"

    def raw(self) -> Any:
        """Return the method as a sweep file has it."""
        if not self.options:
            return self.name
        return {"name": self.name, **{key: plain(item) for key, item in self.options.items()}}


def parse_method(value: Any) -> MethodSpec:
    """Read a method's name, or a mapping with a name and options.

    Raises:
        InvalidValue: With the place of every fault within `value`.
    """
    if isinstance(value, MethodSpec):
        return value
    if not isinstance(value, Mapping):
        return MethodSpec(_name(value))
    if "name" not in value:
        raise InvalidValue.at(f"name is missing; it is {listing(METHODS)}")
    name: str = check_key(_name, value, "name")
    if ":" in name:
        return MethodSpec(name, {key: item for key, item in value.items() if key != "name"})
    accepted = METHODS[name].options
    options: dict[str, Any] = {}
    faults = Collector()
    for key, item in value.items():
        if key == "name":
            continue
        if key in accepted:
            options[key] = faults.run(accepted[key].check, item, key)
        else:
            choices = listing(accepted) if accepted else "none"
            hint = did_you_mean(key, accepted)
            faults.add(f"method {name} has no such option; it takes {choices}{hint}", key)
    proposals = options.get("proposals", "tpe")
    proposer = METHODS.get(proposals)
    if options.get("prior") == "mlp" and (proposer is None or "prior" not in proposer.options):
        faults.add(f"{proposals} takes no prior: add proposals: tpe, or bayesian", "prior")
    faults.finish()
    return MethodSpec(name, options)


def _name(value: Any) -> str:
    """Check a method's name, or the reference to an oracle."""
    if isinstance(value, str) and ":" in value:
        return str(_ORACLE.check(value))
    return str(_NAME.check(value))


def _schema() -> dict[str, Any]:
    variants = []
    for name, method in METHODS.items():
        properties: dict[str, Any] = {
            "name": {"enum": [name, "bayes"] if name == "bayesian" else [name]}
        }
        for option, rule in method.options.items():
            properties[option] = described(rule.schema, rule.description, *rule.examples)
        variants.append(
            {
                "type": "object",
                "properties": properties,
                "required": ["name"],
                "additionalProperties": False,
            }
        )
    oracle = {
        "type": "object",
        "properties": {"name": dict(_ORACLE.schema)},
        "required": ["name"],
    }
    return {"anyOf": [dict(_NAME.schema), *variants, dict(_ORACLE.schema), oracle]}


#: A name, or a mapping with a name and options.
METHOD: Final = Rule(parse_method, _schema())
