"""Read YAML 1.2 with line numbers, restricted to what a sweep file needs.

PyYAML parses. ruamel.yaml would not do: it keeps line numbers only in its pure Python loader, which
takes 22 times as long (1.1 s against 0.05 s for 3,000 configs), accepts dates and `1_000`, and
stops at the first duplicate key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
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
#: Scalars of YAML 1.2's core schema: tag, pattern, possible first characters.
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
    """Make a PyYAML loader or dumper class recognise YAML 1.2's scalars."""
    for tag, pattern, first in _CORE:
        cls.add_implicit_resolver(_PREFIX + tag, re.compile(pattern, re.ASCII), first)


#: Kind of event -> the tags that it may have.
_TAGS: Final[dict[Any, tuple[str, ...]]] = {
    yaml.ScalarEvent: (*(tag for tag, *_ in _CORE), "str"),
    yaml.SequenceStartEvent: ("seq",),
    yaml.MappingStartEvent: ("map",),
}
#: The key of mappings whose pairs a mapping has, too, unless it has the key.
_MERGE: Final = "<<"
#: In place of a value that could not be read and whose problem is reported.
_BROKEN: Final = object()


def key_path(loc: Loc) -> str:
    """Return a place as text, such as `parameters.units[1]`."""
    path = ""
    for step in loc:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else str(step)
    return path


@dataclass
class Document:
    """The data of a file, the line of each part, and the problems of its YAML.

    Attributes:
        data: Mappings, lists and scalars, with a placeholder for each value in `broken`.
        lines: Place in the data -> line, from 1.
        problems: Unsorted.
        broken: Places of values that could not be read.
        fatal: True if the rest of the file could not be read.
    """

    data: Any = None
    lines: dict[Loc, int] = field(default_factory=dict)
    problems: list[InputProblem] = field(default_factory=list)
    broken: set[Loc] = field(default_factory=set)
    fatal: bool = False

    def line(self, loc: Loc) -> int:
        """Return the line of `loc`, or of the innermost part around it that the file has."""
        while loc and loc not in self.lines:
            loc = loc[:-1]
        return self.lines.get(loc, 1)


class _Stop(Exception):
    """A problem (line, message, key path) after which nothing more can be read."""

    def __init__(self, line: int, message: str, path: str = "") -> None:
        super().__init__(message)
        self.problem = InputProblem(line, path, message)


# Use libyaml if installed: PyYAML's own parser needs some ten seconds for a megabyte.
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _loader_class(base: Any) -> Any:
    loader = type("Yaml12Loader", (base,), {"yaml_implicit_resolvers": {}})
    add_core_resolvers(loader)
    return loader


_LOADER: Final[Any] = _loader_class(_Base)
#: A byte of a path that is not UTF-8, as PyYAML writes it; libyaml cannot read it.
_RAW_BYTE: Final = re.compile(r"\\uDC[89A-F]", re.IGNORECASE)
#: Most characters that PyYAML's own parser reads in a fraction of a second.
_MOST_SLOW: Final = 1 << 15


def read_yaml(content: bytes, loader: Any = None) -> Document:
    """Read a whole UTF-8 file; tests give `loader` as a base other than PyYAML's fastest one."""
    document = Document()
    try:
        text = _decoded(content)
        if loader is None and len(text) <= _MOST_SLOW and _RAW_BYTE.search(text):
            loader = yaml.SafeLoader
        _read(text, _LOADER if loader is None else _loader_class(loader), document)
    except _Stop as stop:
        document.problems.append(stop.problem)
        document.fatal = True
    return document


