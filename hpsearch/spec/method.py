"""The key `method`: how configs are chosen, and W&B's top-level keys, which mostly say it, too."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from hpsearch.space.keras_names import METRICS
from hpsearch.spec.rules import (
    NAME,
    Collector,
    Fault,
    InvalidValue,
    Rule,
    check_key,
    check_keys,
    clean_name,
    described,
    flag,
    integer,
    number,
    one_of,
    or_reference,
    plain,
    require_mapping,
)
from hpsearch.wording import listing

#: Method of a sweep with `configs` but no method: it trains only these. Not allowed in files.
CONFIGS: Final = "configs"

_ALIASES: Final = {"bayes": "bayesian"}
#: Methods that can propose configs for another one.
_PROPOSING: Final = ("random", "grid", "bayesian", "tpe", "sobol")

_EARLY_TERMINATE_KEYS: Final[dict[str, Rule]] = {
    "type": one_of(("hyperband",), "early_terminate type"),
    "min_iter": integer(1),
    "max_iter": integer(1),
    "s": integer(1),
    "eta": number(above=1),
    "strict": flag(),
}


def _early_terminate(value: Any) -> dict[str, Any]:
    """Check W&B's key of this name."""
    mapping = require_mapping(value, "must be a mapping such as {type: hyperband}")
    return check_keys(mapping, _EARLY_TERMINATE_KEYS, ["type"])


