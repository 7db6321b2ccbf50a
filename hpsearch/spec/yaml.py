"""YAML 1.2 with line numbers, restricted to what a sweep file needs."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from hpsearch.errors import InputProblem

Loc = tuple[str | int, ...]

MOST_BYTES: Final = 1_000_000
MOST_DEPTH: Final = 50
MOST_KEYS: Final = 1_000
MOST_VALUES: Final = 60_000
MOST_PROBLEMS: Final = 100
_TOO_DEEP = f"nested more than {MOST_DEPTH} deep"
_PREFIX = "tag:yaml.org,2002:"
#: The core schema's scalars: tag, pattern, and the characters that they begin with.
_CORE: Final = (
    ("null", r"(?:~|null|Null|NULL|)\Z", ["~", "n", "N", ""]),
    ("bool", r"(?:true|True|TRUE|false|False|FALSE)\Z", list("tTfF")),
    ("int", r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z", list("-+0123456789")),
    (
        "float",
        r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z",
        list("-+0123456789."),
    ),
)


def add_core_resolvers(cls: Any) -> None:
    """Let a loader or dumper class recognise YAML 1.2's scalars."""
    for tag, pattern, first in _CORE:
        cls.add_implicit_resolver(_PREFIX + tag, re.compile(pattern, re.ASCII), first)


class _Broken:
    """Stands for a value that could not be read; its problem is told already."""

    def __repr__(self) -> str:
        return "what could not be read"


BROKEN: Final = _Broken()


def key_path(loc: Loc) -> str:
    """`parameters.units[1]`."""
    path = ""
    for step in loc:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else str(step)
    return path


@dataclass
class Document:
    """A file's data, where each part of it stands, and what was wrong with the YAML.

    Attributes:
        data: Mappings, lists and scalars; BROKEN stands for what could not be read.
        lines: Place in the data -> line, from 1.
        problems: In no order.
        broken: Places of BROKEN values.
        fatal: Whether the rest of the file could not be read.
    """

    data: Any = None
    lines: dict[Loc, int] = field(default_factory=dict)
    problems: list[InputProblem] = field(default_factory=list)
    broken: set[Loc] = field(default_factory=set)
    fatal: bool = False

    def line(self, loc: Loc) -> int:
        """Line of the innermost part around `loc` that the file holds."""
        while loc and loc not in self.lines:
            loc = loc[:-1]
        return self.lines.get(loc, 1)

    def stop(self, line: int, message: str, path: str = "") -> Document:
        """This document, of which nothing more can be read."""
        self.problems.append(InputProblem(line, path, message))
        self.fatal = True
        return self


class _Stop(Exception):
    """Reading cannot go on."""

    def __init__(self, line: int, path: str, message: str) -> None:
        super().__init__(message)
        self.line, self.path, self.message = line, path, message


# libyaml where there is one: a file of a megabyte takes PyYAML's own parser some ten seconds.
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _loader_class(base: Any) -> Any:
    loader = type("Yaml12Loader", (base,), {"yaml_implicit_resolvers": {}})
    add_core_resolvers(loader)
    return loader


_LOADER: Final[Any] = _loader_class(_Base)


