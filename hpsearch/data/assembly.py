"""Turn raw data into a dataset: infer the task, split, encode, fit the scaling, fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch.data.dataset import (
    IMAGE_MAX,
    Dataset,
    Impute,
    Indices,
    Inputs,
    Options,
    RawData,
    RawPart,
    Scale,
    Split,
    n_rows,
    several_target,
)
from hpsearch.data.files import require_memory
from hpsearch.data.specs import (
    ArrayPart,
    ColumnSpec,
    InputSpec,
    TableSpec,
    column_slices,
    n_features,
)
from hpsearch.data.splitting import (
    SplitSizes,
    require_class_rows,
    require_sound_folds,
    shuffled_folds,
    split_rows,
    split_sizes,
)
from hpsearch.data.targets import (
    Classes,
    class_target,
    encode_target,
    infer_task,
    regression_target,
    regression_values,
)
from hpsearch.errors import DataError
from hpsearch.wording import quoted

_BLOCK_VALUES = 1 << 22
#: Bytes of a float32 number in the encoded rows and in the copy that the workers share.
_ENCODED_BYTES = 2 * 4
_SHOWN_COLUMNS = 5
#: With a greater share of missing values, a missing value may itself be informative.
_SHARE_WITH_INDICATOR = 0.01
#: A block of this many numbers stays in the processor's cache while it is hashed.
_HASHED_VALUES = 1 << 16


def fit_input(
    x: Inputs,
    scale: Scale,
    unit: float | None,
    table: TableSpec = TableSpec(),  # noqa: B008 - frozen
    impute: Impute | None = None,
    *,
    parts: tuple[ArrayPart, ...] = (),
) -> InputSpec:
    """Fit scaling and imputation on the training rows `x`.

    Args:
        scale: `auto` is `unit` for images and `standard` for everything else.
        unit: The largest raw value of an image, by which `unit` divides; None for other rows, for
            which `unit` maps each feature's training range to 0..1.
        table: The columns' names.
        impute: The statistic that replaces missing numbers; None if no part has any.
        parts: Several inputs; see `InputSpec`.
    """
    if parts:
        assert not isinstance(x, Mapping)
        return InputSpec(x.shape[1:], str(x.dtype), parts=parts, **_fitted_parts(x, scale, parts))
    if scale == "auto":
        scale = "standard" if unit is None else "unit"
    numeric = _numeric(x)
    fitted: dict[str, Any] = {"table": table}
    if numeric.size and impute is not None:
        fill, indicators, numeric = _imputed(numeric, impute)
        fitted |= {"fill": _plain(fill), "indicators": tuple(indicators.tolist())}
    if numeric.size:
        fitted |= _fitted(numeric, scale, unit)
    if isinstance(x, Mapping):
        columns = tuple(ColumnSpec(name, _vocabulary(values)) for name, values in x.items())
        return InputSpec((len(columns),), "float32", columns, **fitted)
    return InputSpec(x.shape[1:], str(x.dtype), **fitted)


def _fitted_parts(
    x: npt.NDArray[Any], scale: Scale, parts: tuple[ArrayPart, ...]
) -> dict[str, Any]:
    """Fit several inputs: images are divided, numbers standardised, whole numbers left alone."""
    if scale == "none":
        return {}
    if scale != "auto":
        raise DataError(
            f"scale: is {scale}; several inputs take auto (images are divided by 255, numbers "
            "standardised, whole numbers, such as places in a vocabulary, left alone) or none"
        )
    factors, offsets = [], []
    for where, part in zip(column_slices(parts), parts, strict=True):
        factor, offset = np.ones(part.columns), np.zeros(part.columns)
        if part.image:
            factor /= IMAGE_MAX
        elif not part.whole:
            mean, variance = _moments(x[:, where])
            factor = 1.0 / np.sqrt(np.where(variance == 0, 1, variance))
            offset = -mean * factor
        factors.append(factor)
        offsets.append(offset)
    return {"scale": _plain(np.concatenate(factors)), "offset": _plain(np.concatenate(offsets))}


def _numeric(x: Inputs) -> npt.NDArray[Any]:
    """Return the numeric features, `(n_samples, n_features)`."""
    if not isinstance(x, Mapping):
        return x.reshape(len(x), -1)
    numeric = [values for values in x.values() if values.dtype != object]
    return np.stack(numeric, axis=1) if numeric else np.empty((0, 0), np.float32)


def _has_missing(x: Inputs) -> bool:
    """Check if a number is missing."""
    columns = x.values() if isinstance(x, Mapping) else (x,)
    # The minimum is NaN if any number is.
    return any(bool(np.isnan(each.min())) for each in columns if each.dtype.kind == "f")


def _imputed(
    x: npt.NDArray[Any], impute: Impute
) -> tuple[npt.NDArray[np.float32], Indices, npt.NDArray[Any]]:
    """Return each feature's fill, the features with an indicator, and `x` with its gaps filled.

    A feature without any value is filled with 0.
    """
    gone = np.isnan(x)
    share = gone.mean(axis=0)
    some = share < 1
    fill = np.zeros(x.shape[1], np.float32)
    centre = np.nanmean if impute == "mean" else np.nanmedian
    fill[some] = centre(x[:, some].astype(np.float64), axis=0)
    return fill, np.flatnonzero(share > _SHARE_WITH_INDICATOR), np.where(gone, fill, x)


def _vocabulary(values: npt.NDArray[Any]) -> tuple[str, ...] | None:
    return tuple(sorted(set(values.tolist()))) if values.dtype == object else None


def _fitted(x: npt.NDArray[Any], scale: Scale, unit: float | None) -> dict[str, Any]:
    if scale == "none":
        return {}
    if scale == "standard":
        mean, variance = _moments(x)
        return {"mean": _plain(mean), "variance": _plain(np.where(variance == 0, 1, variance))}
    if scale == "robust":
        low, centre, high = _quartiles(x)
        return _affine(centre, high - low)
    if scale == "unit" and unit is not None:
        return {"scale": (1.0 / unit,), "offset": (0.0,)}
    low, high = x.min(axis=0).astype(np.float64), x.max(axis=0).astype(np.float64)
    return _affine(low, high - low)


def _affine(zero: npt.NDArray[np.float64], width: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Return the scaling that maps `zero` to 0, `zero + width` to 1; a width of 0 counts as 1."""
    factor = 1.0 / np.where(width == 0, 1.0, width)
    return {"scale": _plain(factor), "offset": _plain(-zero * factor)}


