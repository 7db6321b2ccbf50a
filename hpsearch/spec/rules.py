"""Rules: what one value of a sweep file may be, in words for people and as JSON Schema."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, Self, TypeVar, runtime_checkable

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from hpsearch.wording import did_you_mean, listing, nearest, show, unquote_hint

Loc = tuple[str | int, ...]
Fault = tuple[Loc, str]
T = TypeVar("T")

#: pydantic's error type of every message that is already in our words.
ERROR_TYPE = "hpsearch"
#: More faults of one part are not told; whoever has them needs another tool.
MOST_FAULTS = 500
REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\Z", re.ASCII)
_FUNCTION = "must be a function as 'package.module:function'"


class InvalidValue(ValueError):
    """A value that breaks rules; each fault has its place within the value and a message."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(message for _, message in self.faults))

    @classmethod
    def at(cls, message: str, *loc: str | int) -> InvalidValue:
        """One fault at `loc` within the value; no `loc` means the value itself."""
        return cls([(loc, message)])


class Collector:
    """Gathers the faults of several checks, so that a file's problems are all told at once."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def add(self, message: str, *loc: str | int) -> None:
        """Note a fault at `loc`."""
        if len(self.faults) < MOST_FAULTS:
            self.faults.append((loc, message))

    def run(self, check: Callable[[Any], T], value: Any, *loc: str | int) -> T | None:
        """`check(value)`, or None after noting its faults below `loc`."""
        try:
            return check(value)
        except InvalidValue as invalid:
            if len(self.faults) < MOST_FAULTS:
                self.faults.extend((loc + inner, message) for inner, message in invalid.faults)
            return None

    def finish(self) -> None:
        """Raise what was gathered.

        Raises:
            Invalid: At least one fault was noted.
        """
        if self.faults:
            raise InvalidValue(self.faults)


def as_validation_error(faults: Iterable[Fault], value: Any) -> ValidationError:
    """The faults in pydantic's form, which puts the field's own place before theirs."""
    return ValidationError.from_exception_data(
        "sweep",
        [
            InitErrorDetails(
                type=PydanticCustomError(ERROR_TYPE, "{message}", {"message": message}),
                loc=loc,
                input=value,
            )
            for loc, message in faults
        ],
    )


@dataclass(frozen=True)
class Rule:
    """What a value may be.

    Attributes:
        check: Returns the value as the sweep keeps it, or raises Invalid.
        schema: JSON Schema of what the check accepts.
        kind: `int` and `float` values may also be searched in a range.
        mapping: Whether a mapping with a `name` is a value, as for optimizers.
    """

    check: Callable[[Any], Any]
    schema: Mapping[str, Any] = field(default_factory=dict)
    kind: Literal["int", "float", "any", "names"] = "names"
    mapping: bool = False

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Hook of pydantic: the check alone decides."""
        return core_schema.no_info_plain_validator_function(self._validate)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Hook of pydantic for the JSON Schema."""
        return dict(self.schema)

    def _validate(self, value: Any) -> Any:
        try:
            return self.check(value)
        except InvalidValue as invalid:
            raise as_validation_error(invalid.faults, value) from None


def _bounds(
    minimum: float | None, maximum: float | None, above: float | None, below: float | None
) -> str:
    words = []
    if minimum is not None:
        words.append(f"at least {minimum:g}" if minimum else "0 or more")
    if above is not None:
        words.append(f"above {above:g}")
    if maximum is not None:
        words.append(f"at most {maximum:g}" if maximum < 1e6 else f"at most {maximum}")
    if below is not None:
        words.append(f"below {below:g}")
    return " and ".join(words)


def _bounds_schema(
    minimum: float | None, maximum: float | None, above: float | None, below: float | None
) -> dict[str, Any]:
    bounds = {
        "minimum": minimum,
        "maximum": maximum,
        "exclusiveMinimum": above,
        "exclusiveMaximum": below,
    }
    return {key: bound for key, bound in bounds.items() if bound is not None}


def integer(minimum: int | None = None, maximum: int | None = None) -> Rule:
    """A whole number within bounds, both included; true and false are none."""
    bounds = _bounds(minimum, maximum, None, None)
    law = f"must be a whole number{f' of {bounds}' if bounds else ''}"

    def check(value: Any) -> int:
        if isinstance(value, float) and value.is_integer():
            raise InvalidValue.at(f"{law}, not {show(value)}; write {int(value)}")
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidValue.at(f"{law}, not {show(value)}{unquote_hint(value)}")
        if (minimum is not None and value < minimum) or (maximum is not None and value > maximum):
            raise InvalidValue.at(f"{law}, not {show(value)}")
        return value

    schema = {"type": "integer", **_bounds_schema(minimum, maximum, None, None)}
    return Rule(check, {**schema, "errorMessage": law}, kind="int")


def number(
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> Rule:
    """A finite number within bounds; `above` and `below` are excluded themselves."""
    bounds = _bounds(minimum, maximum, above, below)
    law = f"must be a number{f' {bounds}' if bounds else ''}"

    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidValue.at(f"{law}, not {show(value)}{unquote_hint(value)}")
        try:
            result = float(value)
        except OverflowError:
            result = math.inf
        if not math.isfinite(result):
            raise InvalidValue.at(f"{law}, and finite, not {show(value)}")
        if (
            (minimum is not None and result < minimum)
            or (maximum is not None and result > maximum)
            or (above is not None and result <= above)
            or (below is not None and result >= below)
        ):
            raise InvalidValue.at(f"{law}, not {show(value)}")
        return result

    schema = {"type": "number", **_bounds_schema(minimum, maximum, above, below)}
    return Rule(check, {**schema, "errorMessage": law}, kind="float")


def flag() -> Rule:
    """True or false."""

    def check(value: Any) -> bool:
        if not isinstance(value, bool):
            hint = (
                ": YAML 1.2 knows no yes, no, on or off"
                if str(value).lower() in {"yes", "no", "on", "off"}
                else ""
            )
            raise InvalidValue.at(f"must be true or false, not {show(value)}{hint}")
        return value

    return Rule(check, {"type": "boolean", "errorMessage": "must be true or false"})


def text(pattern: re.Pattern[str] | None = None, law: str = "must be text") -> Rule:
    """Text that is not empty and matches `pattern`, of which `law` speaks."""

    def check(value: Any) -> str:
        if not isinstance(value, str):
            hint = ": put it in quotes" if isinstance(value, int | float) else ""
            raise InvalidValue.at(f"{law}, not {show(value)}{hint}")
        if not value.strip():
            raise InvalidValue.at(f"{law}, and is empty")
        if pattern is not None and not pattern.match(value):
            raise InvalidValue.at(f"{law}, not {show(value)}")
        return value

    schema: dict[str, Any] = {"type": "string", "minLength": 1, "errorMessage": law}
    if pattern is not None:
        schema["pattern"] = _pattern(pattern)
    return Rule(check, schema)


def _pattern(pattern: re.Pattern[str]) -> str:
    """As JSON Schema, whose patterns are JavaScript's, has it."""
    return "^" + pattern.pattern.replace(r"\Z", "$")


