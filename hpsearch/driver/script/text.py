"""Values and statements as Python's source text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["call", "imported", "joined", "listing", "literal", "numbers"]

_WIDTH = 96
#: Room for what stands around an expression.
_AROUND = 20


def literal(value: Any) -> str:
    """A value as its source text."""
    if isinstance(value, Mapping):
        items = (f"{literal(key)}: {literal(item)}" for key, item in value.items())
        return f"{{{', '.join(items)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    text = repr(value)
    plain = isinstance(value, str) and not {"'", '"', "\\"} & set(text[1:-1])
    return f'"{value}"' if plain else text


def listing(values: Iterable[Any]) -> str:
    """A list; over several lines where it is long."""
    items = [literal(value) for value in values]
    if sum(len(item) + 2 for item in items) <= _WIDTH - _AROUND:
        return f"[{', '.join(items)}]"
    lines = [""]
    for item in items:
        # Not by words: there may be spaces in an item.
        if lines[-1] and len(lines[-1]) + len(item) + 2 > _WIDTH:
            lines.append("")
        lines[-1] += f"{item}, "
    return "\n".join(["[", *(f"    {line.rstrip()}" for line in lines), "]"])


def numbers(values: Sequence[float]) -> str:
    """Numbers `(n,)` as a float32 array, or one number as itself."""
    if len(values) == 1:
        return f"np.float32({values[0]!r})"
    return f'np.array({listing(values)}, "float32")'


def call(
    function: str, positional: Sequence[str] = (), named: Mapping[str, str] | None = None
) -> str:
    """A call; over several lines where it is long.

    Args:
        positional, named: The arguments' source text.
    """
    arguments = [*positional, *(f"{name}={text}" for name, text in (named or {}).items())]
    line = f"{function}({', '.join(arguments)})"
    if len(line) <= _WIDTH - _AROUND and "\n" not in line:
        return line
    lines = "".join(f"{argument},\n" for argument in arguments)
    return f"{function}(\n{textwrap.indent(lines, '    ')})"


def imported(reference: str, name: str) -> str:
    """Statements after which what `package.module:attribute` refers to is called `name`."""
    module, _, attribute = reference.partition(":")
    first, *inner = attribute.split(".")
    line = f"from {module} import {first} as {name}"
    return "\n".join([line, *([f"{name} = {'.'.join([name, *inner])}"] if inner else [])])


def joined(parts: Iterable[str]) -> str:
    """Parts of a program, with two blank lines around definitions and one between others."""
    text = ""
    for part in (each.strip("\n") for each in parts):
        if text:
            defined = [line for line in text.splitlines() if line[:1].strip(" )]}")][-1]
            wide = part.startswith("def ") or defined.startswith("def ")
            text += "\n\n\n" if wide else "\n\n"
        text += part
    return text + "\n"
