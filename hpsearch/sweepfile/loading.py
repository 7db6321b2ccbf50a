"""Sweep files to sweeps, with every problem told at its line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from hpsearch.errors import Problem, SweepFileError
from hpsearch.sweep import NAME, Sweep
from hpsearch.sweepfile import yaml12
from hpsearch.sweepfile.overrides import apply_overrides
from hpsearch.sweepfile.yaml12 import Document, Loc

__all__ = ["load", "loads", "parse"]

#: What may be null: arguments of optimizers, for which Keras itself has None.
_NULLABLE: Final = re.compile(r"parameters\.\w+(\.\w+|\[\d+\])*\.\w+\Z")


def load(path: str | Path, overrides: Sequence[str] = ()) -> Sweep:
    """The sweep of a file.

    Args:
        path: The file; data files in it resolve against its directory.
        overrides: Settings such as `parameters.epochs=[5]`, which replace the file's.

    Raises:
        SweepFileError: With all problems, sorted by line.
    """
    file = Path(path)
    try:
        with file.open("rb") as stream:
            content = stream.read(yaml12.MOST_BYTES + 1)
        size = file.stat().st_size
    except OSError as error:
        reason = error.strerror or str(error)
        raise SweepFileError(str(path), [Problem(1, "", f"cannot be read: {reason}")]) from None
    if size > yaml12.MOST_BYTES:
        message = f"the file has {size:,} bytes; a sweep file has at most {yaml12.MOST_BYTES:,}"
        raise SweepFileError(str(path), [Problem(1, "", message)])
    return _sweep(yaml12.read(content), str(path), file.stem, file.absolute().parent, overrides)


def loads(
    text: str,
    filename: str = "sweep.yaml",
    base_dir: str | Path | None = None,
    overrides: Sequence[str] = (),
) -> Sweep:
    """The sweep of a file's text.

    Args:
        text: What the file holds.
        filename: For messages; its stem is the sweep's default name.
        base_dir: What data files resolve against; None leaves them as they are.
        overrides: As for `load`.

    Raises:
        SweepFileError: With all problems, sorted by line.
    """
    try:
        content = text.encode("utf-8")
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        raise SweepFileError(filename, [Problem(line, "", "is not UTF-8")]) from None
    directory = Path(base_dir) if base_dir is not None else None
    return _sweep(yaml12.read(content), filename, Path(filename).stem, directory, overrides)


def parse(
    raw: Mapping[str, Any], filename: str = "<python>", base_dir: str | Path | None = None
) -> Sweep:
    """The sweep of a mapping as a file would hold it; for callers in Python.

    Raises:
        SweepFileError: With all problems; each is on line 1.
    """
    directory = Path(base_dir) if base_dir is not None else None
    return _sweep(Document(data=dict(raw)), filename, "sweep", directory, ())


def _sweep(
    document: Document,
    filename: str,
    stem: str,
    base_dir: Path | None,
    overrides: Sequence[str],
) -> Sweep:
    problems = list(document.problems)
    sweep = None
    if not document.fatal:
        sources = apply_overrides(document, overrides)
        sweep, faults = _validated(document, stem)
        problems = list(document.problems)
        problems += [_problem(document, loc, message, sources) for loc, message in faults]
    if problems or sweep is None:
        raise SweepFileError(filename, _in_order(problems))
    if base_dir is None:
        return sweep
    return sweep.model_copy(update={"data": sweep.data.resolved(base_dir)})


def _validated(document: Document, stem: str) -> tuple[Sweep | None, list[tuple[Loc, str]]]:
    data = document.data
    if data is None:
        return None, [((), "the file is empty; `hpsearch init` writes one to start from")]
    if not isinstance(data, dict):
        kind = "a list" if isinstance(data, list) else "a single value"
        message = f"holds {kind}; a sweep file is a mapping: name, data, parameters, ..."
        return None, [] if document.broken else [((), message)]
    faults = list(_empty(data))
    if "name" not in data:
        data = {"name": stem, **data}
        if not NAME.match(stem):
            clean = re.sub(r"[^A-Za-z0-9._-]+", "-", stem)[:64].strip(".") or "sweep"
            faults.append(
                (
                    (),
                    f"name is missing, and the file's own, {stem!r}, is no sweep name: "
                    f"write name: {clean}",
                )
            )
            data["name"] = clean
    told = tuple(faults)
    try:
        return Sweep.model_validate(data), faults
    except ValidationError as error:
        faults += [
            (tuple(detail["loc"]), detail["msg"])
            for detail in error.errors(include_url=False, include_context=False)
        ]
    hidden = document.broken | {loc for loc, _ in told if loc}
    seen = [
        fault
        for fault in faults
        if fault in told or not any(fault[0][: len(place)] == place for place in hidden)
    ]
    return None, seen


def _empty(data: Any) -> Iterable[tuple[Loc, str]]:
    """Places of keys without a value; Keras' None for an optimizer's argument is none."""
    stack: list[tuple[Loc, Any]] = [((), data)]
    while stack:
        loc, value = stack.pop()
        if value is None and not _may_be_none(loc, data):
            yield loc, "has no value; write one, or delete the line"
        if isinstance(value, dict):
            stack += [((*loc, key), item) for key, item in value.items()]
        elif isinstance(value, list):
            stack += [((*loc, index), item) for index, item in enumerate(value)]


def _may_be_none(loc: Loc, data: Any) -> bool:
    """Whether `loc` is an argument in a mapping with a name, below parameters or configs."""
    if len(loc) < 3 or loc[0] not in {"parameters", "configs"} or loc[-1] == "name":
        return False
    for step in loc[:-1]:
        data = data[step]
    return isinstance(data, dict) and "name" in data


def _problem(document: Document, loc: Loc, message: str, sources: Mapping[Loc, str]) -> Problem:
    line = document.line(loc)
    for place, source in sources.items():
        if loc[: len(place)] == place:
            message = f"{message} (from --set {source})"
            line = document.line(place[:-1])
    return Problem(line, yaml12.key_path(loc), message)


def _in_order(problems: Iterable[Problem]) -> list[Problem]:
    ordered = sorted(dict.fromkeys(problems), key=lambda problem: problem.line)
    if len(ordered) <= yaml12.MOST_PROBLEMS:
        return ordered
    last = ordered[yaml12.MOST_PROBLEMS]
    return [*ordered[: yaml12.MOST_PROBLEMS], Problem(last.line, "", "and more problems")]
