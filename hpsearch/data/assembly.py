"""From rows as they were read to a dataset: infer, split, encode, fit, fingerprint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch.data import folding, scaling, splitting, targets
from hpsearch.data.dataset import Dataset, Inputs, Part, Source, Split, n_rows, take
from hpsearch.data.files import listed
from hpsearch.data.fingerprint import combined, fingerprint
from hpsearch.data.several import several_target
from hpsearch.data.spec import Options
from hpsearch.errors import DataError
from hpsearch.trial import Target, Task

__all__ = ["Outline", "assemble", "outline"]

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

    size: splitting.Sizes
    classes: tuple[str, ...]
    train: _Values
    validation: _Values | None
    test: _Values | None

    @property
    def task(self) -> Task:
        """What is predicted."""
        return targets.class_target(self.classes).task if self.classes else Task.REGRESSION

    @property
    def outputs(self) -> int:
        """Units of the output layer."""
        if self.classes:
            return targets.class_target(self.classes).outputs
        return int(self.train.shape[1])


def outline(source: Source, options: Options) -> Outline:
    """Infer the task and check that the split exists.

    Raises:
        DataError: Targets that cannot be used, or too few rows.
    """
    kind = targets.infer_task(source, options.task)
    n = n_rows(source.train.x)
    size = splitting.sizes(n, options.validation, options.test, source.where)
    values: Callable[[Part], _Values] = targets.regression_values
    classes: tuple[str, ...] = ()
    if kind == "classification":
        known = targets.Classes(source)
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
    source: Source, codes: _Values, classes: tuple[str, ...], size: splitting.Sizes
) -> None:
    counts = np.bincount(codes, minlength=len(classes))

    def place(index: int) -> str:
        return source.train.place(int(np.argmax(codes == index)))

    splitting.require_rows(counts, classes, size, source.where, place)


def assemble(source: Source, options: Options) -> Dataset:
    """Split, encode, fit and fingerprint.

    Raises:
        DataError: Targets that cannot be used, or too few rows.
    """
    if options.cv is not None or options.folds is not None:
        return _by_folds(source, options)
    outlined = outline(source, options)
    return _dataset(source, outlined.classes, options, _split(source, outlined, options.seed))


def _by_folds(source: Source, options: Options) -> Dataset:
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
        pairs = folding.usual(places, codes, options.cv, options.seed)
    folding.require_sound(pairs, len(places), options.cv or 1, source.where)
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
    source: Source, outlined: Outline, seed: int
) -> tuple[npt.NDArray[np.intp], _Rows | None]:
    """Places of the rows that folds are made of, and the test part."""
    strata = outlined.train if outlined.classes else None
    places, _, off = splitting.split(len(outlined.train), outlined.size, seed, strata, source.where)
    if outlined.size.test:
        return np.sort(places), _taken(source, outlined.train, off)
    return places, _own(source.test, outlined.test)


def _taken(source: Source, y: _Values, places: npt.NDArray[np.intp]) -> _Rows:
    weights = source.train.weights
    return take(source.train.x, places), y[places], None if weights is None else weights[places]


def _dataset(
    source: Source,
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
        input=scaling.fit(train[0], options.scale, source.unit),
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
        return targets.class_target(classes)
    return targets.regression_target(y, where)


def _encoded(target: Target, rows: _Rows) -> Split:
    x, y, weights = rows
    return Split(x, targets.encode(target, y), weights)


def _split(source: Source, outlined: Outline, seed: int) -> tuple[_Rows, _Rows, _Rows | None]:
    """Rows and targets of each part; a part that is split off beats one that was read."""
    size, y = outlined.size, outlined.train
    strata = outlined.train if outlined.classes else None
    rows = splitting.split(len(y), size, seed, strata, source.where)
    train, off, off_test = (_taken(source, y, each) for each in rows)
    if not size.validation and not size.test:
        train = (source.train.x, y, source.train.weights)
    validation = off if size.validation else _own(source.validation, outlined.validation)
    test = off_test if size.test else _own(source.test, outlined.test)
    if validation is None:
        raise DataError(f"{source.where}: no validation part; give a fraction or a file")
    return train, validation, test


def _own(part: Part | None, values: _Values | None) -> _Rows | None:
    return None if part is None or values is None else (part.x, values, part.weights)


def _constant_warning(source: Source, x: Inputs) -> tuple[str, ...]:
    names = scaling.constant_features(x, source.feature_names)
    if not names or source.unit is not None:  # the border of an image is constant
        return ()
    warning = (
        f"{source.where}: constant on the training split: {listed(names, 5)}; "
        "such a column cannot help; consider drop"
    )
    return (warning,)


def _repeat_warning(
    source: Source, name: str, train: _Rows, other: _Rows | None
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
