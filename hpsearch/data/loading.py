"""Load datasets from a sweep's `data:`, or from arrays, frames and `tf.data` datasets in memory."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch.data.arrays import PARTS, as_supported, raw_from_pairs, read_function, read_npz
from hpsearch.data.assembly import assemble
from hpsearch.data.builtin import read_builtin
from hpsearch.data.csvfile import read_csv
from hpsearch.data.dataset import (
    Dataset,
    Folds,
    are_several,
    is_dataset,
    joined,
    packed,
    read_elements,
)
from hpsearch.data.specs import ArrayPart
from hpsearch.data.splitting import random_folds, splitter_folds, time_folds, times_of
from hpsearch.errors import DataError
from hpsearch.machine import available_bytes
from hpsearch.spec.data import DataSpec

Loader = Callable[[DataSpec], Dataset]
"""`load_dataset`, or a function that takes rows from memory instead."""


def load_dataset(spec: DataSpec) -> Dataset:
    """Read, split and encode the data of a sweep; raise DataError with a line for each problem."""
    if spec.memory is not None:
        raise DataError(
            "data.memory: the rows were arrays in a Python program, and no file has them; continue "
            "in that program with hpsearch.tune, or name a file that has them in data.npz"
        )
    if spec.csv is not None:
        source = read_csv(spec.csv, spec)
        return assemble(source, spec, _folds_by_column(source.split_cells, spec))
    if spec.npz is not None:
        return assemble(read_npz(spec.npz, spec), spec)
    if spec.python is not None:
        return assemble(read_function(spec.python, spec), spec)
    assert spec.dataset is not None
    return assemble(read_builtin(spec.dataset, spec.folder), spec)


def _folds_by_column(cells: npt.NDArray[Any] | None, spec: DataSpec) -> Folds | None:
    if cells is None or spec.split is None:
        return None
    validation, count = float(spec.validation), spec.cv.folds if spec.cv else None
    if spec.split.by == "group":
        return random_folds(count, spec.seed, cells, validation)
    where = f"{spec.csv}: column {spec.split.column!r}"
    return time_folds(times_of(cells, where), count, validation, where)


def collect(dataset: Any, name: str) -> tuple[Any, ...]:
    """Read all rows of a `tf.data.Dataset` of batches, or of single rows if targets are scalars."""
    elements = read_elements(dataset, name, available_bytes())
    join = np.stack if getattr(elements[0][1], "shape", (0,)) == () else np.concatenate
    return tuple(joined(parts, join) for parts in zip(*elements, strict=True))


def read_memory(
    x: Any, y: Any, sample_weight: Any, validation: Any, test: Any, *, custom: bool = False
) -> InMemoryRows:
    """Return the rows that a program gives, with arrays for TensorFlow's datasets.

    Args:
        custom: For a custom model, a mapping of arrays of numbers is several inputs, as in Keras.
    """
    if is_dataset(x):
        for name, value in (("y", y), ("sample_weight", sample_weight)):
            if value is not None:
                raise DataError(f"{name}: a tf.data.Dataset brings its own; leave {name} out")
        x, y, sample_weight = (*collect(x, "x"), None)[:3]
    if is_dataset(validation):
        validation = collect(validation, "validation_data")
    if is_dataset(test):
        test = collect(test, "test")[:2]
    test = test if isinstance(test, tuple | list) else None
    if custom:
        x = _as_columns(x)
        validation, test = (_with_columns(pair) for pair in (validation, test))
    if not are_several(y, x):
        return InMemoryRows(x, y, sample_weight, validation, test)
    columns, parts = packed(y, "y")
    validation = _packed(validation, "validation_data", parts)
    return InMemoryRows(x, columns, sample_weight, validation, _packed(test, "test", parts), parts)


def _as_columns(x: Any) -> Any:
    """Return a mapping of arrays of numbers with `(n_samples,)` ones as `(n_samples, 1)`."""
    if not isinstance(x, Mapping):
        return x
    arrays = {name: np.asarray(array) for name, array in x.items() if hasattr(array, "dtype")}
    if len(arrays) < len(x) or any(array.dtype.kind not in "biuf" for array in arrays.values()):
        return x
    return {n: array[:, np.newaxis] if array.ndim == 1 else array for n, array in arrays.items()}


def _with_columns(pair: Any) -> Any:
    if isinstance(pair, tuple | list) and pair:
        return (_as_columns(pair[0]), *pair[1:])
    return pair


def _packed(pair: Any, name: str, parts: Sequence[ArrayPart]) -> Any:
    """Pack a pair's targets in columns; leave anything else unchanged."""
    if not isinstance(pair, tuple | list) or len(pair) < 2:
        return pair
    x, y, *weights = pair
    if not are_several(y, x):
        raise DataError(f"{name}: must have the targets that y has, {len(parts)}")
    return (x, packed(y, f"{name}'s y", parts)[0], *weights)


