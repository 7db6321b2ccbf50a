"""Load: the whole way, on real data."""

import numpy as np
import pytest
from commands import python
from datasets import load
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from hpsearch.data import builtin
from hpsearch.data.builtin import DESCRIPTIONS
from hpsearch.data.specs import Task
from hpsearch.errors import DataError

SMALL = ["digits", "wine", "breast_cancer", "iris", "diabetes"]


@pytest.mark.parametrize("name", SMALL)
def test_shipped_sets_are_what_scikit_learn_loads_and_as_described(monkeypatch, name):
    direct = load(dataset=name)
    described = DESCRIPTIONS[name]
    assert len(direct.train) + len(direct.validation) == described.rows
    assert direct.target.task is described.task
    monkeypatch.setattr(builtin, "find_spec", lambda _: None)
    assert builtin._shipped(name) is None
    loaded = load(dataset=name)
    assert loaded.fingerprint == direct.fingerprint
    assert (loaded.target, loaded.input) == (direct.target, direct.input)


def test_loading_imports_little(tmp_path):
    """The shipped sets need no scikit-learn and no pandas, tables no TensorFlow."""
    (tmp_path / "t.csv").write_text("a,t,y\n" + "1,u,p\n2,v,q\n" * 10)
    code = (
        "import sys\n"
        "from hpsearch.data.loading import load_dataset\n"
        "from hpsearch.spec.data import DataSpec\n"
        "slow = {'sklearn', 'scipy', 'pandas', 'keras', 'tensorflow'}\n"
        f"for name in {SMALL!r}: load_dataset(DataSpec(dataset=name))\n"
        "print(sorted(slow & set(sys.modules)))\n"
        "load_dataset(DataSpec(csv='t.csv', target='y'))\n"
        "print(sorted((slow - {'pandas'}) & set(sys.modules)))"
    )
    assert python(code, cwd=tmp_path).split() == ["[]", "[]"]


def test_test_part_is_split_off_first():
    with_test = load(dataset="digits", test=0.1)
    x, y = load_digits(return_X_y=True)
    rest, test, y_rest, _ = train_test_split(x, y, test_size=0.1, random_state=42, stratify=y)
    assert with_test.input.scale == (1 / 16,)
    np.testing.assert_array_equal(with_test.test.x.reshape(len(test), -1), test)
    _, validation = train_test_split(rest, test_size=360, random_state=42, stratify=y_rest)
    np.testing.assert_array_equal(with_test.validation.x.reshape(len(validation), -1), validation)


def test_regression_targets_are_standardised_on_train():
    dataset = load(dataset="diabetes")
    assert dataset.train.y.shape == (len(dataset.train), 1)
    assert dataset.train.y.dtype == np.float32
    assert abs(dataset.train.y.mean()) < 1e-5
    assert abs(dataset.train.y.std() - 1) < 1e-5
    assert abs(dataset.validation.y.mean()) > 1e-3
    own = dataset.validation.y * dataset.target.std + dataset.target.mean
    np.testing.assert_allclose(own, np.round(own), atol=1e-3)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"dataset": "diabetes", "validation": 0.6, "test": 0.5}, "leaves none for training"),
        ({"dataset": "iris", "validation": 0.01}, "validation part has 2 of 150 rows, fewer than"),
    ],
)
def test_each_part_needs_rows(data, message):
    with pytest.raises(DataError, match=message):
        load(**data)


def test_california_housing_from_scikit_learns_cache(monkeypatch, tmp_path):
    import joblib

    rows = np.random.default_rng(0).uniform(1, 9, (50, 9))
    joblib.dump(rows, tmp_path / "cal_housing_py3.pkz", compress=6)
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    dataset = load(dataset="california_housing")
    assert dataset.target.task is Task.REGRESSION
    assert len(dataset.train) == 40
    assert dataset.input.shape == (8,)


def test_california_housing_without_network_is_one_line(monkeypatch, tmp_path):
    import sklearn.datasets

    def unreachable():
        raise OSError("no route to host")

    monkeypatch.setattr(sklearn.datasets, "fetch_california_housing", unreachable)
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    with pytest.raises(DataError, match="set SCIKIT_LEARN_DATA") as caught:
        load(dataset="california_housing")
    assert "\n" not in str(caught.value)
