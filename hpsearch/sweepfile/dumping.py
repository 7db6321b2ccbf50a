"""Sweeps back to sweep files, and the JSON Schema of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import yaml
from pydantic.json_schema import GenerateJsonSchema

from hpsearch import extensions
from hpsearch.space import Choices, Parameter
from hpsearch.sweep import Sweep
from hpsearch.sweep.base import plain
from hpsearch.sweep.rules import ENTRY_POINTS
from hpsearch.sweep.wandb import IGNORED, KEYS
from hpsearch.sweep.wording import listing
from hpsearch.sweepfile.yaml12 import add_core_resolvers

__all__ = ["dump", "schema"]

SCHEMA_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


class _Dumper(yaml.SafeDumper):
    """Quotes what YAML 1.1 or 1.2 would take for anything but text."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML names it
        """Never write an anchor: our own loader refuses them."""
        return True


add_core_resolvers(_Dumper)


def dump(sweep: Sweep, found: Sequence[Parameter] = ()) -> str:
    """The resolved sweep as a file's text; loading it gives an equal sweep.

    Args:
        found: What a model of one's own asks for. They are comments, so that a run of the file
            asks the model again, which may have changed.
    """
    text = _dumped(sweep.raw(), flow=None, width=100)
    others = [parameter for parameter in found if parameter.name not in sweep.parameters]
    if not others:
        return text
    text += f"# What else {sweep.model} asks for, as `parameters` would say it:\n"
    for parameter in others:
        # In one line, whatever it holds.
        line = _dumped({parameter.name: _raw(parameter)}, flow=True, width=float("inf"))
        text += f"#   {line.strip()[1:-1]}\n"
    return text


def _dumped(raw: Any, *, flow: bool | None, width: float) -> str:
    text: str = yaml.dump(
        raw,
        Dumper=_Dumper,
        sort_keys=False,
        default_flow_style=flow,
        allow_unicode=True,
        width=width,
    )
    return text


def _raw(parameter: Parameter) -> Any:
    """As a sweep file says it."""
    domain = parameter.domain
    if isinstance(domain, Choices):
        if not parameter.when:
            return list(domain.values)
        raw: dict[str, Any] = {"values": list(domain.values)}
    else:
        raw = {"min": domain.min, "max": domain.max}
        if domain.step is not None:
            raw["step"] = domain.step
        if domain.log:
            raw["scale"] = "log"
    if parameter.when:
        raw["when"] = {name: list(values) for name, values in parameter.when.items()}
    return raw


class _InOurOrder(GenerateJsonSchema):
    """pydantic sorts by name."""

    def sort(self, value: Any, parent_key: str | None = None) -> Any:
        """As it is."""
        del parent_key
        return value


def schema(added: Callable[[str], tuple[str, ...]] = extensions.names) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a sweep file, from the model that validates it.

    Args:
        added: From a group of entry points to the names that packages add to it.
    """
    body = Sweep.model_json_schema(by_alias=True, mode="validation", schema_generator=_InOurOrder)
    # A file's name defaults to its stem.
    body["required"] = [key for key in body.get("required", ()) if key != "name"]
    properties = body["properties"] | KEYS
    for key, field in Sweep.model_fields.items():
        if "default" in properties[key]:
            properties[key]["default"] = plain(field.default)
    properties |= {key: {"description": "W&B's key; ignored."} for key in IGNORED}
    whole: dict[str, Any] = _extended(
        {
            "$schema": SCHEMA_DIALECT,
            **body,
            "title": "hpsearch sweep",
            "description": "A hyperparameter sweep over Keras MLPs.",
            "properties": properties,
        },
        added,
    )
    return whole


def _extended(part: Any, added: Callable[[str], tuple[str, ...]]) -> Any:
    """A part of the schema with the names that packages add."""
    if isinstance(part, list):
        parts = [_extended(each, added) for each in part]
        return [each for each in parts if not _is_hopeless(each)]
    if not isinstance(part, dict):
        return part
    extended = {key: _extended(value, added) for key, value in part.items()}
    more = added(part[ENTRY_POINTS]) if ENTRY_POINTS in part else ()
    if more:
        extended["enum"] = [*part["enum"], *more]
        extended["errorMessage"] = f"must be {listing(extended['enum'])}"
    return extended


def _is_hopeless(part: Any) -> bool:
    """Whether nothing can be of its kind: no package adds a method."""
    name = part.get("properties", {}).get("name", {}) if isinstance(part, dict) else {}
    return ENTRY_POINTS in name and not name["enum"]
