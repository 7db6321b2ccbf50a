"""Figures of the package's structure: how much there is, and how it hangs together.

Every import counts, those in functions and for type checkers too.
"""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

Graph = Mapping[str, frozenset[str]]
#: Beginnings of what is no sentence.
_ODD = re.compile(r'(?:"""|#:? )(?:What|Whether|Of|Those|Who|That of)\b')


@dataclass(frozen=True)
class Structure:
    """The measured figures.

    Attributes:
        lines: Of each module.
        imports: Module -> the package's modules that it imports.
        repeated: Public class names that stand for two or more classes.
        shared: Names that rooms take from each other, as `room.name`.
        classes: Name -> lines.
        parameters: The number of each function's.
        words: Room -> the words in the names of its modules, classes and functions.
        odd: Docstrings and comments that do not begin as a sentence, as `FILE:LINE`.
    """

    lines: Mapping[Path, int]
    imports: Graph
    repeated: tuple[str, ...]
    shared: frozenset[str]
    classes: Mapping[str, int]
    parameters: tuple[int, ...]
    words: Mapping[str, set[str]]
    odd: tuple[str, ...]

    @property
    def folders(self) -> Counter[Path]:
        """Python files in each folder."""
        return Counter(path.parent for path in self.lines)

    @property
    def chain(self) -> list[str]:
        """The longest chain of imports, from the importer on; a circle counts as all it holds."""
        circles = self.circles
        of = {name: circle for circle in circles for name in circle}

        def group(name: str) -> frozenset[str]:
            return of.get(name, frozenset({name}))

        @cache
        def longest(members: frozenset[str]) -> tuple[str, ...]:
            beyond = {group(each) for name in members for each in self.imports[name]} - {members}
            tails = [longest(each) for each in sorted(beyond, key=sorted)]
            return (*sorted(members), *max(tails, key=len, default=()))

        return list(max(map(longest, map(group, self.imports)), key=len))

    @property
    def circles(self) -> list[frozenset[str]]:
        """Modules that import each other, directly or through others."""
        reached = {name: frozenset(_reached(self.imports, name)) for name in self.imports}
        groups = {
            frozenset(other for other in reached[name] if name in reached[other])
            for name in self.imports
        }
        return sorted((group for group in groups if group), key=sorted)


def _reached(graph: Graph, start: str) -> set[str]:
    found: set[str] = set()
    stack = [*graph[start]]
    while stack:
        name = stack.pop()
        if name not in found:
            found.add(name)
            stack += graph[name]
    return found


def measure(checkout: Path) -> Structure:
    """The structure of the package in a checkout."""
    package = checkout / "hpsearch"
    files = {_module(path, checkout): path for path in sorted(package.rglob("*.py"))}
    imports = {}
    classes: dict[str, list[int]] = defaultdict(list)
    shared, parameters, odd = set(), [], []
    words: dict[str, set[str]] = defaultdict(set)
    for name, path in files.items():
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        odd += [f"{path}:{text.count(chr(10), 0, m.start()) + 1}" for m in _ODD.finditer(text)]
        targets = {_target(base, attribute, files) for base, attribute in _imports(tree)}
        imports[name] = frozenset(targets - {None, name})
        own = words[name.split(".")[1] if "." in name else name]
        own |= _words_of(path.stem)
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                own |= _words_of(node.name)
            if isinstance(node, ast.ClassDef):
                classes[node.name].append(node.end_lineno - node.lineno + 1)
            elif isinstance(node, ast.FunctionDef):
                arguments = node.args
                given = arguments.posonlyargs + arguments.args + arguments.kwonlyargs
                parameters.append(len(given))
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hpsearch."):
                room = node.module.split(".")[1]
                if [room] != name.split(".")[1:2]:
                    shared |= {f"{room}.{alias.name}" for alias in node.names}
    return Structure(
        lines={path: len(path.read_text(encoding="utf-8").splitlines()) for path in files.values()},
        imports=imports,
        repeated=tuple(sorted(n for n, of in classes.items() if n[0] != "_" and len(of) > 1)),
        shared=frozenset(shared),
        classes={name: max(of) for name, of in classes.items()},
        parameters=tuple(parameters),
        words=words,
        odd=tuple(odd),
    )


def _words_of(name: str) -> set[str]:
    return {word.lower().removesuffix("s") for word in re.findall(r"[A-Z]?[a-z]+", name)}


def _module(path: Path, checkout: Path) -> str:
    parts = path.relative_to(checkout).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Each import: base and name in it. None in the package is relative."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)


def _target(base: str, attribute: str, files: Mapping[str, Path]) -> str | None:
    whole = f"{base}.{attribute}" if attribute else base
    return whole if whole in files else base if base in files else None
