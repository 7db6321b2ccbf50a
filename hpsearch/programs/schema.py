"""The JSON Schema of any sweep file, of a program or of a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hpsearch.programs.parameters import PLAIN
from hpsearch.programs.sweep import IGNORED_KEYS, METRIC_KEYS, ProgramFields
from hpsearch.space.distributions import ARGUMENTS
from hpsearch.spec.dump import schema_of, sweep_schema
from hpsearch.spec.parameters import DISTRIBUTIONS, parameter_schema
from hpsearch.spec.rules import described
from hpsearch.spec.wandb import OF_PROGRAMS

_PARAMETER: Final = "ProgramParameter"
_PARAMETERS: Final = {
    "type": "object",
    "additionalProperties": {"$ref": f"#/$defs/{_PARAMETER}"},
}


def file_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a sweep file, of a program if it names one."""
    model, program = sweep_schema(), program_schema()
    dialect, definitions = model.pop("$schema"), model.pop("$defs")
    return {
        "$schema": dialect,
        "title": "hpsearch sweep",
        "description": "A hyperparameter sweep over Keras MLPs, or over a program.",
        "if": {"anyOf": [{"required": [key]} for key in OF_PROGRAMS]},
        "then": program,
        "else": model,
        # References point into the whole schema.
        "$defs": {**definitions, **program.pop("$defs")},
    }


def program_schema() -> dict[str, Any]:
    """Return the JSON Schema of a program's sweep file, as a part of `file_schema`."""
    body = schema_of(ProgramFields, IGNORED_KEYS)
    properties = body["properties"]
    # W&B allows any name; characters that a directory cannot have are replaced.
    name = {"type": "string", "minLength": 1}
    properties["name"] = described(name, "Name of the sweep, and of its directory.", "my-program")
    properties["parameters"] = described(_PARAMETERS, "The program's parameters.", {"x": [1, 2]})
    metric = properties["metric"]["anyOf"][1]
    ignored = {key: {"description": "W&B's key; ignored."} for key in METRIC_KEYS}
    metric["properties"] = metric["properties"] | ignored
    body["$defs"] = body.get("$defs", {}) | {_PARAMETER: _parameter()}
    return {
        **body,
        "title": "hpsearch sweep of a program",
        "description": "A hyperparameter sweep over a program.",
    }


def _parameter() -> dict[str, Any]:
    """Return the schema of a parameter: a value, a list, a range, a distribution or a group."""
    _, choices, mapping = parameter_schema(PLAIN)["anyOf"]
    properties = mapping["properties"]
    own = {key: part for key, part in properties.items() if key not in ("distribution", "q")}
    needed = [{"required": keys} for keys in (["values"], ["value"], ["min", "max"])]
    weights = {"type": "array", "items": {"type": "number", "minimum": 0}}
    weighted = {
        "values": properties["values"],
        "probabilities": described(weights, "Of each value; they add up to 1.", [0.2, 0.8]),
        "distribution": {"enum": ["categorical", "categorical_w_probabilities"]},
        "when": properties["when"],
    }
    drawn = (_drawn(name, arguments, properties["when"]) for name, arguments in ARGUMENTS.items())
    # The other distributions have their own arguments.
    named = (_named(name, properties) for name in DISTRIBUTIONS if name not in ARGUMENTS)
    kinds = [
        {"type": ["string", "number", "boolean", "null"]},
        choices,
        {**_closed(own), "anyOf": needed},
        *named,
        _closed(weighted, "values", "probabilities"),
        *drawn,
        _closed({"parameters": {**_PARAMETERS, "minProperties": 1}}, "parameters"),
    ]
    return described({"anyOf": kinds}, "A value, choices, a range or a distribution.", [1, 2])


def _named(name: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a W&B distribution that is a list, a value or a range in hpsearch."""
    keys = DISTRIBUTIONS[name]
    parts = {key: properties[key] for key in (*keys, "when")}
    known = {"distribution": {**properties["distribution"], "enum": [name]}, **parts}
    return _closed(known, "distribution", *(key for key in keys if key != "q"))


def _drawn(name: str, arguments: Mapping[str, float | None], when: Any) -> dict[str, Any]:
    known = {
        key: {"type": "number", **({} if default is None else {"default": default})}
        for key, default in arguments.items()
    }
    needed = (key for key, default in arguments.items() if default is None)
    properties = {"distribution": {"const": name}, **known, "when": when}
    return _closed(properties, "distribution", *needed)


def _closed(properties: Mapping[str, Any], *required: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }
