"""Write a sweep as YAML, the JSON Schema of sweep files, and the file of `hpsearch init`."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from hpsearch.files import write_atomically
from hpsearch.machine import odd_kind
from hpsearch.space.mlp import DEFAULTS
from hpsearch.spec.method import IGNORED, KEYS, METRIC_KEYS, OF_PROGRAMS
from hpsearch.spec.parameters import (
    ANYTHING,
    DISTRIBUTIONS,
    HYPERPARAMETERS,
    PLAIN,
    PROGRAM_DISTRIBUTIONS,
    UNITS_OF_LAYER,
)
from hpsearch.spec.rules import Rule, Spec, described
from hpsearch.spec.sweep import AnySweep, ProgramSweep, Sweep
from hpsearch.spec.yaml import add_core_resolvers
from hpsearch.wording import printable


class _Dumper(yaml.SafeDumper):
    """Quotes text that YAML 1.1 or 1.2 would read as another type."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML names it
        """Write no anchors: a sweep file is read by people."""
        return True


add_core_resolvers(_Dumper)


def dump_sweep(sweep: AnySweep, remarks: Iterable[str] = ()) -> str:
    """Return a file's text, with `remarks` as comments on top, that loads as an equal sweep."""
    text: str = yaml.dump(
        sweep.raw(),
        Dumper=_Dumper,
        sort_keys=False,
        default_flow_style=None,
        allow_unicode=True,
        width=100,
    )
    return "".join([*(f"# {printable(remark)}\n" for remark in remarks), text])


def file_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a sweep file, of a program if it names one."""
    model = _schema_of(Sweep, "Keras MLPs", _HYPERPARAMETERS)
    program = _schema_of(ProgramSweep, "a program", _PROGRAM_PARAMETERS)
    # W&B allows any name; characters that a directory cannot have are replaced.
    program["properties"]["name"] = described(
        {"type": "string", "minLength": 1}, "Name of the sweep, and of its directory.", "my-program"
    )
    text, metric = program["properties"]["metric"]["anyOf"]
    metric = {**metric, "properties": metric["properties"] | dict.fromkeys(METRIC_KEYS, _IGNORED)}
    program["properties"]["metric"]["anyOf"] = [text, metric]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "hpsearch sweep",
        "description": "A hyperparameter sweep over Keras MLPs, or over a program.",
        "if": {"anyOf": [{"required": [key]} for key in sorted(OF_PROGRAMS)]},
        "then": program,
        "else": model,
        "$defs": {"ProgramParameter": _program_parameter()},
    }


_IGNORED: Final = {"description": "W&B's key; ignored."}


def _schema_of(kind: type[Spec], subject: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema of one kind of file, from the class that validates it."""
    body = kind.schema()
    # `name` is optional in a file: it defaults to the file's stem.
    body["required"].remove("name")
    body["properties"]["parameters"] |= parameters
    body["properties"] |= KEYS | dict.fromkeys(IGNORED, _IGNORED)
    return {
        **body,
        "title": f"hpsearch sweep over {subject}",
        "description": f"A hyperparameter sweep over {subject}.",
    }


_POSITIVE: Final = {"type": "number", "exclusiveMinimum": 0}
#: JSON Schema of a range's keys.
_RANGE: Final[dict[str, Any]] = {
    "min": described({"type": "number"}, "Least value.", 0.0001),
    "max": described({"type": "number"}, "Greatest value (included).", 0.1),
    "step": described(
        _POSITIVE, "Take only min, min + step, ...; on a log scale min, min * step, ...", 0.01
    ),
    "scale": described(
        {"enum": ["linear", "log"], "default": "linear"},
        "Scale on which values are evenly spread.",
        "log",
    ),
    "type": described(
        {"enum": ["int", "float"]},
        "Whole numbers or any; by default as min, max and step are written.",
        "int",
    ),
    "q": described(_POSITIVE, "W&B's name of step.", 16),
}


