"""Load: the whole way, on real data."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn.datasets
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from hpsearch.data import shipped
from hpsearch.data.builtin import datasets
from hpsearch.data.loading import dataset_from_arrays, load_dataset
from hpsearch.data.specs import Task
from hpsearch.errors import DataError

HERE = str(Path(__file__).parent)
SMALL = ["digits", "wine", "breast_cancer", "iris", "diabetes"]


@pytest.mark.parametrize("name", SMALL)
def test_descriptions_match_the_sets(request_data, name):
    dataset = load_dataset(request_data(dataset=name, test=None))
    known = datasets()[name]
    assert len(dataset.train) + len(dataset.validation) == known.rows
    assert dataset.target.task is known.task


def test_split_is_scikit_learns(request_data):
    dataset = load_dataset(request_data(dataset="digits"))
    x, y = load_digits(return_X_y=True)
    x_train, x_val, y_train, y_val = train_test_split(
        x, y, test_size=0.2, random_state=42, stratify=y
    )
    np.testing.assert_array_equal(dataset.train.x.reshape(len(x_train), -1), x_train)
    np.testing.assert_array_equal(dataset.validation.x.reshape(len(x_val), -1), x_val)
    np.testing.assert_array_equal(dataset.train.y, y_train)
    np.testing.assert_array_equal(dataset.validation.y, y_val)


@pytest.mark.parametrize("name", SMALL)
def test_shipped_sets_are_what_scikit_learn_loads(name):
    theirs, ours = getattr(sklearn.datasets, f"load_{name}")(), shipped.read_shipped(name)
    assert ours is not None
    np.testing.assert_array_equal(ours.data, theirs.data)
    np.testing.assert_array_equal(ours.target, theirs.target)
    if name != "diabetes":
        assert ours.target_names == tuple(map(str, theirs.target_names))
    # An image's pixels get no names here.
    assert ours.feature_names == (() if name == "digits" else tuple(theirs.feature_names))


@pytest.mark.parametrize("name", SMALL)
def test_shipped_sets_are_the_same_whoever_reads_them(request_data, monkeypatch, name):
    direct = load_dataset(request_data(dataset=name))
    monkeypatch.setattr(shipped, "find_spec", lambda _: None)
    assert shipped.read_shipped(name) is None
    assert load_dataset(request_data(dataset=name)).fingerprint == direct.fingerprint


def test_shipped_sets_need_no_scikit_learn(request_data):
    requests = [vars(request_data(dataset=name)) for name in SMALL]
    code = (
        "import sys, types\n"
        "from hpsearch.data.loading import load_dataset as load\n"
        f"for request in {requests!r}: load(types.SimpleNamespace(**request))\n"
        "print(sorted({'sklearn', 'scipy', 'pandas', 'keras'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_test_part_is_split_off_first(request_data):
    with_test = load_dataset(request_data(dataset="digits", test=0.1))
    x, y = load_digits(return_X_y=True)
    rest, test, y_rest, _ = train_test_split(x, y, test_size=0.1, random_state=42, stratify=y)
    assert with_test.test is not None
    np.testing.assert_array_equal(with_test.test.x.reshape(len(test), -1), test)
    _, validation = train_test_split(rest, test_size=360, random_state=42, stratify=y_rest)
    np.testing.assert_array_equal(with_test.validation.x.reshape(len(validation), -1), validation)


def test_two_classes_are_binary(request_data):
    dataset = load_dataset(request_data(dataset="breast_cancer"))
    assert dataset.target.task is Task.BINARY
    assert dataset.target.outputs == 1
    assert dataset.target.classes == ("malignant", "benign")
    assert dataset.train.y.dtype == np.float32
    assert set(dataset.train.y) == {0.0, 1.0}


def test_more_classes_are_multiclass(request_data):
    dataset = load_dataset(request_data(dataset="iris"))
    assert dataset.target.task is Task.MULTICLASS
    assert dataset.target.outputs == 3
    assert dataset.train.y.dtype == np.int32
    assert np.bincount(dataset.validation.y).tolist() == [10, 10, 10]


def test_regression_targets_are_standardised_on_train(request_data):
    dataset = load_dataset(request_data(dataset="diabetes"))
    assert dataset.train.y.shape == (len(dataset.train), 1)
    assert dataset.train.y.dtype == np.float32
    assert abs(dataset.train.y.mean()) < 1e-5
    assert abs(dataset.train.y.std() - 1) < 1e-5
    assert abs(dataset.validation.y.mean()) > 1e-3
    own = dataset.validation.y * dataset.target.std + dataset.target.mean
    np.testing.assert_allclose(own, np.round(own), atol=1e-3)


def test_unknown_set_suggests(request_data):
    with pytest.raises(DataError, match="did you mean 'digits'"):
        load_dataset(request_data(dataset="digit"))


def test_built_in_sets_take_no_files(request_data):
    with pytest.raises(DataError, match=r"validation: '/v\.csv' is a file"):
        load_dataset(request_data(dataset="iris", validation="/v.csv"))


def test_built_in_sets_know_their_task(request_data):
    with pytest.raises(DataError, match="is a classification, not a regression"):
        load_dataset(request_data(dataset="iris", task="regression"))


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.2, 20])
def test_fractions_lie_between_0_and_1(request_data, fraction):
    with pytest.raises(DataError, match="is not a fraction"):
        load_dataset(request_data(dataset="iris", validation=fraction))


def test_training_keeps_rows(request_data):
    with pytest.raises(DataError, match="leaves none for training"):
        load_dataset(request_data(dataset="diabetes", validation=0.6, test=0.5))


def test_validation_needs_a_row_a_class(request_data):
    with pytest.raises(DataError, match=r"validation part has 2 of 150 rows, fewer than the 3"):
        load_dataset(request_data(dataset="iris", validation=0.01))


def test_california_housing_from_scikit_learns_cache(request_data, monkeypatch, tmp_path):
    import joblib

    rows = np.random.default_rng(0).uniform(1, 9, (50, 9))
    joblib.dump(rows, tmp_path / "cal_housing_py3.pkz", compress=6)
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    dataset = load_dataset(request_data(dataset="california_housing"))
    assert dataset.target.task is Task.REGRESSION
    assert len(dataset.train) == 40
    assert len(dataset.input.table.names) == 8


def test_california_housing_without_network_is_one_line(request_data, monkeypatch, tmp_path):
    import sklearn.datasets

    def unreachable():
        raise OSError("no route to host")

    monkeypatch.setattr(sklearn.datasets, "fetch_california_housing", unreachable)
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    with pytest.raises(DataError, match="set SCIKIT_LEARN_DATA") as caught:
        load_dataset(request_data(dataset="california_housing"))
    assert "\n" not in str(caught.value)


def test_arrays_and_labels_of_text():
    x = np.arange(20.0).reshape(10, 2)
    dataset = dataset_from_arrays(x, ["b", "a"] * 5)
    assert dataset.target.classes == ("a", "b")
    assert len(dataset.validation) == 2


def test_arrays_with_own_parts():
    x, y = np.arange(20.0).reshape(10, 2), np.arange(10.0) + 0.5
    dataset = dataset_from_arrays(
        x, y, validation_data=(x[:3] + 50, y[:3]), test_data=(x[:1], y[:1])
    )
    assert (len(dataset.train), len(dataset.validation)) == (10, 3)
    assert dataset.test is not None
    assert "1 of 1 test rows also stand" in dataset.warnings[0]


def test_frames_with_text_columns():
    frame = pd.DataFrame({"n": range(10), "t": ["u", "v"] * 5})
    dataset = dataset_from_arrays(frame, pd.Series([1.5, 2.5] * 5))
    assert dataset.input.columns is not None
    assert dataset.input.table.names == ("n", "t")
    assert dataset.train.x["t"].dtype == object


def test_nothing_imports_tensorflow(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("a,t,y\n" + "1,u,p\n2,v,q\n" * 10)
    code = f"""
import sys
sys.path[:0] = [{HERE!r}]
from conftest import Request
from hpsearch.data.loading import load_dataset as load
load(Request(dataset="digits"))
assert "sklearn" not in sys.modules and "pandas" not in sys.modules
load(Request(csv={str(table)!r}, target="y"))
load(Request(dataset="digits"))
assert "tensorflow" not in sys.modules and "keras" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
