"""Rules of hyperparameters, and the grammar of the key `parameters`: hpsearch's and W&B's."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any, Final

from hpsearch.space.keras_names import ACTIVATIONS, INITIALIZERS, OPTIMIZERS, REQUIRED, SCHEDULES
from hpsearch.space.mlp import LAYER_TYPES, MOST_LAYERS, layer_of
from hpsearch.space.space import ARGUMENTS, Choices, Drawn, Parameter, Range
from hpsearch.spec import words
from hpsearch.spec.rules import (
    Collector,
    InvalidValue,
    Loc,
    Rule,
    check_each,
    check_key,
    check_keys,
    either,
    flag,
    integer,
    number,
    one_of,
    or_reference,
    plain,
    require_mapping,
    sequence,
    text,
)
from hpsearch.wording import listing, show, unknown_hint

_LEARNING_RATE: Final = number(above=0, maximum=1e6)
_MOMENTUM: Final = number(minimum=0, below=1)
_POSITIVE = number(above=0)
_NOT_NEGATIVE = number(minimum=0)
_RULES: Final[tuple[tuple[Rule, tuple[str, ...]], ...]] = (
    (_LEARNING_RATE, ("learning_rate", "initial_learning_rate", "warmup_target")),
    (_MOMENTUM, ("momentum", "rho", "beta_1", "beta_2", "adam_beta_1", "adam_beta_2")),
    (number(minimum=0, maximum=1), ("ema_momentum",)),
    (
        _POSITIVE,
        (
            *("clipnorm", "clipvalue", "global_clipnorm", "clip_threshold", "decay_rate"),
            *("loss_scale_factor", "scale", "stddev"),
        ),
    ),
    (
        _NOT_NEGATIVE,
        (
            *("weight_decay", "adam_weight_decay", "end_learning_rate", "epsilon"),
            "initial_accumulator_value",
        ),
    ),
    (integer(0), ("warmup_steps",)),
    (integer(1), ("decay_steps", "ema_overwrite_frequency", "first_decay_steps", "ns_steps")),
    (integer(2), ("gradient_accumulation_steps",)),
    (sequence(integer(1), "steps").then(list), ("boundaries",)),
    (sequence(_LEARNING_RATE, "learning rates").then(list), ("values",)),
    (one_of(("fan_in", "fan_out", "fan_avg"), "mode"), ("mode",)),
    (
        one_of(("truncated_normal", "untruncated_normal", "uniform"), "distribution"),
        ("distribution",),
    ),
)
#: Rules of arguments; for any other, the type of its default is the rule.
_ARGUMENTS: Final = {argument: rule for rule, arguments in _RULES for argument in arguments}


_FLAG, _NUMBER, _TEXT = flag(), number(), text()


def _argument_rule(name: str, default: Any) -> Rule:
    usual = _FLAG if isinstance(default, bool) else _TEXT if isinstance(default, str) else _NUMBER
    rule = _ARGUMENTS.get(name, usual)

    def check(value: Any) -> Any:
        if value is None and default is None:
            return None
        is_schedule = name == "learning_rate" and isinstance(value, Mapping)
        return (_SCHEDULE if is_schedule else rule).check(value)

    return Rule(check)


def _named(noun: str, names: Mapping[str, Mapping[str, Any]]) -> Rule:
    """Keras' name, or a mapping with it and arguments; `names` is name -> argument -> default."""
    rule = one_of(names, noun, shown=30)
    rules = {
        name: {"name": rule, **{key: _argument_rule(key, item) for key, item in accepted.items()}}
        for name, accepted in names.items()
    }

    def check(value: Any) -> Any:
        if not isinstance(value, Mapping):
            return rule.check(value)
        mapping = require_mapping(value, f"must be a name or a mapping with the name of the {noun}")
        if "name" not in mapping:
            raise InvalidValue.at(f"name is missing: the {noun} that the other keys are about")
        name = check_key(rule.check, mapping, "name")
        needed = [argument for argument, default in names[name].items() if default == REQUIRED]
        return {"name": name, **check_keys(mapping, rules[name], needed)}

    described = {
        "enum": list(names),
        "description": "Keras' name; the other keys are its arguments.",
        "examples": [next(iter(names))],
    }
    body = {"type": "object", "properties": {"name": described}, "required": ["name"]}
    return Rule(check, {"anyOf": [{"enum": list(names)}, body]}, mapping=True)


