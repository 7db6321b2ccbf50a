"""The columns that every results table has, an execution's record, which fills them, and cells."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.models.problem import TASK_METRICS
from hpsearch.space.execution import ExecutionResult
from hpsearch.wording import printable

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

INTEGER, FLOAT, TEXT = "Int64", "float64", "string"
#: The columns that name versions -> the packages.
PACKAGES = {"version": "hpsearch", "tensorflow": "tensorflow", "keras": "keras"}


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
    def cells(self) -> dict[str, Any]:
        """The cells of the row, but for hyperparameters and metrics."""
        return {name: cell(self) for name, cell in _CELLS.items()}

    @property
    def place(self) -> tuple[int, int, int]:
        """The row's position in the order of the table."""
        return self.trial, self.seed, self.fold or 0


#: Name -> the dtype in pandas, and the attribute of a record that the cell is, or a function.
_Columns = Mapping[str, tuple[str, str | Callable[[Record], Any]]]

#: Before the hyperparameters.
HEAD: _Columns = {
    "trial": (INTEGER, "trial"),
    "config": (TEXT, "config"),
    "seed": (INTEGER, "seed"),
    "status": (TEXT, lambda record: str(record.result.status)),
    "score": (FLOAT, "result.score"),
}
#: After the hyperparameters and the metrics.
TAIL: _Columns = {
    "best_epoch": (INTEGER, "result.best_epoch"),
    "best_score": (FLOAT, "result.best_score"),
    "epochs_trained": (INTEGER, lambda record: len(record.result.curve)),
    "weights": (INTEGER, "result.weights"),
    "seconds": (FLOAT, lambda record: round(record.result.seconds, 6)),
    "shared_with": (INTEGER, "shared_with"),
    "trainer": (TEXT, "result.trainer"),
    "fold": (INTEGER, "fold"),
    "error": (TEXT, lambda record: " ".join(printable(record.result.error).split())),
    "metric": (TEXT, "provenance.metric"),
    "sweep": (TEXT, "provenance.sweep"),
    "data": (TEXT, "provenance.data"),
    "recipe": (TEXT, "provenance.recipe"),
    "version": (TEXT, "provenance.version"),
    "tensorflow": (TEXT, "provenance.tensorflow"),
    "keras": (TEXT, "provenance.keras"),
    "method": (TEXT, "method"),
}
#: After those, of programs alone.
CODE: _Columns = {"program_commit": (TEXT, "provenance.program_commit")}
_ALL = {**HEAD, **TAIL, **CODE}
#: Column -> dtype, of all of them.
DTYPES = {name: dtype for name, (dtype, _) in _ALL.items()}
_CELLS = {
    name: attrgetter(cell) if isinstance(cell, str) else cell for name, (_, cell) in _ALL.items()
}

#: The columns whose cells together name a row.
KEY = ["trial", "seed", "fold"]

#: Column -> dtype of the curves, before the metrics and after them.
CURVES = {"trial": INTEGER, "epoch": INTEGER}
CURVES_TAIL = {"seed": INTEGER, "fold": INTEGER}

METRIC_NAMES = frozenset(name for names in TASK_METRICS.values() for name in names)


#: A numeric hyperparameter with more values than this is shown in quarters.
_MOST_VALUES = 12
#: A spreadsheet runs text that starts with one of these.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


#: Characters with which a cell in JSON begins.
_JSON = ("[", "{", '"')
_NONE = "null"


def cell_of(value: Any) -> Any:
    """Encode a hyperparameter's value as a cell.

    Lists, mappings, None, and text that is unprintable or would be read as JSON become JSON.
    """
    if isinstance(value, str):
        plain = value.isprintable() and value != _NONE and not value.startswith(_JSON)
        return value if plain else json.dumps(value)
    if value is None or isinstance(value, list | Mapping):
        return json.dumps(value, sort_keys=False)
    return value


def value_of(cell: Any) -> Any:
    """Decode a hyperparameter's cell: the inverse of `cell_of`."""
    if isinstance(cell, str) and (cell == _NONE or cell.startswith(_JSON)):
        return json.loads(cell)
    return cell.item() if hasattr(cell, "item") else cell


def escaped(text: str, *, typed: bool = False) -> str:
    """Put an apostrophe before text that a spreadsheet would run as a formula.

    Args:
        typed: Whether the column also holds numbers and booleans. Text that looks like these, or is
            empty, then also gets an apostrophe.
    """
    formula = text.startswith((*_FORMULA, "'"))
    if formula or (typed and not isinstance(parsed(text, as_text=False), str)):
        return "'" + text
    return text


def parsed(cell: str, *, as_text: bool) -> Any:
    """Read a CSV file's cell as None, text or, unless `as_text`, a number or a boolean."""
    if cell == "":
        return None
    # Python reads 64_32 as 6432.
    if not as_text and "_" not in cell:
        for number in (float,) if "." in cell else (int, float):
            try:
                return number(cell)
            except ValueError:
                continue
        if cell in ("True", "False"):
            return cell == "True"
    return cell.removeprefix("'")


def text_of(value: Any) -> str:
    """Format a cell for display: optimizers as calls, three digits, a dash if inactive."""
    import pandas as pd  # slow to import

    if pd.isna(value):
        return "-"
    if isinstance(value, str) and value.startswith("{"):
        with suppress(ValueError, KeyError):
            arguments = json.loads(value)
            name = arguments.pop("name")
            return f"{name}({', '.join(f'{key}={given}' for key, given in arguments.items())})"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def varies(column: pd.Series[Any]) -> bool:
    """Check if a column has several values; an empty cell counts as a value."""
    return column.astype(str).nunique(dropna=False) > 1


def groups(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return the text of each cell; for many numbers, the quarter of the column that it is in."""
    import pandas as pd  # slow to import

    if pd.api.types.is_numeric_dtype(column) and column.nunique() > _MOST_VALUES:
        quarters = pd.qcut(column.astype("float64"), 4, labels=False, duplicates="drop")
        ends = column.groupby(quarters).agg(["min", "max"])
        names = {q: f"{low:.3g} to {high:.3g}" for q, (low, high) in ends.T.items()}
        return quarters.map(names).astype(object).fillna("-")
    return pd.Series(mapped(column, text_of, "-"), index=column.index, dtype=object)


def mapped(column: pd.Series[Any], text: Callable[[Any], Any], missing: Any) -> npt.NDArray[Any]:
    """Return the text of each cell as an array of objects."""
    cells = zip(column.astype(object), column.isna(), strict=True)
    return np.array([missing if absent else text(cell) for cell, absent in cells], dtype=object)


def in_order(texts: pd.Series[Any]) -> list[str]:
    """Sort the distinct texts: numbers by size, then words, then the dash."""

    def key(text: str) -> tuple[int, float, str]:
        try:
            return 0, float(text.split(" to ", maxsplit=1)[0]), ""
        except ValueError:
            return (2 if text == "-" else 1), 0.0, text

    return sorted(set(texts), key=key)
