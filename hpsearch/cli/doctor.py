"""`hpsearch doctor`: what it prints."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from hpsearch.driver.doctor import Level, examine

__all__ = ["print_examination"]

_REFUSED = 3
_MOST_TOLD = 10


def print_examination(directory: Path, salvage: Path | None, console: Console) -> int:
    """Print what is found, and write what can be read into `salvage`.

    Returns:
        The exit code: 3 where something is wrong and was not salvaged.

    Raises:
        HpsearchError: There is nothing to examine or to salvage.
    """

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    findings = examine(directory)
    for finding in findings:
        say(f"{finding.part:12} {finding.level}: {finding.text}")
    wrong = any(finding.level is Level.WRONG for finding in findings)
    if salvage is None:
        say("something is wrong" if wrong else "all is sound")
        return _REFUSED if wrong else 0
    from hpsearch.driver.salvaging import save

    saved = save(directory, salvage)
    tables = f", {saved.from_tables} of them from the tables" if saved.from_tables else ""
    say(f"saved {saved.results} results in {salvage}{tables}; {directory} is as it was")
    for line in saved.unread[:_MOST_TOLD]:
        say(f"not used: {line}")
    if len(saved.unread) > _MOST_TOLD:
        say(f"and {len(saved.unread) - _MOST_TOLD} more")
    if saved.lost:
        numbers = ", ".join(map(str, saved.lost[:20])) + (" ..." if len(saved.lost) > 20 else "")
        say(f"without a result, to be trained again: {len(saved.lost)} trials: {numbers}")
    return 0