_SCHEDULE: Final = _named("learning rate schedule", SCHEDULES)
_OPTIMIZERS: Final = {name: optimizer.defaults for name, optimizer in OPTIMIZERS.items()}


#: Rule of `units_2` and the other widths of single layers.
UNITS_OF_LAYER: Final = integer(1, 1_000_000).about(
    "Neurons of hidden layer 2 (or another layer, by its number), instead of units.",
    {"values": [25, 50], "when": {"hidden_layers": [2, 3]}},
)
_UNITS = either(
    f"must be a whole number of at least 1, or a list of 1 to {MOST_LAYERS} such, one per layer",
    UNITS_OF_LAYER,
    sequence(UNITS_OF_LAYER, "whole numbers", most=MOST_LAYERS).then(list),
)


def _check_plain(value: Any, *, of_program: bool = False) -> Any:
    """Return plain data: finite numbers and other scalars, in lists and mappings."""
    if isinstance(value, list | tuple):
        return [_check_plain(item, of_program=of_program) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _check_plain(v, of_program=of_program) for key, v in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidValue.at(f"must be finite, not {show(value)}")
    if of_program and isinstance(value, str) and "\0" in value:
        raise InvalidValue.at("has a zero byte, which no command line can hold")
    if not isinstance(value, bool | int | float | str) and not (of_program and value is None):
        raise InvalidValue.at(f"must be text, a number, true, false or a list, not {show(value)}")
    return value


#: Any plain data: the values of an unknown hyperparameter.
ANYTHING: Final = Rule(_check_plain, {}, kind="any")
#: Values of a program's parameter, which may also be null.
PLAIN: Final = Rule(partial(_check_plain, of_program=True), {}, kind="any").about(
    "A value, choices, a range or a distribution.", [1, 2]
)

HYPERPARAMETERS: Final[dict[str, Rule]] = {
    "hidden_layers": integer(0, MOST_LAYERS).about(
        "Number of hidden layers; 0: only the output layer.", [0, 1, 2]
    ),
    "units": replace(_UNITS, kind="int").about(
        "Neurons per hidden layer, or a list with one number per layer.", [50, [200, 100]]
    ),
    "activation": one_of(ACTIVATIONS, "activation").about(
        "Activation of the hidden layers; see `hpsearch list activations`.", ["relu", "tanh"]
    ),
    "layer_type": or_reference(one_of(LAYER_TYPES, "layer type")).about(
        "Type of each hidden layer: see `hpsearch list layer-types`, or a function of your own as "
        "package.module:function.",
        ["dense", "batch_norm"],
    ),
    "batch_size": integer(1, 10_000_000).about("Rows per training step.", [32, 128]),
    "epochs": integer(1, 1_000_000).about(
        "Passes over the training rows; of several numbers, one training answers all.", [5, 10, 20]
    ),
    "optimizer": _named("optimizer", _OPTIMIZERS).about(
        "A Keras optimizer, alone or with its arguments; see `hpsearch list optimizers`.",
        ["adam", {"name": "sgd", "learning_rate": 0.1, "momentum": 0.95}],
    ),
    "learning_rate": _LEARNING_RATE.about(
        "Learning rate of the optimizer; by default the optimizer's own.",
        {"min": 1e-4, "max": 0.1, "scale": "log"},
    ),
    "momentum": _MOMENTUM.about(
        "Momentum of optimizers that have one; by default the optimizer's own.", [0.9, 0.95]
    ),
    "weight_decay": _NOT_NEGATIVE.about(
        "Weight decay of the optimizer; by default the optimizer's own.", [0.0001, 0.001]
    ),
    "dropout": number(minimum=0, below=1).about(
        "Share of units that the layer type dropout drops.",
        {"values": [0.1, 0.3], "when": {"layer_type": "dropout"}},
    ),
    "l2": _NOT_NEGATIVE.about("Factor of the L2 penalty on every kernel.", [0.0, 0.0001]),
    "kernel_initializer": _named("initializer", INITIALIZERS).about(
        "A Keras initializer of every kernel, alone or with its arguments.",
        ["he_normal", {"name": "constant", "value": 0.1}],
    ),
    "embedding": one_of(("none", "piecewise"), "embedding").about(
        "With piecewise, the MLP gets 16 numbers in place of each scaled one of a table (piecewise "
        "linear encoding).",
        ["none", "piecewise"],
    ),
}


def rule_of(name: str) -> Rule:
    """Return the rule of a hyperparameter; an unknown one takes any plain data."""
    if layer_of(name) is not None:
        return UNITS_OF_LAYER
    return HYPERPARAMETERS.get(name, ANYTHING)


def custom_rule_of(name: str) -> Rule:
    """Return the rule of a custom model's hyperparameter, which shares two with the MLP."""
    return HYPERPARAMETERS[name] if name in ("batch_size", "epochs") else ANYTHING


def is_known(name: str) -> bool:
    """Check if hpsearch's MLP has this hyperparameter; it has too few layers for `units_51`."""
    layer = layer_of(name)
    return name in HYPERPARAMETERS or (layer is not None and layer <= MOST_LAYERS)


def suggestion(name: str) -> str:
    """Return a hint at the intended name of an unknown hyperparameter; empty if unknown."""
    return unknown_hint(name, words.HYPERPARAMETERS, HYPERPARAMETERS)


_RANGE_KEYS: Final = ("min", "max", "step", "scale", "type")
_KEYS: Final = ("values", "value", *_RANGE_KEYS, "distribution", "when")
_WORDS: Final = {**words.RANGE, "q": "write step, or distribution: q_uniform"}
#: Most values of a range with a step; all of them are kept in memory.
MOST_STEPS: Final = 100_000
_SCALE = one_of(("linear", "log"), "scale")
_TYPE = one_of(("int", "float"), "type")
_INTEGER_TYPE = one_of(("int",), "type")
_ANY = Rule(lambda value: value)
_INTEGER = integer()
_INTEGER_STEP = integer(1)
#: W&B's distribution -> the keys that it takes, as in ARGUMENTS.
DISTRIBUTIONS: Final[Mapping[str, Mapping[str, float | None]]] = {
    "uniform": {"min": None, "max": None},
    "int_uniform": {"min": None, "max": None},
    "q_uniform": {"min": None, "max": None, "q": 1},
    "log_uniform_values": {"min": None, "max": None},
    "categorical": {"values": None},
    "constant": {"value": None},
}
#: W&B's name of a list with probabilities.
_WEIGHTED: Final = "categorical_w_probabilities"
PROGRAM_DISTRIBUTIONS: Final[Mapping[str, Mapping[str, float | None]]] = {
    **DISTRIBUTIONS,
    **ARGUMENTS,
    _WEIGHTED: {"values": None, "probabilities": None},
}
#: Distribution -> the keys of hpsearch that it implies.
_IMPLIED: Final[Mapping[str, Mapping[str, str]]] = {
    "int_uniform": {"type": "int"},
    "uniform": {"type": "float"},
    "log_uniform_values": {"scale": "log", "type": "float"},
}
_LIMITS: Final = {"sigma": _NOT_NEGATIVE, **dict.fromkeys(("q", "a", "b"), _POSITIVE)}

Domain = Choices | Range | Drawn


def parse_parameter(rule: Rule, name: str, raw: Any) -> Parameter:
    """Read one hyperparameter whose values follow `rule`."""
    if isinstance(raw, Parameter):
        return raw
    if isinstance(raw, list | tuple):
        return Parameter(name, _choices(rule, raw))
    if not isinstance(raw, Mapping) or ("name" in raw and rule.mapping):
        return Parameter(name, Choices((rule.check(raw),)))
    body = require_mapping(raw, "must be a value, a list or a mapping")
    faults = Collector()
    when = faults.run(_when, body["when"], "when") if "when" in body else {}
    domain = faults.run(partial(_domain, rule), {k: v for k, v in body.items() if k != "when"})
    faults.finish()
    assert domain is not None
    assert when is not None
    return Parameter(name, domain, when)


def _domain(rule: Rule, body: Mapping[str, Any]) -> Domain:
    if "distribution" in body:
        return _of_distribution(rule, body)
    keys = (*_KEYS, "probabilities") if rule is PLAIN else _KEYS
    return _of_keys(rule, check_keys(body, dict.fromkeys(keys, _ANY), words=_WORDS))


def _of_keys(rule: Rule, body: Mapping[str, Any]) -> Choices | Range:
    given = [key for key in ("values", "value", "probabilities") if key in body]
    ranged = [key for key in _RANGE_KEYS if key in body]
    if {"values", "value"} <= {*given} or (given and ranged):
        raise InvalidValue.at(f"give {listing([*given, *ranged])}, not more than one of them")
    if ranged:
        return _range(rule, body)
    if given == ["value"]:
        return Choices((check_key(rule.check, body, "value"),))
    if "values" not in body:
        raise InvalidValue.at("needs values, a value, or min and max")
    choices = check_key(partial(_choices, rule), body, "values")
    return _weighted(choices.values, body["probabilities"]) if len(given) > 1 else choices


def _choices(rule: Rule, raw: Any) -> Choices:
    return Choices(sequence(rule, "values", unique=True).check(raw))


def _weighted(values: Sequence[Any], weights: Any) -> Choices:
    if not isinstance(weights, list) or len(weights) != len(values):
        raise InvalidValue.at(
            f"must list a probability for each of the {len(values)} values, not {show(weights)}",
            "probabilities",
        )
    checked = [_NOT_NEGATIVE.check(weight) for weight in weights]
    if not math.isclose(sum(checked), 1.0, rel_tol=1e-6):
        raise InvalidValue.at(f"must add up to 1, not {sum(checked):g}", "probabilities")
    # Without a probability, a value would never be drawn.
    kept = [pair for pair in zip(values, checked, strict=True) if pair[1] > 0]
    return Choices(*zip(*kept, strict=True))


def _range(rule: Rule, body: Mapping[str, Any]) -> Choices | Range:
    """Read a range; on a log scale a step is a factor (min, min * step, ...), as in KerasTuner."""
    if rule.kind == "names":
        raise InvalidValue.at("takes names, not a range; list them: [a, b]")
    whole = _is_integer(rule, body)
    bound = Rule(partial(_bound, rule, whole))
    rules = {
        "min": bound,
        "max": bound,
        "step": _INTEGER_STEP if whole else _POSITIVE,
        "scale": _SCALE,
        "type": _INTEGER_TYPE if rule.kind == "int" else _TYPE,
    }
    given = check_keys(body, rules, ["min", "max"])
    low, high, step = given["min"], given["max"], given.get("step")
    log = given.get("scale") == "log"
    _check_order(low, high, log)
    if step is None:
        return Range(low, high, log=log, integer=whole)
    count = _count_steps(low, high, step, log)
    if not log:
        return Range(low, high, step, integer=whole)
    first, factor = _decimal(low), _decimal(step)
    kind = int if whole else float
    return Choices(tuple(kind(first * factor**power) for power in range(count + 1)))


def _is_integer(rule: Rule, body: Mapping[str, Any]) -> bool:
    if rule.kind != "int" and body.get("type") in ("int", "float"):
        return bool(body["type"] == "int")
    numbers = [body[key] for key in ("min", "max", "step") if key in body]
    return rule.kind == "int" or (
        rule.kind == "any"
        and all(isinstance(item, int) and not isinstance(item, bool) for item in numbers)
    )


def _bound(rule: Rule, whole: bool, value: Any) -> float:
    bound: float = (_INTEGER if whole and rule.kind != "int" else _NUMBER).check(value)
    if rule.kind in {"int", "float"}:
        bound = rule.check(value)
    return int(value) if whole else float(bound)


def _check_order(low: float, high: float, log: bool) -> None:
    if low == high:
        raise InvalidValue.at(f"min and max are both {show(low)}; write the value itself", "min")
    if low > high:
        raise InvalidValue.at(f"must be below max, {show(high)}, not {show(low)}", "min")
    if log and low <= 0:
        raise InvalidValue.at(f"must be above 0 on a log scale, not {show(low)}", "min")


def _count_steps(low: float, high: float, step: float, log: bool) -> int:
    """Return the number of steps from `low` to `high`, which they have to reach exactly."""
    if log and step <= 1:
        raise InvalidValue.at(
            f"on a log scale a step multiplies, so it must be above 1, not {show(step)}", "step"
        )
    first, last, width = _decimal(low), _decimal(high), _decimal(step)
    if log:
        count, below = 0, first
        while below * width <= last and count <= MOST_STEPS:
            count, below = count + 1, below * width
        above = below * width
    else:
        count = _whole_steps(low, high, step)
        below = first + count * width
        above = below + width
    if count > MOST_STEPS:
        raise InvalidValue.at(f"a range with a step has at most {MOST_STEPS} values", "step")
    if below != last:
        near = below if last - below <= above - last and count else above
        raise InvalidValue.at(
            f"the step {show(step)} does not divide the range from {show(low)} to {show(high)}; "
            f"the nearest valid max is {float(near):.12g}",
            "max",
        )
    return count


def _whole_steps(low: float, high: float, step: float) -> int:
    """Return the number of whole steps in a range, which is at most MOST_STEPS + 1."""
    steps = (_decimal(high) - _decimal(low)) / _decimal(step)
    return int(min(steps, Decimal(MOST_STEPS + 1)))


def _decimal(value: float) -> Decimal:
    # Convert the text, so that 0.1 + 0.2 is 0.3.
    return Decimal(repr(value))


def _of_distribution(rule: Rule, body: Mapping[str, Any]) -> Domain:
    """Read a parameter with one of W&B's distributions."""
    accepted = PROGRAM_DISTRIBUTIONS if rule is PLAIN else DISTRIBUTIONS
    name: str = check_key(one_of(accepted, "distribution", shown=20).check, body, "distribution")
    if name == "categorical" and "probabilities" in body and rule is PLAIN:
        name = _WEIGHTED
    defaults = accepted[name]
    needed = [key for key, default in defaults.items() if default is None]
    given = {key: item for key, item in body.items() if key != "distribution"}
    arguments = {
        **{key: default for key, default in defaults.items() if default is not None},
        **check_keys(given, dict.fromkeys(defaults, _ANY), needed),
    }
    if rule is PLAIN and name in ARGUMENTS:
        _check_numbers(arguments)
        if "min" in arguments:
            _check_order(arguments["min"], arguments["max"], name.endswith("_values"))
        return Drawn(name, tuple((key, arguments[key]) for key in defaults))
    if name == "q_uniform":
        arguments = _quantised(arguments)
    implied = dict(_IMPLIED.get(name, {}))
    # A whole number's `uniform` draws whole numbers.
    if rule.kind == "int" and implied.get("type") == "float":
        del implied["type"]
    return _of_keys(rule, arguments | implied)


def _check_numbers(arguments: Mapping[str, Any]) -> None:
    check_keys(arguments, {key: _LIMITS.get(key, _NUMBER) for key in arguments})


def _quantised(arguments: Mapping[str, Any]) -> dict[str, Any]:
    _check_numbers(arguments)
    low, high, step = (arguments[key] for key in ("min", "max", "q"))
    # W&B rounds to multiples of q; whole steps from min come nearest to that.
    count = _whole_steps(low, high, step)
    if 1 <= count <= MOST_STEPS:
        top = _decimal(low) + count * _decimal(step)
        high = int(top) if isinstance(low, int) and isinstance(step, int) else float(top)
    return {"min": low, "max": high, "step": step}


_ACCEPTED: Final = sequence(ANYTHING, "values")


def _when(raw: Any) -> dict[str, tuple[Any, ...]]:
    mapping = require_mapping(raw, "must be a mapping of hyperparameter to value or list of values")
    if not mapping:
        raise InvalidValue.at("must name a hyperparameter, and is empty")
    lists = ((n, item if isinstance(item, list | tuple) else [item]) for n, item in mapping.items())
    return check_each(_ACCEPTED.check, lists)


def raw_parameter(parameter: Parameter) -> Any:
    """Return a hyperparameter as a sweep file has it."""
    domain = parameter.domain
    body: dict[str, Any]
    if isinstance(domain, Drawn):
        body = {"distribution": domain.distribution, **domain.given}
    elif isinstance(domain, Range):
        body = {"min": domain.min, "max": domain.max}
        body |= {} if domain.step is None else {"step": domain.step}
        body |= {"scale": "log"} if domain.log else {}
        body["type"] = "int" if domain.integer else "float"
    elif domain.weights:
        body = {"values": plain(domain.values), "probabilities": list(domain.weights)}
    elif len(domain.values) == 1 and not isinstance(domain.values[0], list | Mapping):
        body = {"value": domain.values[0]}
    else:
        body = {"values": plain(domain.values)}
    if not parameter.when:
        return body if len(body) > 1 else next(iter(body.values()))
    when = {
        parent: values if len(values) > 1 or isinstance(values[0], list) else values[0]
        for parent, values in parameter.when.items()
    }
    return {**body, "when": plain(when)}


def raw_parameters(parameters: Mapping[str, Parameter]) -> dict[str, Any]:
    """Return the key as a sweep file has it, nested as it was."""
    raw: dict[str, Any] = {}
    for name, parameter in parameters.items():
        *above, last = parameter.path or (name,)
        level = raw
        for step in above:
            level = level.setdefault(step, {"parameters": {}})["parameters"]
        level[last] = raw_parameter(parameter)
    return raw


def parameters(rule_of: Callable[[str], Rule]) -> Rule:
    """Hyperparameters, in the file's order, whose values follow the rules of their names."""

    def check(raw: Any) -> dict[str, Parameter]:
        mapping = require_mapping(raw, "must be a mapping of hyperparameters to their values")
        rules = {name: Rule(partial(parse_parameter, rule_of(name), name)) for name in mapping}
        return check_keys(mapping, rules)

    return Rule(check, {"type": "object"})


def _program_parameters(raw: Any) -> dict[str, Parameter]:
    mapping = require_mapping(raw, "must be a mapping of the program's parameters to their values")
    faults = Collector()
    by_name: dict[str, Parameter] = {}
    for path, loc, body in _innermost(mapping, (), ()):
        name = ".".join(path)
        if any(not step or "\0" in step for step in path):
            faults.add("a name is text without a zero byte, and not empty", *loc)
        elif name in by_name:
            faults.add(f"there are two parameters {name}", *loc)
        elif parameter := faults.run(partial(parse_parameter, PLAIN, name), body, *loc):
            by_name[name] = replace(parameter, path=path) if len(path) > 1 else parameter
    faults.finish()
    return by_name


#: Parameters by any names, with any values; nested ones are named by their path with dots.
PROGRAM_PARAMETERS: Final = Rule(_program_parameters, {"type": "object"})


def _innermost(
    mapping: Mapping[str, Any], path: tuple[str, ...], outer: Loc
) -> Iterator[tuple[tuple[str, ...], Loc, Any]]:
    """Yield each parameter that holds no others: its path of names, its location, and its body."""
    for key, body in mapping.items():
        name, loc = str(key), (*outer, str(key))
        if isinstance(body, Mapping) and set(body) == {"parameters"}:
            inner = body["parameters"]
            if isinstance(inner, Mapping) and inner:
                yield from _innermost(inner, (*path, name), (*loc, "parameters"))
                continue
        yield (*path, name), loc, body


def enumerated(parameter: Parameter) -> Parameter:
    """Return a program's parameter, with a list for a range that W&B's grid turns into one."""
    domain = parameter.domain
    if isinstance(domain, Range) and domain.integer and domain.step is None and not domain.log:
        if domain.max - domain.min <= MOST_STEPS:
            return replace(parameter, domain=replace(domain, step=1))
    elif isinstance(domain, Drawn) and domain.distribution == "q_uniform":
        low, high, step = (domain.given[name] for name in ("min", "max", "q"))
        if _whole_steps(low, high, step) < MOST_STEPS:
            # Like `numpy.arange`: the upper end is excluded.
            count = math.ceil((high - low) / step)
            values = (low + index * step for index in range(count))
            kept = tuple(v if isinstance(v, int) else float(f"{v:.12g}") for v in values)
            return replace(parameter, domain=Choices(kept))
    return parameter
