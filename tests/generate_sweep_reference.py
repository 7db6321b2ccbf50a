"""Writes the reference of every key of a sweep file, from its JSON Schema.

python tests/generate_sweep_reference.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hpsearch.space.mlp import OPTIMIZER_ALIASES
from hpsearch.spec.dump import sweep_schema
from hpsearch.spec.wandb import IGNORED, KEYS

PATH = Path(__file__).parent.parent / "hpsearch" / "spec" / "REFERENCE.md"
Schema = Mapping[str, Any]

HEAD = """\
# Every key of a sweep file

Written by `tests/generate_sweep_reference.py` from the schema that `hpsearch schema` prints and
that files are checked by; a test holds it to that. How a file looks: [README](../../README.md).

A key without a default may be left out, unless it says that it is required.
"""
PARAMETERS = """\
A hyperparameter is given as a value (fixed), a list of values (choices), or a mapping with these
keys: `values`, `value`, or `min` and `max`; `when` beside any of them.
"""
HYPERPARAMETERS = """\
What each is, and what one value of it may be. A name that is none of these is an argument of a
layer type or a model of one's own, and may be any plain data.
"""
METHODS = """\
`method: NAME`, or `method: {name: NAME, OPTION: ...}`:
"""
WANDB = """\
These of W&B's keys mean something here:
"""
#: More names than these are listed by a command.
MOST_NAMES = 12
LISTS = {"activation": "activations", "optimizer": "optimizers"}


def render(schema: Schema) -> str:
    """The page."""
    properties = {
        key: part
        for key, part in schema["properties"].items()
        if key not in KEYS and key not in IGNORED
    }
    parts = [HEAD, "## The file", table(rows(properties, schema, required=schema["required"]))]
    for key, part in properties.items():
        parts += [*section(key, part, schema)]
    words = {key: schema["properties"][key] for key in KEYS}
    ignored = ", ".join(f"`{key}`" for key in IGNORED)
    parts += ["## W&B's words", WANDB, table(rows(words, schema))]
    parts += [f"Ignored, with a warning: {ignored}."]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def section(key: str, part: Schema, schema: Schema) -> Iterator[str]:
    """The keys within a key, where it has any."""
    if key == "method":
        yield f"## `{key}`"
        yield METHODS
        yield table(methods(part))
        return
    if key == "parameters":
        some = part["additionalProperties"]
        mapping = next(each for each in some["anyOf"] if "properties" in each)
        yield f"## `{key}`"
        yield PARAMETERS
        yield table(rows(mapping["properties"], schema))
        yield "### Hyperparameters"
        yield HYPERPARAMETERS
        units = next(iter(part["patternProperties"].values()))
        names = list(part["properties"])
        place = names.index("units") + 1
        known = {
            name: part["properties"].get(name, units)
            for name in [*names[:place], "units_2", *names[place:]]
        }
        yield table([hyperparameter(name, each) for name, each in known.items()])
        return
    inner = next(iter(mappings(part, schema)), None)
    if inner is not None:
        yield f"## `{key}`"
        lines = rows(inner["properties"], schema, required=inner.get("required", ()))
        for name, each in inner["properties"].items():
            # Which hpsearch.tune writes, and nobody else.
            nested = next(iter(mappings(each, schema)), None) if name != "memory" else None
            if nested is not None:
                own = {f"{name}.{k}": v for k, v in nested["properties"].items()}
                required = [f"{name}.{k}" for k in nested.get("required", ())]
                lines += rows(own, schema, required=required)
        yield table(lines)


def mappings(part: Schema, schema: Schema) -> Iterator[Schema]:
    """The mappings with known keys that a part may be."""
    part = resolved(part, schema)
    if "properties" in part:
        yield part
    for each in part.get("anyOf", ()):
        yield from mappings(each, schema)


def resolved(part: Schema, schema: Schema) -> Schema:
    """A part without references."""
    if "$ref" not in part:
        return part
    target: Any = schema
    for step in part["$ref"].removeprefix("#/").split("/"):
        target = target[step]
    return target | {key: value for key, value in part.items() if key != "$ref"}


def rows(
    properties: Mapping[str, Schema], schema: Schema, *, required: Any = ()
) -> list[tuple[str, ...]]:
    """A line a key."""
    return [
        (
            f"`{key}`",
            part["description"],
            law(part, schema),
            "required" if key in required else default(part, schema),
            example(part),
        )
        for key, part in properties.items()
    ]


def hyperparameter(name: str, part: Schema) -> tuple[str, ...]:
    """The line of one, whose rule is of one value."""
    value = part["anyOf"][0]
    return (
        f"`{name}`",
        part["description"],
        law(value, {}, name=name),
        default(part, {}),
        example(part),
    )


def methods(part: Schema) -> list[tuple[str, ...]]:
    """A line an option, and one for the methods that have none."""
    lines: dict[tuple[str, ...], list[str]] = {}
    for variant in part["anyOf"][1:]:
        options = variant["properties"]
        name = options["name"]["enum"][0]
        for option, each in options.items():
            if option != "name":
                line = (code(option), each["description"], law(each, {}), "", example(each))
                lines.setdefault(line, []).append(name)
        if len(options) == 1:
            lines.setdefault(("", "Has no options.", "", "", ""), []).append(name)
    return [
        (": ".join(filter(None, (", ".join(map(code, names)), option))), *rest)
        for (option, *rest), names in lines.items()
    ]


def law(part: Schema, schema: Schema, name: str = "") -> str:
    """What a value may be, in words."""
    part = resolved(part, schema)
    if name in LISTS:
        mapping = ", or a mapping" if "anyOf" in part else ""
        return f"one of `hpsearch list {LISTS[name]}`{mapping}"
    if "enum" in part:
        return among(part["enum"])
    if "errorMessage" in part:
        return str(part["errorMessage"]).removeprefix("must be ")
    if "anyOf" in part:
        kinds = [law(each, schema) for each in part["anyOf"] if each.get("type") != "null"]
        return ", or ".join(dict.fromkeys(kinds))
    return code(part["const"]) if "const" in part else kind(part, schema)


def kind(part: Schema, schema: Schema) -> str:
    """What JSON calls it, in words."""
    items = part.get("items")
    words = {
        "object": "a mapping",
        "array": f"a list, each {law(items, schema)}" if items else "a list",
        "integer": "a whole number" + bounds(part),
        "number": "a number" + bounds(part),
        "string": "text",
    }
    return words.get(part.get("type", ""), "any plain data")


def among(names: Any) -> str:
    """A few names, or how many."""
    known = [name for name in names if name not in OPTIMIZER_ALIASES]
    if len(known) > MOST_NAMES:
        return f"one of Keras' {len(known)} names"
    return ", ".join(code(name) for name in names)


def bounds(part: Schema) -> str:
    """In words."""
    words = []
    for key, word in (
        ("minimum", "at least"),
        ("exclusiveMinimum", "above"),
        ("maximum", "at most"),
        ("exclusiveMaximum", "below"),
    ):
        if key in part:
            words.append(f" {word} {part[key]:,}")
    return " and".join(words)


def default(part: Schema, schema: Schema) -> str:
    """As YAML; empty where there is none, or where it is that of each key within."""
    value = resolved(part, schema).get("default")
    return "" if value in (None, []) or isinstance(value, dict) else code(value)


def example(part: Schema) -> str:
    """As YAML."""
    return "<br>".join(code(each) for each in part.get("examples", ()))


def code(value: Any) -> str:
    """A value as YAML, in one line."""
    return f"`{flow(value)}`".replace("|", "\\|")


def flow(value: Any) -> str:
    """A value as YAML's flow style, which needs fewer quotes than JSON."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, str) and not any(each in value for each in ":,[]{}<>#"):
        return value
    return json.dumps(value)


def table(lines: list[tuple[str, ...]]) -> str:
    """A table of Markdown."""
    head = ("key", "what", "a value is", "default", "example")
    return "\n".join(
        "| " + " | ".join(line) + " |" for line in (head, ("---",) * len(head), *lines)
    )


def page() -> str:
    """The page of this version, whatever is installed beside it."""
    return render(sweep_schema())


if __name__ == "__main__":
    PATH.write_text(page(), encoding="utf-8")
    print(f"wrote {PATH}")
