"""The JSON documents of `--json`, one a command, also of one that fails."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Any

import typer

from hpsearch.machine import version_of

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]


def print_document(command: str, **content: Any) -> None:
    """Print a command's document: `hpsearch` (the version), `command` and the content.

    Numbers that JSON does not have, and missing ones, are null.
    """
    document = {"hpsearch": version_of("hpsearch"), "command": command} | content
    typer.echo(json.dumps(_plain(document), default=str, allow_nan=False))


def print_error(message: str, exit_code: int) -> None:
    """Print the document of a command that failed, beside the line on stderr."""
    error = {"message": message, "exit_code": exit_code}
    typer.echo(json.dumps({"hpsearch": version_of("hpsearch"), "error": error}))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    # Numbers of NumPy and pandas.
    value = value.item() if hasattr(value, "item") else value
    missing = value is None or (isinstance(value, float) and not math.isfinite(value))
    return None if missing or type(value).__name__ in ("NAType", "NaTType") else value
