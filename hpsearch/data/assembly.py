"""Turn raw data into a dataset: infer the task, split, encode, fit the scaling, fingerprint."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch.data.columns import MAX_VOCABULARY
from hpsearch.data.dataset import (
    IMAGE_MAX,
    Dataset,
    Folds,
    Indices,
    Inputs,
    RawData,
    RawPart,
    Split,
    joined,
    n_rows,
    several_target,
)
from hpsearch.data.files import require_memory
from hpsearch.data.specs import ArrayPart, ColumnSpec, InputSpec, column_slices, n_features
from hpsearch.data.splitting import (
    random_folds,
    require_class_rows,
    require_sound_folds,
    split_rows,
    split_sizes,
)
from hpsearch.data.targets import (
    Classes,
    are_whole,
    class_target,
    encode_target,
    infer_task,
    regression_target,
    regression_values,
)
from hpsearch.errors import DataError
from hpsearch.spec.data import DataSpec
from hpsearch.wording import quoted

_BLOCK_VALUES = 1 << 22
#: Bytes of a float32 number in the encoded rows and in the copy that the workers share.
_ENCODED_BYTES = 2 * 4
#: With a greater share of missing values, a missing value may itself be informative.
_SHARE_WITH_INDICATOR = 0.01
#: A block of this many numbers stays in the processor's cache while it is hashed.
_HASHED_VALUES = 1 << 16


def _fitted_input(source: RawData, x: Inputs, spec: DataSpec, *, missing: bool) -> InputSpec:
    """Fit the scaling on the training rows `x`, and the imputation if any part lacks a number."""
    table, parts = source.train.table, source.train.parts
    if parts:
        assert not isinstance(x, Mapping)
        fitted = _fitted_parts(x, spec.scale, parts)
        return InputSpec(x.shape[1:], str(x.dtype), parts=parts, **fitted)
    numeric = _numeric(x)
    fitted = {"table": table}
    if numeric.size and missing and spec.impute != "none":
        fill, indicators, numeric = _imputed(numeric, spec.impute)
        fitted |= {"fill": _plain(fill), "indicators": tuple(indicators.tolist())}
    if numeric.size:
        fitted |= _fitted(numeric, spec.scale, source.unit)
    if isinstance(x, Mapping):
        texts = {n: _vocabulary(v) for n, v in x.items() if v.dtype == object}
        columns = tuple(ColumnSpec(n, texts.get(n)) for n in x)
        return InputSpec((len(columns),), "float32", columns, **fitted)
    return InputSpec(x.shape[1:], str(x.dtype), **fitted)


def _vocabulary(texts: npt.NDArray[Any]) -> tuple[str, ...]:
    """Return the different texts in order; of very many, the commonest."""
    counts = Counter(texts.tolist())
    if len(counts) <= MAX_VOCABULARY:
        return tuple(sorted(counts))
    return tuple(sorted(sorted(counts, key=lambda text: (-counts[text], text))[:MAX_VOCABULARY]))


def _fitted_parts(x: npt.NDArray[Any], scale: str, parts: tuple[ArrayPart, ...]) -> dict[str, Any]:
    """Fit several inputs: images are divided, numbers standardised, whole numbers left alone."""
    if scale == "none":
        return {}
    if scale != "auto":
        raise DataError(f"scale: is {scale}, and several inputs take auto or none")
    factor, offset = np.ones(x.shape[1]), np.zeros(x.shape[1])
    for where, part in zip(column_slices(parts), parts, strict=True):
        if part.image:
            factor[where] /= IMAGE_MAX
        elif not part.whole:
            mean, variance = _moments(x[:, where])
            factor[where] = 1.0 / np.sqrt(np.where(variance == 0, 1, variance))
            offset[where] = -mean * factor[where]
    return {"scale": _plain(factor), "offset": _plain(offset)}


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
    return any(bool(np.isnan(column.min())) for column in columns if column.dtype.kind == "f")


def _imputed(
    x: npt.NDArray[Any], impute: str
) -> tuple[npt.NDArray[np.float32], Indices, npt.NDArray[Any]]:
    """Return fills (0 for an empty feature), features with an indicator, and the filled `x`."""
    gone = np.isnan(x)
    share = gone.mean(axis=0)
    some = share < 1
    fill = np.zeros(x.shape[1], np.float32)
    centre = np.nanmean if impute == "mean" else np.nanmedian
    fill[some] = centre(x[:, some].astype(np.float64), axis=0)
    return fill, np.flatnonzero(share > _SHARE_WITH_INDICATOR), np.where(gone, fill, x)


def _fitted(x: npt.NDArray[Any], scale: str, unit: float | None) -> dict[str, Any]:
    if scale == "auto":
        scale = "standard" if unit is None else "unit"
    if scale == "none":
        return {}
    if scale == "standard":
        mean, variance = _moments(x)
        return {"mean": _plain(mean), "variance": _plain(np.where(variance == 0, 1, variance))}
    if scale == "robust":
        low, centre, high = np.quantile(x.astype(np.float64), (0.25, 0.5, 0.75), axis=0)
        return _affine(centre, high - low)
    if scale == "unit" and unit is not None:
        return {"scale": (1.0 / unit,), "offset": (0.0,)}
    low, high = x.min(axis=0).astype(np.float64), x.max(axis=0).astype(np.float64)
    return _affine(low, high - low)


def _affine(zero: npt.NDArray[np.float64], width: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Return the scaling that maps `zero` to 0, `zero + width` to 1; a width of 0 counts as 1."""
    factor = 1.0 / np.where(width == 0, 1.0, width)
    return {"scale": _plain(factor), "offset": _plain(-zero * factor)}


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
    digest.update(f"{len(encoded)}:{','.join(str(len(item)) for item in encoded)};".encode())
    digest.update(b"".join(encoded))


