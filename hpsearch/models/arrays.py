"""The rows of a sweep's data as its models get them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from hpsearch.data.dataset import Dataset, Split
from hpsearch.data.loading import Loader, load_dataset
from hpsearch.data.specs import Arrays, Task, TrainingData
from hpsearch.errors import InputError
from hpsearch.models import preprocessing
from hpsearch.models.problem import Recipe
from hpsearch.spec.data import DataSpec
from hpsearch.spec.sweep import Sweep


class ModelCode(Protocol):
    """The custom model of a Python program."""

    @property
    def code(self) -> bytes: ...

    def completed(self, recipe: Recipe) -> Recipe:
        """Return a sweep's recipe with the model's code."""
        ...


@dataclass(frozen=True)
class LoaderWithModel:
    """A loader that also carries the custom model of a Python program.

    Attributes:
        rows: Loads the rows; None reads the sweep's `data:`.
    """

    rows: Loader | None
    model: ModelCode

    def __call__(self, spec: DataSpec) -> Dataset:
        """Load the rows."""
        return (self.rows or load_dataset)(spec)


def with_code(recipe: Recipe, loader: Loader | None) -> Recipe:
    """Return a recipe with the code of the model that the loader carries, if it does."""
    return loader.model.completed(recipe) if isinstance(loader, LoaderWithModel) else recipe


def load_data(sweep: Sweep, loader: Loader | None = None) -> Dataset:
    """Load a sweep's data; for a custom model, targets keep their own units.

    Args:
        loader: Loads the rows; None reads the sweep's `data:`.
    """
    dataset = (loader or load_dataset)(sweep.data)
    if dataset.input.parts and not sweep.kind.is_model:
        raise InputError(
            f"{dataset.name}: x is {len(dataset.input.parts)} inputs, and hpsearch's own MLPs have "
            "one; give a model of your own (model=build, in a file model: package.module:build), "
            "or one array or table"
        )
    return _for_custom_model(dataset) if sweep.kind.is_model else dataset


def _for_custom_model(dataset: Dataset) -> Dataset:
    # Without indicators of missing numbers, the model's input is as wide as the rows.
    plain = replace(dataset, input=replace(dataset.input, indicators=()))
    return _in_own_units(replace(plain, folds=tuple(map(_for_custom_model, dataset.folds))))


def _in_own_units(dataset: Dataset) -> Dataset:
    target = dataset.target
    if target.task is not Task.REGRESSION:
        return dataset

    def restored(split: Split) -> Split:
        return replace(split, y=preprocessing.in_own_units(split.y, target))

    return replace(
        dataset,
        target=replace(target, mean=(0.0,) * target.outputs, std=(1.0,) * target.outputs),
        train=restored(dataset.train),
        validation=restored(dataset.validation),
        test=None if dataset.test is None else restored(dataset.test),
    )


def training_data(loaded: Dataset, sweep: Sweep) -> TrainingData:
    """Return the features, targets and weights of a dataset, and of each of its folds.

    Raises:
        DataError: The sweep gives a weight to a class that does not exist.
    """
    folds = tuple(training_data(fold, sweep) for fold in loaded.folds)
    if folds:
        return replace(folds[0], folds=folds)
    return TrainingData(loaded.input, loaded.target, _arrays(loaded, sweep))


def _arrays(loaded: Dataset, sweep: Sweep) -> Arrays:
    train, validation = loaded.train, loaded.validation
    rows = loaded.input
    encoded = rows.mean or rows.scale or rows.fill or rows.columns
    if loaded.target.task is not Task.OWN or encoded:
        # A custom model gets rows in their original shape.
        shaped = sweep.kind.is_model
        return preprocessing.arrays(loaded, sweep.class_weight, shaped=shaped)
    assert not isinstance(train.x, dict)
    assert not isinstance(validation.x, dict)
    return Arrays(train.x, train.y, validation.x, validation.y, train.weights, validation.weights)
