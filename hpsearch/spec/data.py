"""The key `data`: the source of the rows and how they are split."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from hpsearch.spec import words
from hpsearch.spec.rules import (
    Fault,
    InvalidValue,
    Rule,
    Spec,
    about,
    integer,
    one_of,
    reference,
    sequence,
    text,
)
from hpsearch.wording import did_you_mean, listing, show, unquote_hint

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
}
_FILES = ("csv", "npz", "validation", "test")
_PATHS = (*_FILES, "folder")


_COLUMN = text(requirement="must be the name of a column")


def _part() -> Rule:
    """A fraction of the rows, or a file."""
    requirement = "must be a fraction between 0 and 1 (both excluded) or the path of a file"

    def check(value: Any) -> float | str:
        if isinstance(value, str):
            if not value.strip() or unquote_hint(value):
                raise InvalidValue.at(f"{requirement}, not {show(value)}{unquote_hint(value)}")
            return value
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
            raise InvalidValue.at(f"{requirement}, not {show(value)}")
        return float(value)

    fraction = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}
    either = {"anyOf": [fraction, {"type": "string", "minLength": 1}], "errorMessage": requirement}
    return Rule(check, either)


class MemorySpec(Spec):
    """The arguments of `hpsearch.tune` in words, such as `(150, 4) float32`.

    They describe the data to readers of sweep.yaml; hpsearch does not read them back.
    """

    x: Annotated[str, text(), about("Shape and type of the features.", "(150, 4) float64")]
    y: Annotated[str, text(), about("Shape and type of the targets.", "(150,) int64")]
    sample_weight: Annotated[
        str | None, text(), about("Shape and type of the weights of rows in the loss.")
    ] = None
    folds: Annotated[
        str | None, text(), about("Splitter that made the folds of cross-validation.")
    ] = None
    groups: Annotated[
        str | None, text(), about("Shape and type of the groups that no split divides.")
    ] = None
    validation: Annotated[
        str | None,
        text(),
        about("Shape and type of given validation rows.", "x (30, 4) float64, y (30,) int64"),
    ] = None
    test: Annotated[
        str | None,
        text(),
        about("Shape and type of given test rows.", "x (30, 4) float64, y (30,) int64"),
    ] = None
    callbacks: Annotated[
        str | None,
        text(),
        about("Keras callbacks of each training.", "EarlyStopping(patience=3)"),
    ] = None

    @property
    def splits(self) -> str:
        """The source of the validation rows; empty if they are a fraction of x."""
        return self.folds or ("in memory" if self.validation is not None else "")


class SplitSpec(Spec):
    """A column by which the rows are split."""

    by: Annotated[
        Literal["group", "time"],
        one_of(("group", "time"), "kind of split"),
        about(
            "group: rows with equal values stay together; time: train on earlier rows, validate on "
            "later ones.",
            "group",
        ),
    ]
    column: Annotated[
        str,
        _COLUMN,
        about("Column of groups or times in the CSV; it is not used as a feature.", "patient"),
    ]


class DataSpec(Spec):
    """The rows of a sweep, from exactly one source, and their split.

    `validation` and `test` are a fraction in (0, 1) or the path of a file; `test` may be None.
    `load_sweep` makes relative paths absolute by `resolved`.
    """

    words = words.DATA

    dataset: Annotated[
        str | None, one_of(DATASETS, "dataset"), about("A built-in dataset.", "fashion_mnist")
    ] = None
    csv: Annotated[
        str | None, text(), about("A CSV file, relative to the sweep file.", "houses.csv")
    ] = None
    npz: Annotated[
        str | None, text(), about("An NPZ file, relative to the sweep file.", "houses.npz")
    ] = None
    python: Annotated[
        str | None,
        reference(),
        about("A function that returns the data, as package.module:function.", "my.data:load"),
    ] = None
    memory: Annotated[
        MemorySpec | None,
        about(
            "Arrays in memory; written by hpsearch.tune.",
            {"x": "(150, 4) float64", "y": "(150,) int64"},
        ),
    ] = None
    folder: Annotated[
        str | None, text(), about("Folder with the files of a built-in dataset.", "/data/mnist")
    ] = None
    target: Annotated[
        str | None,
        _COLUMN,
        about("Column of the CSV to predict.", "price"),
    ] = None
    drop: Annotated[
        tuple[str, ...],
        sequence(_COLUMN, "column names"),
        about("Columns of a table to leave out.", ["colour"]),
    ] = ()
    impute: Annotated[
        Literal["median", "mean", "none"],
        one_of(("median", "mean", "none"), "kind of imputation"),
        about(
            "What takes a missing number's place, of the training split's numbers, by a layer; "
            "a missing text is a category of its own. With none, a missing value is an error.",
            "mean",
        ),
    ] = "median"
    dates: Annotated[
        Literal["features", "drop"],
        one_of(("features", "drop"), "use of dates"),
        about(
            "Use a table's dates as year, month, weekday, day of the year and seconds since the "
            "first, or leave them out.",
            "drop",
        ),
    ] = "features"
    identifiers: Annotated[
        Literal["drop", "keep"],
        one_of(("drop", "keep"), "use of identifiers"),
        about(
            "Leave out, or use, columns of a table that tell rows apart: texts of which nearly "
            "each is another one, and such whole numbers that count rows or are named like an id.",
            "keep",
        ),
    ] = "drop"
    task: Annotated[
        Literal["classification", "regression"] | None,
        one_of(("classification", "regression"), "task"),
        about("Kind of prediction; inferred from the target if unambiguous.", "regression"),
    ] = None
    validation: Annotated[
        float | str,
        _part(),
        about("Validation split: a fraction (stratified for classification) or a file.", 0.2),
    ] = 0.2
    test: Annotated[
        float | str | None,
        _part(),
        about(
            "Test split: a fraction or a file; by default the one of a built-in dataset.",
            "test.csv",
        ),
    ] = None
    cv: Annotated[
        int | None,
        integer(2, 1_000),
        about(
            "Number of folds (stratified for classification) of a cross-validation, which replaces "
            "the validation split: each fold is a row, and their mean is a config's score.",
            5,
        ),
    ] = None
    split: Annotated[
        SplitSpec | None,
        about("Keep groups together, or split by time.", {"by": "group", "column": "patient"}),
    ] = None
    train_on: Annotated[
        Literal["train", "train+validation"],
        one_of(("train", "train+validation"), "part"),
        about(
            "Rows to train on. With train+validation, for a final model, those of both parts; "
            "the scores are then of rows that were trained on.",
            "train+validation",
        ),
    ] = "train"
    seed: Annotated[int, integer(0, 2**32 - 1), about("Seed of the split.", 42)] = 42
    scale: Annotated[
        Literal["none", "unit", "standard", "minmax", "robust", "auto"],
        one_of(("none", "unit", "standard", "minmax", "robust", "auto"), "scale"),
        about(
            "Scaling of features, by a layer fitted on the training split only. unit divides "
            "images by their largest possible value and is minmax for tables; robust takes the "
            "median off and divides by the range of the middle half.",
            "standard",
        ),
    ] = "auto"

    def raw(self) -> Any:
        """Return the data as a sweep file has it."""
        raw = super().raw()
        for name in ("drop", "impute", "dates", "identifiers", "train_on"):
            if getattr(self, name) == type(self).model_fields[name].default:
                del raw[name]
        if self.cv is not None or (self.memory is not None and self.memory.splits):
            del raw["validation"]
        return raw

    @property
    def source(self) -> str:
        """Name of the given source."""
        return next(name for name in _SOURCES if getattr(self, name) is not None)

    @property
    def weighted(self) -> bool:
        """True if each row has a weight."""
        return self.memory is not None and self.memory.sample_weight is not None

    @property
    def how_split(self) -> dict[str, Any]:
        """The keys that decide the validation split."""
        how: dict[str, Any] = {"validation": self.validation}
        if self.cv is not None:
            how = {"cv": self.cv}
        if self.memory is not None and self.memory.splits:
            how = dict.fromkeys(how, self.memory.splits)
        if self.memory is not None and self.memory.groups is not None:
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
        paths = {
            name: os.path.normpath(base_dir.absolute() / Path(value).expanduser())
            for name in _PATHS
            if isinstance(value := getattr(self, name), str)
        }
        return self.model_copy(update=paths)

    def missing_files(self) -> Iterator[Fault]:
        """Yield a fault for each data file that does not exist."""
        for name in _FILES:
            value = getattr(self, name)
            # Other errors are reported when the file is read.
            with suppress(OSError):
                if isinstance(value, str) and not Path(value).exists():
                    others = [each.name for each in Path(value).parent.glob("*")]
                    near = did_you_mean(Path(value).name, others)
                    yield (name,), f"no such file, {value}{near}"

    def check(self) -> Iterator[Fault]:
        """Yield a fault unless there is exactly one source, and for each key that does not fit."""
        given = [name for name in _SOURCES if getattr(self, name) is not None]
        if len(given) != 1:
            found = f"{' and '.join(given)} are given" if given else "none is given"
            yield (), f"needs exactly one of {listing(_FOR_FILES)}; {found}"
            return
        for name, sources in _ONLY_WITH.items():
            if getattr(self, name) and given[0] not in sources:
                yield (name,), f"has a meaning only with {listing(sources)}, not {given[0]}"
        if self.dataset is not None and self.task is not None:
            yield ("task",), f"has no meaning with a built-in set: {self.dataset} has its task"
        for name in ("validation", "test"):
            if isinstance(getattr(self, name), str) and given[0] not in {"csv", "npz"}:
                yield (name,), f"a separate file needs csv or npz, not {given[0]}"
        if self.split is not None:
            yield from self._split_faults(self.split)
        if self.cv is not None and "validation" in self.model_fields_set:
            yield (
                ("validation",),
                f"cv: {self.cv} takes validation rows from the training rows; leave cv or "
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
        if isinstance(self.test, float):
            yield (
                ("test",),
                f"a share of rows would not respect the {split.by} split; give test as a "
                "separate file, or leave it out",
            )
