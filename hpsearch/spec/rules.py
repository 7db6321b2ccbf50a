"""Rules for the values and keys of a sweep file, with messages for people and a JSON Schema.

A value that breaks a rule raises InvalidValue, with the place of every fault.
"""

from __future__ import annotations

import inspect
import operator
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Self, TypeVar, dataclass_transform

from hpsearch.spec.words import VALUES
from hpsearch.wording import is_number, listing, nearest, show, space_hint, unknown_hint

Loc = tuple[str | int, ...]
Fault = tuple[Loc, str]
K = TypeVar("K", bound=str | int)
T = TypeVar("T")

#: A sweep's name is that of its results directory: no separator, not `.` or `..`.
MOST_NAME = 64
NAME = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,64}\Z", re.ASCII)
#: Most faults to report in one part.
MOST_FAULTS = 500
_NO_VALUE = "has no value; write one, or delete the line"
_NUMBER = re.compile(r"[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?\Z")
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
        self.faults.append((loc, message))

    def run(self, check: Callable[[Any], T], value: Any, *loc: str | int) -> T | None:
        """Return `check(value)`, or None after adding its faults below `loc`."""
        try:
            return check(value)
        except InvalidValue as invalid:
            faults = invalid.faults if value is not None else (((), _NO_VALUE),)
            room = max(MOST_FAULTS - len(self.faults), 0)
            self.faults += [(loc + inner, message) for inner, message in faults[:room]]
            return None

    def finish(self) -> None:
        """Raise the faults, if any."""
        if self.faults:
            raise InvalidValue(self.faults)


def check_each(check: Callable[[Any], T], values: Iterable[tuple[K, Any]]) -> dict[K, T]:
    """Check the value at each place, and report all faults together."""
    faults = Collector()
    checked: dict[K, Any] = {key: faults.run(check, value, key) for key, value in values}
    faults.finish()
    return checked


def check_key(check: Callable[[Any], T], mapping: Mapping[str, Any], key: str) -> T:
    """Check the value of one key."""
    return check_each(check, [(key, mapping[key])])[key]


@dataclass(frozen=True)
class Rule:
    """The values that a key accepts.

    Attributes:
        check: Returns the value as the sweep keeps it, or raises InvalidValue.
        schema: JSON Schema of the accepted values.
        kind: `names` accept no range.
        mapping: Whether a mapping with a `name` is a value, as for optimizers.
        part: The part of a file that the value is, if it is one.
    """

    check: Callable[[Any], Any]
    schema: Mapping[str, Any] = field(default_factory=dict)
    kind: Literal["int", "float", "any", "names"] = "names"
    mapping: bool = False
    description: str = ""
    examples: tuple[Any, ...] = ()
    part: type[Spec] | None = None

    def about(self, description: str, *examples: Any) -> Rule:
        """Return the rule with a description of its key."""
        return replace(self, description=description, examples=examples)

    def then(self, convert: Callable[[Any], Any]) -> Rule:
        """Return the rule of a value that the sweep keeps converted."""
        return replace(self, check=lambda value: convert(self.check(value)))


_NO_WORDS: Mapping[str, str] = MappingProxyType({})


def read_keys(
    data: Mapping[Any, Any],
    rules: Mapping[str, Rule],
    needed: Collection[str] = (),
    words: Mapping[str, str] = _NO_WORDS,
    others: Iterable[str] = (),
) -> tuple[dict[str, Any], list[Fault]]:
    """Return the values of a mapping's keys, each valid by itself, and the faults.

    Args:
        words: Other tools' names for the keys.
        others: Further keys, to name in messages.
    """
    faults = Collector()
    unknown = [name for name in data if name not in rules]
    # A misspelt key is not also reported as missing.
    meant = {nearest(name, rules) for name in unknown}
    for name in needed:
        if name not in data and name not in meant:
            faults.add("is missing", name)
    values = {
        name: faults.run(rules[name].check, item, name)
        for name, item in data.items()
        if name in rules
    }
    keys = (*rules, *others)
    for name in unknown:
        listed = "" if name in words else f"; allowed are {listing(keys) or 'none'}"
        faults.add(f"unknown key{listed}{unknown_hint(name, words, keys)}", name)
    return values, faults.faults


def check_keys(
    data: Mapping[Any, Any],
    rules: Mapping[str, Rule],
    needed: Collection[str] = (),
    words: Mapping[str, str] = _NO_WORDS,
) -> dict[str, Any]:
    """Return the values of a mapping's keys; see `read_keys`."""
    values, faults = read_keys(data, rules, needed, words)
    if faults:
        raise InvalidValue(faults)
    return values


