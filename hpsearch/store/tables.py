"""The schema of results.csv and curves.csv, by which both are written and read."""

from __future__ import annotations

import json
import math
import os
import re
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.data.specs import Task
from hpsearch.errors import InputError, RefusedError
from hpsearch.files import write_atomically
from hpsearch.machine import odd_kind
from hpsearch.models.problem import TASK_METRICS
from hpsearch.space.mlp import NOTES
from hpsearch.space.space import Kind
from hpsearch.spec.method import MethodSpec
from hpsearch.store.columns import (
    CODE,
    CURVES,
    CURVES_TAIL,
    DTYPES,
    FLOAT,
    HEAD,
    INTEGER,
    KEY,
    METRIC_NAMES,
    TAIL,
    TEXT,
    Record,
    cell_of,
    escaped,
    parsed,
    value_of,
    varies,
)
from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.store import Store
from hpsearch.wording import cell_text, counted

if TYPE_CHECKING:
    import pandas as pd


#: Columns that a table of trials has after the score.
_OF_TRIALS = frozenset({"std", "executions"})
_RESERVED = frozenset(DTYPES | CURVES) | METRIC_NAMES | _OF_TRIALS
_MOST_INT64 = 2**63
#: A float64 can differ from a whole number from here on.
_MOST_EXACT = 2**53
#: Most columns of a table that is read.
_MOST_COLUMNS = 10_000
_PREFIXES = re.compile(r"\A(hp_)+")
_INTEGER_NOTES = frozenset({"hidden_layers", "batch_size", "epochs"})


def column_of(hyperparameter: str) -> str:
    """Return the column of a hyperparameter: its name, with `hp_` before it if that is taken."""
    # `hp_score` is taken too: it would share its column with a hyperparameter `score`.
    taken = _PREFIXES.sub("", hyperparameter) in _RESERVED
    return f"hp_{hyperparameter}" if taken else hyperparameter


def hyperparameter_of(column: str) -> str:
    """Return the hyperparameter of a column; the inverse of `column_of`."""
    name = column.removeprefix("hp_")
    return name if column_of(name) == column else column


def hyperparameter_columns(table: pd.DataFrame) -> list[str]:
    """Return the columns of a table of results or trials that hold hyperparameters."""
    columns = list(table.columns)
    after = dropwhile(_OF_TRIALS.__contains__, columns[columns.index("score") + 1 :])
    return list(takewhile(lambda column: column not in _RESERVED, after))


def values_of(row: pd.Series[Any], columns: Sequence[str]) -> dict[str, Any]:
    """Return the hyperparameters that a row's cells hold; inactive ones have none."""
    import pandas as pd  # slow to import

    return {
        hyperparameter_of(name): value_of(row[name]) for name in columns if not pd.isna(row[name])
    }


_DRAWING_ORACLE = re.compile(r"keras_tuner\b.*:(RandomSearch|GridSearch)(Oracle)?")


def adaptive_methods(table: pd.DataFrame) -> tuple[str, ...]:
    """Return the methods that use scores, unlike a grid or random draws.

    Other trials' scores decide which configs they try, or how long a config trains. The configs of
    the prior depend on none.
    """
    return tuple(
        method
        for method in _methods(table)
        if method and not MethodSpec(method).draws and not _DRAWING_ORACLE.fullmatch(method)
    )


def selecting_methods(table: pd.DataFrame) -> tuple[str, ...]:
    """Return the methods whose configs are neither a grid nor a random sample.

    They try some values mostly together with other good ones, so the mean score of a value does not
    reflect that value alone.
    """
    methods = _methods(table)
    # The configs that a user lists beside a grid or random draws are few, and do not count.
    chosen = adaptive_methods(table) + (("configs",) if methods == ("configs",) else ())
    return (*chosen, *(["an unknown method"] if "" in methods or not methods else []))


def _methods(table: pd.DataFrame) -> tuple[str, ...]:
    """Return the distinct methods of the rows; one is empty if a row does not name a method."""
    cells = table["method"].fillna("").unique() if "method" in table.columns else ()
    return tuple(map(str, cells))


