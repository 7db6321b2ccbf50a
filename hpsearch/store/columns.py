"""The columns that every results table has, and an execution's record, which fills them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from hpsearch.models.problem import TASK_METRICS
from hpsearch.space.execution import ExecutionResult
from hpsearch.wording import printable

INTEGER, FLOAT, TEXT = "Int64", "float64", "string"


@dataclass(frozen=True)
class Provenance:
    """The columns with the origin of a row.

    The versions may differ between the rows of a sweep; they are empty if unknown. So may `data`,
    the state of a program's files, and `program_commit`.
    """

    metric: str
    sweep: str
    data: str
    recipe: str
    version: str = ""
    tensorflow: str = ""
    keras: str = ""
    program_commit: str = ""


@dataclass(frozen=True)
class Record:
    """An execution, its config and its result, from which its rows are made.

    Attributes:
        shared_with: The trial whose training answered this one, or None.
    """

    trial: int
    config: str
    seed: int
    values: Mapping[str, Any]
    result: ExecutionResult
    provenance: Provenance
    fold: int | None = None
    shared_with: int | None = None
    method: str = ""

    @property
    def place(self) -> tuple[int, int, int]:
        """The row's position in the order of the table."""
        return self.trial, self.seed, self.fold or 0


@dataclass(frozen=True)
class Column:
    """A column of results.csv.

    Attributes:
        dtype: The dtype in pandas.
        cell: Returns its cell in the row of an execution.
    """

    name: str
    dtype: str
    cell: Callable[[Record], Any]


def _columns(*columns: tuple[str, str, str | Callable[[Record], Any]]) -> dict[str, Column]:
    """Return columns by name.

    Args:
        columns: Name, dtype, and the attribute of a record that the cell is, or a function.
    """
    return {
        name: Column(name, dtype, attrgetter(cell) if isinstance(cell, str) else cell)
        for name, dtype, cell in columns
    }


#: Before the hyperparameters.
HEAD = _columns(
    ("trial", INTEGER, "trial"),
    ("config", TEXT, "config"),
    ("seed", INTEGER, "seed"),
    ("status", TEXT, lambda record: str(record.result.status)),
    ("score", FLOAT, "result.score"),
)
#: After the hyperparameters and the metrics.
TAIL = _columns(
    ("best_epoch", INTEGER, "result.best_epoch"),
    ("best_score", FLOAT, "result.best_score"),
    ("epochs_trained", INTEGER, lambda record: len(record.result.curve)),
    ("weights", INTEGER, "result.weights"),
    ("seconds", FLOAT, lambda record: round(record.result.seconds, 6)),
    ("shared_with", INTEGER, "shared_with"),
    ("trainer", TEXT, "result.trainer"),
    ("fold", INTEGER, "fold"),
    ("error", TEXT, lambda record: " ".join(printable(record.result.error).split())),
    ("metric", TEXT, "provenance.metric"),
    ("sweep", TEXT, "provenance.sweep"),
    ("data", TEXT, "provenance.data"),
    ("recipe", TEXT, "provenance.recipe"),
    ("version", TEXT, "provenance.version"),
    ("tensorflow", TEXT, "provenance.tensorflow"),
    ("keras", TEXT, "provenance.keras"),
    ("method", TEXT, "method"),
)
#: After those, of programs alone.
CODE = _columns(("program_commit", TEXT, "provenance.program_commit"))
#: Column -> dtype, of all of them.
DTYPES = {name: column.dtype for name, column in (HEAD | TAIL | CODE).items()}

#: The columns whose cells together name a row.
KEY = ["trial", "seed", "fold"]

#: Column -> dtype of the curves, before the metrics and after them.
CURVES = {"trial": INTEGER, "epoch": INTEGER}
CURVES_TAIL = {"seed": INTEGER, "fold": INTEGER}

METRIC_NAMES = frozenset(name for names in TASK_METRICS.values() for name in names)


def cells_of(record: Record) -> dict[str, Any]:
    """Return the cells of an execution's row, but for hyperparameters and metrics."""
    return {name: column.cell(record) for name, column in (HEAD | TAIL | CODE).items()}
