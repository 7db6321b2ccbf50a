"""FAULTS 27: labels keep their identity: as many classes as labels, or a clear refusal."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from datasets import made
from hypothesis import given, settings
from hypothesis import strategies as st

import hpsearch
from hpsearch.data.loading import load_dataset
from hpsearch.data.specs import Task
from hpsearch.errors import DataError, InputError
from hpsearch.models.arrays import training_weights
from hpsearch.sklearn import SweepClassifier
from hpsearch.spec.data import DataSpec

#: Neighbours that float64 rounds to one number.
NEAR = (2**53 + 1, 2**53, 2**53 + 2)
LARGE = (2**64 - 1, 2**63, 2**64 - 2)
X = np.random.default_rng(0).normal(size=(60, 2))


def names(labels) -> tuple[str, ...]:
    """The classes of labels, in their order: numbers by their value."""
    return tuple(map(str, sorted(labels, key=lambda label: (float(label), label))))


def csv_of(place, labels, name="table.csv", times=20):
    """A file with each label in `times` rows."""
    rows = [f"{i / 2},{label}" for i, label in enumerate([*labels] * times)]
    (place / name).write_text("\n".join(["a,y", *rows]) + "\n")
    return str(place / name)


def from_csv(place, labels, **more):
    return load_dataset(DataSpec(csv=csv_of(place, labels), target="y", **more))


def from_arrays(y, task="classification"):
    return made(X, y, task=task)


@pytest.mark.parametrize("labels", [NEAR, LARGE, (-1, *LARGE), (2**100, 2**100 + 1)])
def test_ids_of_a_csv(tmp_path, labels):
    dataset = from_csv(tmp_path, labels)
    assert dataset.target.classes == names(labels)


@pytest.mark.parametrize(
    "y",
    [
        np.array(NEAR * 20),
        np.array(LARGE * 20, np.uint64),
        list(NEAR * 20),
        list((-1, *LARGE) * 15),
        pd.Series(NEAR * 20, dtype="Int64"),
        pd.Series(LARGE * 20, dtype="UInt64"),
        pd.Series((-1, *LARGE) * 15, dtype=object),
        pd.Series(NEAR * 20).astype("category"),
        pd.DataFrame({"id": LARGE * 20}, dtype=object),
        np.array([str(label) for label in NEAR * 20]),
        [0.5, *NEAR] * 15,
    ],
    ids=lambda y: type(y).__name__,
)
def test_ids_of_arrays_and_frames(y):
    labels = set(np.asarray(y, object).ravel().tolist())
    assert from_arrays(y).target.classes == names(labels)


def test_ids_of_archives_and_functions(tmp_path, monkeypatch):
    np.savez(tmp_path / "ids.npz", x=X, y=np.array(LARGE * 20, np.uint64))
    assert load_dataset(DataSpec(npz=str(tmp_path / "ids.npz"))).target.classes == names(LARGE)
    (tmp_path / "ids_27.py").write_text(
        f"import numpy as np\ndef ids(): return np.arange(60.0), np.array({NEAR} * 20)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load_dataset(DataSpec(python="ids_27:ids")).target.classes == names(NEAR)


@pytest.mark.parametrize(
    ("y", "task", "words"),
    [
        (
            np.array(NEAR * 20, np.float64),
            "classification",
            r"row 0 \(from 0\): label 9007199254740992\.0 is too large",
        ),
        ([1, "1", "a"] * 20, "classification", "y has '1' as text and as another type"),
        # Rounded, 30 ids would be few enough to be taken for classes.
        (np.arange(2**60, 2**60 + 30).repeat(2), None, "30 different values, more than 20"),
    ],
)
def test_labels_that_would_run_together_are_refused(y, task, words):
    with pytest.raises(DataError, match=words):
        from_arrays(y, task)


@pytest.mark.parametrize(
    ("labels", "classes", "warning"),
    [
        ("1 01 1.0", "01 1 1.0", "are different classes"),
        ("01234 1234", "01234 1234", "are different classes"),
        ("7 007 8", "007 7 8", "are different classes"),
        ("1 1.0 2 0.5 0.50", "0.5 1 2", "'1', '1.0' are one class"),
        ("1 2 10", "1 2 10", ""),
        ("1.0 2.0", "1 2", ""),
        ("01 02", "01 02", ""),
        ("a b", "a b", ""),
    ],
)
def test_spellings_of_a_number_are_one_class_unless_one_starts_with_zero(
    tmp_path, labels, classes, warning
):
    dataset = from_csv(tmp_path, labels.split(), task="classification")
    assert dataset.target.classes == tuple(classes.split())
    assert len(dataset.warnings) == bool(warning)
    assert re.search(warning, "".join(dataset.warnings))


def test_text_of_arrays_is_text():
    dataset = from_arrays(["1", "01", "1.0"] * 20)
    assert set(dataset.target.classes) == {"1", "01", "1.0"}
    assert "are different classes" in dataset.warnings[0]


def test_labels_that_become_one_class_are_refused(tmp_path):
    with pytest.raises(DataError, match="one class only, '1'"):
        from_csv(tmp_path, ("1", "1.0"))


def test_other_files_follow_the_training_file(tmp_path):
    spec = {"csv": csv_of(tmp_path, (1, 2)), "target": "y"}
    other = csv_of(tmp_path, ("01", "2.0"), "other.csv", 2)
    dataset = load_dataset(DataSpec(**spec, validation=other, test=other))
    assert dataset.validation.y.tolist() == dataset.test.y.tolist() == [0, 1, 0, 1]
    spec["csv"] = csv_of(tmp_path, ("01", "02"))
    with pytest.raises(DataError, match=r":3: label '2\.0' is out of range.*'01', '02'"):
        load_dataset(DataSpec(**spec, validation=csv_of(tmp_path, ("01", "2.0"), "other.csv", 2)))
    spec["csv"] = csv_of(tmp_path, NEAR)
    other = csv_of(tmp_path, sorted(NEAR), "other.csv", 2)
    assert load_dataset(DataSpec(**spec, validation=other)).validation.y.tolist() == [0, 1, 2] * 2


def test_ids_name_weights():
    dataset = from_arrays(np.array(NEAR * 20))
    weights = training_weights(dataset, {str(label): 1.0 + i for i, label in enumerate(NEAR)})
    expected = {sorted(NEAR).index(label): 1.0 + i for i, label in enumerate(NEAR)}
    assert weights.tolist() == [expected[code] for code in dataset.train.y.tolist()]


def test_two_keys_of_one_class_are_refused():
    with pytest.raises(InputError, match=r"class_weight.*: 1 and '1' are the same class"):
        hpsearch.tune(X, [0, 1] * 30, parameters={"units": 2}, class_weight={1: 2.0, "1": 3.0})


KINDS = {
    "int64": st.integers(-(2**63), 2**63 - 1),
    "uint64": st.integers(0, 2**64 - 1),
    "bool": st.booleans(),
    "text": st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1),
}


@st.composite
def some_labels(draw):
    kind = draw(st.sampled_from(sorted(KINDS)))
    labels = draw(st.lists(KINDS[kind], min_size=2, max_size=6, unique=True))
    return np.array(labels, {"text": object}.get(kind, kind))


@settings(max_examples=60, deadline=None)
@given(some_labels())
def test_as_many_classes_as_labels(labels):
    y = np.repeat(labels, 4)
    try:
        dataset = made(np.arange(len(y)), y, validation=0.5, task="classification")
    except DataError as error:
        if "missing value" in str(error) or "not a finite" in str(error):
            return
        raise
    assert len(dataset.target.classes) == len(np.unique(y))
    assert set(dataset.target.classes) == set(map(str, labels.tolist()))
    assert dataset.target.task is (Task.BINARY if len(labels) == 2 else Task.MULTICLASS)


@pytest.mark.parametrize(
    "labels",
    [np.array(NEAR), np.array(LARGE, np.uint64), np.array(["1", "01", "1.0"], object)],
    ids=lambda labels: str(labels.dtype),
)
def test_estimators_predict_labels(labels):
    y = np.repeat(labels, 20)
    x = np.repeat(np.eye(len(labels)), 20, axis=0) + X[: len(y)].mean(axis=1, keepdims=True) / 9
    search = SweepClassifier({"hidden_layers": 0, "epochs": 40, "learning_rate": 0.1}).fit(x, y)
    predicted = search.predict(x)
    assert predicted.dtype == search.classes_.dtype == y.dtype
    assert search.classes_.tolist() == np.unique(y).tolist()
    assert predicted.tolist() == y.tolist()