def _row(record: Record, metrics: Mapping[str, str], names: Sequence[str]) -> dict[str, Any]:
    result, values = record.result, record.values  # noqa: PD011 - a mapping
    at_score = result.curve[result.scored_epoch - 1] if result.scored_epoch else {}
    last = result.curve[-1] if result.curve else {}
    return {
        **record.cells,
        **{column_of(n): cell_of(values[n]) if n in values else None for n in names},
        # A diverged trial has no scored epoch; its last epoch shows what happened.
        **{column: at_score.get(n, last.get(n)) for n, column in metrics.items()},
    }


def results_table(
    records: Iterable[Record],
    task: Task,
    hyperparameters: Sequence[str] = (),
    scored: str = "",
    *,
    kind: Kind = Kind.MLP,
) -> pd.DataFrame:
    """Make the results table: a row for each record, by trial, seed and fold.

    Args:
        task: Decides the first metric columns.
        hyperparameters: Names in file order. An MLP's table begins with the notes' seven; others
            that trials have come last.
        scored: The scored metric's name, or `name:goal:epoch`; its columns come next.
    """
    import pandas as pd  # slow to import

    records = sorted(records, key=lambda record: record.place)
    first = NOTES if kind.is_predefined and task is not Task.OBJECTIVE else ()
    met = (name for record in records for name in record.values)  # noqa: PD011 - a mapping
    names = list(dict.fromkeys([*first, *hyperparameters, *met]))
    head = [*HEAD, *map(column_of, names)]
    metrics = _columns_of(_metrics(records, task, scored, kind), {*head, *TAIL, *CODE})
    rows = [_row(record, metrics, names) for record in records]
    columns = [*head, *metrics.values(), *TAIL, *(CODE if kind.names_code else ())]
    return _typed(pd.DataFrame(rows, columns=columns, dtype=object))


def curves_table(
    records: Iterable[Record], task: Task, scored: str = "", *, kind: Kind = Kind.MLP
) -> pd.DataFrame:
    """Make the learning curves: trial, epoch (from 1), a column for each metric, seed and fold."""
    import pandas as pd  # slow to import

    records = sorted(records, key=lambda record: record.place)
    metrics = _columns_of(_metrics(records, task, scored, kind), {*CURVES, *CURVES_TAIL})
    rows = [
        (record.trial, epoch, *(values.get(n, math.nan) for n in metrics), record.seed, record.fold)
        for record in records
        for epoch, values in enumerate(record.result.curve, start=1)
    ]
    columns = CURVES | dict.fromkeys(metrics.values(), FLOAT) | CURVES_TAIL
    return pd.DataFrame(rows, columns=[*columns]).astype(columns)


def _metrics(records: Sequence[Record], task: Task, scored: str, kind: Kind) -> list[str]:
    """Return the task's metrics, the scored one, and what else the trainings report."""
    name = scored.partition(":")[0]
    of_mlp = name.removeprefix("val_")
    first = [of_mlp, f"val_{of_mlp}"] if name and name not in TASK_METRICS[task] else []
    if kind.names_metrics:
        first = [] if kind.is_model else [name]
    curves = (record.result.curve for record in records)
    met = (name for curve in curves if len(curve) for name in curve[0])
    return list(dict.fromkeys([*TASK_METRICS[task], *first, *met]))


def _columns_of(metrics: Iterable[str], taken: Collection[str]) -> dict[str, str]:
    """Return metric -> column: its name, with `metric_` before it until the name is free."""
    columns: dict[str, str] = {}
    for name in metrics:
        column = name
        while column in taken or column in columns.values():
            column = f"metric_{column}"
        columns[name] = column
    return columns


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """Give a table the schema's dtypes; hyperparameters are numeric if all their cells are."""
    metrics = dict.fromkeys(metric_columns(table), FLOAT)
    declared = DTYPES | CURVES | CURVES_TAIL | metrics
    for column in table.columns:
        cells = table[column]
        dtype = declared.get(column) or _hyperparameter_dtype(column, cells)
        if dtype == TEXT:
            cells = cells.where(cells != "", None)
        if dtype != "object":
            table[column] = cells.astype(dtype)  # type: ignore[call-overload]
    # Each assignment adds a block, and pandas would warn of hundreds of them.
    return table.copy()