def _quartiles(x: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return the quartiles of each feature, `(3, n_features)`, computed in blocks of features."""
    step = max(1, _BLOCK_VALUES // len(x))
    blocks = (x[:, i : i + step].astype(np.float64) for i in range(0, x.shape[1], step))
    return np.concatenate([np.quantile(each, (0.25, 0.5, 0.75), axis=0) for each in blocks], axis=1)


def _moments(x: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return mean and variance of each feature, in float64 and two passes over blocks of rows."""
    step = max(1, _BLOCK_VALUES // x.shape[1])
    blocks = range(0, len(x), step)
    mean = sum(x[i : i + step].astype(np.float64).sum(axis=0) for i in blocks) / len(x)
    squares = sum(((x[i : i + step] - mean) ** 2).sum(axis=0) for i in blocks)
    # Rounding of a constant feature's mean must not become its scale.
    return mean, np.where(_constant(x), 0.0, squares / len(x))


def _constant(x: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    return np.asarray(x.min(axis=0) == x.max(axis=0))


def _plain(values: npt.NDArray[Any]) -> tuple[float, ...]:
    return tuple(values.astype(np.float64).tolist())


def _constant_features(x: Inputs, names: tuple[str, ...]) -> list[str]:
    """Return the names (or indices) of the features with the same value in all rows of `x`."""
    if isinstance(x, Mapping):
        return [name for name, values in x.items() if (values == values[0]).all()]
    constant = np.flatnonzero(_constant(x.reshape(len(x), -1)))
    return [names[i] if names else str(i) for i in constant.tolist()]


def fingerprint(parts: Mapping[str, Split | None], classes: Iterable[str]) -> str:
    """Return `d` and 11 hex digits of a SHA-256 of values, classes and split.

    Args:
        parts: Part's name -> its rows, if any, with targets not yet encoded.
        classes: Class names in the order of their indices.
    """
    digest = hashlib.sha256()
    _add_texts(digest, ["hpsearch data 1", *classes])
    for name, part in parts.items():
        _add_texts(digest, [name])
        if part is not None:
            _add_inputs(digest, part.x)
            _add_array(digest, part.y)
            if part.weights is not None:
                _add_texts(digest, ["weights"])
                _add_array(digest, part.weights)
    return _identifier(digest)


def _identifier(digest: Any) -> str:
    return f"d{digest.hexdigest()[:11]}"


def _add_inputs(digest: Any, x: Inputs) -> None:
    if not isinstance(x, Mapping):
        _add_array(digest, x)
        return
    for name, values in x.items():
        _add_texts(digest, [name])
        if values.dtype == object:
            _add_texts(digest, values.tolist())
        else:
            _add_array(digest, values)


def _add_array(digest: Any, values: npt.NDArray[Any]) -> None:
    """Hash type, shape and little-endian values; -0.0 counts as 0.0."""
    dtype = np.dtype(
        np.int64 if values.dtype.kind in "iu" and values.itemsize > 1 else values.dtype
    )
    little = dtype.newbyteorder("<")
    _add_texts(digest, [little.str, *map(str, values.shape)])
    flat = np.ascontiguousarray(values).reshape(-1)
    for begin in range(0, flat.size, _HASHED_VALUES):
        # In blocks, because a copy of a memory map may not fit into memory.
        block = flat[begin : begin + _HASHED_VALUES].astype(little, copy=False)
        digest.update((block + 0.0).astype(little, copy=False) if dtype.kind == "f" else block)


def _add_texts(digest: Any, texts: list[str]) -> None:
    """Hash texts with their lengths, so that different lists differ in their bytes."""
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    digest.update(f"{len(encoded)}:{','.join(str(len(each)) for each in encoded)};".encode())
    digest.update(b"".join(encoded))


@dataclass(frozen=True, eq=False)
class Outline:
    """The facts about a dataset that are known before its rows are split.

    Attributes:
        size: Number of rows to split off.
        classes: Class names, empty for regression.
        train, validation, test: The source's parts, with targets not yet encoded.
        warnings: Warnings about the labels.
        numbers: As in `Target`.
    """

    size: SplitSizes
    classes: tuple[str, ...]
    train: Split
    validation: Split | None
    test: Split | None
    warnings: tuple[str, ...] = ()
    numbers: bool = False

    @property
    def strata(self) -> npt.NDArray[Any] | None:
        """Class indices of the training rows; None for regression."""
        return self.train.y if self.classes else None


def outline(source: RawData, options: Options) -> Outline:
    """Infer the task and check that the split is possible.

    Raises:
        DataError: The targets cannot be used, or there are too few rows.
    """
    kind = infer_task(source, options.task)
    size = split_sizes(n_rows(source.train.x), options.validation, options.test, source.where)
    values: Callable[[RawPart], npt.NDArray[Any]] = regression_values
    classes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    numbers = False
    if kind == "classification":
        known = Classes(source)
        values, classes, warnings = known.codes, known.names, known.warnings
        numbers = known.numbers
    y = values(source.train)
    if classes:
        require_class_rows(
            np.bincount(y, minlength=len(classes)),
            classes,
            size,
            source.where,
            lambda index: source.train.place(int(np.argmax(y == index))),
        )
    train = Split(source.train.x, y, source.train.weights)
    validation, test = (
        None if part is None else Split(part.x, values(part), part.weights)
        for part in (source.validation, source.test)
    )
    return Outline(size, classes, train, validation, test, warnings, numbers)


def assemble(source: RawData, options: Options) -> Dataset:
    """Split, encode, fit and fingerprint.

    Raises:
        DataError: The targets cannot be used, or there are too few rows.
    """
    if options.train_on == "train+validation":
        return _whole(source, options)
    if options.cv is not None or options.folds is not None:
        return _by_folds(source, options)
    outlined = outline(source, options)
    rows, size = outlined.train, outlined.size
    places = split_rows(len(rows), size, options.seed, outlined.strata, source.where)
    # A part that is split off replaces the source's own.
    validation = rows.take(places[1]) if size.validation else outlined.validation
    test = rows.take(places[2]) if size.test else outlined.test
    if validation is None:
        raise DataError(f"{source.where}: no validation part; give a fraction or a file")
    train = rows.take(places[0]) if size.validation or size.test else rows
    dataset = _dataset(source, options, outlined, (train, validation, test))
    _require_memory([dataset], source.where)
    return dataset


def _whole(source: RawData, options: Options) -> Dataset:
    """Assemble a dataset that is trained on all rows except the test rows."""
    outlined, places, test = _but_for_testing(source, options)
    whole = outlined.train.take(places)
    if outlined.validation is not None and options.validation is None:
        whole = _joined(whole, outlined.validation)
    dataset = _dataset(source, options, outlined, (whole, whole, test))
    _require_memory([dataset], source.where)
    return dataset


def _but_for_testing(source: RawData, options: Options) -> tuple[Outline, Indices, Split | None]:
    """Return the indices of all rows except the test rows, in order, and the test part.

    The test part is split off first, so it is the same with and without a validation part.
    """
    outlined = outline(source, replace(options, validation=None))
    rows, size = outlined.train, outlined.size
    places, _, off = split_rows(len(rows), size, options.seed, outlined.strata, source.where)
    return outlined, np.sort(places), rows.take(off) if size.test else outlined.test


def _joined(first: Split, second: Split) -> Split:
    if isinstance(first.x, Mapping) and isinstance(second.x, Mapping):
        x: Inputs = {n: np.concatenate([each, second.x[n]]) for n, each in first.x.items()}
    else:
        x = np.concatenate([first.x, second.x])
    weights = None
    if first.weights is not None or second.weights is not None:
        ones = (np.ones(len(each), np.float32) for each in (first, second))
        given = (first.weights, second.weights)
        both = [one if own is None else own for one, own in zip(ones, given, strict=True)]
        weights = np.concatenate(both)
    return Split(x, np.concatenate([first.y, second.y]), weights)


def _by_folds(source: RawData, options: Options) -> Dataset:
    """Assemble a dataset for cross-validation, or with the single split of `options.folds`."""
    if source.validation is not None:
        raise DataError(
            f"{source.where}: has its own validation part, and cross-validation makes one from "
            "the training rows in each fold; leave one of them out"
        )
    outlined, places, test = _but_for_testing(source, options)
    rows, strata = outlined.train, outlined.strata
    codes = None if strata is None else strata[places]
    if options.folds is not None:
        pairs = options.folds(places, codes)
    else:
        assert options.cv is not None
        pairs = shuffled_folds(places, codes, options.cv, options.seed)
    require_sound_folds(pairs, len(places), options.cv or 1, source.where)
    datasets = []
    for pair in pairs:
        train, validation = (rows.take(places[part]) for part in pair)
        datasets.append(_dataset(source, options, outlined, (train, validation, test)))
    _require_memory(datasets, source.where)
    if options.cv is None:
        return datasets[0]
    digest = hashlib.sha256()
    _add_texts(digest, ["hpsearch folds 1", *(each.fingerprint for each in datasets)])
    return replace(
        datasets[0],
        folds=tuple(datasets),
        fingerprint=_identifier(digest),
        warnings=tuple(dict.fromkeys(w for each in datasets for w in each.warnings)),
    )


def _require_memory(datasets: Sequence[Dataset], where: str) -> None:
    """Refuse text columns whose one-hot encoding would not fit into memory."""
    text = [column for column in datasets[0].input.columns or () if column.vocabulary is not None]
    if not text:
        return
    rows = [len(each.train) + len(each.validation) for each in datasets]
    values = sum(n * n_features(each.input) for n, each in zip(rows, datasets, strict=True))
    widest = sorted(text, key=lambda column: -len(column.vocabulary or ()))[:_SHOWN_COLUMNS]
    shown = ", ".join(f"{each.name!r} ({len(each.vocabulary or ())} values)" for each in widest)
    more = f" and {len(text) - len(widest)} more" if len(text) > len(widest) else ""
    require_memory(
        _ENCODED_BYTES * values,
        where,
        f"the one-hot encoding of the text columns {shown}{more}, {sum(rows):,} rows of "
        f"{n_features(datasets[0].input):,} numbers,",
        "add columns with many values to drop, or use fewer rows",
    )


def _dataset(
    source: RawData,
    options: Options,
    outlined: Outline,
    parts: tuple[Split, Split, Split | None],
) -> Dataset:
    train, validation, test = parts
    classes = outlined.classes
    if options.parts:
        target = several_target(options.parts)
    elif classes:
        target = class_target(classes, numbers=outlined.numbers)
    else:
        target = regression_target(train.y, source.where)
    others = {"validation": validation, "test": test}
    described = [*(classes or (each.in_fingerprint for each in options.parts))]
    described += [each.in_fingerprint for each in source.train.parts]
    missing = any(_has_missing(part.x) for part in parts if part is not None)

    def encoded(part: Split) -> Split:
        return replace(part, y=encode_target(target, part.y))

    return Dataset(
        name=source.name,
        input=fit_input(
            train.x,
            options.scale,
            source.unit,
            source.train.table,
            options.impute if missing else None,
            parts=source.train.parts,
        ),
        target=target,
        train=encoded(train),
        validation=encoded(validation),
        test=None if test is None else encoded(test),
        fingerprint=fingerprint({"train": train, **others}, described),
        warnings=(*source.warnings, *outlined.warnings, *_oddities(source, train, others)),
    )


def _oddities(source: RawData, train: Split, others: Mapping[str, Split | None]) -> Iterator[str]:
    """Warn of constant features, and of training rows that recur in other parts."""
    if not source.user_data:
        return
    table = source.train.table
    parts = {part for each in table.dates for part in each.parts}
    # The pixels at the border of images are constant.
    columns = source.unit is None and not source.train.parts
    names = _constant_features(train.x, table.names) if columns else []
    if constant := [each for each in names if each not in parts]:
        yield (
            f"{source.where}: constant on the training split: {quoted(constant, 5)}; "
            "such a column cannot help; consider drop"
        )
    known = set(_keys(train))
    for name, part in others.items():
        # A final model is validated on its training rows on purpose.
        repeated = 0 if part is None or part is train else sum(key in known for key in _keys(part))
        if part is not None and repeated:
            yield (
                f"{source.where}: {repeated} of {len(part)} {name} rows also stand in the "
                "training part, target included; scores on them are too good"
            )


def _keys(rows: Split) -> list[int]:
    """Hash each row with its target."""
    x, y = rows.x, rows.y
    if isinstance(x, Mapping):
        # Compare bits, so that missing numbers are equal to each other.
        columns = [
            (values if values.dtype == object else (values + 0.0).view(np.int32)).tolist()
            for values in x.values()
        ]
        return [hash(row) for row in zip(*columns, *np.atleast_2d(y.T).tolist(), strict=True)]
    flat = np.ascontiguousarray(x.reshape(len(x), -1))
    return [
        hash((row.tobytes(), target))
        for row, target in zip(flat, map(str, y.tolist()), strict=True)
    ]