#: Keyword of JSON Schema -> the comparison with a bound, and its name.
_BOUNDS: dict[str, tuple[Callable[[float, float], bool], str]] = {
    "minimum": (operator.ge, "at least"),
    "exclusiveMinimum": (operator.gt, "above"),
    "maximum": (operator.le, "at most"),
    "exclusiveMaximum": (operator.lt, "below"),
}


def _worded(bounds: Mapping[str, float]) -> str:
    return " and ".join(
        f"{_BOUNDS[keyword][1]} {f'{bound:g}' if abs(bound) < 1e6 else bound}"
        for keyword, bound in bounds.items()
    )


def _refused(requirement: str, value: Any) -> InvalidValue:
    return InvalidValue.at(f"{requirement}, not {show(value)}{unquote_hint(value)}")


def unquote_hint(value: Any) -> str:
    """Return a hint for a number in quotes, or for numbers without brackets; else nothing."""
    if not isinstance(value, str):
        return ""
    if _NUMBER.match(value.strip()):
        return ": remove the quotes"
    return list_hint(value, _NUMBER.match)


def list_hint(value: str, known: Callable[[str], object]) -> str:
    """Return a hint such as `: write [relu, tanh] for a list` if all parts are known."""
    parts = [part.strip() for part in value.split(",")]
    if len(parts) < 2 or not all(map(known, parts)):
        return ""
    return f": write [{', '.join(parts)}] for a list"


def either(requirement: str, *rules: Rule) -> Rule:
    """A value that one of the rules accepts; a fault inside a value is that of its rule."""

    def check(value: Any) -> Any:
        for rule in rules:
            try:
                return rule.check(value)
            except InvalidValue as invalid:
                if any(loc for loc, _ in invalid.faults):
                    raise
        raise _refused(requirement, value)

    schema = {"anyOf": [dict(rule.schema) for rule in rules], "errorMessage": requirement}
    return Rule(check, schema)


def number(
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    below: float | None = None,
    *,
    whole: bool = False,
) -> Rule:
    """A finite number within bounds, of which `above` and `below` are exclusive."""
    limits = {
        "minimum": minimum,
        "exclusiveMinimum": above,
        "maximum": maximum,
        "exclusiveMaximum": below,
    }
    bounds = {keyword: bound for keyword, bound in limits.items() if bound is not None}
    noun, of = "whole number" if whole else "number", "of " if whole or "minimum" in bounds else ""
    requirement = f"must be a {noun}{f' {of}{_worded(bounds)}' if bounds else ''}"

    def check(value: Any) -> float:
        if not is_number(value) or (whole and isinstance(value, float)):
            raise _refused(requirement, value)
        # Also refuses NaN, which compares with nothing.
        if not whole and not abs(value) <= sys.float_info.max:
            raise InvalidValue.at(f"{requirement}, and finite, not {show(value)}")
        checked: float = value if whole else float(value)
        if not all(_BOUNDS[keyword][0](checked, bound) for keyword, bound in bounds.items()):
            raise _refused(requirement, value)
        return checked

    schema = {"type": "integer" if whole else "number", **bounds, "errorMessage": requirement}
    return Rule(check, schema, kind="int" if whole else "float")


def integer(minimum: int | None = None, maximum: int | None = None) -> Rule:
    """A whole number within inclusive bounds, but not true or false."""
    return number(minimum, maximum, whole=True)


def flag() -> Rule:
    """True or false."""

    def check(value: Any) -> bool:
        if not isinstance(value, bool):
            raise _refused("must be true or false", value)
        return value

    return Rule(check, {"type": "boolean", "errorMessage": "must be true or false"})


def text(pattern: re.Pattern[str] | None = None, requirement: str = "must be text") -> Rule:
    """Text that is not empty and matches `pattern`, which `requirement` describes."""

    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise InvalidValue.at(f"{requirement}, not {show(value)}; quotes make text of it")
        if not value.strip() or (pattern is not None and not pattern.match(value)):
            raise _refused(requirement, value)
        return value

    schema: dict[str, Any] = {"type": "string", "minLength": 1, "errorMessage": requirement}
    if pattern is not None:
        # JSON Schema's patterns are JavaScript's.
        schema["pattern"] = "^" + pattern.pattern.replace(r"\Z", "$")
    return Rule(check, schema)


