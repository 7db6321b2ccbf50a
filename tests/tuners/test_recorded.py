"""Generators and datasets that call Python: read once, for all trainings."""

from __future__ import annotations

import contextlib
import itertools

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from keras import layers

import hpsearch.tuners as kt
from hpsearch.models.fit_arguments import NotOnEngine, with_rows
from hpsearch.tuners import arguments, recorded
from hpsearch.tuners.arguments import copied
from hpsearch.tuners.recorded import Batches, Recorder

pytestmark = [
    pytest.mark.usefixtures("place"),
    pytest.mark.filterwarnings("ignore:.shuffle=True. was passed"),
    # Of a dataset that does not tell how long it is.
    pytest.mark.filterwarnings("ignore:Your input ran out of data"),
]
WHERE = {"directory": "d", "project_name": "p", "seed": 2}
X = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
Y = X.sum(axis=1)


def passes(noise=0.0, endless=True):
    """Yield the rows in four batches, again and again, each time with more noise."""
    for number in itertools.count() if endless else range(1):
        for place in range(0, 40, 10):
            yield X[place : place + 10] + noise * number, Y[place : place + 10]


def read(value, steps=None, epochs=3, own=False):
    recorder = Recorder(epochs, own=own)
    found = recorder.recorded((), {"x": value, "steps_per_epoch": steps})[1]["x"]
    return found, recorder


def first_numbers(elements, count):
    return [float(x[0, 0]) for x, _ in itertools.islice(elements, count)]


@pytest.mark.parametrize(("noise", "kept"), [(0.0, 1), (1.0, 3)])
def test_an_endless_generator_is_read_for_its_epochs(noise, kept, tmp_path):
    found, _ = read(passes(noise), 4)
    assert (len(found.passes), found.same, found.endless) == (kept, kept == 1, True)
    made = arguments.sent(((found,), {}), "it", tmp_path)
    for _ in range(2):
        # It begins again after its last epoch.
        assert first_numbers(made.load()[0][0], 14)[:12] == first_numbers(passes(noise), 12)


def test_an_end_is_an_end():
    for steps in (None, 4, 3):
        found, _ = read(passes(endless=False), steps)
        assert not found.endless
        assert not found.same
        assert sum(map(len, found.passes)) == 4


@pytest.mark.parametrize(("noise", "same"), [(0.0, True), (1.0, False)])
def test_an_epoch_beyond_the_only_one_tells_whether_rows_change(noise, same):
    found, _ = read(passes(noise), 4, epochs=1)
    assert (len(found.passes), found.same, found.endless) == (1, same, True)
    # Each training has the first one again.
    assert first_numbers(copied(found), 8) == first_numbers(passes(0.0), 8)


def test_a_dataset_goes_on_through_its_epochs():
    noise = itertools.count()

    def five():
        for _ in range(5):
            yield X + next(noise), Y

    spec = (tf.TensorSpec((40, 3)), tf.TensorSpec((40,)))
    found, _ = read(tf.data.Dataset.from_generator(five, output_signature=spec), 3, epochs=2)
    assert not found.same
    assert len(list(copied(found))) == 5


