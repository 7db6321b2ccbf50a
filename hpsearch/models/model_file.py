"""What a model's file says about its rows and its outputs, for whoever has only Keras."""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from hpsearch.data.specs import InputSpec, Target, Task

#: The member of a `.keras` archive; Keras passes it over.
_MEMBER = "hpsearch.json"
_MOST_BYTES = 2**24


@dataclass(frozen=True)
class ModelFile:
    """The names that a model's arrays lack.

    Attributes:
        classes: Class names in the order of the outputs; empty for regression.
        numbers: As in `Target`.
        columns: A table's columns, in the order in which the model takes them; else empty.
        text_columns: Those of them that are text; with any, the model takes a mapping.
    """

    task: Task
    classes: tuple[str, ...] = ()
    numbers: bool = False
    columns: tuple[str, ...] = ()
    text_columns: tuple[str, ...] = ()

    @classmethod
    def of(cls, rows: InputSpec, target: Target) -> Self:
        """Describe rows and their target."""
        text = (each.name for each in rows.columns or () if each.vocabulary is not None)
        return cls(target.task, target.classes, target.numbers, rows.names, tuple(text))

    def add_to(self, path: Path) -> None:
        """Add the description to a model's file.

        Raises:
            OSError: The file cannot be written.
        """
        with zipfile.ZipFile(path, "a") as archive:
            # With a time of its own the file would differ each time that it is written.
            member = zipfile.ZipInfo(_MEMBER)
            archive.writestr(member, json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read the description from a model's file; None if there is none, or no sound one."""
        try:
            with zipfile.ZipFile(path) as archive:
                if archive.getinfo(_MEMBER).file_size > _MOST_BYTES:
                    return None
                found = json.loads(archive.read(_MEMBER))
            names = (found[key] for key in ("classes", "columns", "text_columns"))
            classes, columns, text = (tuple(map(str, each)) for each in names)
            return cls(Task(found["task"]), classes, found["numbers"] is True, columns, text)
        except (OSError, zipfile.BadZipFile, LookupError, TypeError, ValueError):
            return None