def clean_name(name: str) -> str:
    """Return a sweep's name in the characters that a directory may have."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:MOST_NAME].strip(".-") or "sweep"


def one_of(
    names: Iterable[str], noun: str, aliases: Mapping[str, str] | None = None, shown: int = 12
) -> Rule:
    """One of `names`, or one of `aliases`, which is replaced by its value."""
    choices = tuple(names)
    other = dict(aliases or {})
    rule = (
        f"must be {listing(choices)}"
        if len(choices) <= shown
        else f"must be one of Keras' {len(choices)} names"
    )

    def check(value: Any) -> str:
        if isinstance(value, str) and value in other:
            return other[value]
        if not isinstance(value, str):
            raise InvalidValue.at(f"{noun} {rule}, not {show(value)}")
        if value not in choices:
            hint = list_hint(value, {*choices, *other}.__contains__)
            hint = hint or unknown_hint(value, VALUES.get(noun, {}), [*choices, *other])
            raise InvalidValue.at(f"unknown {noun} {show(value)[9:]}: it {rule}{hint}")
        return value

    accepted = [*choices, *(name for name in other if name not in choices)]
    return Rule(check, {"enum": accepted, "errorMessage": rule})


def reference() -> Rule:
    """A reference to a function of the user, as `package.module:function`."""
    return text(REFERENCE, "must be a function as 'package.module:function'")


def or_reference(rule: Rule) -> Rule:
    """A value that a rule accepts, or a reference to a function of the user."""
    other = reference()

    def check(value: Any) -> Any:
        return (other if isinstance(value, str) and ":" in value else rule).check(value)

    return Rule(check, {"anyOf": [dict(rule.schema), dict(other.schema)]})


def sequence(
    item: Rule, noun: str, least: int = 1, most: int | None = None, *, unique: bool = False
) -> Rule:
    """A list of `least` (0 or 1) to `most` items, kept as a tuple."""

    def check(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise InvalidValue.at(f"must be a list of {noun}, not {show(value)}")
        if not least <= len(value) <= (most or len(value)):
            bounds = f"at least {least}" + (f" and at most {most:,}" if most else "")
            raise InvalidValue.at(f"must be a list of {noun}, {bounds}, not {len(value):,}")
        faults, first = Collector(), dict[Any, int]()

        def check_item(index: int, part: Any) -> Any:
            kept = item.check(part)
            if unique and first.setdefault(_identity(kept), index) != index:
                raise InvalidValue.at(f"{show(kept)} is listed twice; every value once")
            return kept

        checked = [faults.run(partial(check_item, n), part, n) for n, part in enumerate(value)]
        faults.finish()
        return tuple(checked)

    schema: dict[str, Any] = {"type": "array", "items": dict(item.schema)}
    schema |= {"minItems": least} if least else {}
    schema |= {} if most is None else {"maxItems": most}
    schema |= {"uniqueItems": True} if unique else {}
    return Rule(check, {**schema, "errorMessage": f"must be a list of {noun}"})


def _identity(value: Any) -> Any:
    """Return a key that is equal for equal values: for 1 and 1.0, but not for 1 and true."""
    if isinstance(value, Mapping):
        return tuple(sorted((key, _identity(item)) for key, item in value.items()))
    if isinstance(value, list | tuple):
        return ("list", *map(_identity, value))
    return ("number" if is_number(value) else type(value).__name__, value)


def mapping(item: Rule, requirement: str) -> Rule:
    """A mapping of any names to values that follow a rule."""

    def check(value: Any) -> dict[str, Any]:
        return check_each(item.check, require_mapping(value, requirement).items())

    schema = {"type": "object", "additionalProperties": dict(item.schema)}
    return Rule(check, {**schema, "errorMessage": requirement})


_SECONDS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0}
_DURATION = re.compile(
    r"(?=\d)(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?\Z",
    re.ASCII,
)
_UNITS = {unit: 1000**power for power, unit in enumerate(("B", "KB", "MB", "GB", "TB"))}
_UNITS |= {unit: 1024**power for power, unit in enumerate(("KiB", "MiB", "GiB", "TiB"), 1)}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,15})?) ?([KMGT]i?B|B)\Z", re.ASCII)
#: The setting that hpsearch chooses.
AUTO = one_of(("auto",), "setting")


def duration() -> Rule:
    """A time as seconds or text such as `1h30m`, kept in seconds."""

    def read(value: str) -> Any:
        parts = zip(_DURATION.findall(value)[0], _SECONDS.values(), strict=True)
        return seconds.check(sum(float(amount) * unit for amount, unit in parts if amount))

    seconds = number(above=0, maximum=1e10)
    requirement = "must be a time such as 30m, 1h30m or 90s, or a number of seconds above 0"
    return either(requirement, seconds, text(_DURATION).then(read))


def byte_size() -> Rule:
    """`auto`, or a size as bytes or text such as `2GB`, kept in bytes."""

    def read(value: str) -> Any:
        amount, unit = _SIZE.findall(value)[0]
        return size.check(int(float(amount) * _UNITS[unit]))

    size = integer(1, 2**60)
    requirement = "must be auto or a size such as 2GB or 512MB"
    return either(requirement, AUTO, size, text(_SIZE).then(read))


def plain(value: Any) -> Any:
    """Return a part of a sweep as a file has it: mappings, lists and scalars."""
    if hasattr(value, "raw"):
        return value.raw()
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def key(
    rule: Rule, description: str, *examples: Any, default: Any = None, factory: Any = MISSING
) -> Any:
    """Declare a key of a Spec that a file may omit, for `default` or what `factory` makes."""
    default = default if factory is MISSING else MISSING
    rule = rule.about(description, *examples)
    return field(default=default, default_factory=factory, metadata={"rule": rule})


def choice(names: Sequence[str], noun: str, description: str, *examples: Any) -> Any:
    """Declare a key of a Spec that takes one of `names`, by default the first."""
    return key(one_of(names, noun), description, *examples, default=names[0])


def required(rule: Rule, description: str, *examples: Any) -> Any:
    """Declare a key of a Spec that a file must have."""
    return key(rule, description, *examples, default=MISSING)


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Spec:
    """A frozen mapping of a sweep file with fixed keys; any other key is an error.

    Its constructor checks nothing: `parse` does.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    #: Other tools' names for the keys (see `hpsearch.spec.words`).
    words: ClassVar[Mapping[str, str]] = _NO_WORDS

    def __init_subclass__(cls) -> None:
        """Make the class a dataclass."""
        dataclass(frozen=True, kw_only=True)(cls)

    @classmethod
    def keys(cls) -> Mapping[str, Field[Any]]:
        """Return the keys as a file has them, which has no units in names, with their fields."""
        declared = (entry for entry in fields(cls) if "rule" in entry.metadata)
        return {entry.name.removesuffix("_seconds"): entry for entry in declared}

    @classmethod
    def rule(cls) -> Rule:
        """Return the rule of a key whose value is this part."""
        return Rule(cls.parse, cls.schema(), part=cls)

    @classmethod
    def parse(cls, data: Any) -> Self:
        """Read this part of a file."""
        if isinstance(data, cls):
            return data
        if not isinstance(data, Mapping):
            raise InvalidValue.at(
                f"must be a mapping with the keys {listing(cls.keys())}, not {show(data)}"
            )
        values, faults = cls.read(data)
        if not faults:
            spec = cls(**values)
            faults = list(spec.check(data.keys()))
        if faults:
            raise InvalidValue(faults)
        return spec

    @classmethod
    def read(
        cls, data: Mapping[Any, Any], others: Iterable[str] = ()
    ) -> tuple[dict[str, Any], list[Fault]]:
        """Return the attributes that the data gives, each valid by itself, and the faults."""
        keys = cls.keys()
        rules = {name: declared.metadata["rule"] for name, declared in keys.items()}
        needed = [name for name, declared in keys.items() if _is_required(declared)]
        values, faults = read_keys(data, rules, needed, cls.words, others)
        return {keys[name].name: value for name, value in values.items()}, faults

    def check(self, given: Collection[str]) -> Iterator[Fault]:  # noqa: ARG002 - for subclasses
        """Yield faults between keys that are valid one by one; the file has those in `given`."""
        return iter(())

    def raw(self) -> Any:
        """Return this part as a sweep file has it; reading the result gives an equal part."""
        values = {name: getattr(self, entry.name) for name, entry in self.keys().items()}
        return {name: plain(value) for name, value in values.items() if value is not None}

    @classmethod
    def schema(cls) -> dict[str, Any]:
        """Return the JSON Schema."""
        properties: dict[str, Any] = {}
        for name, declared in cls.keys().items():
            rule, default = declared.metadata["rule"], declared.default
            properties[name] = described(rule.schema, rule.description, *rule.examples)
            if default not in (None, MISSING):
                properties[name]["default"] = plain(default)
        schema = {
            "type": "object",
            "properties": properties,
            "title": cls.__name__,
            "description": inspect.cleandoc(cls.__doc__ or ""),
            "additionalProperties": False,
        }
        needed = [name for name, declared in cls.keys().items() if _is_required(declared)]
        return schema | {"required": needed} if needed else schema


def described(schema: Mapping[str, Any], description: str, *examples: Any) -> dict[str, Any]:
    """Describe a key in its JSON Schema."""
    return {**schema, "description": description, "examples": list(examples)}


def _is_required(declared: Field[Any]) -> bool:
    return declared.default is declared.default_factory is MISSING


def require_mapping(value: Any, requirement: str) -> Mapping[str, Any]:
    """Return `value` if it is a mapping whose keys are text."""
    if not isinstance(value, Mapping):
        hint = space_hint(value) if isinstance(value, str) else ""
        raise InvalidValue.at(f"{requirement}, not {show(value)}{hint and f'; {hint}'}")
    wrong = [key for key in value if not isinstance(key, str)]
    if wrong:
        raise InvalidValue.at(f"{requirement}; the key {show(wrong[0])} is not text")
    return value