@dataclass(frozen=True, eq=False)
class InMemoryRows:
    """Rows that a program gives.

    Attributes:
        x: `(n_samples, ...)` numbers, or a frame (text columns allowed).
        y: `(n_samples,)` labels or numbers, one-hot rows, or `(n_samples, outputs)` numbers.
        weights: `(n_samples,)` weights of the rows in the loss, or None.
        validation, test: Pairs of x and y, the first perhaps with weights, or None. No rows are
            split off for such a part.
        parts: Several targets, whose columns are then in `y` and the pairs; else empty.
        name: Names the rows in messages.
    """

    x: Any
    y: Any
    weights: Any = None
    validation: Any = None
    test: Any = None
    parts: tuple[ArrayPart, ...] = ()
    name: str = "arrays"

    def __post_init__(self) -> None:
        if self.y is None:
            raise DataError("y: must be labels or targets, one a row of x, not None")
        for name, pair, most in (("validation_data", self.validation, 3), ("test", self.test, 2)):
            is_pair = isinstance(pair, tuple | list) and 2 <= len(pair) <= most
            if pair is not None and not is_pair:
                raise DataError(
                    f"{name}: must be a pair (x, y), for validation perhaps with sample_weight, "
                    f"not {type(pair).__name__}"
                )

    @property
    def described(self) -> dict[str, str]:
        """Descriptions of the arrays for sweep.yaml."""
        texts = {"x": _described(self.x), "y": _described(self.y)}
        if self.weights is not None:
            texts["sample_weight"] = _described(self.weights)
        for name, pair in (("validation", self.validation), ("test", self.test)):
            if pair is not None:
                texts[name] = f"x {_described(pair[0])}, y {_described(pair[1])}"
        return texts

    def load(self, spec: DataSpec, folding: Folding | None = None) -> Dataset:
        """Make the dataset of a sweep; raise DataError if the rows cannot be used."""
        if self.parts:
            if spec.task is not None:
                raise DataError("task: several targets have each its own; leave task out")
            # Several targets are packed as numbers, even if some of them are class indices.
            spec = replace(spec, task="regression")
        train = (self.x, self.y, self.weights)
        pairs = dict(zip(PARTS, (train, self.validation, self.test), strict=True))
        raw = raw_from_pairs(self.name, self.name, pairs, spec)
        folds = None if folding is None else folding.maker(float(spec.validation))
        return assemble(raw, spec, folds, self.parts)