def assemble(
    source: RawData, spec: DataSpec, folds: Folds | None = None, parts: tuple[ArrayPart, ...] = ()
) -> Dataset:
    """Split, encode, fit and fingerprint.

    A fraction for `test` overrides the source's own test part. The source's own validation part
    overrides the fraction for `validation`, which has a default.

    Args:
        folds: Makes the folds, or a single split without `cv`; None for shuffled ones.
        parts: The parts of several targets; see `Target`.
    """
    by_folds = spec.train_on == "train" and (spec.cv is not None or folds is not None)
    if by_folds and source.validation is not None:
        raise DataError(
            f"{source.where}: has its own validation part, and cross-validation makes one from "
            "the training rows in each fold; leave one of them out"
        )
    given = spec.task or source.task
    kind = infer_task(source, given)
    y = source.train.y
    quantity = given is None and kind == "regression" and y.ndim == 1
    if quantity and are_whole(regression_values(source.train)):
        notice = (
            f"{source.where}: {len(set(y.tolist())):,} different whole numbers in the target: a "
            "regression; `task: classification` makes classes of them"
        )
        source = replace(source, warnings=(*source.warnings, notice))
    by_fraction = spec.train_on == "train" and not by_folds and source.validation is None
    validation = float(spec.validation) if by_fraction else None
    test = None if isinstance(spec.test, str) else spec.test
    sizes = split_sizes(n_rows(source.train.x), validation, test, source.where)
    classes = Classes(source) if kind == "classification" else None
    splits = _split(source, spec, folds, sizes, classes, by_folds=by_folds)
    datasets = [_dataset(source, spec, classes, split, parts) for split in splits]
    _require_memory(datasets, source.where)
    return _of_folds(datasets) if by_folds and spec.cv is not None else datasets[0]


def _split(
    source: RawData,
    spec: DataSpec,
    folds: Folds | None,
    sizes: tuple[int, int, int],
    classes: Classes | None,
    *,
    by_folds: bool,
) -> Iterator[tuple[Split, Split, Split | None]]:
    """Yield training, validation and test rows, with targets not yet encoded, once or by fold."""
    values = regression_values if classes is None else classes.codes

    def part(raw: RawPart) -> Split:
        return Split(raw.x, values(raw), raw.weights)

    rows, codes = part(source.train), None
    if classes is not None:
        codes = rows.y
        require_class_rows(codes, classes.names, sizes, source.where, source.train.place)
    validation = None if source.validation is None else part(source.validation)
    test = None if source.test is None else part(source.test)
    # The test part is split off first, so it is the same with and without a validation part.
    indices, held_out, tested = split_rows(sizes, spec.seed, codes, source.where)
    test = rows.take(tested) if len(tested) else test
    if by_folds:
        count, repeats = (spec.cv.folds, spec.cv.repeats) if spec.cv else (1, 1)
        make = folds or random_folds(count, spec.seed, repeats=repeats)
        places = np.sort(indices)
        pairs = make(places, None if codes is None else codes[places])
        require_sound_folds(pairs, len(places), count * repeats, source.where)
        for one, other in pairs:
            yield rows.take(places[one]), rows.take(places[other]), test
    elif spec.train_on == "train":
        train = rows if len(indices) == len(rows) else rows.take(indices)
        yield train, rows.take(held_out) if validation is None else validation, test
    else:
        final = rows.take(np.sort(indices))
        final = final if validation is None else _joined(final, validation)
        yield final, final, test


