"""What tables are called: by their directories, made unique."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

__all__ = ["labels"]


def labels(paths: Sequence[Path]) -> list[str]:
    """A name of its own for each table: its directory's, or its file's where it has another name.

    Parents are put before names that are met twice, numbers behind paths that are.
    """
    places = [_place(path) for path in paths]
    names = [_unique(place, places) for place in places]
    met: Counter[str] = Counter()
    numbered = []
    for name in names:
        met[name] += 1
        numbered.append(name if met[name] == 1 else f"{name} ({met[name]})")
    return numbered


def _place(path: Path) -> Path:
    absolute = path.absolute().resolve()
    if absolute.is_dir():
        return absolute
    return absolute.parent if absolute.name == "results.csv" else absolute.with_suffix("")


def _unique(place: Path, places: Sequence[Path]) -> str:
    others = {other for other in places if other != place}
    for length in range(1, len(place.parts)):
        tail = place.parts[-length:]
        if all(other.parts[-length:] != tail for other in others):
            return _printable("/".join(tail))
    return _printable(str(place))


def _printable(name: str) -> str:
    """A directory's name may hold anything, a terminal's commands too."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name) or "/"
