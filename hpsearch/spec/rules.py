"""Rules for single values of a sweep file, with messages for people and a JSON Schema.

pydantic builds and freezes the models and collects errors. Its own constraints are not used: their
messages name only the bound that failed, without a hint such as "remove the quotes". The values of
hyperparameters are not fields of a model, but need the same rules.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from hpsearch.spec.words import VALUES
from hpsearch.wording import (
    list_hint,
    listing,
    nearest,
    show,
    space_hint,
    unknown_hint,
    unquote_hint,
)

Loc = tuple[str | int, ...]
Fault = tuple[Loc, str]
K = TypeVar("K", bound=str | int)
T = TypeVar("T")

#: pydantic's error type for hpsearch's messages.
ERROR_TYPE = "hpsearch"
#: Most faults to report in one part.
MOST_FAULTS = 500
REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\Z", re.ASCII)


class InvalidValue(ValueError):
    """A value that breaks rules; each fault is a place within the value and a message."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(message for _, message in self.faults))

    @classmethod
    def at(cls, message: str, *loc: str | int) -> InvalidValue:
        """Return an error with one fault, at `loc` or of the value itself."""
        return cls([(loc, message)])


class Collector:
    """Collects the faults of several checks, so that all are reported at once."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def add(self, message: str, *loc: str | int) -> None:
        """Add a fault at `loc`."""
        if len(self.faults) < MOST_FAULTS:
            self.faults.append((loc, message))

    def run(self, check: Callable[[Any], T], value: Any, *loc: str | int) -> T | None:
        """Return `check(value)`, or None after adding its faults below `loc`."""
        try:
            return check(value)
        except InvalidValue as invalid:
            if len(self.faults) < MOST_FAULTS:
                self.faults.extend((loc + inner, message) for inner, message in invalid.faults)
            return None

    def finish(self) -> None:
        """Raise the faults, if any.

        Raises:
            InvalidValue: At least one fault was added.
        """
        if self.faults:
            raise InvalidValue(self.faults)


def check_each(check: Callable[[Any], T], values: Iterable[tuple[K, Any]]) -> dict[K, T]:
    """Check the value at each place, and report all faults together.

    Raises:
        InvalidValue: At least one value has a fault.
    """
    faults = Collector()
    checked: dict[K, Any] = {place: faults.run(check, value, place) for place, value in values}
    faults.finish()
    return checked


def check_key(check: Callable[[Any], T], mapping: Mapping[str, Any], key: str) -> T:
    """Check the value of one key.

    Raises:
        InvalidValue: With its faults at the key.
    """
    return check_each(check, [(key, mapping[key])])[key]


def mapping_of(data: Any) -> Mapping[str, Any]:
    """Return the data of a sweep file.

    Raises:
        ValidationError: It is not a mapping.
    """
    if not isinstance(data, Mapping):
        raise as_validation_error([((), f"must be a mapping, not {show(data)}")], data)
    return data


def as_validation_error(faults: Iterable[Fault], value: Any) -> ValidationError:
    """Return the faults as pydantic's error, to which pydantic adds the place of the field."""
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
    """The values that a key accepts.

    Attributes:
        check: Returns the value as the sweep keeps it, or raises InvalidValue.
        schema: JSON Schema of the accepted values.
        kind: `names` accept no range.
        mapping: Whether a mapping with a `name` is a value, as for optimizers.
        description: Description of a key with this rule.
        examples: Examples of what a file has for the key.
    """

    check: Callable[[Any], Any]
    schema: Mapping[str, Any] = field(default_factory=dict)
    kind: Literal["int", "float", "any", "names"] = "names"
    mapping: bool = False
    description: str = ""
    examples: tuple[Any, ...] = ()

    def about(self, description: str, *examples: Any) -> Rule:
        """Return the rule with a description of its key."""
        return replace(self, description=description, examples=examples)

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Let pydantic validate by the check alone."""
        return core_schema.no_info_plain_validator_function(self._validate)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Give pydantic the rule's JSON Schema."""
        return dict(self.schema)

    def _validate(self, value: Any) -> Any:
        try:
            return self.check(value)
        except InvalidValue as invalid:
            raise as_validation_error(invalid.faults, value) from None