def _parameter(rule: Rule, **further: Any) -> dict[str, Any]:
    """Return the JSON Schema of a parameter: a value, choices or a mapping with further keys."""
    value = dict(rule.schema)
    single = {"type": ["string", "number", "boolean", *(["null"] if rule is PLAIN else [])]}
    choices = {"type": "array", "items": value, "minItems": 1}
    properties = {
        "values": described(choices, "The choices.", [32, 128]),
        "value": described(value, "The only value.", 32),
        "when": described(
            {"type": "object", "minProperties": 1},
            "Active only when other hyperparameters have these values.",
            {"optimizer": ["sgd", "adam"], "hidden_layers": 2},
        ),
        "distribution": described(
            {"enum": list(DISTRIBUTIONS)}, "W&B's name of the kind of values.", "int_uniform"
        ),
    }
    if rule.kind != "names":
        properties |= _RANGE
    mapping = {
        "type": "object",
        "properties": properties | further,
        "additionalProperties": False,
        "minProperties": 1,
        "dependentRequired": {"min": ["max"], "max": ["min"]},
    }
    return described(
        {"anyOf": [value or single, choices, mapping]}, rule.description, *rule.examples
    )


def _hyper_parameter(name: str, rule: Rule) -> dict[str, Any]:
    schema = _parameter(rule)
    if name in DEFAULTS:
        schema["default"] = DEFAULTS[name]
    if "errorMessage" in rule.schema:
        schema["errorMessage"] = rule.schema["errorMessage"]
    return schema


_HYPERPARAMETERS: Final = {
    "type": "object",
    "properties": {name: _hyper_parameter(name, rule) for name, rule in HYPERPARAMETERS.items()},
    "patternProperties": {r"^units_[1-9]\d*$": _hyper_parameter("units_2", UNITS_OF_LAYER)},
    "additionalProperties": _parameter(
        ANYTHING.about("An argument of your own layer type or model.", [1, 2])
    ),
}

_PROGRAM_PARAMETERS: Final = {
    "type": "object",
    "additionalProperties": {"$ref": "#/$defs/ProgramParameter"},
}


def _program_parameter() -> dict[str, Any]:
    """Return the schema of a parameter: a value, a list, a range, a distribution or a group."""
    weights = {"type": "array", "items": {"type": "number", "minimum": 0}}
    names = {"enum": [*PROGRAM_DISTRIBUTIONS]}
    return _parameter(
        PLAIN,
        distribution=described(names, "W&B's name of the kind of values.", "int_uniform"),
        probabilities=described(weights, "Of each value; they add up to 1.", [0.2, 0.8]),
        parameters={**_PROGRAM_PARAMETERS, "minProperties": 1},
        **{key: {"type": "number"} for key in ("mu", "sigma", "a", "b")},
    )


#: Name of the schema file that the first line of the starter file refers to.
SCHEMA_NAME: Final = "hpsearch.schema.json"
#: The file that `hpsearch init` copies.
STARTER: Final = Path(__file__).with_name("starter.yaml")


def write_starter(target: Path) -> Path:
    """Write the starter file, and the schema beside it; return the schema's path.

    Raises:
        OSError: One of them cannot be written.
    """
    schema = target.with_name(SCHEMA_NAME)
    text = json.dumps(file_schema(), indent=2) + "\n"
    if odd_kind(schema, links=False) or (schema.exists() and not _is_schema(schema)):
        raise FileExistsError(errno.EEXIST, f"{schema.name} beside it is no schema of hpsearch")
    # Exclusive creation follows no link.
    with target.open("x", encoding="utf-8") as file:
        file.write(STARTER.read_text(encoding="utf-8"))
    write_atomically(schema, text)
    return schema


def _is_schema(path: Path) -> bool:
    with path.open("rb") as file:
        # The title is at its beginning; a schema that has this one within is another.
        return b'"title": "hpsearch sweep"' in file.read(300)
