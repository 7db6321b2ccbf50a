"""Figures of the package's structure: how much there is, and how it hangs together.

Every import counts, those in functions and for type checkers too.
"""

from __future__ import annotations

import ast
<<<<<<< HEAD
import re
import statistics
import sys
from collections import Counter, defaultdict
=======
from collections import Counter
>>>>>>> ebd78286ac3e54b9049e8ea4e4de96fd1b2a1373
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
<<<<<<< HEAD
        words: In the README.
        shared: Names that rooms take from each other, as `room.name`.
        classes: Name -> lines.
        parameters: Of each function, as `FILE:LINE` -> count.
        odd: Docstrings and comments that do not begin as a sentence, as `FILE:LINE`.
=======
>>>>>>> ebd78286ac3e54b9049e8ea4e4de96fd1b2a1373
    """

    lines: Mapping[Path, int]
    imports: Graph
    repeated: tuple[str, ...]
<<<<<<< HEAD
    words: int
    shared: frozenset[str]
    classes: Mapping[str, int]
    parameters: Mapping[str, int]
    odd: tuple[str, ...]
=======
>>>>>>> ebd78286ac3e54b9049e8ea4e4de96fd1b2a1373

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
<<<<<<< HEAD
    imports, deferred = {}, []
    classes: dict[str, list[int]] = defaultdict(list)
    shared, parameters, odd = set(), {}, []
    for name, path in files.items():
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        place = path.relative_to(checkout)
        odd += [f"{place}:{text.count(chr(10), 0, m.start()) + 1}" for m in _ODD.finditer(text)]
        found = list(_imports(tree, name, is_package=path.stem == "__init__"))
        targets = {_target(base, attribute, files) for base, attribute, _, _ in found}
=======
    imports = {}
    classes: Counter[str] = Counter()
    for name, path in files.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        targets = {_target(base, attribute, files) for base, attribute in _imports(tree)}
>>>>>>> ebd78286ac3e54b9049e8ea4e4de96fd1b2a1373
        imports[name] = frozenset(targets - {None, name})
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                classes[node.name].append(node.end_lineno - node.lineno + 1)
            elif isinstance(node, ast.FunctionDef):
                given = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
                parameters[f"{place}:{node.lineno}"] = len(given)
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hpsearch."):
                room = node.module.split(".")[1]
                if [room] != name.split(".")[1:2]:
                    shared |= {f"{room}.{alias.name}" for alias in node.names}
    return Structure(
        lines={path: len(path.read_text(encoding="utf-8").splitlines()) for path in files.values()},
        imports=imports,
<<<<<<< HEAD
        deferred=tuple(dict.fromkeys(deferred)),
        repeated=tuple(sorted(n for n, of in classes.items() if n[0] != "_" and len(of) > 1)),
        words=len((checkout / "README.md").read_text(encoding="utf-8").split()),
        shared=frozenset(shared),
        classes={name: max(of) for name, of in classes.items()},
        parameters=parameters,
        odd=tuple(odd),
=======
        repeated=tuple(sorted(name for name, count in classes.items() if count > 1)),
>>>>>>> ebd78286ac3e54b9049e8ea4e4de96fd1b2a1373
    )


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
<<<<<<< HEAD


def main() -> None:
    """Print the figures."""
    found = measure(Path(sys.argv[1] if sys.argv[1:] else Path(__file__).parents[2]))
    lines, folders = sorted(found.lines.values()), found.folders
    sizes = f"{statistics.median(lines):.0f} / {lines[int(0.9 * len(lines))]} / {lines[-1]}"
    own = statistics.mean(len(targets) for targets in found.imports.values())
    most = f"{statistics.median(folders.values()):g} ({max(folders.values())})"
    rows = {
        "files / lines": f"{len(lines)} / {sum(lines):,}",
        "files a folder, median (most)": most,
        "lines a file, median / 90% / most": sizes,
        "imports a module, mean": f"{own:.1f}",
        "longest chain of imports": len(found.chain),
        "circles": len(found.circles),
        "imports inside functions": len(found.deferred),
        "class names with two meanings": len(found.repeated),
        "names that rooms share": len(found.shared),
        "words in the README": f"{found.words:,}",
    }
    for name, value in rows.items():
        print(f"{name:36}{value}")
    print("\nThe longest chain:\n  " + "\n  ".join(found.chain))


if __name__ == "__main__":
    main()
=======
>>>>>>> ebd78286ac3e54b9049e8ea4e4de96fd1b2a1373