def one_of(
    names: Iterable[str], noun: str, aliases: Mapping[str, str] | None = None, shown: int = 12
) -> Rule:
    """One of a few names; `aliases` are accepted and replaced by what they stand for."""
    known = tuple(names)
    other = dict(aliases or {})
    rule = (
        f"must be {listing(known)}"
        if len(known) <= shown
        else f"must be one of Keras' {len(known)} names"
    )

    def check(value: Any) -> str:
        if isinstance(value, str) and value in other:
            return other[value]
        if not isinstance(value, str):
            raise InvalidValue.at(f"{noun} {rule}, not {show(value)}")
        if value not in known:
            hint = did_you_mean(value, [*known, *other])
            raise InvalidValue.at(f"unknown {noun} {show(value)[9:]}: it {rule}{hint}")
        return value

    accepted = [*known, *(name for name in other if name not in known)]
    return Rule(check, {"enum": accepted, "errorMessage": rule})


def reference() -> Rule:
    """One's own code as `package.module:function`."""
    return text(REFERENCE, _FUNCTION)


def reference_schema() -> dict[str, Any]:
    """JSON Schema of `package.module:function`."""
    return {"type": "string", "pattern": _pattern(REFERENCE), "errorMessage": _FUNCTION}


def sequence(item: Rule, noun: str) -> Rule:
    """A list, kept as a tuple, of at least one item."""

    def check(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise InvalidValue.at(f"must be a list of {noun}, not {show(value)}")
        if not value:
            raise InvalidValue.at(f"must be a list of at least one of {noun}, and is empty")
        faults = Collector()
        items = tuple(faults.run(item.check, entry, index) for index, entry in enumerate(value))
        faults.finish()
        return items

    law = f"must be a list of {noun}"
    items = dict(item.schema)
    return Rule(check, {"type": "array", "items": items, "minItems": 1, "errorMessage": law})


_SECONDS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0}
_DURATION = re.compile(
    r"(?=\d)(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?\Z",
    re.ASCII,
)


