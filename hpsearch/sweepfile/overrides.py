"""`--set parameters.epochs=[5]`: settings that replace a file's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from hpsearch.errors import Problem
from hpsearch.sweepfile import yaml12
from hpsearch.sweepfile.yaml12 import Document, Loc

__all__ = ["apply_overrides"]

_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*|\.\d+|\[\d+\])*\Z", re.ASCII)
_STEP = re.compile(r"\[?(\w+)\]?", re.ASCII)


def apply_overrides(document: Document, overrides: Sequence[str]) -> dict[Loc, str]:
    """Change the document's data; what cannot be set becomes a problem of the document.

    Returns:
        Place in the data -> the setting that put it there.
    """
    sources: dict[Loc, str] = {}
    if not isinstance(document.data, dict):
        return sources
    for setting in overrides:
        path, equals, text = setting.partition("=")
        path = path.strip()
        if not equals or not _PATH.match(path):
            message = f"--set {setting}: must be KEY=VALUE, such as parameters.epochs=[5]"
            document.problems.append(Problem(1, "", message))
            continue
        loc = _loc(path)
        try:
            value = yaml12.scalar(text) if text.strip() else None
            _set(document.data, loc, value)
        except ValueError as error:
            document.problems.append(Problem(document.line(loc), path, f"--set {setting}: {error}"))
            continue
        sources[loc] = setting
        document.broken -= {place for place in document.broken if place[: len(loc)] == loc}
    return sources


def _loc(path: str) -> Loc:
    return tuple(int(step) if step.isdigit() else step for step in _STEP.findall(path))


def _set(data: Any, loc: Loc, value: Any) -> None:
    for depth, step in enumerate(loc):
        last = depth == len(loc) - 1
        where = yaml12.key_path(loc[:depth]) or "the file"
        if isinstance(data, dict):
            key = str(step)
            if last:
                data[key] = value
            else:
                data = data.setdefault(key, {})
        elif isinstance(data, list):
            if not isinstance(step, int) or step >= len(data):
                raise ValueError(f"{where} is a list of {len(data)}; its items are [0], [1], ...")
            if last:
                data[step] = value
            else:
                data = data[step]
        else:
            raise ValueError(  # noqa: TRY004 - the user's value, not the caller's type
                f"{where} is no mapping, so nothing can be set in it"
            )