def test_what_a_dataset_raises_at_once():
    missing = []

    def broken():
        yield X[: 1 // len(missing)]

    spec = tf.TensorSpec((40, 3))
    found, _ = read(tf.data.Dataset.from_generator(broken, output_signature=spec), 3, epochs=2)
    with pytest.raises(tf.errors.OpError, match=r"division.*by zero"):
        list(copied(found))


class Damaged(Exception):
    def __init__(self, path, line):
        super().__init__(f"{path}, line {line}")


def test_an_error_that_cannot_be_made_again_is_told():
    def broken():
        yield X, Y
        raise Damaged("a.csv", 3)

    found = copied(read(broken())[0])
    next(found)
    with pytest.raises(RuntimeError, match=r"^Damaged: a.csv, line 3$"):
        next(found)


def test_memory_that_ends_fails_no_training():
    def large():
        yield X, Y
        raise MemoryError

    with pytest.raises(NotOnEngine, match="memory ended"):
        read(large())


def test_arrays_that_are_filled_again_are_copied():
    def filled():
        x = np.zeros((1, 1))
        for number in range(3):
            x[:] = number
            yield x, x

    found, _ = read(filled())
    assert [float(x[0, 0]) for x, _ in found.passes[0]] == [0, 1, 2]


def test_what_was_read_is_put_back(monkeypatch):
    monkeypatch.setattr(recorded, "MOST_BYTES", 4000)
    generator = passes(1.0)
    recorder = Recorder(3, own=True)
    with pytest.raises(NotOnEngine, match="too many batches"):
        recorder.recorded((generator,), {})
    assert first_numbers(recorder.put_back(generator), 9) == first_numbers(passes(1.0), 9)
    assert recorder.put_back(X) is X


def called(noise=0.0, first=0):
    """A dataset that calls Python; each batch has more noise."""
    number = itertools.count(first)

    def one_pass():
        for x, y in passes(endless=False):
            yield x + noise * next(number), y

    spec = tf.TensorSpec((None, 3)), tf.TensorSpec((None,))
    return tf.data.Dataset.from_generator(one_pass, output_signature=spec)


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_a_dataset_that_calls_python_is_read_in_each_epoch(noise, tmp_path):
    found, _ = read(called(noise), own=True)
    assert len(found.passes) == (3 if noise else 1)
    made = arguments.sent(((found,), {}), "it", tmp_path).load()[0][0]
    assert made.element_spec == called().element_spec
    assert made.cardinality() == called().cardinality()
    expected = called(noise)
    for _ in range(3):
        for (x, y), (x_too, y_too) in zip(made, expected, strict=True):
            np.testing.assert_array_equal(x, x_too)
            np.testing.assert_array_equal(y, y_too)


@pytest.mark.parametrize(
    ("value", "why"),
    [(called(1.0), "number of epochs is not known"), (called().repeat(), "is endless")],
)
def test_why_a_dataset_is_not_read(value, why):
    with pytest.raises(NotOnEngine, match=why):
        read(value, epochs=None, own=True)


@pytest.mark.parametrize(
    ("sizes", "size"), [((10, 10), 10), ((10, 4), 10), ((4, 10), 10), ((10, 4, 4), None)]
)
def test_batches_of_different_lengths_stay_as_they_are(sizes, size):
    rows = [(X[:n], Y[:n]) for n in sizes]
    found, _ = read((each for each in rows * 2), len(sizes), epochs=2)
    changed = recorded.with_read_rows({"x": found})
    assert (changed and changed["batch_size"]) == size

    class Rows(keras.utils.PyDataset):
        def __len__(self):
            return len(rows)

        def __getitem__(self, place):
            return rows[place]

    with contextlib.nullcontext() if size else pytest.raises(NotOnEngine, match="different num"):
        assert with_rows({"x": Rows()})["batch_size"] == size


def broken():
    yield X[:10], Y[:10]
    raise LookupError("midway")


class Broken(keras.utils.PyDataset):
    def __len__(self):
        return 2

    def __getitem__(self, place):
        if place:
            raise LookupError("midway")
        return X[:10], Y[:10]


def test_what_a_generator_raised_each_training_raises(tmp_path):
    for steps in (None, 2):
        generator = broken()
        found, recorder = read(generator, steps)
        made = arguments.sent(((found,), {}), "it", tmp_path)
        for _ in range(2):
            given = made.load()[0][0]
            assert len(next(given)[0]) == 10
            with pytest.raises(LookupError, match="midway"):
                next(given)
        with pytest.raises(LookupError, match="midway"):
            list(recorder.put_back(generator))
    with pytest.raises(NotOnEngine, match="LookupError: midway"):
        with_rows({"x": Broken()})


def test_a_dataset_that_raises_in_a_later_epoch_does_so_in_each_training(tmp_path):
    begun = itertools.count()

    def one_pass():
        yield X[:10], Y[:10]
        if next(begun):
            raise LookupError("midway")
        yield X[10:], Y[10:]

    spec = tf.TensorSpec((None, 3)), tf.TensorSpec((None,))
    dataset = tf.data.Dataset.from_generator(one_pass, output_signature=spec)
    found, _ = read(dataset, own=True)
    assert [len(each) for each in found.passes] == [2, 1]
    made = arguments.sent(((found,), {}), "it", tmp_path).load()[0][0]
    assert len(list(made)) == 2
    with pytest.raises(tf.errors.OpError, match="midway"):
        list(made)


@pytest.mark.parametrize("kind", [broken, pytest.param(Broken, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "tuner", [kt.GridSearch, pytest.param(kt.RandomSearch, marks=pytest.mark.slow)]
)
def test_a_trial_whose_data_raise_fails(kind, tuner, place, capsys):
    steps = {"steps_per_epoch": 2} if kind is broken else {}
    made = tuner(linear, "loss", max_consecutive_failed_trials=2, workers=1, **WHERE)
    with pytest.raises(RuntimeError, match=r"(?s)consecutive failures.*limit of 2.*midway"):
        made.search(kind(), epochs=2, **steps)
    assert pd.read_csv("d/p/results.csv")["status"].tolist() == ["failed"] * 2
    assert {each.status for each in made.oracle.trials.values()} == {"FAILED"}
    said = capsys.readouterr().out
    for trial in made.oracle.trials:
        assert f"hpsearch: trial {trial} failed: LookupError: midway" in said


def test_a_dataset_is_read_if_its_epochs_are_the_same():
    endless = tf.data.Dataset.from_tensor_slices((X, Y)).repeat().shuffle(7).batch(10)
    assert not isinstance(read(endless, 4)[0], Batches)
    same = tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(40).repeat().batch(10)
    assert isinstance(read(same, 4)[0], Batches)
    assert not isinstance(read(same, 3)[0], Batches)
    assert read(same, 4, own=True)[0] is same


def linear(hp):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1, kernel_initializer="zeros")])
    model.compile(keras.optimizers.SGD(hp.Choice("rate", [0.1, 0.01])), "mse")
    return model


