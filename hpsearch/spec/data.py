"""The key `data`: the source of the rows and how they are split."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

from hpsearch.spec import words
from hpsearch.spec.command import expanded
from hpsearch.spec.rules import (
    Fault,
    InvalidValue,
    Spec,
    choice,
    either,
    integer,
    key,
    mapping,
    number,
    one_of,
    plain,
    reference,
    required,
    sequence,
    text,
    unquote_hint,
)
from hpsearch.wording import did_you_mean, listing

#: Built-in dataset -> its task.
DATASETS: Final[dict[str, Literal["classification", "regression"]]] = {
    "fashion_mnist": "classification",
    "mnist": "classification",
    "digits": "classification",
    "wine": "classification",
    "breast_cancer": "classification",
    "iris": "classification",
    "diabetes": "regression",
    "california_housing": "regression",
}
_FOR_FILES = ("dataset", "csv", "npz", "python")
_SOURCES = (*_FOR_FILES, "memory")
#: Key -> the sources that it can be combined with.
_ONLY_WITH = {
    "folder": ("dataset",),
    "target": ("csv",),
    "drop": ("csv", "python", "memory"),
    "split": ("csv",),
    **dict.fromkeys(("weights", "separator", "decimal", "encoding", "missing"), ("csv",)),
}
_FILES = ("csv", "npz", "validation", "test")
_PATHS = (*_FILES, "folder")


_COLUMN = text(requirement="must be the name of a column")


def _path(value: str) -> str:
    if hint := unquote_hint(value):
        raise InvalidValue.at(f"no path{hint}")
    return value


def _encoding(value: str) -> str:
    try:
        "a".encode(value)
    except (LookupError, ValueError):
        raise InvalidValue.at("must be an encoding of text that Python has") from None
    return value


_PART = either(
    "must be a fraction between 0 and 1 (both excluded) or the path of a file",
    number(above=0, below=1),
    text().then(_path),
)


class SplitSpec(Spec):
    """A column by which the rows are split."""

    by: Literal["group", "time"] = required(
        one_of(("group", "time"), "kind of split"),
        "group: rows with equal values stay together; time: train on earlier rows, validate on "
        "later ones.",
        "group",
    )
    column: str = required(
        _COLUMN, "Column of groups or times in the CSV; it is not used as a feature.", "patient"
    )


class FoldsSpec(Spec):
    """The folds of a cross-validation; a file may give their number alone."""

    folds: int = required(integer(2, 1_000), "Number of folds of a division.", 5)
    repeats: int = key(integer(1, 1_000), "Number of divisions, each shuffled anew.", 3, default=1)

    @property
    def count(self) -> int:
        """The number of folds of all divisions."""
        return self.folds * self.repeats

    def raw(self) -> Any:
        return self.folds if self.repeats == 1 else super().raw()


class DataSpec(Spec):
    """The rows of a sweep, from exactly one source, and their split.

    `validation` and `test` are a fraction in (0, 1) or the path of a file; `test` may be None.
    `load_sweep` makes relative paths absolute by `resolved`.
    """

    words = words.DATA

    dataset: str | None = key(one_of(DATASETS, "dataset"), "A built-in dataset.", "fashion_mnist")
    csv: str | None = key(
        text(), "A CSV, Parquet or Arrow file, relative to the sweep file.", "houses.csv"
    )
    npz: str | None = key(text(), "An NPZ file, relative to the sweep file.", "houses.npz")
    python: str | None = key(
        reference(), "A function that returns the data, as package.module:function.", "my.data:load"
    )
    memory: dict[str, str] | None = key(
        mapping(text(), "must be a mapping of hpsearch.tune's arguments to words"),
        "Arrays in memory: hpsearch.tune's arguments in words, for readers of sweep.yaml.",
        {"x": "(150, 4) float64", "y": "(150,) int64"},
    )
    folder: str | None = key(text(), "Folder with the files of a built-in dataset.", "/data/mnist")
    target: str | None = key(_COLUMN, "Column of the CSV to predict.", "price")
    weights: str | None = key(
        _COLUMN, "Column of the CSV with the weights of rows in the loss; no feature.", "w"
    )
    drop: tuple[str, ...] = key(
        sequence(_COLUMN, "column names"),
        "Columns of a table to leave out.",
        ["colour"],
        default=(),
    )
    separator: str | None = key(
        one_of((",", ";", "\t", "|"), "separator", {"tab": "\t"}),
        "What separates the cells of a CSV; by default the only one of these that fits.",
        ";",
    )
    decimal: Literal[".", ","] | None = key(
        one_of((".", ","), "decimal sign"),
        "Decimal sign of a CSV; by default a comma if cells are not separated by commas and "
        "numbers have commas and no points.",
        ",",
    )
    encoding: str | None = key(
        text(requirement="must be the name of an encoding").then(_encoding),
        "Encoding of a CSV, as Python names it; by default UTF-8, UTF-16 if the file begins so, "
        "and cp1252 (Western European) if it is not UTF-8.",
        "latin-1",
    )
    missing: tuple[str, ...] = key(
        sequence(text(), "texts"),
        "Further cells of a CSV that mean a missing value.",
        ["?", "-999"],
        default=(),
    )
    impute: Literal["median", "mean", "none"] = choice(
        ("median", "mean", "none"),
        "kind of imputation",
        "What takes a missing number's place, of the training split's numbers, by a layer; "
        "a missing text is a category of its own. With none, a missing value is an error.",
        "mean",
    )
    dates: Literal["features", "drop"] = choice(
        ("features", "drop"),
        "use of dates",
        "Use a table's dates as year, month, weekday, day of the year and seconds since the "
        "first, or leave them out.",
        "drop",
    )
    identifiers: Literal["drop", "keep"] = choice(
        ("drop", "keep"),
        "use of identifiers",
        "Leave out, or use, columns of a table that tell rows apart: texts of which nearly "
        "each is another one, and such whole numbers that count rows or are named like an id.",
        "keep",
    )
    task: Literal["classification", "regression"] | None = key(
        one_of(("classification", "regression"), "task"),
        "Kind of prediction; inferred from the target if unambiguous.",
        "regression",
    )
    validation: float | str = key(
        _PART,
        "Validation split: a fraction (stratified for classification) or a file.",
        0.2,
        default=0.2,
    )
    test: float | str | None = key(
        _PART,
        "Test split: a fraction or a file; by default the one of a built-in dataset.",
        "test.csv",
    )
    cv: FoldsSpec | None = key(
        either(
            "must be how many folds (2 to 1000), or a mapping such as {folds: 5, repeats: 3}",
            integer(2, 1_000).then(lambda folds: FoldsSpec(folds=folds)),
            FoldsSpec.rule(),
        ),
        "Number of folds (stratified for classification) of a cross-validation, which replaces "
        "the validation split: each fold is a row, and their mean is a config's score. With "
        "{folds, repeats}, the rows are divided several times.",
        5,
        {"folds": 5, "repeats": 3},
    )
    split: SplitSpec | None = key(
        SplitSpec.rule(),
        "Keep groups together, or split by time.",
        {"by": "group", "column": "patient"},
    )
    train_on: Literal["train", "train+validation"] = choice(
        ("train", "train+validation"),
        "part",
        "Rows to train on. With train+validation, for a final model, those of both parts; "
        "the scores are then of rows that were trained on.",
        "train+validation",
    )
    seed: int = key(integer(0, 2**32 - 1), "Seed of the split.", 42, default=42)
    scale: Literal["auto", "none", "unit", "standard", "minmax", "robust"] = choice(
        ("auto", "none", "unit", "standard", "minmax", "robust"),
        "scale",
        "Scaling of features, by a layer fitted on the training split only. unit divides "
        "images by their largest possible value and is minmax for tables; robust takes the "
        "median off and divides by the range of the middle half.",
        "standard",
    )

    def raw(self) -> Any:
        raw = super().raw()
        for name in ("drop", "missing", "impute", "dates", "identifiers", "train_on"):
            if raw[name] == plain(self.keys()[name].default):
                del raw[name]
        if self.cv is not None or self._given_split:
            del raw["validation"]
        return raw

    @property
    def source(self) -> str:
        """Name of the given source."""
        return next(name for name in _SOURCES if getattr(self, name) is not None)

    @property
    def weighted(self) -> bool:
        """True if each row has a weight."""
        return self.weights is not None or "sample_weight" in (self.memory or {})

    @property
    def _given_split(self) -> str:
        """The words for given validation rows or folds; empty if hpsearch splits the rows."""
        memory = self.memory or {}
        return memory.get("folds") or ("in memory" if "validation" in memory else "")

    @property
    def how_split(self) -> dict[str, Any]:
        """The keys that decide the validation split."""
        how: dict[str, Any] = {"validation": self.validation}
        if self.cv is not None:
            how = {"cv": plain(self.cv)}
        if self._given_split:
            how = dict.fromkeys(how, self._given_split)
        if "groups" in (self.memory or {}):
            how["groups"] = "in memory"
        if self.split is not None:
            how["by"] = self.split.raw()
        if self.train_on != "train":
            how["train_on"] = self.train_on
        return how | {"seed": self.seed}

    @property
    def known_task(self) -> Literal["classification", "regression"] | None:
        """The task, if the sweep file determines it."""
        return self.task or DATASETS.get(self.dataset or "")

    def resolved(self, base_dir: Path) -> DataSpec:
        """Return a copy in which paths relative to `base_dir` are absolute."""
        paths: dict[str, Any] = {
            name: os.path.normpath(base_dir.absolute() / expanded(value))
            for name in _PATHS
            if isinstance(value := getattr(self, name), str)
        }
        return replace(self, **paths)

    def missing_files(self) -> Iterator[Fault]:
        """Yield a fault for each data file that does not exist."""
        for name in _FILES:
            value = getattr(self, name)
            # Other errors are reported when the file is read.
            with suppress(OSError):
                if isinstance(value, str) and not Path(value).exists():
                    others = [file.name for file in Path(value).parent.glob("*")]
                    near = did_you_mean(Path(value).name, others)
                    yield (name,), f"no such file, {value}{near}"

    def check(self, given: Collection[str]) -> Iterator[Fault]:
        sources = [name for name in _SOURCES if getattr(self, name) is not None]
        if len(sources) != 1:
            remark = f"{' and '.join(sources)} are given" if sources else "none is given"
            yield (), f"needs exactly one of {listing(_FOR_FILES)}; {remark}"
            return
        for name, fit in _ONLY_WITH.items():
            if getattr(self, name) and sources[0] not in fit:
                yield (name,), f"has a meaning only with {listing(fit)}, not {sources[0]}"
        if self.dataset is not None and self.task is not None:
            yield ("task",), f"has no meaning with a built-in set: {self.dataset} has its task"
        for name in ("validation", "test"):
            if isinstance(getattr(self, name), str) and sources[0] not in {"csv", "npz"}:
                yield (name,), f"a separate file needs csv or npz, not {sources[0]}"
        if self.split is not None:
            yield from self._split_faults(self.split)
        if self.cv is not None and "validation" in given:
            yield (
                ("validation",),
                f"cv: {plain(self.cv)} takes validation rows from the training rows; leave cv or "
                "validation out",
            )
        if self.csv and not self.target:
            yield (), "target is missing: csv needs the name of the column to predict"
        if self.target and self.target in self.drop:
            yield ("drop",), f"drops the target, {self.target!r}"

    def _split_faults(self, split: SplitSpec) -> Iterator[Fault]:
        if split.column == self.target:
            yield ("split", "column"), f"is the target, {self.target!r}"
        if isinstance(self.validation, str):
            yield ("split",), "has no meaning if validation is a separate file"
        if self.cv is not None and self.cv.repeats > 1:
            yield ("cv",), f"repeats shuffle rows, which a split by {split.by} does not: cv: 5"
        if isinstance(self.test, float):
            yield (
                ("test",),
                f"a share of rows would not respect the {split.by} split; give test as a "
                "separate file, or leave it out",
            )