def read_yaml(content: bytes, loader: Any = None) -> Document:
    """Read a whole file.

    Args:
        content: The file's bytes, UTF-8.
        loader: A base class other than PyYAML's fastest SafeLoader, for tests.
    """
    document = Document()
    if len(content) > MOST_BYTES:
        return document.stop(
            1, f"the file has {len(content):,} bytes; a sweep file has at most {MOST_BYTES:,}"
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return document.stop(
            line, f"byte {content[error.start]:#04x} is not UTF-8; save the file as UTF-8"
        )
    reader = None
    try:
        reader = _Reader((_LOADER if loader is None else _loader_class(loader))(text), document)
        document.data = reader.document()
    except _Stop as stop:
        return document.stop(stop.line, stop.message, stop.path)
    except yaml.reader.ReaderError as error:
        return document.stop(*_unreadable(text, error))
    except yaml.MarkedYAMLError as error:
        return document.stop(*_syntax(text, error))
    finally:
        if reader is not None:
            reader.loader.dispose()
    return document


def yaml_scalar(text: str) -> Any:
    """The value of one YAML text, as `--set` takes it.

    Raises:
        ValueError: It is no such text.
    """
    try:
        document = read_yaml(text.encode("utf-8"))
    except UnicodeEncodeError:
        raise ValueError("not UTF-8") from None
    if document.problems:
        raise ValueError(document.problems[0].message)
    return document.data


class _Reader:
    """Builds the data from the parser's events; depth is bounded, so recursion is too."""

    def __init__(self, loader: Any, document: Document) -> None:
        self.loader = loader
        self.found = document
        self.nodes = 0

    def document(self) -> Any:
        loader = self.loader
        loader.get_event()
        if loader.check_event(yaml.StreamEndEvent):
            raise _Stop(1, "", "the file is empty; `hpsearch init` writes one to start from")
        loader.get_event()
        data = self._node((), 1)
        loader.get_event()
        if not loader.check_event(yaml.StreamEndEvent):
            line = loader.peek_event().start_mark.line + 1
            raise _Stop(line, "", "a second document begins here; a file holds one sweep")
        return data

    def _problem(self, loc: Loc, event: Any, message: str) -> None:
        if len(self.found.problems) >= MOST_PROBLEMS:
            raise _Stop(event.start_mark.line + 1, "", "too many problems to read on")
        self.found.problems.append(InputProblem(event.start_mark.line + 1, key_path(loc), message))

    def _node(self, loc: Loc, depth: int) -> Any:
        event = self.loader.get_event()
        line = event.start_mark.line + 1
        self.found.lines.setdefault(loc, line)
        self.nodes += 1
        if self.nodes > MOST_VALUES:
            raise _Stop(line, "", f"more than {MOST_VALUES:,} values; a sweep file has fewer")
        if depth > MOST_DEPTH:
            raise _Stop(line, "", _TOO_DEEP)
        sound = self._is_plain(loc, event)
        data: Any = BROKEN
        if isinstance(event, yaml.ScalarEvent):
            data = self._scalar(loc, event)
        elif isinstance(event, yaml.SequenceStartEvent):
            data = self._list(loc, depth)
        elif isinstance(event, yaml.MappingStartEvent):
            data = self._mapping(loc, depth)
        if not sound or data is BROKEN:
            self.found.broken.add(loc)
            return BROKEN
        return data

    def _is_plain(self, loc: Loc, event: Any) -> bool:
        if isinstance(event, yaml.AliasEvent):
            self._problem(loc, event, f"the alias *{event.anchor} is not allowed; repeat the value")
            return False
        if event.anchor is not None:
            self._problem(loc, event, f"the anchor &{event.anchor} is not allowed; remove it")
            return False
        if event.tag is not None:
            self._problem(loc, event, f"the tag {event.tag} is not allowed; write the plain value")
            return False
        return True

    def _scalar(self, loc: Loc, event: Any) -> Any:
        tag = self.loader.resolve(yaml.ScalarNode, event.value, event.implicit)
        kind, text = tag.removeprefix(_PREFIX), event.value
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        if kind == "int":
            return self._integer(loc, event)
        if kind == "float":
            return float(re.sub(r"\.(?=inf|nan)", "", text.lower()))
        return text

    def _integer(self, loc: Loc, event: Any) -> Any:
        text = event.value
        base = {"0x": 16, "0o": 8}.get(text[:2], 10)
        if len(text) > 40:
            self._problem(loc, event, f"a number of {len(text)} digits is too long")
            return BROKEN
        return int(text.replace("0o", "", 1) if base == 8 else text, base)

    def _list(self, loc: Loc, depth: int) -> list[Any]:
        items: list[Any] = []
        while not self.loader.check_event(yaml.SequenceEndEvent):
            items.append(self._node((*loc, len(items)), depth + 1))
        self.loader.get_event()
        return items

    def _mapping(self, loc: Loc, depth: int) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        while not self.loader.check_event(yaml.MappingEndEvent):
            event = self.loader.peek_event()
            line = event.start_mark.line + 1
            key = self._key(loc, event)
            if key is None:
                self._skip()
                continue
            place = (*loc, key)
            if len(mapping) >= MOST_KEYS:
                raise _Stop(line, key_path(loc), f"has more than {MOST_KEYS:,} keys")
            if key not in mapping:
                self.found.lines[place] = line
                mapping[key] = self._node(place, depth + 1)
                continue
            self._problem(place, event, f"given twice; the first is on line {self._line(place)}")
            # Read on elsewhere, so that the first value's lines and problems stay its own.
            self._skip()
        self.loader.get_event()
        return mapping

    def _line(self, place: Loc) -> int:
        return self.found.lines[place]

    def _key(self, loc: Loc, event: Any) -> str | None:
        """The key that `event` is, or None after telling why it is none."""
        if not isinstance(event, yaml.ScalarEvent):
            what = "an alias" if isinstance(event, yaml.AliasEvent) else "a list or mapping"
            raise _Stop(event.start_mark.line + 1, key_path(loc), f"{what} cannot be a key")
        self.loader.get_event()
        if not self._is_plain(loc, event):
            return None
        if event.value == "<<" and event.implicit[0]:
            self._problem(loc, event, "the merge key << is not allowed; repeat the keys")
            return None
        if self.loader.resolve(yaml.ScalarNode, event.value, event.implicit) != _PREFIX + "str":
            shown = event.value[:60] or "nothing"
            self._problem(loc, event, f"the key {shown} is not text; put it in quotes")
            return None
        return str(event.value)

    def _skip(self) -> None:
        depth = 0
        while True:
            event = self.loader.get_event()
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth == 0:
                return


def _unreadable(text: str, error: Any) -> tuple[int, str]:
    position = error.position if isinstance(error.position, int) else 0
    # libyaml counts bytes, PyYAML characters; the character itself tells where it is.
    try:
        character = chr(error.character) if isinstance(error.character, int) else error.character
        position = text.find(str(character)) if str(character) in text else position
        name = f"U+{ord(str(character)[:1]):04X}"
    except (TypeError, ValueError):
        name = "a character"
    return text.count("\n", 0, max(position, 0)) + 1, f"{name} is not allowed in YAML"


#: What a parser says -> what to do about it.
_ADVICE: Final = (
    (
        "mapping values are not allowed",
        "a ': ' too many: quote text that holds one, and check the indentation",
    ),
    ("could not find expected ':'", "a key without ': ' after it"),
    ("block end", "the indentation does not fit the lines above"),
    ("block mapping", "the indentation does not fit the lines above"),
    ("block collection", "the indentation does not fit the lines above"),
    ("flow sequence", "a list that began with [ is not closed, or lacks a comma"),
    ("flow mapping", "a mapping that began with { is not closed, or lacks a comma"),
    ("quoted scalar", "a text whose quotation mark is not closed"),
    ("%", "a % at the start of a line; put the text in quotes"),
    ("cannot start any token", "a character that cannot begin a value; put the text in quotes"),
    ("document start", "text where the file should end; check the indentation"),
)


def _syntax(text: str, error: Any) -> tuple[int, str]:
    mark = error.problem_mark or error.context_mark
    said = f"{error.context or ''} {error.problem or ''}".strip()
    lines = text.splitlines() or [""]
    number = min(mark.line, len(lines) - 1) if mark is not None else 0
    # libyaml reports a tab's line one late at times.
    for index in (number, number - 1):
        if index >= 0 and "\t" in lines[index][: len(lines[index]) - len(lines[index].lstrip())]:
            return index + 1, "a tab in the indentation; YAML indents with spaces"
    if "nesting depth" in said:  # libyaml's own limit, met while it looks ahead.
        return number + 1, _TOO_DEEP
    for words, advice in _ADVICE:
        if words in said:
            if "not closed" in advice and error.context_mark is not None:
                number = error.context_mark.line
            return number + 1, f"not valid YAML: {advice}"
    return number + 1, f"not valid YAML: {said}"
