"""From raw data to a dataset: infer the task, split, encode, fit the scaling, fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch.data.dataset import (
    Dataset,
    Inputs,
    Options,
    RawData,
    RawPart,
    Scale,
    Split,
    n_rows,
    several_target,
    take,
)
from hpsearch.data.specs import ColumnSpec, InputSpec, Target, Task
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


def fit_input(x: Inputs, scale: Scale, unit: float | None) -> InputSpec:
    """Fit the scaling on the training rows `x`.

    Args:
        scale: `auto` is `unit` for images and `standard` for everything else.
        unit: The largest raw value of an image, which `unit` divides by; None for rows that
            are no images, where `unit` maps each feature's training range to 0..1.
    """
    if scale == "auto":
        scale = "standard" if unit is None else "unit"
    numeric = _numeric(x)
    fitted = _fitted(numeric, scale, unit) if numeric.size else {}
    if isinstance(x, Mapping):
        columns = tuple(ColumnSpec(name, _vocabulary(values)) for name, values in x.items())
        return InputSpec(shape=(len(columns),), dtype="float32", columns=columns, **fitted)
    return InputSpec(shape=x.shape[1:], dtype=str(x.dtype), **fitted)


def _numeric(x: Inputs) -> npt.NDArray[Any]:
    """The numeric features, `(n_samples, n_features)`."""
    if not isinstance(x, Mapping):
        return x.reshape(len(x), -1)
    numeric = [values for values in x.values() if values.dtype != object]
    return np.stack(numeric, axis=1) if numeric else np.empty((0, 0), np.float32)


def _vocabulary(values: npt.NDArray[Any]) -> tuple[str, ...] | None:
    return tuple(sorted(set(values.tolist()))) if values.dtype == object else None


def _fitted(x: npt.NDArray[Any], scale: Scale, unit: float | None) -> dict[str, Any]:
    if scale == "none":
        return {}
    if scale == "standard":
        mean, variance = _moments(x)
        return {"mean": _plain(mean), "variance": _plain(np.where(variance == 0, 1, variance))}
    if unit is not None:
        return {"scale": (1.0 / unit,), "offset": (0.0,)}
    low, high = x.min(axis=0).astype(np.float64), x.max(axis=0).astype(np.float64)
    factor = 1.0 / np.where(high == low, 1.0, high - low)
    return {"scale": _plain(factor), "offset": _plain(-low * factor)}


def _moments(x: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Mean and variance of each feature, in float64 and two passes over blocks of rows.

    A constant feature has variance 0 exactly: rounding in its mean must not become a scale.
    """
    step = max(1, _BLOCK_VALUES // x.shape[1])
    blocks = range(0, len(x), step)
    mean = sum(x[i : i + step].astype(np.float64).sum(axis=0) for i in blocks) / len(x)
    squares = sum(((x[i : i + step] - mean) ** 2).sum(axis=0) for i in blocks)
    return mean, np.where(_constant(x), 0.0, squares / len(x))


def _constant(x: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    return np.asarray(x.min(axis=0) == x.max(axis=0))


def _plain(values: npt.NDArray[Any]) -> tuple[float, ...]:
    return tuple(values.astype(np.float64).tolist())


def constant_features(x: Inputs, names: tuple[str, ...]) -> list[str]:
    """Names (or indices) of the features with one value in all rows of `x`."""
    if isinstance(x, Mapping):
        return [name for name, values in x.items() if (values == values[0]).all()]
    constant = np.flatnonzero(_constant(x.reshape(len(x), -1)))
    return [names[i] if names else str(i) for i in constant.tolist()]


#: A sum of so many numbers is still in the processor's cache when it is hashed.
_HASHED_VALUES = 1 << 16


def fingerprint(
    parts: Mapping[str, tuple[Inputs, npt.NDArray[Any], npt.NDArray[Any] | None] | None],
    classes: Iterable[str],
) -> str:
    """`d` and 11 hex digits of a SHA-256.

    Args:
        parts: From a part's name to its raw rows, its targets and its rows' weights, if any.
            Targets are int class indices, or float64 regression values in their own units. Each
            part holds its rows in order, so the split is hashed with the values.
        classes: Class names in the order of their indices.
    """
    digest = hashlib.sha256()
    _add_texts(digest, ["hpsearch data 1", *classes])
    for name, part in parts.items():
        _add_texts(digest, [name])
        if part is not None:
            x, y, weights = part
            _add_inputs(digest, x)
            _add_array(digest, y)
            if weights is not None:
                _add_texts(digest, ["weights"])
                _add_array(digest, weights)
    return "d" + digest.hexdigest()[:11]


def combined(fingerprints: Iterable[str]) -> str:
    """One fingerprint of the folds of cross-validation, in their order."""
    digest = hashlib.sha256()
    _add_texts(digest, ["hpsearch folds 1", *fingerprints])
    return "d" + digest.hexdigest()[:11]


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
    """Type, shape and little-endian values; -0.0 counts as 0.0."""
    dtype = np.dtype(
        np.int64 if values.dtype.kind in "iu" and values.itemsize > 1 else values.dtype
    )
    little = dtype.newbyteorder("<")
    _add_texts(digest, [little.str, *map(str, values.shape)])
    plain = np.ascontiguousarray(values, little)
    if dtype.kind != "f":
        digest.update(plain)
        return
    flat = plain.reshape(-1)
    for begin in range(0, flat.size, _HASHED_VALUES):
        block = flat[begin : begin + _HASHED_VALUES] + 0.0
        digest.update(block.astype(little, copy=False))


def _add_texts(digest: Any, texts: list[str]) -> None:
    """Texts with their lengths, so that no two lists run together."""
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    digest.update(f"{len(encoded)}:{','.join(str(len(each)) for each in encoded)};".encode())
    digest.update(b"".join(encoded))


_Values = npt.NDArray[Any]
_Rows = tuple[Inputs, _Values, _Values | None]
"""Raw rows, their targets, their weights."""


@dataclass(frozen=True, eq=False)
class Outline:
    """What is known before rows are split.

    Attributes:
        size: Rows to split off.
        classes: Class names, empty for regression.
        train, validation, test: Class indices `(n_samples,)`, or regression values
            `(n_samples, outputs)` in their own units, of the parts as they were read.
    """

    size: SplitSizes
    classes: tuple[str, ...]
    train: _Values
    validation: _Values | None
    test: _Values | None

    @property
    def task(self) -> Task:
        """What is predicted."""
        return class_target(self.classes).task if self.classes else Task.REGRESSION

    @property
    def outputs(self) -> int:
        """Units of the output layer."""
        if self.classes:
            return class_target(self.classes).outputs
        return int(self.train.shape[1])


def outline(source: RawData, options: Options) -> Outline:
    """Infer the task and check that the split exists.

    Raises:
        DataError: Targets that cannot be used, or too few rows.
    """
    kind = infer_task(source, options.task)
    n = n_rows(source.train.x)
    size = split_sizes(n, options.validation, options.test, source.where)
    values: Callable[[RawPart], _Values] = regression_values
    classes: tuple[str, ...] = ()
    if kind == "classification":
        known = Classes(source)
        values, classes = known.codes, known.names
    train = values(source.train)
    if classes:
        _require_rows(source, train, classes, size)
    return Outline(
        size=size,
        classes=classes,
        train=train,
        validation=None if source.validation is None else values(source.validation),
        test=None if source.test is None else values(source.test),
    )


def _require_rows(
    source: RawData, codes: _Values, classes: tuple[str, ...], size: SplitSizes
) -> None:
    counts = np.bincount(codes, minlength=len(classes))

    def place(index: int) -> str:
        return source.train.place(int(np.argmax(codes == index)))

    require_class_rows(counts, classes, size, source.where, place)


def assemble(source: RawData, options: Options) -> Dataset:
    """Split, encode, fit and fingerprint.

    Raises:
        DataError: Targets that cannot be used, or too few rows.
    """
    if options.cv is not None or options.folds is not None:
        return _by_folds(source, options)
    outlined = outline(source, options)
    return _dataset(source, outlined.classes, options, _split(source, outlined, options.seed))


def _by_folds(source: RawData, options: Options) -> Dataset:
    """Cross-validation, or the one split that `options.folds` makes."""
    if source.validation is not None:
        raise DataError(
            f"{source.where}: brings a validation part of its own, and cross-validation makes one "
            "of the training rows in each fold; leave one of them out"
        )
    outlined = outline(source, replace(options, validation=None))
    places, test = _without_test(source, outlined, options.seed)
    codes = outlined.train[places] if outlined.classes else None
    if options.folds is not None:
        pairs = options.folds(places, codes)
    else:
        assert options.cv is not None
        pairs = shuffled_folds(places, codes, options.cv, options.seed)
    require_sound_folds(pairs, len(places), options.cv or 1, source.where)
    datasets = [
        _dataset(
            source,
            outlined.classes,
            options,
            (
                _taken(source, outlined.train, places[train]),
                _taken(source, outlined.train, places[validation]),
                test,
            ),
        )
        for train, validation in pairs
    ]
    if options.cv is None:
        return datasets[0]
    return replace(
        datasets[0],
        folds=tuple(datasets),
        fingerprint=combined(each.fingerprint for each in datasets),
        warnings=tuple(dict.fromkeys(w for each in datasets for w in each.warnings)),
    )


def _without_test(
    source: RawData, outlined: Outline, seed: int
) -> tuple[npt.NDArray[np.intp], _Rows | None]:
    """Places of the rows that folds are made of, and the test part."""
    strata = outlined.train if outlined.classes else None
    places, _, off = split_rows(len(outlined.train), outlined.size, seed, strata, source.where)
    if outlined.size.test:
        return np.sort(places), _taken(source, outlined.train, off)
    return places, _own(source.test, outlined.test)


def _taken(source: RawData, y: _Values, places: npt.NDArray[np.intp]) -> _Rows:
    weights = source.train.weights
    return take(source.train.x, places), y[places], None if weights is None else weights[places]


def _dataset(
    source: RawData,
    classes: tuple[str, ...],
    options: Options,
    parts: tuple[_Rows, _Rows, _Rows | None],
) -> Dataset:
    train, validation, test = parts
    target = _target(classes, options, train[1], source.where)
    found: tuple[str, ...] = ()
    if source.user_data:
        found = (
            *_constant_warning(source, train[0]),
            *_repeat_warning(source, "validation", train, validation),
            *_repeat_warning(source, "test", train, test),
        )
    return Dataset(
        name=source.name,
        input=fit_input(train[0], options.scale, source.unit),
        target=target,
        train=_encoded(target, train),
        validation=_encoded(target, validation),
        test=None if test is None else _encoded(target, test),
        fingerprint=fingerprint(
            {"train": train, "validation": validation, "test": test},
            classes or map(str, options.parts),
        ),
        warnings=source.warnings + found,
        feature_names=source.feature_names,
    )


def _target(classes: tuple[str, ...], options: Options, y: _Values, where: str) -> Target:
    if options.parts:
        return several_target(options.parts)
    if classes:
        return class_target(classes)
    return regression_target(y, where)


def _encoded(target: Target, rows: _Rows) -> Split:
    x, y, weights = rows
    return Split(x, encode_target(target, y), weights)


def _split(source: RawData, outlined: Outline, seed: int) -> tuple[_Rows, _Rows, _Rows | None]:
    """Rows and targets of each part; a part that is split off beats one that was read."""
    size, y = outlined.size, outlined.train
    strata = outlined.train if outlined.classes else None
    rows = split_rows(len(y), size, seed, strata, source.where)
    train, off, off_test = (_taken(source, y, each) for each in rows)
    if not size.validation and not size.test:
        train = (source.train.x, y, source.train.weights)
    validation = off if size.validation else _own(source.validation, outlined.validation)
    test = off_test if size.test else _own(source.test, outlined.test)
    if validation is None:
        raise DataError(f"{source.where}: no validation part; give a fraction or a file")
    return train, validation, test


def _own(part: RawPart | None, values: _Values | None) -> _Rows | None:
    return None if part is None or values is None else (part.x, values, part.weights)


def _constant_warning(source: RawData, x: Inputs) -> tuple[str, ...]:
    names = constant_features(x, source.feature_names)
    if not names or source.unit is not None:  # the border of an image is constant
        return ()
    warning = (
        f"{source.where}: constant on the training split: {quoted(names, 5)}; "
        "such a column cannot help; consider drop"
    )
    return (warning,)


def _repeat_warning(
    source: RawData, name: str, train: _Rows, other: _Rows | None
) -> tuple[str, ...]:
    """A warning for rows of another part that stand in the training part as well."""
    if other is None:
        return ()
    known = set(_keys(train))
    count = sum(key in known for key in _keys(other))
    if not count:
        return ()
    warning = (
        f"{source.where}: {count} of {len(other[1])} {name} rows also stand in the training "
        "part, target included; scores on them are too good"
    )
    return (warning,)


def _keys(rows: _Rows) -> list[int]:
    """A hash of each row and its target."""
    x, y, _ = rows
    if isinstance(x, Mapping):
        columns = [values.tolist() for values in x.values()]
        return [hash(row) for row in zip(*columns, *np.atleast_2d(y.T).tolist(), strict=True)]
    flat = np.ascontiguousarray(x.reshape(len(x), -1))
    return [
        hash((row.tobytes(), target))
        for row, target in zip(flat, map(str, y.tolist()), strict=True)
    ]