def metric_columns(table: pd.DataFrame) -> list[str]:
    """Return the columns from the first known metric to the first later column of the schema."""
    after = dropwhile(lambda column: column not in METRIC_NAMES, table.columns)
    return list(takewhile(lambda column: column not in {*HEAD, *TAIL, *CURVES}, after))


def _hyperparameter_dtype(column: str, cells: pd.Series[Any]) -> str:
    if cells.dtype == np.int64:
        return INTEGER
    present = list(cells.dropna())
    kinds = set(map(type, present))
    if column in _INTEGER_NOTES and not kinds & {bool, str} and _are_whole(present):
        return INTEGER
    if not present or kinds & {bool, str}:
        return "object"
    if kinds == {int}:
        return INTEGER if all(abs(c) < _MOST_INT64 for c in present) else "object"
    exact = all(abs(c) <= _MOST_EXACT for c in present if isinstance(c, int))
    return FLOAT if exact else "object"


def _are_whole(cells: Sequence[Any]) -> bool:
    numbers = np.asarray(cells, dtype=np.float64)
    return bool((np.isfinite(numbers) & (numbers == np.floor(numbers))).all())


def write_csv(
    table: pd.DataFrame, path: Path, write: Callable[[Path, str], None] = write_atomically
) -> None:
    """Write a table; readers see the old file or the new one, whole.

    Text that a spreadsheet would run as a formula is escaped with an apostrophe.

    Args:
        write: Writes text to a file, such as the `write` of a held directory.

    Raises:
        OSError: The file cannot be written; the old one is unchanged.
    """
    import pandas as pd  # slow to import

    written = table.copy(deep=False)
    for column in table.columns:
        typed = table[column].dtype == object
        if typed or table[column].dtype == TEXT:
            cells = [
                escaped(cell, typed=typed) if isinstance(cell, str) else cell
                for cell in table[column].astype(object)
            ]
            # From a plain list, pandas would infer numbers and round large ones.
            written[column] = pd.Series(cells, dtype=object, index=table.index)
    written.columns = [escaped(column) for column in table.columns]
    write(path, written.to_csv(index=False, lineterminator="\n"))


