"""Describe rows and outputs in a model's file, for programs that have only Keras."""

from __future__ import annotations

import json
import zipfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Self

from hpsearch.data.specs import ArrayPart, DateColumn, TableSpec, Task
from hpsearch.errors import HpsearchError, InputError
from hpsearch.models.problem import Problem

#: The name of the description in a `.keras` archive; Keras ignores it.
_MEMBER = "hpsearch.json"
_MOST_BYTES = 2**24
#: Keras does not compress a model's weights, so a sound file hardly grows.
_MOST_GROWTH = 10


@dataclass(frozen=True)
class ModelFile:
    """The names that belong to a model's arrays.

    Attributes:
        classes: Class names in the order of the outputs; empty for regression.
        numbers: As in `Target`.
        table: A table's columns; if any of them is text, the model takes a mapping.
        fills: Whether the model fills in missing numbers.
        inputs: Several inputs; see `InputSpec.parts`.
        members: Of an ensemble, each model in words.
        threshold: With two classes, a probability above it gives the second label.
    """

    task: Task
    classes: tuple[str, ...] = ()
    numbers: bool = False
    table: TableSpec = TableSpec()  # noqa: RUF009 - frozen
    fills: bool = False
    inputs: tuple[ArrayPart, ...] = ()
    members: tuple[str, ...] = ()
    threshold: float = 0.5

    @classmethod
    def of(cls, problem: Problem) -> Self:
        """Describe the rows and the target of a model."""
        rows, target = problem.input, problem.target
        fills = bool(rows.fill)
        return cls(target.task, target.classes, target.numbers, rows.table, fills, rows.parts)

    def save(self, model: Any, path: Path) -> None:
        """Save a Keras model with this description."""
        try:
            model.save(path)
            self.add_to(path)
        except OSError as error:
            raise HpsearchError(error.strerror or str(error)) from error

    def add_to(self, path: Path) -> None:
        """Add the description to a model's file."""
        raw = {
            "task": self.task,
            "classes": self.classes,
            "numbers": self.numbers,
            "columns": self.table.names,
            "text_columns": sorted(self.table.text),
            "dates": [asdict(date) for date in self.table.dates],
            "fills": self.fills,
            "inputs": [asdict(part) for part in self.inputs],
            "missing": self.table.missing,
            "decimal": self.table.decimal,
            "reading": dict(self.table.reading),
            **({"members": self.members} if self.members else {}),
            **({"threshold": self.threshold} if self.threshold != 0.5 else {}),
        }
        with zipfile.ZipFile(path, "a") as archive:
            # A fixed time stamp, so that equal models give equal files.
            archive.writestr(zipfile.ZipInfo(_MEMBER), json.dumps(raw))

    @staticmethod
    def require_bounded(path: Path) -> None:
        """Check that a model's file does not unpack to far more than it has."""
        # Keras says what else is wrong with a file.
        with suppress(OSError, zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
            if unpacked > _MOST_BYTES + _MOST_GROWTH * path.stat().st_size:
                raise InputError(f"{path}: unpacks to {unpacked:,} bytes, as no model does")

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read the description from a model's file; None if it is missing or damaged."""
        try:
            with zipfile.ZipFile(path) as archive:
                if archive.getinfo(_MEMBER).file_size > _MOST_BYTES:
                    return None
                raw = json.loads(archive.read(_MEMBER))
            names = (raw[key] for key in ("classes", "columns", "text_columns"))
            classes, columns, text = (tuple(map(str, group)) for group in names)
            dates = tuple(
                DateColumn(*(str(date[key]) for key in ("name", "format", "first")))
                for date in raw["dates"]
            )
            for column in dates:
                datetime.fromisoformat(column.first)
            missing = tuple(map(str, raw.get("missing", ())))
            given = raw.get("reading", {})
            reading = {key: str(given[key]) for key in TableSpec.READING_KEYS if key in given}
            threshold = float(raw.get("threshold", 0.5))
            if len(reading.get("separator", ",")) != 1 or not 0 <= threshold <= 1:
                return None
            "".encode(reading.get("encoding", "utf-8"))
            decimal: Literal[".", ","] = "," if raw.get("decimal") == "," else "."
            reads = tuple(reading.items())
            table = TableSpec(columns, frozenset(text), dates, missing, decimal, reads)
            numbers, fills = (raw[key] is True for key in ("numbers", "fills"))
            inputs = tuple(
                ArrayPart(
                    **{**part, "name": str(part["name"]), "shape": tuple(map(int, part["shape"]))}
                )
                for part in raw["inputs"]
            )
            members = tuple(map(str, raw.get("members", ())))
            return cls(
                Task(raw["task"]), classes, numbers, table, fills, inputs, members, threshold
            )
        except (OSError, zipfile.BadZipFile, LookupError, TypeError, ValueError):
            return None