def duration() -> Rule:
    """A time in seconds, or text such as `30m`, `1h30m`, `90s`; kept in seconds."""
    law = "must be a time such as 30m, 1h30m or 90s, or a number of seconds above 0"

    def check(value: Any) -> float:
        if isinstance(value, str):
            match = _DURATION.match(value)
            if match is None or len(value) > 40:
                raise InvalidValue.at(f"{law}, not {show(value)}{unquote_hint(value)}")
            parts = zip(match.groups(), _SECONDS.values(), strict=True)
            seconds = sum(float(amount) * unit for amount, unit in parts if amount)
        elif isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidValue.at(f"{law}, not {show(value)}")
        else:
            seconds = value
        if not 0 < seconds <= 1e10:
            raise InvalidValue.at(f"{law}, not {show(value)}")
        return float(seconds)

    schema = {
        "anyOf": [
            {"type": "number", "exclusiveMinimum": 0},
            {"type": "string", "pattern": _pattern(_DURATION)},
        ],
        "errorMessage": law,
    }
    return Rule(check, schema)


_UNITS = {unit: 1000**power for power, unit in enumerate(("B", "KB", "MB", "GB", "TB"))}
_UNITS |= {unit: 1024**power for power, unit in enumerate(("KiB", "MiB", "GiB", "TiB"), 1)}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,15})?) ?([KMGT]i?B|B)\Z", re.ASCII)


def byte_size() -> Rule:
    """`auto`, a number of bytes, or text such as `2GB`; kept in bytes."""
    law = "must be auto or a size such as 2GB or 512MB"

    def check(value: Any) -> int | Literal["auto"]:
        if value == "auto":
            return "auto"
        if isinstance(value, str) and (match := _SIZE.match(value)):
            size = int(float(match.group(1)) * _UNITS[match.group(2)])
        elif isinstance(value, int) and not isinstance(value, bool):
            size = value
        else:
            raise InvalidValue.at(f"{law}, not {show(value)}{unquote_hint(value)}")
        if not 0 < size <= 2**60:
            raise InvalidValue.at(f"{law}, not {show(value)}")
        return size

    schema = {
        "anyOf": [
            {"const": "auto"},
            {"type": "integer", "minimum": 1},
            {"type": "string", "pattern": _pattern(_SIZE)},
        ],
        "errorMessage": law,
    }
    return Rule(check, schema)


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
        raise InvalidValue.at(f"{law}, not {show(value)}")
    wrong = [key for key in value if not isinstance(key, str)]
    if wrong:
        raise InvalidValue.at(f"{law}; the key {show(wrong[0])} is no text")
    return value
