"""Load datasets, or only their sizes, from a sweep's `data:` or from arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hpsearch.data.arrays import Pair, raw_from_pairs, read_function, read_npz
from hpsearch.data.assembly import assemble
from hpsearch.data.builtin import read_builtin
from hpsearch.data.dataset import Dataset, Folds, Options, RawData, TableOptions, TaskName
from hpsearch.data.splitting import (
    group_folds,
    instants,
    time_folds,
)
from hpsearch.data.tables import read_column, read_csv
from hpsearch.errors import DataError
from hpsearch.spec.data import DataSpec

Loader = Callable[[DataSpec], Dataset]
"""`load_dataset`, or a function that takes rows from memory instead."""


def load_dataset(spec: DataSpec) -> Dataset:
    """Read, split and encode the data of a sweep.

    A fraction for `test` overrides a source's own test split. A source's own validation part
    overrides the fraction for `validation`, which has a default.

    Raises:
        DataError: The data cannot be found, read or used. The message has a line with the place of
            each problem.
    """
    source = _read_source(spec)
    _require_task(spec.task, source.task, source.where)
    fraction = None if isinstance(spec.validation, str) else spec.validation
    options = Options(
        validation=fraction if source.validation is None else None,
        test=None if isinstance(spec.test, str) else spec.test,
        seed=spec.seed,
        scale=spec.scale,
        task=spec.task or source.task,
        cv=spec.cv,
        folds=_folds_by_column(spec),
        impute=spec.impute,
        train_on=spec.train_on,
    )
    return assemble(source, options)


def dataset_from_arrays(
    x: Any,
    y: Any,
    *,
    sample_weight: Any = None,
    validation_data: Pair | None = None,
    test_data: Pair | None = None,
    options: Options | None = None,
    table: TableOptions = TableOptions(),  # noqa: B008 - frozen
    name: str = "arrays",
) -> Dataset:
    """Make a dataset from arrays, lists or pandas objects in memory.

    Args:
        x: `(n_samples, ...)` numbers, or a frame (text columns allowed).
        y: `(n_samples,)` labels or numbers, one-hot rows, or `(n_samples, outputs)` numbers.
        sample_weight: `(n_samples,)` weights of the rows in the loss, or None.
        validation_data, test_data: Pairs of x and y, or triples with the rows' weights; no rows are
            split off for such a part.
        options: None for the default options.
        table: How a frame's columns are used.

    Raises:
        DataError: The shapes, types or values cannot be used.
    """
    options = options or Options()
    rows = (x, y, sample_weight)
    raw = raw_from_pairs(
        rows,
        validation_data,
        test_data,
        where=name,
        name=name,
        task=options.task,
        options=table,
    )
    if validation_data is not None:
        options = replace(options, validation=None)
    if test_data is not None:
        options = replace(options, test=None)
    return assemble(raw, options)


def table_options(spec: DataSpec) -> TableOptions:
    """Return how a sweep uses a table's columns."""
    return TableOptions(spec.drop, spec.impute != "none", spec.dates, spec.identifiers)


def _read_source(spec: DataSpec) -> RawData:
    if spec.memory is not None:
        raise DataError(
            "data.memory: the rows were arrays in the memory of a Python program, and no file has "
            "them. In that program, hpsearch.tune with the same arrays and out= continues, and its "
            "results evaluate, export and reproduce; or save the arrays with numpy.savez and name "
            "that file in data.npz"
        )
    validation = spec.validation if isinstance(spec.validation, str) else None
    test = spec.test if isinstance(spec.test, str) else None
    if spec.csv is not None:
        split = None if spec.split is None else spec.split.column
        return read_csv(
            spec.csv, spec.target, validation, test, options=table_options(spec), split=split
        )
    if spec.npz is not None:
        return read_npz(spec.npz, spec.task, validation, test, table_options(spec))
    _fractions(spec)
    if spec.python is not None:
        return read_function(spec.python, spec.task, table_options(spec))
    if spec.dataset is None:
        raise DataError("data: name one of dataset, csv, npz, python")
    return read_builtin(spec.dataset, spec.folder)


def _fractions(spec: DataSpec) -> tuple[float, float | None]:
    """Return `validation` and `test` as fractions; refuse files, which such data cannot have."""
    validation, test = spec.validation, spec.test
    if not isinstance(validation, str) and not isinstance(test, str):
        return validation, test
    name, file = ("validation", validation) if isinstance(validation, str) else ("test", test)
    raise DataError(
        f"{name}: {file!r} is a file, which only csv and npz data can have; "
        "give a fraction such as 0.2"
    )


def _folds_by_column(spec: DataSpec) -> Folds | None:
    if spec.split is None or spec.csv is None:
        return None
    cells = read_column(spec.csv, spec.split.column)
    validation = float(spec.validation)
    if spec.split.by == "group":
        return group_folds(cells, spec.cv, validation, spec.seed)
    where = f"{spec.csv}: column {spec.split.column!r}"
    return time_folds(instants(cells, where), spec.cv, validation, where)


def _require_task(asked: TaskName | None, known: TaskName | None, where: str) -> None:
    if asked is not None and known is not None and asked != known:
        raise DataError(f"task: {where} is a {known}, not a {asked}; leave task out")
