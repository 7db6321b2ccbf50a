"""The runs of a measurement, one JSON line each, so that an interrupted one continues."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from report import measured

__all__ = ["RunsFile", "rotated"]

Item = TypeVar("Item")


def rotated(items: Sequence[Item], turns: int) -> list[Item]:
    """The items from another one on in each turn, so that none always follows the same pause."""
    start = turns % len(items) if items else 0
    return [*items[start:], *items[:start]]


class RunsFile:
    """Runs in the order in which they ended, below a line that says what was measured.

    Args:
        path: The file; it is continued if it exists.
        about: What all runs have in common: the code, the machine, the trials.
        anew: Discard the runs that the file has.

    Raises:
        SystemExit: The file has runs of something else.
    """

    def __init__(self, path: Path, about: Mapping[str, Any], *, anew: bool = False) -> None:
        self._path = path
        self.about = dict(about)
        self.runs: list[dict[str, Any]] = []
        lines = path.read_text(encoding="utf-8").split("\n") if path.exists() and not anew else []
        # The last part is empty, or a line that an interruption cut.
        whole = [json.loads(line) for line in lines[:-1]]
        if whole:
            self._refuse_others(whole[0])
            self.runs = whole[1:]
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.write_text("".join(map(_line, [self.about, *self.runs])), encoding="utf-8")
        new.replace(path)

    def _refuse_others(self, found: Mapping[str, Any]) -> None:
        other = [key for key in self.about | dict(found) if found.get(key) != self.about.get(key)]
        if other:
            differences = "; ".join(
                f"{key}: {str(found.get(key))[:80]}, now {str(self.about.get(key))[:80]}"
                for key in other
            )
            raise SystemExit(f"{self._path} has runs of something else ({differences}); see --anew")

    def add(self, **run: Any) -> None:
        """Append a run, with the commit and the date."""
        run["measured"] = measured()
        self.runs.append(run)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(_line(run))

    def of(self, **values: Any) -> list[dict[str, Any]]:
        """The runs with these values."""
        return [
            run for run in self.runs if all(run.get(key) == each for key, each in values.items())
        ]

    @property
    def measured(self) -> str:
        """The commit and the date of the latest run."""
        return str(self.runs[-1]["measured"])


def _line(content: Mapping[str, Any]) -> str:
    return json.dumps(content) + "\n"
