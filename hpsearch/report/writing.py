"""The page as a file."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from hpsearch.looks import Look
from hpsearch.report.page import render
from hpsearch.report.source import Source
from hpsearch.results import write_atomically
from hpsearch.versions import version_of

__all__ = ["is_current", "write"]

_FILES = ("results.csv", "curves.csv", "sweep.yaml")
_MARK = re.compile(r'<meta name="hpsearch-inputs" content="([0-9a-f]*)">')
#: The mark stands in the head.
_HEAD_BYTES = 4_096


def write(sources: Sequence[Source], path: Path, *, live: bool = False) -> None:
    """Write the page of one sweep or several; a reader sees the old file or the new one, whole.

    Args:
        sources: The sweeps.
        path: Of the file.
        live: Whether the page reads its file again every few seconds.

    Raises:
        InputError: Plotly is missing, or the sweeps do not fit in a page.
        OSError: The file cannot be written.
    """
    whole = all(source.most_rows for source in sources)
    made_of = [(s.directory, s.looks) for s in sources if s.directory]
    mark = _mark(made_of) if whole and not live else ""
    write_atomically(path, render(sources, live=live, inputs=mark))


def is_current(path: Path, directory: Path, looks: tuple[Look, ...]) -> bool:
    """Whether a page is there already, made from these very tables and looks by this version."""
    try:
        with path.open(encoding="utf-8") as file:
            found = _MARK.search(file.read(_HEAD_BYTES))
    except (OSError, UnicodeDecodeError):
        return False
    return found is not None and found[1] == _mark([(directory, looks)])


def _mark(made_of: Sequence[tuple[Path, tuple[Look, ...]]]) -> str:
    digest = hashlib.sha256(version_of("hpsearch").encode())
    for directory, looks in made_of:
        digest.update(repr(looks).encode())
        for name in _FILES:
            try:
                content = (directory / name).read_bytes()
            except OSError:
                content = b""
            digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()