@dataclass(eq=False)
class Folding:
    """Cross-validation and groups that a program asks for.

    Attributes:
        count: Number of folds, or None without cross-validation.
        splitter: A scikit-learn splitter or pairs of row numbers; None for shuffled folds.
        groups: The group of every row, `(n_samples,)`, or None.
        overlap: Ratio of validation to training rows of all folds; None if they are one division.
    """

    count: int | None
    splitter: Any
    groups: npt.NDArray[Any] | None
    seed: int
    overlap: float | None = None
    _made: Any = None

    @classmethod
    def of(cls, cv: Any, groups: Any, rows: InMemoryRows, seed: int, test: Any = None) -> Folding:
        """Check the arguments of `hpsearch.tune`; raise DataError if one cannot be used."""
        for name, value in (("cv", cv), ("groups", groups)):
            if value is not None and rows.validation is not None:
                raise DataError(f"{name}: is for splits of x; leave {name} or validation_data out")
        is_splitter = hasattr(cv, "split") and hasattr(cv, "get_n_splits")
        moves = groups is not None or (isinstance(cv, Iterable) and not is_splitter)
        if isinstance(test, float) and moves:
            raise DataError(
                "test: a share of rows would tear groups apart, or move row numbers; give a pair "
                "(x, y) of rows that x does not have"
            )
        members = None if groups is None else np.asarray(as_supported(groups))
        n_rows = len(rows.y) if hasattr(rows.y, "__len__") else 0
        if members is not None and members.shape != (n_rows,):
            raise DataError(
                f"groups: has shape {members.shape}; give one group for each of the {n_rows} rows"
            )
        if members is not None:
            import pandas as pd  # slow to import

            if (gone := pd.isna(members)).any():
                raise DataError(f"groups: row {int(np.argmax(gone))} (from 0) has no group")
        if cv is None or isinstance(cv, int | np.integer):
            return cls(None if cv is None else int(cv), None, members, seed)
        if is_splitter:
            try:
                count = int(cv.get_n_splits(np.zeros((n_rows, 1)), np.asarray(rows.y), members))
            except ValueError as error:
                raise DataError(f"cv: {type(cv).__name__}: {error}") from None
        else:
            cv = list(cv) if isinstance(cv, Iterable) else [cv]
            count = len(cv)
            if not all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in cv):
                raise DataError(
                    "cv: must be how many folds, a scikit-learn splitter, or pairs of training and "
                    "validation row numbers"
                )
        overlap = _overlap(cv, members, rows.y) if count <= 1_000 else None  # More are refused.
        return cls(count if count > 1 else None, cv, members, seed, overlap)

    @property
    def described(self) -> dict[str, str]:
        """Descriptions of folds and groups for sweep.yaml."""
        texts = {}
        if self.splitter is not None:
            given = isinstance(self.splitter, list)
            texts["folds"] = "row numbers" if given else " ".join(repr(self.splitter).split())
            if self.overlap is not None:
                texts["overlap"] = repr(self.overlap)
        if self.groups is not None:
            texts["groups"] = _described(self.groups)
        return texts

    def maker(self, validation: float) -> Folds | None:
        """Return a function that makes the folds; None for shuffled folds.

        Later calls return the first call's folds: a splitter without a seed would make other folds
        when rows are loaded again for an evaluation.
        """
        if self.splitter is not None:
            make = splitter_folds(self.splitter, self.groups)
        elif self.groups is not None:
            make = random_folds(self.count, self.seed, self.groups, validation)
        else:
            return None

        def made(places: Any, codes: Any) -> Any:
            if self._made is None:
                self._made = make(places, codes)
            return self._made

        return made


def _overlap(splitter: Any, groups: npt.NDArray[Any] | None, y: Any) -> float | None:
    labels = np.atleast_1d(y)
    # A copy, since drawing changes a splitter; loading refuses the rows that it cannot divide.
    with suppress(DataError):
        pairs = splitter_folds(copy.deepcopy(splitter), groups)(np.arange(len(labels)), labels)
        train, validation = (sum(pair[side].size for pair in pairs) for side in (0, 1))
        return validation / train if train and validation > len(labels) else None
    return None


def _described(array: Any) -> str:
    """Describe an array, such as `(150, 4) float64`."""
    kind = type(array).__name__
    shape = getattr(array, "shape", None)
    if shape is None:
        return f"{kind} of {len(array)}" if hasattr(array, "__len__") else kind
    return f"{tuple(shape)} {getattr(array, 'dtype', kind)}"