def _decoded(content: bytes) -> str:
    if len(content) > MOST_BYTES:
        raise _Stop(
            1,
            f"the file has {len(content):,} bytes or more; a sweep file has at most {MOST_BYTES:,}",
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = content[error.start]
        raise _Stop(line, f"byte {byte:#04x} is not UTF-8; save the file as UTF-8") from None


def _read(text: str, loader_class: Any, document: Document) -> None:
    loader = None
    try:
        loader = loader_class(text)
        document.data = _Reader(loader, document).document()
    except yaml.reader.ReaderError as error:
        raise _unreadable(text, error) from None
    except yaml.MarkedYAMLError as error:
        raise _syntax(text, error) from None
    finally:
        if loader is not None:
            loader.dispose()


def yaml_scalar(text: str) -> Any:
    """Return the value of a YAML text, as of `--set`; raise ValueError if it is not valid."""
    document = read_yaml(text.encode("utf-8", "surrogatepass"))
    if document.problems:
        raise ValueError(document.problems[0].message)
    return document.data


class _Reader:
    """Builds data from the parser's events; a limit on depth bounds the recursion."""

    def __init__(self, loader: Any, document: Document) -> None:
        self.loader = loader
        self.found = document
        self.nodes = 0
        #: Anchor -> its place and value.
        self._anchors: dict[str, tuple[Loc, Any]] = {}

    def document(self) -> Any:
        loader = self.loader
        loader.get_event()
        if loader.check_event(yaml.StreamEndEvent):
            raise _Stop(1, "the file is empty; `hpsearch init` writes one to start from")
        loader.get_event()
        data = self._node((), 1)
        loader.get_event()
        if not loader.check_event(yaml.StreamEndEvent):
            line = loader.peek_event().start_mark.line + 1
            raise _Stop(line, "a second document begins here; a file holds one sweep")
        return data

    def _problem(self, loc: Loc, event: Any, message: str) -> None:
        if len(self.found.problems) >= MOST_PROBLEMS:
            raise _Stop(event.start_mark.line + 1, "too many problems to read on")
        self.found.problems.append(InputProblem(event.start_mark.line + 1, key_path(loc), message))

    def _node(self, loc: Loc, depth: int) -> Any:
        event = self.loader.get_event()
        line = event.start_mark.line + 1
        self.found.lines.setdefault(loc, line)
        self._count(line, depth)
        if isinstance(event, yaml.AliasEvent) and event.anchor in self._anchors:
            return self._copied(*self._anchors[event.anchor], loc, depth)
        sound = self._is_plain(loc, event, _TAGS.get(type(event), ()))
        data: Any = _BROKEN
        if isinstance(event, yaml.ScalarEvent):
            # The tag of one that is not sound is reported already.
            data = self._scalar(loc, event) if sound else _BROKEN
        elif isinstance(event, yaml.SequenceStartEvent):
            data = self._list(loc, depth)
        elif isinstance(event, yaml.MappingStartEvent):
            data = self._mapping(loc, depth)
        if not sound or data is _BROKEN:
            self.found.broken.add(loc)
            data = _BROKEN
        if event.anchor is not None:
            self._anchors[event.anchor] = loc, data
        return data

    def _count(self, line: int, depth: int) -> None:
        self.nodes += 1
        if self.nodes > MOST_VALUES:
            raise _Stop(line, f"more than {MOST_VALUES:,} values; a sweep file has fewer")
        if depth > MOST_DEPTH:
            raise _Stop(line, _TOO_DEEP)

    def _copied(self, source: Loc, data: Any, loc: Loc, depth: int) -> Any:
        """Return a copy of a value at another place, with the lines of what it repeats."""
        self._count(self.found.lines[source], depth)
        self.found.lines.setdefault(loc, self.found.lines[source])
        if data is _BROKEN:
            self.found.broken.add(loc)
        if isinstance(data, dict):
            pairs = data.items()
            return {k: self._copied((*source, k), v, (*loc, k), depth + 1) for k, v in pairs}
        if isinstance(data, list):
            items = enumerate(data)
            return [self._copied((*source, n), v, (*loc, n), depth + 1) for n, v in items]
        return data

    def _is_plain(self, loc: Loc, event: Any, tags: Sequence[str] = ()) -> bool:
        """Check that a node is no unknown alias, and has no tag but one of these."""
        if isinstance(event, yaml.AliasEvent):
            self._problem(
                loc, event, f"*{event.anchor}: no value before it is named &{event.anchor}"
            )
        elif event.tag is not None and event.tag.removeprefix(_PREFIX) not in tags:
            allowed = f", except !!{', !!'.join(tags)}" if tags else ""
            self._problem(loc, event, f"tags (!) are not allowed{allowed}; write the value")
        else:
            return True
        return False

    def _scalar(self, loc: Loc, event: Any) -> Any:
        text, tag = event.value, (event.tag or "").removeprefix(_PREFIX)
        kind = self.loader.resolve(yaml.ScalarNode, text, (True, False)).removeprefix(_PREFIX)
        if tag and kind != tag and (kind, tag) != ("int", "float") and tag != "str":
            self._problem(loc, event, f"!!{tag}: {text[:60]!r} is no such value")
            return _BROKEN
        wanted = tag or (kind if event.implicit[0] else "str")
        if kind == "int" and wanted in ("int", "float"):
            return self._integer(loc, event, int if wanted == "int" else float)
        match wanted:
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "float":
                return float(re.sub(r"\.(?=inf|nan)", "", text.lower()))
        return text

    def _integer(self, loc: Loc, event: Any, convert: Callable[[int], Any]) -> Any:
        text = event.value
        if len(text) > 40:
            self._problem(loc, event, f"a number of {len(text)} digits is too long")
            return _BROKEN
        # 010 is ten in YAML 1.2, and an error for int(text, 0).
        return convert(int(text, 0 if text[:2] in {"0x", "0o"} else 10))

    def _list(self, loc: Loc, depth: int) -> list[Any]:
        items: list[Any] = []
        while not self.loader.check_event(yaml.SequenceEndEvent):
            items.append(self._node((*loc, len(items)), depth + 1))
        self.loader.get_event()
        return items

    def _mapping(self, loc: Loc, depth: int) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        merged: dict[str, tuple[Loc, Any]] = {}
        while not self.loader.check_event(yaml.MappingEndEvent):
            event = self.loader.peek_event()
            line = event.start_mark.line + 1
            key = self._key(loc, event)
            if key == _MERGE and event.implicit[0]:
                merged = self._merged((*loc, _MERGE), depth + 1) | merged
                continue
            if key is None:
                self._node((*loc, "?"), depth + 1)
                continue
            item_loc = (*loc, key)
            if len(mapping) >= MOST_KEYS:
                raise _Stop(line, f"has more than {MOST_KEYS:,} keys", key_path(loc))
            if key in mapping:
                first = self.found.lines[item_loc]
                self._problem(item_loc, event, f"given twice; the first is on line {first}")
            self.found.lines.setdefault(item_loc, line)
            mapping.setdefault(key, self._node(item_loc, depth + 1))
        self.loader.get_event()
        others = {
            key: self._copied(*found, (*loc, key), depth + 1)
            for key, found in merged.items()
            if key not in mapping
        }
        return others | mapping

    def _merged(self, loc: Loc, depth: int) -> dict[str, tuple[Loc, Any]]:
        """Return the places and values of what `<<` merges, a mapping or a list of them."""
        event, data = self.loader.peek_event(), self._node(loc, depth)
        several = isinstance(data, list)
        merged: dict[str, tuple[Loc, Any]] = {}
        for index, part in enumerate(data if several else [data]):
            place = (*loc, index) if several else loc
            if isinstance(part, dict):
                for key, value in part.items():
                    merged.setdefault(key, ((*place, key), value))
            elif part is not _BROKEN:
                self._problem(loc, event, "merges mappings, such as *name")
        return merged

    def _key(self, loc: Loc, event: Any) -> str | None:
        """Return the key, or None after reporting why it is not allowed."""
        if not isinstance(event, yaml.ScalarEvent):
            raise _Stop(event.start_mark.line + 1, "a key must be text", key_path(loc))
        self.loader.get_event()
        if not self._is_plain(loc, event):
            return None
        if self.loader.resolve(yaml.ScalarNode, event.value, event.implicit) != _PREFIX + "str":
            shown = event.value[:60] or "nothing"
            self._problem(loc, event, f"the key {shown} is not text; put it in quotes")
            return None
        return str(event.value)


def _unreadable(text: str, error: Any) -> _Stop:
    # libyaml counts bytes and PyYAML characters, so look for the character itself.
    position = max(text.find(chr(error.character)), 0)
    line = text.count("\n", 0, position) + 1
    return _Stop(line, f"U+{error.character:04X} is not allowed in YAML")


#: Part of a parser's message -> what is wrong or what to do.
_ADVICE: Final = (
    (
        "mapping values are not allowed",
        "one ': ' too many: quote text that contains it, and check the indentation",
    ),
    ("could not find expected ':'", "a key without ': ' after it"),
    ("block", "the indentation does not fit the lines above"),
    ("flow", "a list or mapping that began with [ or { is not closed, or lacks a comma"),
    ("quoted scalar", "a text whose quotation mark is not closed"),
)


def _syntax(text: str, error: Any) -> _Stop:
    mark = error.problem_mark or error.context_mark
    said = f"{error.context or ''} {error.problem or ''}".strip()
    lines = text.splitlines() or [""]
    number = min(mark.line, len(lines) - 1) if mark is not None else 0
    # libyaml sometimes reports a tab one line late.
    for index in (number, number - 1):
        if index >= 0 and "\t" in lines[index][: len(lines[index]) - len(lines[index].lstrip())]:
            return _Stop(index + 1, "a tab in the indentation; YAML indents with spaces")
    if "nesting depth" in said:  # libyaml's own limit, which it reaches while looking ahead.
        return _Stop(number + 1, _TOO_DEEP)
    advice = next((advice for words, advice in _ADVICE if words in said), said)
    if error.context_mark is not None and ("closed" in advice or "without" in advice):
        # The parser reads on to the end of the file or the next line.
        number = min(error.context_mark.line, len(lines) - 1)
    return _Stop(number + 1, f"not valid YAML: {advice}")
