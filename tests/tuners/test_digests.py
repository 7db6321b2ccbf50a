"""What makes the data of a search others, and what does not."""

from __future__ import annotations

import keras
import keras_tuner
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from scipy import sparse

import hpsearch.tuners as kt
from hpsearch.errors import RefusedError
from hpsearch.tuners.digests import digest_of, states_of
from hpsearch.tuners.recorded import Recorder


def digest(value):
    return digest_of([value], {})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([1, 11], [11, 1]),
        (np.array([1, 23], object), np.array([12, 3], object)),
        ([[1], 2], [[1, 2]]),
        (["a", "b"], ["a'b"]),
    ],
)
def test_other_lists_are_other_data(one, other):
    assert digest(one) != digest(other)
    assert digest(one) == digest(one.copy())


ONE, OTHER = np.eye(4, dtype="float32"), np.ones((4, 4), "float32")


class Shuffled(keras.utils.PyDataset):
    """In another order in each process, and after each epoch."""

    def __init__(self, x):
        super().__init__()
        self.x, self.read = np.random.default_rng().permutation(x), 0
        self.order = np.random.default_rng().permutation(len(x))
        self.random = np.random.default_rng()


def augmented(x):
    noise = keras.layers.GaussianNoise(0.1)
    seeded = tf.random.Generator.from_non_deterministic_state()
    rows = tf.data.Dataset.from_tensor_slices(x).shuffle(4).batch(2)
    return rows.map(lambda a: noise(a, training=True) + seeded.normal([4]) + float(x[0, 1]))


def sampled(x):
    rows = [tf.data.Dataset.from_tensor_slices(each) for each in (x, 2 * x)]
    seed = np.random.default_rng().integers(1000)
    return tf.data.Dataset.sample_from_datasets(rows, [0.5, 0.5], seed=seed)


def scaled(x):
    rows = tf.data.Dataset.range(4).batch(2)
    return rows.map(lambda n: n * int(1 + x.sum()))


def read(x):
    """The rows of a generator, in another order each time."""

    def rows():
        while True:
            order = np.random.default_rng().permutation(4)
            yield x[order], x[order, 0]

    given = {"x": rows(), "steps_per_epoch": 1}
    return Recorder(3, own=False).recorded((), given)[1]["x"]


@pytest.mark.parametrize(
    "make",
    [
        augmented,
        sampled,
        scaled,
        read,
        Shuffled,
        tf.constant,
        sparse.csr_matrix,
        lambda x: x.tobytes(),
        lambda x: np.ma.masked_array(np.zeros((4, 4)), x == 1),
        lambda x: pd.DataFrame(np.zeros((1, 2)), columns=["a", f"b{x[0, 1]}"]),
    ],
)
def test_values_are_found_where_they_are(make):
    assert digest(make(ONE)) == digest(make(ONE))
    assert digest(make(ONE)) != digest(make(OTHER))


def test_rows_that_only_this_process_has_are_known_by_their_form():
    def noise(columns):
        while True:
            yield np.random.default_rng().random((2, columns)), np.zeros(2)

    def recorded(columns):
        given = {"x": noise(columns), "steps_per_epoch": 2}
        return Recorder(2, own=False).recorded((), given)[1]["x"]

    assert digest(recorded(3)) == digest(recorded(3)) != digest(recorded(4))


def test_labels_of_augmented_rows_are_data():
    def noise(labels):
        while True:
            random = np.random.default_rng()
            for each in np.array_split(random.permutation(labels), 4):
                yield random.random((len(each), 2)), each

    def recorded(labels):
        given = {"x": noise(labels), "steps_per_epoch": 4}
        return Recorder(3, own=False).recorded((), given)[1]["x"]

    labels = np.arange(400) % 10
    other = np.where(labels == 9, 0, labels)
    assert digest(recorded(labels)) == digest(recorded(labels)) != digest(recorded(other))


def test_texts_among_changing_rows():
    def noise(names):
        while True:
            random = np.random.default_rng()
            yield random.random((len(names), 2)), names, np.arange(len(names))

    def recorded(names):
        given = {"x": noise(names), "steps_per_epoch": 2}
        return Recorder(2, own=True).recorded((), given)[1]["x"]

    # As `tf.data` gives them: the bytes of such arrays are addresses.
    names = np.array([f"class-{place}" for place in range(20)], object)
    assert digest(recorded(names)) == digest(recorded(names.copy())) != digest(recorded(names[:9]))
    columns = [np.array([[f"class-{place}"] for place in range(20)], object) for _ in range(2)]
    assert digest(recorded(columns[0])) == digest(recorded(columns[1]))


def test_numbers_that_agree_by_chance_are_no_data():
    def drawn(ones):
        for number in range(4):
            yield np.full((6, 2), number), np.arange(6) < ones

    def recorded(ones):
        given = {"x": drawn(ones), "steps_per_epoch": 2}
        return Recorder(2, own=False).recorded((), given)[1]["x"]

    # Two epochs with as many ones may come from coins.
    assert digest(recorded(3)) == digest(recorded(2))


def test_what_reading_changes_in_a_dataset_is_no_data():
    dataset = Shuffled(ONE)
    dataset.noise = ONE
    before = states_of([dataset])
    first = digest_of([dataset], {}, before)
    dataset.noise = OTHER
    assert digest_of([dataset], {}, before) != first
    again = Shuffled(ONE)
    again.noise = 2 * ONE
    before_too = states_of([again])
    again.noise = 3 * ONE
    assert digest_of([again], {}, before_too) == digest_of([dataset], {}, before)


def test_names_of_arguments_are_data_but_not_their_order():
    both = digest_of([], {"a": 1, "b": 2})
    assert digest_of([], {"b": 2, "a": 1}) == both
    assert digest_of([], {"b": 1, "a": 2}) != both
    assert digest_of([], {"b": 2, "a": 1, "verbose": 1, "epochs": 3}) == both


class Function(kt.RandomSearch):
    def run_trial(self, trial, rows, epochs, **kwargs):
        return trial.hyperparameters.Float("x", 0.0, 1.0) * rows[0] * epochs


def search(trials, rows, **given):
    hp = keras_tuner.HyperParameters()
    hp.Float("x", 0.0, 1.0)
    tuner = Function(
        max_trials=trials, hyperparameters=hp, seed=2, directory="d", project_name="p", workers=1
    )
    tuner.search(rows=rows, **given)
    return len(tuner.oracle.trials)


def test_a_search_goes_on_with_the_same_data_only(place):
    assert search(2, [1, 11], epochs=2, verbose=0) == 2
    assert search(3, [1, 11], verbose=1, epochs=3) == 3
    with pytest.raises(RefusedError, match="data: was"):
        search(4, [11, 1], verbose=0, epochs=2)
