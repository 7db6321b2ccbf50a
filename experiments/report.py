"""Shared by the scripts: the machine and versions in one line each, and tables as files."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from measured_code import code

__all__ = [
    "HERE",
    "half_interval",
    "machine",
    "measured",
    "page_text",
    "report",
    "report_parts",
    "versions",
]

HERE = Path(__file__).resolve().parent
Row = Mapping[str, Any]
#: Heading -> rows; the heading "" is left out.
Parts = Mapping[str, Sequence[Row]]


def machine() -> str:
    """Cores, processor, memory and Python, in one line."""
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return (
        f"{cores} cores ({_processor()}), {memory:.0f} GB, {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), "unknown")


def versions(*packages: str) -> str:
    """Names and versions of installed packages."""
    return ", ".join(f"{package} {_version(package)}" for package in packages)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def measured() -> str:
    """The commit that was measured, and the date."""
    commit = _git("rev-parse", "--short", "HEAD").strip() or "unknown"
    # The tables that the scripts write are no change of what they measure.
    changed = _git("diff", "--name-only", "HEAD", "--", ":/*.py", ":/*.c", ":/*.h", ":/*.yaml")
    commit += ", with changes" if changed else ""
    return f"measured at commit {commit}, {datetime.now(UTC):%Y-%m-%d}"


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(HERE), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""


def half_interval(differences: Any) -> float:
    """Half of Student's 95% interval of the mean of differences, a Series."""
    from scipy import stats

    return float(stats.t.ppf(0.975, len(differences) - 1) * stats.sem(differences))


def report(
    name: str,
    about: Sequence[str],
    rows: Sequence[Row],
    out: Path,
    at: str | None = None,
    *,
    page: Parts | None = None,
) -> None:
    """Print a table, and write it as NAME.md and NAME.json.

    Args:
        name: The files' name without suffix.
        about: Lines above the table, such as the machine and the number of runs; the commit, the
            date and the measured code are put below the first.
        rows: Column -> cell of each row; missing cells are empty.
        out: The directory to write to.
        at: The commit and date of runs that were not all made now.
        page: Tables of NAME.md, if it does not show all rows; NAME.json has them all.
    """
    content = {"rows": [dict(row) for row in rows]}
    _write(name, about, page or {"": rows}, content, out, at=at, whole=page is None)


def report_parts(
    name: str, about: Sequence[str], parts: Parts, out: Path, page: Parts | None = None
) -> None:
    """Print and write several tables as one file, as `report` does with one.

    Args:
        name: The files' name without suffix.
        about: Lines above the tables.
        parts: Heading -> rows, in order.
        out: The directory to write to.
        page: As `report` takes it.
    """
    content = {"parts": {heading: [dict(row) for row in rows] for heading, rows in parts.items()}}
    _write(name, about, page or parts, content, out, whole=page is None)


def _write(
    name: str,
    about: Sequence[str],
    page: Parts,
    content: Mapping[str, Any],
    out: Path,
    *,
    at: str | None = None,
    whole: bool,
) -> None:
    about = [*about[:1], at or measured(), code(name), *about[1:]]
    text = page_text(name, about, page, whole=whole)
    print(text, flush=True)
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.md").write_text(text, encoding="utf-8")
    (out / f"{name}.json").write_text(
        json.dumps({"about": about, **content}, indent=1) + "\n", encoding="utf-8"
    )


def page_text(name: str, about: Sequence[str], page: Parts, *, whole: bool) -> str:
    """The text of NAME.md."""
    lines = [f"# {name}", "", *(f"- {line}" for line in about)]
    if not whole:
        lines.append(f"- selected figures; [all of them]({name}.json)")
    for heading, rows in page.items():
        lines += ["", *([f"## {heading}", ""] if heading else [])]
        lines += _table(rows) if rows else ["None."]
    return "\n".join(lines) + "\n"


def _table(rows: Sequence[Row]) -> list[str]:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lines = [_line(columns), "|" + "---|" * len(columns)]
    return lines + [_line([row.get(column, "") for column in columns]) for row in rows]


def _line(cells: Sequence[Any]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"