def read_table(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a results.csv or curves.csv, or the results of a directory, with the schema's dtypes.

    Lists and mappings in hyperparameter cells stay JSON text.
    """
    return _typed_table(read_cells(path), path)


def read_results(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a results.csv, or the results of a directory, with every column of the schema."""
    table = read_table(path)
    if missing := [name for name in (*HEAD, *TAIL) if name not in table]:
        raise InputError(
            f"{path}: not a results table of hpsearch: it has no column {', '.join(missing)}"
        )
    return table


def _typed_table(table: pd.DataFrame, path: str | os.PathLike[str]) -> pd.DataFrame:
    """Give the result of `read_cells` the schema's dtypes; it is changed."""
    if "trial" not in table.columns:
        raise InputError(
            f"{path}: not a results table of hpsearch: it has no column 'trial'; "
            f"its columns are {', '.join(table.columns[:8])}"
        )
    try:
        typed = _typed(table)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{path}: not a results table of hpsearch: {error}") from None
    _require_one_run(typed, path)
    if "score" in typed:
        for name in (*hyperparameter_columns(typed), "score"):
            _require_values(typed[name], path)
    return typed


def _require_values(column: pd.Series[Any], path: str | os.PathLike[str]) -> None:
    """Refuse numbers that are not finite, and texts that only begin as JSON."""
    for cell in column[np.isinf(column)] if column.dtype == FLOAT else column.dropna().unique():
        try:
            json.dumps(value_of(cell), allow_nan=False)
        except (ValueError, RecursionError):
            raise InputError(
                f"{path}: not a results table of hpsearch: no run writes {cell_text(repr(cell))} "
                f"into the column {column.name}"
            ) from None


def _require_one_run(table: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Refuse several tables, one below the other."""
    keys = [key for key in (*KEY, "epoch") if key in table]
    trials = table[["trial", *({"config"} & {*table})]].drop_duplicates().dropna()
    several = [name for name in ("metric", "recipe") if name in table and table[name].nunique() > 1]
    if table["trial"].isna().any():
        raise InputError(f"{path}: not a results table of hpsearch: it has a row without a trial")
    if trials["trial"].duplicated().any() or table.duplicated(keys).any() or several:
        raise InputError(
            f"{path}: has several configs of a trial, rows of an execution, metrics or recipes: "
            "are these several tables, one below the other? `hpsearch merge A B --out C` joins the "
            "results directories that they came from"
        )


def read_cells(path: str | os.PathLike[str], schema: Collection[str] = ()) -> pd.DataFrame:
    """Read any program's CSV file, or the results of a directory: numbers, booleans, text, None.

    Args:
        schema: A table with all of these columns gets the dtypes of `read_table`.
    """
    import pandas as pd  # slow to import

    source = Path(path)
    source = source / "results.csv" if source.is_dir() else source
    if not source.exists():
        raise InputError(f"{source}: there is no such results table")
    if kind := odd_kind(source):
        raise InputError(f"{source}: is {kind}, not a file with a results table")
    try:
        # pandas would take TRUE for a boolean, and round large numbers. It would rename a repeated
        # column, and take the first one for an index if rows have more cells than the header.
        raw = pd.read_csv(source, dtype=object, keep_default_na=False, header=None)
    except (OSError, ValueError) as error:
        raise InputError(f"{source}: not a results table: {str(error).strip()}") from None
    names = [name.removeprefix("'") for name in raw.iloc[0]]
    if len(set(names)) < len(names) or len(names) > _MOST_COLUMNS:
        raise InputError(
            f"{source}: not a results table: its header must have a name of its own for each "
            f"column, {_MOST_COLUMNS:,} at most, not {', '.join(names[:8])}"
        )
    rows = raw.iloc[1:].set_axis(names, axis=1).reset_index(drop=True)
    table = pd.DataFrame({name: _parsed_column(name, rows[name]) for name in names})
    if source != Path(path):
        _warn_of_lag(ResultsDirectory(Path(path)), len(table))
    return _typed_table(table, path) if schema and {*schema} <= {*names} else table


def _warn_of_lag(where: ResultsDirectory, rows: int) -> None:
    """Warn if a directory's store has results that its table lacks, as after a kill."""
    with suppress(RefusedError):
        if where.store.is_file():
            with Store(where.store, read_only=True) as store:
                lacking = store.count_results() - rows
            if lacking > 0:
                warnings.warn(
                    f"{where.results}: lacks {counted(lacking, 'result')} that the store has: its "
                    "run was killed, after which the same command writes them, or is under way",
                    stacklevel=2,
                )


def _parsed_column(name: str, column: pd.Series[Any]) -> pd.Series[Any]:
    """Parse the texts of a column; equal ones are parsed once."""
    import pandas as pd  # slow to import

    codes, texts = pd.factorize(column)
    as_text = DTYPES.get(name) == TEXT
    values = np.empty(len(texts), dtype=object)
    values[:] = [parsed(text, as_text=as_text) for text in texts.to_numpy(dtype=object)]
    kinds = set(map(type, values))
    if kinds == {int} and all(-_MOST_INT64 <= value < _MOST_INT64 for value in values):
        values = values.astype(np.int64)
    elif kinds and kinds <= {int, float} and all(abs(value) < _MOST_EXACT for value in values):
        values = values.astype(np.float64)
    return pd.Series(values[codes], dtype=values.dtype)


def varying_columns(table: pd.DataFrame) -> list[str]:
    """Return the columns of hyperparameters with several values; an empty cell is a value."""
    return [name for name in hyperparameter_columns(table) if varies(table[name])]


def goal_of(table: pd.DataFrame) -> str:
    """Return `maximize` or `minimize` from the table's metric column."""
    metrics = table["metric"].dropna()
    return metric_parts(metrics.iloc[0] if len(metrics) else "")[1]


def metric_parts(text: str) -> tuple[str, str, str]:
    """Return name, goal and epoch of a table's metric, `name:goal:epoch`."""
    name, goal, epoch = [*text.split(":"), "", ""][:3]
    return name or "score", goal or "maximize", epoch or "last"