#: Keyword of JSON Schema -> the comparison with a bound, and its name.
_BOUNDS: dict[str, tuple[Callable[[float, float], bool], str]] = {
    "minimum": (operator.ge, "at least"),
    "exclusiveMinimum": (operator.gt, "above"),
    "maximum": (operator.le, "at most"),
    "exclusiveMaximum": (operator.lt, "below"),
}


def _worded(bounds: Mapping[str, float]) -> str:
    return " and ".join(
        "0 or more"
        if (keyword, bound) == ("minimum", 0)
        else f"{_BOUNDS[keyword][1]} {f'{bound:g}' if abs(bound) < 1e6 else bound}"
        for keyword, bound in bounds.items()
    )


def _within(value: float, bounds: Mapping[str, float]) -> bool:
    return all(_BOUNDS[keyword][0](value, bound) for keyword, bound in bounds.items())


def integer(minimum: int | None = None, maximum: int | None = None) -> Rule:
    """A whole number within inclusive bounds, but not true or false."""
    limits = {"minimum": minimum, "maximum": maximum}
    bounds = {keyword: bound for keyword, bound in limits.items() if bound is not None}
    requirement = f"must be a whole number{f' of {_worded(bounds)}' if bounds else ''}"

    def check(value: Any) -> int:
        if isinstance(value, float) and value.is_integer():
            raise InvalidValue.at(f"{requirement}, not {show(value)}; write {int(value)}")
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidValue.at(f"{requirement}, not {show(value)}{unquote_hint(value)}")
        if not _within(value, bounds):
            raise InvalidValue.at(f"{requirement}, not {show(value)}")
        return value

    return Rule(check, {"type": "integer", **bounds, "errorMessage": requirement}, kind="int")


