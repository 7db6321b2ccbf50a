"""The base of the sweep's frozen models: unknown keys and wrong shapes, said in our words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, Self, runtime_checkable

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)

from hpsearch.sweep.rules import ERROR_TYPE, Fault, Invalid, as_validation_error
from hpsearch.sweep.wording import did_you_mean, listing, nearest, show

__all__ = ["Spec", "SupportsRaw", "faults_of", "plain", "require_mapping"]


@runtime_checkable
class SupportsRaw(Protocol):
    """A part that knows how a sweep file writes it."""

    def raw(self) -> Any:
        """As a sweep file writes it."""


def plain(value: Any) -> Any:
    """A part of a sweep as YAML and JSON know it: mappings, lists and scalars."""
    if isinstance(value, SupportsRaw):
        return value.raw()
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


class Spec(BaseModel):
    """A mapping of a sweep file: frozen, its keys are its fields, any other key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def keys(cls) -> tuple[str, ...]:
        """The keys as a file writes them."""
        return tuple(field.alias or name for name, field in cls.model_fields.items())

    def raw(self) -> Any:
        """This part as a sweep file writes it; reading that gives an equal part."""
        fields = type(self).model_fields
        return {
            field.alias or name: plain(getattr(self, name))
            for name, field in fields.items()
            if getattr(self, name) is not None
        }

    def check(self) -> Iterator[Fault]:
        """Faults between keys that are sound each for itself."""
        return iter(())

    @model_validator(mode="wrap")
    @classmethod
    def _in_our_words(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(data, Mapping | cls):
            keys = listing(cls.keys())
            raise as_validation_error(
                [((), f"must be a mapping with the keys {keys}, not {show(data)}")], data
            )
        try:
            spec = handler(data)
        except ValidationError as error:
            raise as_validation_error(faults_of(error, cls.keys()), data) from None
        faults = list(spec.check())
        if faults:
            raise as_validation_error(faults, data)
        return spec


def faults_of(error: ValidationError, keys: tuple[str, ...]) -> list[Fault]:
    """Errors of pydantic about one mapping with these keys, as faults."""
    details = error.errors(include_url=False, include_context=False)
    meant = {
        nearest(detail["loc"][-1], keys)
        for detail in details
        if detail["type"] == "extra_forbidden"
    }
    return [
        (tuple(detail["loc"]), _message(detail, keys))
        for detail in details
        # A misspelt key is one mistake, not also a missing one.
        if not (detail["type"] == "missing" and detail["loc"][-1] in meant)
    ]


def _message(detail: Any, keys: tuple[str, ...]) -> str:
    kind, loc = detail["type"], detail["loc"]
    if kind == ERROR_TYPE:
        return str(detail["msg"])
    if kind == "missing":
        return "is missing"
    if kind in {"extra_forbidden", "invalid_key"}:
        hint = did_you_mean(loc[-1], keys) if loc else ""
        return f"unknown key; allowed are {listing(keys)}{hint}"
    return f"{detail['msg']}, not {show(detail['input'])}"


def require_mapping(value: Any, law: str) -> Mapping[str, Any]:
    """`value` where it is a mapping with text keys.

    Raises:
        Invalid: It is not.
    """
    if not isinstance(value, Mapping):
        raise Invalid.at(f"{law}, not {show(value)}")
    wrong = [key for key in value if not isinstance(key, str)]
    if wrong:
        raise Invalid.at(f"{law}; the key {show(wrong[0])} is no text")
    return value
