"""Inferring the task: the documented rule, case by case."""

from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
from datasets import made

from hpsearch.data.loading import InMemoryRows
from hpsearch.data.specs import Task
from hpsearch.engine.models import SweepModels
from hpsearch.errors import DataError
from hpsearch.spec.sweep import sweep_from_mapping

X = np.random.default_rng(0).normal(size=(60, 2))
ONE_HOT = np.eye(3)[np.arange(60) % 3]
SEVERAL = np.maximum(ONE_HOT, ONE_HOT[np.arange(60) // 3])


@pytest.mark.parametrize(
    ("y", "task"),
    [
        (["a", "b"] * 30, Task.BINARY),
        (["a", "b", "c"] * 20, Task.MULTICLASS),
        ([True, False] * 30, Task.BINARY),
        ([0, 1] * 30, Task.BINARY),
        ([0.0, 1.0] * 30, Task.BINARY),
        (list(range(20)) * 3, Task.MULTICLASS),
        ([0.5, 1.5] * 30, Task.REGRESSION),
        (X, Task.REGRESSION),
        (ONE_HOT, Task.MULTICLASS),
        (ONE_HOT > 0, Task.MULTICLASS),
        (pd.DataFrame(ONE_HOT > 0, dtype="boolean"), Task.MULTICLASS),
        (SEVERAL, Task.REGRESSION),
        (SEVERAL > 0, Task.REGRESSION),
    ],
)
def test_inferred(y, task):
    assert made(X, y, validation=0.5).target.task is task


@pytest.mark.parametrize(
    ("keys", "y", "said"),
    [
        ({}, SEVERAL, r"y has 3 columns of zeros and ones, .*\(multi-label\).* task: regression"),
        ({}, SEVERAL > 0, "multi-label"),
        ({}, ONE_HOT, ""),
        ({}, SEVERAL * 0.5, ""),
        ({"data": {"memory": {}, "task": "regression"}}, SEVERAL, ""),
        ({"model": "keras_models:build"}, SEVERAL, ""),
    ],
)
def test_several_labels_a_row_are_no_regression_unless_it_is_said(keys, y, said):
    sweep = sweep_from_mapping({"name": "s", "data": {"memory": {}}, "parameters": {}} | keys)
    with pytest.raises(DataError, match=said) if said else nullcontext():
        SweepModels.of(sweep, InMemoryRows(X, y).load)


def test_validation_rows_are_labels_if_the_training_rows_are():
    """A few rows of several labels may have one each."""
    dataset = made(X, SEVERAL, validation_data=(X[:3], ONE_HOT[:3]))
    assert dataset.validation.y.shape == (3, 3)


def test_ambiguous():
    y = [0, 1] * 29 + [2, 0]
    with pytest.raises(DataError, match="2 stands in one row only"):
        made(X, y)
    assert made(X, y, task="regression").target.task is Task.REGRESSION


def test_classification_takes_one_column():
    with pytest.raises(DataError, match="one column of labels or one-hot"):
        made(X, X, task="classification")
    assert made(X, ONE_HOT).target.classes == ("0", "1", "2")
    assert made(X, ONE_HOT, task="regression").target.outputs == 3


def test_a_class_that_the_test_part_uses_up():
    y = ["a"] * 58 + ["b"] * 2
    with pytest.raises(DataError, match="once the test part is split off"):
        made(X, y, validation=0.3, test=0.4)


def test_whole_numbers_of_several_types_are_of_one_kind_beside_text():
    y = np.array([np.int64(1), 1, "a", "a"] * 5, object)
    x = np.arange(20.0).reshape(20, 1)
    data = made(x, y, validation=0.5, task="classification")
    assert data.target.classes == ("1", "a")