def number(
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> Rule:
    """A finite number within bounds, of which `above` and `below` are exclusive."""
    limits = {
        "minimum": minimum,
        "exclusiveMinimum": above,
        "maximum": maximum,
        "exclusiveMaximum": below,
    }
    bounds = {keyword: bound for keyword, bound in limits.items() if bound is not None}
    requirement = f"must be a number{f' {_worded(bounds)}' if bounds else ''}"

    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidValue.at(f"{requirement}, not {show(value)}{unquote_hint(value)}")
        try:
            result = float(value)
        except OverflowError:
            result = math.inf
        if not math.isfinite(result):
            raise InvalidValue.at(f"{requirement}, and finite, not {show(value)}")
        if not _within(result, bounds):
            raise InvalidValue.at(f"{requirement}, not {show(value)}")
        return result

    return Rule(check, {"type": "number", **bounds, "errorMessage": requirement}, kind="float")


def flag() -> Rule:
    """True or false."""

    def check(value: Any) -> bool:
        if not isinstance(value, bool):
            hint = (
                ": in YAML 1.2 yes, no, on and off are text"
                if str(value).lower() in {"yes", "no", "on", "off"}
                else ""
            )
            raise InvalidValue.at(f"must be true or false, not {show(value)}{hint}")
        return value

    return Rule(check, {"type": "boolean", "errorMessage": "must be true or false"})


def text(pattern: re.Pattern[str] | None = None, requirement: str = "must be text") -> Rule:
    """Text that is not empty and matches `pattern`, which `requirement` describes."""

    def check(value: Any) -> str:
        if not isinstance(value, str):
            hint = ": put it in quotes" if isinstance(value, int | float) else ""
            raise InvalidValue.at(f"{requirement}, not {show(value)}{hint}")
        if not value.strip():
            raise InvalidValue.at(f"{requirement}, and is empty")
        if pattern is not None and not pattern.match(value):
            raise InvalidValue.at(f"{requirement}, not {show(value)}")
        return value

    schema: dict[str, Any] = {"type": "string", "minLength": 1, "errorMessage": requirement}
    if pattern is not None:
        schema["pattern"] = _pattern(pattern)
    return Rule(check, schema)


def _pattern(pattern: re.Pattern[str]) -> str:
    # JSON Schema's patterns are JavaScript's.
    return "^" + pattern.pattern.replace(r"\Z", "$")


def one_of(
    names: Iterable[str], noun: str, aliases: Mapping[str, str] | None = None, shown: int = 12
) -> Rule:
    """One of `names`, or one of `aliases`, which is replaced by its value."""
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
            hint = list_hint(value, {*known, *other}.__contains__)
            hint = hint or unknown_hint(value, VALUES.get(noun, {}), [*known, *other])
            raise InvalidValue.at(f"unknown {noun} {show(value)[9:]}: it {rule}{hint}")
        return value

    accepted = [*known, *(name for name in other if name not in known)]
    return Rule(check, {"enum": accepted, "errorMessage": rule})


def reference() -> Rule:
    """A reference to a function of the user, as `package.module:function`."""
    return text(REFERENCE, "must be a function as 'package.module:function'")


def sequence(item: Rule, noun: str) -> Rule:
    """A list of at least one item, kept as a tuple."""

    def check(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise InvalidValue.at(f"must be a list of {noun}, not {show(value)}")
        if not value:
            raise InvalidValue.at(f"must be a list of at least one of {noun}, and is empty")
        return tuple(check_each(item.check, enumerate(value)).values())

    requirement = f"must be a list of {noun}"
    items = dict(item.schema)
    return Rule(
        check, {"type": "array", "items": items, "minItems": 1, "errorMessage": requirement}
    )


_SECONDS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0}
_DURATION = re.compile(
    r"(?=\d)(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?\Z",
    re.ASCII,
)


def duration() -> Rule:
    """A time as seconds or text such as `1h30m`, kept in seconds."""
    requirement = "must be a time such as 30m, 1h30m or 90s, or a number of seconds above 0"

    def check(value: Any) -> float:
        if isinstance(value, str):
            match = _DURATION.match(value)
            if match is None or len(value) > 40:
                raise InvalidValue.at(f"{requirement}, not {show(value)}{unquote_hint(value)}")
            parts = zip(match.groups(), _SECONDS.values(), strict=True)
            seconds = sum(float(amount) * unit for amount, unit in parts if amount)
        elif isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidValue.at(f"{requirement}, not {show(value)}")
        else:
            seconds = value
        if not 0 < seconds <= 1e10:
            raise InvalidValue.at(f"{requirement}, not {show(value)}")
        return float(seconds)

    schema = {
        "anyOf": [
            {"type": "number", "exclusiveMinimum": 0},
            {"type": "string", "pattern": _pattern(_DURATION)},
        ],
        "errorMessage": requirement,
    }
    return Rule(check, schema)


_UNITS = {unit: 1000**power for power, unit in enumerate(("B", "KB", "MB", "GB", "TB"))}
_UNITS |= {unit: 1024**power for power, unit in enumerate(("KiB", "MiB", "GiB", "TiB"), 1)}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,15})?) ?([KMGT]i?B|B)\Z", re.ASCII)


def byte_size() -> Rule:
    """`auto`, or a size as bytes or text such as `2GB`, kept in bytes."""
    requirement = "must be auto or a size such as 2GB or 512MB"

    def check(value: Any) -> int | Literal["auto"]:
        if value == "auto":
            return "auto"
        if isinstance(value, str) and (match := _SIZE.match(value)):
            size = int(float(match.group(1)) * _UNITS[match.group(2)])
        elif isinstance(value, int) and not isinstance(value, bool):
            size = value
        else:
            raise InvalidValue.at(f"{requirement}, not {show(value)}{unquote_hint(value)}")
        if not 0 < size <= 2**60:
            raise InvalidValue.at(f"{requirement}, not {show(value)}")
        return size

    schema = {
        "anyOf": [
            {"const": "auto"},
            {"type": "integer", "minimum": 1},
            {"type": "string", "pattern": _pattern(_SIZE)},
        ],
        "errorMessage": requirement,
    }
    return Rule(check, schema)