@pytest.mark.parametrize("name", ["generator", pytest.param("dataset", marks=pytest.mark.slow)])
def test_every_training_has_the_numbers_of_fit(name, capsys):
    """Those of Keras' `fit` on a new generator."""
    given = {"epochs": 3, "verbose": 0, "validation_data": (X, Y)}
    given |= {"steps_per_epoch": 4} if name == "generator" else {}

    def make(first=0):
        return passes(0.5) if name == "generator" else called(0.01, first)

    tuner = kt.GridSearch(linear, "val_loss", **WHERE)
    tuner.search(make(), **given)
    assert "in this process" not in capsys.readouterr().out
    rows, curves = pd.read_csv("d/p/results.csv"), pd.read_csv("d/p/curves.csv")
    assert set(rows["trainer"]) == {"fit"}
    for trial, rate in zip(rows["trial"], rows["rate"], strict=True):
        hp = kt.HyperParameters()
        hp.Fixed("rate", rate)
        # Two epochs of a dataset tell that it changes.
        history = linear(hp).fit(make(first=8), **given).history
        curve = curves[curves["trial"] == trial]
        np.testing.assert_allclose(curve["loss"], history["loss"], rtol=1e-4)
        np.testing.assert_allclose(curve["val_loss"], history["val_loss"], rtol=1e-4)


@pytest.mark.slow
def test_the_same_rows_in_each_epoch_train_on_the_engine():
    def search(x, project, **given):
        tuner = kt.GridSearch(linear, "val_loss", **WHERE | {"project_name": project})
        tuner.search(x, epochs=3, verbose=0, **given)
        return pd.read_csv(f"d/{project}/results.csv")

    given = {"steps_per_epoch": 4, "validation_data": passes(), "validation_steps": 4}
    found = search(passes(), "p", **given)
    plain = search(X, "q", y=Y, batch_size=10, validation_data=(X, Y))
    assert set(found["trainer"]) == {"native"}
    assert found["score"].tolist() == plain["score"].tolist()


class Own(kt.HyperModel):
    def build(self, hp):
        return linear(hp)

    def fit(self, hp, model, x, **kwargs):
        return model.fit(x, **kwargs)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["generator", "dataset"])
def test_code_of_ones_own_gets_them(name):
    tuner = kt.RandomSearch(Own(), "loss", 2, **WHERE)
    steps = {"steps_per_epoch": 4} if name == "generator" else {}
    tuner.search(passes(0.5) if steps else called(), epochs=3, verbose=0, **steps)
    # The first trial runs here, and tells what hyperparameters there are.
    rows = pd.read_csv("d/p/results.csv")
    assert rows["trainer"].tolist() == ["fit" if steps else "native"]
    assert len(tuner.oracle.trials) == 2
    assert len({round(each.score, 6) for each in tuner.oracle.trials.values()}) == 2