def _of_folds(datasets: Sequence[Dataset]) -> Dataset:
    digest = hashlib.sha256()
    _add_texts(digest, ["hpsearch folds 1", *(dataset.fingerprint for dataset in datasets)])
    return replace(
        datasets[0],
        folds=tuple(datasets),
        fingerprint=_identifier(digest),
        warnings=tuple(dict.fromkeys(w for dataset in datasets for w in dataset.warnings)),
    )


def _joined(*both: Split) -> Split:
    weights = [np.ones(len(p), np.float32) if p.weights is None else p.weights for p in both]
    weighted = any(part.weights is not None for part in both)
    x, y = joined([part.x for part in both]), joined([part.y for part in both])
    return Split(x, y, joined(weights) if weighted else None)


def _require_memory(datasets: Sequence[Dataset], where: str) -> None:
    """Refuse text columns whose one-hot encoding would not fit into memory."""
    if datasets[0].input.columns is not None:
        rows = [len(dataset.train) + len(dataset.validation) for dataset in datasets]
        width = max(n_features(dataset.input) for dataset in datasets)
        require_memory(
            _ENCODED_BYTES * sum(rows) * width,
            where,
            f"the one-hot encoding of its text columns, {sum(rows):,} rows of {width:,} numbers,",
        )


def _dataset(
    source: RawData,
    spec: DataSpec,
    classes: Classes | None,
    splits: tuple[Split, Split, Split | None],
    parts: tuple[ArrayPart, ...],
) -> Dataset:
    train, validation, test = splits
    if parts:
        target = several_target(parts)
    elif classes is not None:
        target = class_target(classes.names, numbers=classes.numbers)
    else:
        target = regression_target(train.y, source.where)
    others = {"validation": validation, "test": test}
    names = classes.names if classes else ()
    described = [part.in_fingerprint for part in (*parts, *source.train.parts)]
    missing = any(_has_missing(part.x) for part in splits if part is not None)

    raw = (source.train, source.validation, source.test)

    def encoded(part: Split) -> Split:
        return replace(part, y=encode_target(target, part.y))

    return Dataset(
        name=source.name,
        input=_fitted_input(source, train.x, spec, missing=missing),
        target=target,
        train=encoded(train),
        validation=encoded(validation),
        test=None if test is None else encoded(test),
        fingerprint=fingerprint({"train": train, **others}, [*names, *described]),
        warnings=(
            *source.warnings,
            *(notice for part in raw if part for notice in part.notices),
            *(classes.warnings if classes else ()),
            *_oddities(source, train, others),
        ),
    )


def _oddities(source: RawData, train: Split, others: Mapping[str, Split | None]) -> Iterator[str]:
    """Warn of constant features, and of training rows that recur in other parts."""
    if not source.user_data:
        return
    table = source.train.table
    parts = {part for date in table.dates for part in date.parts}
    # The pixels at the border of images are constant.
    columns = source.unit is None and not source.train.parts
    names = _constant_features(train.x, table.names) if columns else []
    if constant := [name for name in names if name not in parts]:
        yield (
            f"{source.where}: constant on the training split: {quoted(constant, 5)}; "
            "such a column cannot help; consider drop"
        )
    keys = set(_keys(train))
    for name, part in others.items():
        # A final model is validated on its training rows on purpose.
        repeated = 0 if part is None or part is train else sum(key in keys for key in _keys(part))
        if part is not None and repeated:
            yield (
                f"{source.where}: {repeated} of {len(part)} {name} rows also stand in the "
                "training part, target included; scores on them are too good"
            )


def _keys(rows: Split) -> list[int]:
    """Hash each row with its target."""
    if isinstance(rows.x, Mapping):
        # Compare bits, so that missing numbers are equal to each other.
        columns = [
            (values if values.dtype == object else (values + 0.0).view(np.int32)).tolist()
            for values in rows.x.values()
        ]
    else:
        flat = np.ascontiguousarray(rows.x.reshape(len(rows), -1))
        columns = [[row.tobytes() for row in flat]]
    return [hash(row) for row in zip(*columns, map(str, rows.y.tolist()), strict=True)]