def plain(value: Any) -> Any:
    """Return a part of a sweep as a file has it: mappings, lists and scalars."""
    if hasattr(value, "raw"):
        return value.raw()
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


class Spec(BaseModel):
    """A frozen mapping of a sweep file with fixed keys, its fields; any other key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    #: Other tools' names for the keys (see `hpsearch.spec.words`).
    words: ClassVar[Mapping[str, str]] = MappingProxyType({})

    @classmethod
    def keys(cls) -> tuple[str, ...]:
        """Return the keys as a file has them."""
        return tuple(field.alias or name for name, field in cls.model_fields.items())

    def raw(self) -> Any:
        """Return this part as a sweep file has it; reading the result gives an equal part."""
        fields = type(self).model_fields
        return {
            field.alias or name: plain(getattr(self, name))
            for name, field in fields.items()
            if getattr(self, name) is not None
        }

    def check(self) -> Iterator[Fault]:
        """Yield faults between keys that are valid one by one."""
        return iter(())

    @model_validator(mode="wrap")
    @classmethod
    def _check_all(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(data, Mapping | cls):
            keys = listing(cls.keys())
            raise as_validation_error(
                [((), f"must be a mapping with the keys {keys}, not {show(data)}")], data
            )
        try:
            spec = handler(data)
        except ValidationError as error:
            raise as_validation_error(faults_of(error, cls.keys(), cls.words), data) from None
        faults = list(spec.check())
        if faults:
            raise as_validation_error(faults, data)
        return spec


def about(description: str, *examples: Any) -> Any:
    """Describe a field of a Spec."""
    return Field(description=description, examples=list(examples) or None)


def described(schema: Mapping[str, Any], description: str, *examples: Any) -> dict[str, Any]:
    """Describe a key in its JSON Schema."""
    return {**schema, "description": description, "examples": list(examples)}


def faults_of(
    error: ValidationError, keys: tuple[str, ...], words: Mapping[str, str] = MappingProxyType({})
) -> list[Fault]:
    """Return pydantic's errors about a mapping with these keys as faults.

    Args:
        words: Other tools' names for the keys (see `hpsearch.spec.words`).
    """
    details = error.errors(include_url=False, include_context=False)
    meant = {
        nearest(detail["loc"][-1], keys)
        for detail in details
        if detail["type"] == "extra_forbidden"
    }
    return [
        (tuple(detail["loc"]), _message(detail, keys, words))
        for detail in details
        # A misspelt key is not also reported as missing.
        if not (detail["type"] == "missing" and detail["loc"][-1] in meant)
    ]


def _message(detail: Any, keys: tuple[str, ...], words: Mapping[str, str]) -> str:
    kind, loc = detail["type"], detail["loc"]
    if kind == ERROR_TYPE:
        return str(detail["msg"])
    if kind == "missing":
        return "is missing"
    if kind in {"extra_forbidden", "invalid_key"}:
        space = space_hint(str(loc[-1])) if loc else ""
        if space:
            return f"unknown key; {space}"
        if loc and loc[-1] in words:
            return f"unknown key{unknown_hint(loc[-1], words, keys)}"
        hint = unknown_hint(loc[-1], {}, keys) if loc else ""
        return f"unknown key; allowed are {listing(keys)}{hint}"
    return f"{detail['msg']}, not {show(detail['input'])}"


def require_mapping(value: Any, requirement: str) -> Mapping[str, Any]:
    """Return `value` if it is a mapping whose keys are text.

    Raises:
        InvalidValue: It is not.
    """
    if not isinstance(value, Mapping):
        hint = space_hint(value) if isinstance(value, str) else ""
        raise InvalidValue.at(f"{requirement}, not {show(value)}{hint and f'; {hint}'}")
    wrong = [key for key in value if not isinstance(key, str)]
    if wrong:
        raise InvalidValue.at(f"{requirement}; the key {show(wrong[0])} is not text")
    return value