_OPTIONS: Final[dict[str, Rule]] = {
    "num_initial_points": integer(1).about(
        "Configs before the first that the model proposes; default 10, or with a prior 5.", 20
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
        "Epochs of the lowest rung; by default the largest epochs, divided by factor, with "
        "`hyperband` twice.",
        2,
    ),
    "brackets": integer(1).about(
        "Ladders of rungs, each of which starts a rung higher; default 1.", 2
    ),
    "proposals": one_of(_PROPOSING, "method", _ALIASES).about(
        "Method that proposes new configs; default tpe, or for `asha` that of auto. With tpe or "
        "bayesian, `asha` draws every fourth one at random.",
        "random",
    ),
    "prior": one_of(("mlp", "none"), "prior").about(
        "What is known of hyperparameters from MLPs on other tables: configs that are tried first, "
        "and a weight on later proposals that fades with the trials. Default none for "
        "functions, else mlp.",
        "none",
    ),
    "early_terminate": Rule(_early_terminate, {"type": "object", "required": ["type"]}).about(
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


#: Up to this many trials, a Gaussian process is fast enough.
_FEW = 1_000

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
_NAME = or_reference(one_of(METHODS, "method", _ALIASES))


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

    def proposer(self, trials: int | None) -> str:
        """Return the method that proposes the configs, for at most so many trials if given.

        It is another one for `auto` and for methods that halt trainings.
        """
        if "proposals" in self.options or "early_terminate" in self.options:
            return str(self.options.get("proposals", "random"))
        few = trials is not None and trials <= _FEW
        by_trials = "bayesian" if few else "tpe"
        return {"auto": by_trials, "asha": by_trials, "hyperband": "tpe"}.get(self.name, self.name)

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
    """Read a method's name, or a mapping with a name and options."""
    if isinstance(value, MethodSpec):
        return value
    if not isinstance(value, Mapping):
        return MethodSpec(_NAME.check(value))
    if "name" not in value:
        raise InvalidValue.at(f"name is missing; it is {listing(METHODS)}")
    name: str = check_key(_NAME.check, value, "name")
    given = {key: item for key, item in value.items() if key != "name"}
    if ":" in name:
        return MethodSpec(name, given)
    options = check_keys(given, METHODS[name].options)
    proposals = options.get("proposals", "tpe")
    proposer = METHODS.get(proposals)
    if options.get("prior") == "mlp" and (proposer is None or "prior" not in proposer.options):
        raise InvalidValue.at(
            f"{proposals} takes no prior: add proposals: tpe, or bayesian", "prior"
        )
    return MethodSpec(name, options)


def _schema() -> dict[str, Any]:
    bodies = []
    for name, method in METHODS.items():
        options = {
            option: described(rule.schema, rule.description, *rule.examples)
            for option, rule in method.options.items()
        }
        names = {"enum": [name, "bayes"] if name == "bayesian" else [name]}
        bodies.append({"properties": {"name": names, **options}, "additionalProperties": False})
    names, oracle = _NAME.schema["anyOf"]
    bodies.append({"properties": {"name": oracle}})
    mappings = [{"type": "object", "required": ["name"], **body} for body in bodies]
    return {"anyOf": [names, oracle, *mappings]}


METHOD: Final = Rule(parse_method, _schema())

#: Keys without meaning for a run on this machine.
IGNORED: Final = (
    *("project", "entity", "controller", "job", "image_uri", "launch", "scheduler"),
    *("apiVersion", "kind"),
)
#: Keys that people write, and that W&B ignores.
_MISTAKEN: Final = ("count", "max_runs")
#: The metric of a sweep over a program without a metric: 1 if it ends with exit code 0.
FINISHED: Final = "hpsearch_finished"
#: Keys of a metric that only W&B's service reads.
METRIC_KEYS: Final = ("target", "impute", "impute_while_running")
#: Keys that make a sweep one of a program.
OF_PROGRAMS: Final = frozenset({"program", "command"})
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

    Listed configs without a method get the method CONFIGS, which trains only these.

    Returns:
        The new data, warnings about ignored keys, and faults of the others.
    """
    mistaken = [key for key in _MISTAKEN if program and key in data]
    raw = {key: item for key, item in data.items() if key not in (*IGNORED, *KEYS, *mistaken)}
    warnings = [f"{key} is W&B's key; hpsearch ignores it" for key in IGNORED if key in data]
    cap = "is ignored, as W&B ignores it; run_cap ends a sweep"
    warnings += [f"{key} {cap}" for key in mistaken]
    faults = Collector()
    if "run_cap" in data:
        faults.run(partial(_run_cap, raw), data["run_cap"], "run_cap")
    if "early_terminate" in data:
        faults.run(partial(_set_halving, raw), data["early_terminate"], "early_terminate")
    if raw.get("configs") and "method" not in raw:
        raw["method"] = MethodSpec(CONFIGS)
    if program:
        _set_name(raw, warnings)
        if "parameters" in raw:
            raw["parameters"] = _without_repeats(raw["parameters"], warnings)
        if "metric" in raw:
            raw["metric"] = _metric(raw["metric"], warnings)
        elif _draws(raw.get("method", "grid")):
            raw["metric"] = {"name": FINISHED, "goal": "maximize"}
            warnings.append(
                "metric is missing: each program that ends with exit code 0 scores 1; metric: "
                "val_loss, or another that it reports, ranks the trials"
            )
    return raw, warnings, faults.faults


def _draws(method: Any) -> bool:
    with suppress(InvalidValue):
        return parse_method(method).draws
    # It is reported separately.
    return False


def _set_name(raw: dict[str, Any], warnings: list[str]) -> None:
    name = raw.get("name")
    if isinstance(name, str) and name.strip() and not NAME.match(name):
        raw["name"] = clean_name(name)
        warnings.append(f"name: {name!r} is no directory's name; it is {raw['name']!r} here")


def _without_repeats(parameters: Any, warnings: list[str]) -> Any:
    """Return a program's parameters in which every value of a list stands once."""
    if not isinstance(parameters, Mapping):
        return parameters
    return {name: _once(name, body, warnings) for name, body in parameters.items()}


def _once(name: Any, body: Any, warnings: list[str]) -> Any:
    if isinstance(body, list):
        once = list({repr(value): value for value in body}.values())
        if len(once) < len(body):
            warnings.append(f"parameters.{name}: a value that is listed twice counts once")
        return once
    if not isinstance(body, Mapping):
        return body
    changed = dict(body)
    if "values" in body and "probabilities" not in body:
        changed["values"] = _once(name, body["values"], warnings)
    if "parameters" in body:
        changed["parameters"] = _without_repeats(body["parameters"], warnings)
    return changed


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


def _run_cap(raw: dict[str, Any], value: Any) -> None:
    trials = integer(1, 10**9).check(value)
    budget = raw.get("budget", {})
    if not isinstance(budget, Mapping):
        return
    if "trials" in budget:
        raise InvalidValue.at("means the same as budget.trials; give only one of them")
    raw["budget"] = {**budget, "trials": trials}


def _set_halving(raw: dict[str, Any], value: Any) -> None:
    options = _early_terminate(value)
    method = raw.get("method", "grid")
    if method in (*_PROPOSING, *_ALIASES):
        raw["method"] = {"name": "hyperband", "proposals": method, "early_terminate": options}
    # An unknown method is reported separately.
    elif isinstance(method, Mapping) or method in tuple(METHODS):
        raise InvalidValue.at(
            f"goes with method: {listing(_PROPOSING)}; the options of hyperband are written "
            "method: {name: hyperband, factor: 3}"
        )
