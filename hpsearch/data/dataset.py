"""The types of the data room, and functions that pack several targets in one array."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hpsearch.data.specs import ArrayPart, InputSpec, TableSpec, Target, Task, column_slices
from hpsearch.errors import DataError
from hpsearch.wording import counted, number, plain, printable

TaskName = Literal["classification", "regression"]

Indices = npt.NDArray[np.intp]
FoldIndices = Sequence[tuple[Indices, Indices]]
"""Training and validation rows of each fold."""
Folds = Callable[[Indices, Indices | None], FoldIndices]
"""A function of row indices and their classes, if any, that divides the rows into folds."""

Inputs = npt.NDArray[Any] | dict[str, npt.NDArray[Any]]
"""Raw rows: `(n_samples, ...)` float32 or uint8; or, for a table with text columns, a mapping
from column name to `(n_samples,)` float32 numbers or object `str`, as `Model.predict` takes.
A missing number is NaN, a missing text empty."""


def n_rows(x: Inputs) -> int:
    """Number of rows in `x`."""
    return len(next(iter(x.values()))) if isinstance(x, Mapping) else len(x)


@dataclass(frozen=True, eq=False)
class RawPart:
    """Rows as read from the source.

    Attributes:
        y: int64, uint64 or object `str` labels `(n_samples,)`, or float64 `(n_samples,)` or
            `(n_samples, outputs)`.
        place: Maps a row's index to its place in the source, such as `iris.csv:17`.
        weights: Weights of the rows in the loss, float32 `(n_samples,)`, or None.
        table: The columns of `x`; empty for rows without names.
        notices: One sentence for each column that was left out, or is likely to be misread.
        parts: Several inputs; see `InputSpec`.
    """

    x: Inputs
    y: npt.NDArray[Any]
    place: Callable[[int], str]
    weights: npt.NDArray[np.float32] | None = None
    table: TableSpec = TableSpec()  # noqa: RUF009 - frozen
    notices: tuple[str, ...] = ()
    parts: tuple[ArrayPart, ...] = ()


@dataclass(frozen=True, eq=False)
class RawData:
    """A source's rows, before they are split and encoded.

    Attributes:
        where: The source in messages: a path, or `the built-in set 'iris'`.
        train: The rows that are split.
        validation, test: The source's own parts, if any.
        labels: Class names if `train.y` holds indices into them, else empty.
        unit: The largest raw value of an image, else None.
        task: The source's task if it is known, else None.
        user_data: True for the user's rows, which are checked for oddities.
        typed: False if the source, such as a CSV file, does not distinguish numbers from text.
        split_cells: The cells of the column that splits the rows, `(n_samples,)`, or None.
    """

    name: str
    where: str
    train: RawPart
    validation: RawPart | None = None
    test: RawPart | None = None
    labels: tuple[str, ...] = ()
    unit: float | None = None
    task: TaskName | None = None
    warnings: tuple[str, ...] = ()
    user_data: bool = True
    typed: bool = True
    split_cells: npt.NDArray[Any] | None = None


@dataclass(frozen=True, eq=False)
class Split:
    """One part of a dataset.

    Attributes:
        y: Encoded targets, as in `hpsearch.data.specs.Arrays`; before encoding, class indices
            `(n_samples,)` or regression values `(n_samples, outputs)` in their own units.
        weights: Weights of the rows in the loss, float32 `(n_samples,)`, or None.
    """

    x: Inputs
    y: npt.NDArray[Any]
    weights: npt.NDArray[np.float32] | None = None

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.y)

    def take(self, rows: Indices) -> Split:
        """Return the rows with these indices, in the order of the indices."""
        if isinstance(self.x, Mapping):
            x: Inputs = {name: column[rows] for name, column in self.x.items()}
        else:
            x = self.x[rows]
        return Split(x, self.y[rows], None if self.weights is None else self.weights[rows])


@dataclass(frozen=True, eq=False)
class Dataset:
    """Raw rows, encoded targets, and the conversion of rows to features.

    Attributes:
        name: Name of the built-in set, or stem of the file.
        input, target: Fitted on the training split only.
        fingerprint: `d` and 11 hex digits of the parsed values, labels and split.
        warnings: One sentence each, for the user.
        folds: With cross-validation, a dataset for each fold, fitted on its own training split.
            The fingerprint is then of all folds, and the other attributes are the first fold's.
        held: Large arrays that the model's code refers to; workers get them with the rows.
    """

    name: str
    input: InputSpec
    target: Target
    train: Split
    validation: Split
    test: Split | None
    fingerprint: str
    warnings: tuple[str, ...] = ()
    folds: tuple[Dataset, ...] = ()
    held: Any = None

    def of_fold(self, fold: int | None) -> Dataset:
        """Return the dataset of a fold (from 1), or this one without cross-validation."""
        return self if fold is None else self.folds[fold - 1]

    def require_one_label(self) -> None:
        """Raise DataError if the targets of a regression are zeros and ones, labels of a row."""
        target, y = self.target, self.train.y
        is_matrix = target.task is Task.REGRESSION and target.outputs > 1
        if is_matrix and np.isin((y * target.std + target.mean).round(4), (0, 1)).all():
            raise DataError(
                f"{self.name}: y has {target.outputs} columns of zeros and ones, several labels a "
                "row or none (multi-label): give a model of your own with sigmoid outputs "
                "(model=build), or say task: regression to train them as numbers"
            )


def profile(dataset: Dataset) -> tuple[str, ...]:
    """Describe the rows, the targets, and the score of guessing, each in a line."""
    folds = dataset.folds or (dataset,)
    train, validation = dataset.train, dataset.validation
    count = f"{len(folds)} folds of {len(train):,}" if dataset.folds else f"{len(train):,}"
    test = "" if dataset.test is None else f"; {len(dataset.test):,} test rows"
    rows = f"{dataset.name}: {count} training and {len(validation):,} validation rows{test}"
    guess = _guess(dataset)
    return (f"{rows}; {_features(dataset.input)}", *([guess] if guess else []))


def _features(spec: InputSpec) -> str:
    if spec.parts:
        return f"{len(spec.parts)} inputs"
    if len(spec.shape) > 1:
        kind = "images" if spec.dtype == "uint8" else "numbers"
        return f"{kind} of {' x '.join(map(str, spec.shape))}"
    texts = [column for column in spec.columns or () if column.vocabulary is not None]
    dates = spec.table.dates
    parts = sum(len(date.parts) for date in dates)
    values = sum(len(column.vocabulary or ()) for column in texts)
    kinds = (
        (spec.shape[0] - len(texts) - parts, "number", ""),
        (len(texts), "text", f" ({values:,} values)"),
        (len(dates), "date", ""),
    )
    listed = ", ".join(counted(n, noun) + more for n, noun, more in kinds if n)
    return listed + ("; missing numbers are filled in" if spec.fill else "")


def _commonest(codes: npt.NDArray[Any]) -> int:
    return int(np.bincount(codes.astype(np.intp)).argmax())


def _mean_target(dataset: Dataset) -> float:
    """Return the mean training target in the units that training reads."""
    return 0.0 if dataset.target.standardised else float(np.mean(dataset.train.y, dtype=float))


def guess_scores(dataset: Dataset) -> dict[str, float]:
    """Score always guessing the commonest class, or the mean target: metric -> value.

    The values are means over the folds. Other targets have no such score.
    """
    folds, target = dataset.folds or (dataset,), dataset.target
    if target.classes:
        right = [np.mean(fold.validation.y == _commonest(fold.train.y)) for fold in folds]
        return {"val_accuracy": float(np.mean(right))}
    if target.task is not Task.REGRESSION or target.outputs > 1:
        return {}
    off = [
        fold.target.std[0] * np.abs(fold.validation.y.ravel().astype(float) - _mean_target(fold))
        for fold in folds
    ]
    mae, mse = (float(np.mean([np.mean(error**power) for error in off])) for power in (1, 2))
    return {"val_mae": mae, "val_mse": mse}


def _guess(dataset: Dataset) -> str:
    """Describe the scores of guessing; empty if there are none."""
    target, guesses = dataset.target, guess_scores(dataset)
    if target.classes:
        guess = printable(target.classes[_commonest(dataset.train.y)])
        return (
            f"{len(target.classes):,} classes; always guessing {guess} has val_accuracy "
            f"{guesses['val_accuracy']:.4f}"
        )
    if not guesses:
        return ""
    mae, mse = guesses["val_mae"], guesses["val_mse"]
    mean = plain(target.mean[0] + _mean_target(dataset))
    return (
        f"always guessing the mean target, {mean}, has val_mae {number(mae)} and "
        f"RMSE {number(mse**0.5)}"
    )


#: float32 represents all smaller whole numbers exactly.
_WHOLE = 2**24
_IMAGE_DIMENSIONS = 3
FLOAT32_MAX = float(np.finfo(np.float32).max)
IMAGE_MAX = 255.0
#: Small, because rows are held twice, to encode or to compare them, and again by the workers.
SHARE_OF_MEMORY = 1 / 4
_INFINITE = -1


def is_dataset(value: Any) -> bool:
    """True for a `tf.data.Dataset`; does not import TensorFlow."""
    is_tensorflow = type(value).__module__.partition(".")[0] == "tensorflow"
    return is_tensorflow and hasattr(value, "as_numpy_iterator")


def arrays_in(value: Any) -> Iterator[npt.NDArray[Any]]:
    """Yield the arrays of a batch, or of a part of it, in a fixed order."""
    if isinstance(value, Mapping):
        for name in sorted(value):
            yield from arrays_in(value[name])
    elif isinstance(value, tuple | list):
        for item in value:
            yield from arrays_in(item)
    else:
        yield np.asarray(value)


def read_elements(dataset: Any, name: str, available_bytes: float) -> list[tuple[Any, ...]]:
    """Read all elements of a `tf.data.Dataset` or an iterable of `(x, y)` or `(x, y, weights)`."""
    given = dataset
    if is_dataset(dataset):
        if int(dataset.cardinality()) == _INFINITE:
            raise DataError(f"{name}: the tf.data.Dataset is endless; take a part of it: .take(n)")
        given = dataset.as_numpy_iterator()
    room = available_bytes * SHARE_OF_MEMORY
    elements = []
    for element in given:
        if not isinstance(element, tuple | list) or len(element) not in (2, 3):
            raise DataError(
                f"{name}: the dataset's elements are not (x, y) or (x, y, sample_weight), as "
                "keras.Model.fit takes them"
            )
        room -= sum(array.nbytes for array in arrays_in(element))
        if room < 0:
            raise DataError(
                f"{name}: the dataset is larger than a quarter of the free memory: take a part of "
                "it, or smaller numbers, such as uint8 images"
            )
        elements.append(tuple(element))
    if not elements:
        raise DataError(f"{name}: the dataset holds no rows")
    return elements


def joined(parts: Sequence[Any], join: Any = np.concatenate) -> Any:
    """Join batches, or parts of them, that have the same structure."""
    first = parts[0]
    if isinstance(first, Mapping):
        return {key: joined([part[key] for part in parts], join) for key in first}
    if isinstance(first, tuple | list):
        kind = tuple if isinstance(first, tuple) else list
        return kind(joined(pieces, join) for pieces in zip(*parts, strict=True))
    array = join([np.asarray(part) for part in parts])
    if array.dtype != object:
        return array
    # TensorFlow returns texts as bytes.
    texts = [cell.decode() if isinstance(cell, bytes) else cell for cell in array.ravel()]
    return np.array(texts, object).reshape(array.shape)


def are_several(values: Any, others: Any) -> bool:
    """True for a mapping of arrays, or a list of arrays with as many rows as `others` each."""
    if isinstance(values, Mapping):
        return True
    if not isinstance(values, list | tuple) or not values:
        return False
    return any(
        len(values) != rows and all(getattr(a, "shape", ())[:1] == (rows,) for a in values)
        for rows in _row_counts(others)
    )


def are_several_inputs(x: Any, y: Any) -> bool:
    """True for a list of arrays of len(y) rows, or a mapping with an array wider than a column."""
    if isinstance(x, Mapping):
        return any(getattr(array, "ndim", 1) > 1 for array in x.values())
    return are_several(x, y)


def _row_counts(values: Any) -> set[int]:
    """Return the possible numbers of rows of an array, or of several in a list or a mapping."""
    if isinstance(values, Mapping):
        return {len(array) for array in values.values() if hasattr(array, "__len__")}
    counts = {len(values)} if hasattr(values, "__len__") else set()
    if isinstance(values, list | tuple):
        # If a list has as many arrays as each has rows, or more, the arrays are rows.
        shapes = (getattr(array, "shape", ()) for array in values)
        counts |= {shape[0] for shape in shapes if shape and len(values) < shape[0]}
    return counts


def packed(
    y: Any, where: str, like: Sequence[ArrayPart] | None = None, noun: str = "targets"
) -> tuple[npt.NDArray[np.float64], tuple[ArrayPart, ...]]:
    """Put several targets or inputs side by side in one array; `unpacked` reverses it.

    Args:
        y: A mapping from name to array, or a list of arrays, each `(n_samples, ...)` numbers.
        like: Descriptions of the training rows' arrays, which these must match.
        noun: `targets` or `inputs`.

    Returns:
        The columns of all arrays `(n_samples, columns)`, and a description of each array.
    """
    if not len(y):
        raise DataError(f"{where}: has no {noun}")
    named = y.items() if isinstance(y, Mapping) else (("", value) for value in y)
    columns, parts = [], []
    for index, (name, target) in enumerate(named):
        called = f"{where}[{name or index!r}]"
        array = np.asarray(target)
        if array.ndim == 0 or array.dtype.kind not in "biuf":
            raise DataError(
                f"{called}: must be an array of numbers, one or more a row, not "
                f"{array.dtype} {array.shape}; with several {noun}, classes and texts are whole "
                "numbers"
            )
        image = noun == "inputs" and are_images(array)
        whole = array.dtype.kind != "f" and not image
        if whole and array.size and ((array >= _WHOLE) | (array <= -_WHOLE)).any():
            raise DataError(f"{called}: has whole numbers beyond {_WHOLE:,}")
        parts.append(ArrayPart(str(name), array.shape[1:], whole=whole, image=image))
        columns.append(array.reshape(len(array), parts[-1].columns).astype(np.float64))
    lengths = [len(column) for column in columns]
    if len(set(lengths)) != 1:
        raise DataError(f"{where}: its {noun} have {', '.join(map(str, lengths))} rows")
    like = like or parts
    fit = len(parts) == len(like) and all(
        (ours.name, ours.shape, ours.image) == (theirs.name, theirs.shape, theirs.image)
        # Whole numbers are numbers, but of other inputs the model would cut the fractions off.
        and (ours.whole or not theirs.whole or noun == "targets")
        for ours, theirs in zip(parts, like, strict=False)
    )
    if not fit:
        ours, theirs = ([(p.name, p.shape, _kind(p)) for p in group] for group in (parts, like))
        raise DataError(f"{where}: its {noun} are {ours}, those of the training rows {theirs}")
    return np.concatenate(columns, axis=1), tuple(parts)


def _kind(part: ArrayPart) -> str:
    return "images of uint8" if part.image else "whole numbers" if part.whole else "numbers"


def require_finite(
    columns: npt.NDArray[np.float64], parts: Sequence[ArrayPart], where: Callable[[int], str]
) -> None:
    """Raise DataError if several inputs, side by side, have a number not finite in float32."""
    bad = ~(np.abs(columns) <= FLOAT32_MAX)
    if not bad.any():
        return
    row, column = np.argwhere(bad)[0].tolist()
    index = next(n for n, span in enumerate(column_slices(parts)) if column < span.stop)
    name = parts[index].name or index
    raise DataError(
        f"{where(row)}: x[{name!r}]: {columns[row, column]} is not a finite float32 number "
        f"({int(bad.sum())} such values); replace them, which several inputs leave to you"
    )


def are_images(x: npt.NDArray[Any]) -> bool:
    """True if `x` has rows of uint8 numbers in two dimensions or more."""
    return x.dtype == np.uint8 and x.ndim >= _IMAGE_DIMENSIONS


def several_target(parts: Sequence[ArrayPart]) -> Target:
    """Return the target of a user's model with several outputs, which takes raw targets."""
    outputs = sum(part.columns for part in parts)
    return Target(
        Task.OWN, outputs, mean=(0.0,) * outputs, std=(1.0,) * outputs, parts=tuple(parts)
    )


def unpacked(
    y: Any, parts: Sequence[ArrayPart], convert: Callable[[Any, ArrayPart], Any] | None = None
) -> Any:
    """Return several targets or inputs from their columns, as the mapping or list they were.

    Args:
        y: `(n_samples, columns)`, an array or a tensor.
        parts: If empty, `y` is returned unchanged.
        convert: Function that gives a part's columns its shape and type; None for arrays.
    """
    if not parts:
        return y
    take = convert or _as_array
    columns = zip(column_slices(parts), parts, strict=True)
    made = [take(y[:, where], part) for where, part in columns]
    if not parts[0].name:
        return made
    return {part.name: array for part, array in zip(parts, made, strict=True)}


def _as_array(columns: npt.NDArray[Any], part: ArrayPart) -> npt.NDArray[Any]:
    array = columns.reshape(len(columns), *part.shape)
    return array.astype(np.int32) if part.whole else array
