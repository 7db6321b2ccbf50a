"""What `search` was given, in another process: arrays in files, datasets."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from hpsearch.custom.fit_arguments import NotOnEngine
from hpsearch.kerastuner import arguments

X = np.arange(24, dtype=np.float32).reshape(8, 3)
Y = np.arange(8)


def through(value, folder):
    """Return an argument as a training gets it."""
    made = arguments.sent(((value,), {}), "it", folder)
    return made.load()[0][0]


@pytest.fixture
def small(monkeypatch):
    """Everything that can be in a file is."""
    monkeypatch.setattr(arguments, "MOST_BYTES", 6000)


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_are_mapped_and_each_training_has_a_copy(order, tmp_path, small):
    frame = pd.DataFrame({"a": np.arange(2000.0), "b": np.arange(2000)})
    array = np.asarray(np.random.default_rng(0).random((50, 40)), order=order)
    made = arguments.sent(((frame,), {"x": array, "n": 3}), "it", tmp_path)
    assert len(made.code) < 6000
    # The file has no name, so that nothing of a killed search is left.
    assert not list(tmp_path.iterdir())
    for _ in range(2):
        (first,), rest = made.load()
        pd.testing.assert_frame_equal(first, frame)
        np.testing.assert_array_equal(rest["x"], array)
        rest["x"][:] = 0
    made.remove()
    assert not Path(made.path).exists()
    # Those who have mapped it keep it.
    pd.testing.assert_frame_equal(first, frame)


def test_mapped_arrays_cross_by_their_place(tmp_path, small):
    path = tmp_path / "x.npy"
    np.save(path, np.arange(40_000.0).reshape(200, 200))
    whole = np.load(path, mmap_mode="r")
    made = arguments.sent(
        ((whole, whole[50:60], np.asarray(whole)[3], whole.T), {}), "it", tmp_path
    )
    assert [each.name for each in tmp_path.iterdir()] == ["x.npy"]
    for found, each in zip(made.load()[0], (whole, whole[50:60], whole[3], whole.T), strict=True):
        np.testing.assert_array_equal(found, each)
    # Another file's numbers are read where they are: nothing was copied.
    writable = np.load(path, mmap_mode="r+")
    writable[50, 0] = -1
    assert made.load()[0][1][0, 0] == -1
    columns = through(whole[:, ::2], tmp_path)
    np.testing.assert_array_equal(columns, whole[:, ::2])
    mine = np.load(path, mmap_mode="c")
    mine[0, 0] = -2
    assert through(mine, tmp_path)[0, 0] == -2


def test_a_file_that_was_replaced_is_not_read_again(tmp_path, small):
    path, other = tmp_path / "x.npy", tmp_path / "other.npy"
    np.save(path, np.arange(10.0))
    np.save(other, np.zeros(10))
    mapped = np.load(path, mmap_mode="r")
    other.replace(path)
    np.testing.assert_array_equal(through(mapped, tmp_path), np.arange(10.0))
    path.unlink()
    np.testing.assert_array_equal(through(mapped, tmp_path), np.arange(10.0))


def test_subclasses_of_maps_keep_what_they_mean(tmp_path, small):
    np.save(tmp_path / "x.npy", np.arange(6.0))
    whole = np.load(tmp_path / "x.npy", mmap_mode="r")
    masked = through(np.ma.masked_greater(whole, 3, copy=False), tmp_path)
    assert (masked.mean(), masked.count()) == (1.5, 4)
    records = np.lib.format.open_memmap(tmp_path / "r.npy", "w+", [("a", "f4")], (3,))
    assert through(records.view(np.recarray), tmp_path).a.tolist() == [0, 0, 0]


class Numbered(keras.utils.PyDataset):
    step = 3

    def __len__(self):
        return 9

    def __getitem__(self, place):
        return X[: self.step], place


def test_few_rows_are_loaded_to_find_hyperparameters(tmp_path):
    frame = pd.DataFrame({"a": np.arange(100)})
    given = (frame, np.zeros((100, 2)), pairs().repeat(9)), {"x": [Numbered(), {"a": Y}, 7]}
    made = arguments.sent(given, "it", tmp_path)
    (few, array, dataset), rest = replace(made, few=True).load()
    assert (len(few), len(array), len(list(dataset))) == (64, 64, 8)
    batches, mapping, number = rest["x"]
    assert (len(batches), batches.step, batches[1][1], number) == (2, 3, 1, 7)
    assert mapping["a"].tolist() == Y.tolist()
    epochs = arguments.sent(((), {"epochs": 9, "x": X}), "it", tmp_path)
    assert replace(epochs, few=True).load()[1]["epochs"] == 1
    with pytest.raises(NotOnEngine, match="gets no rows"):
        replace(arguments.sent(((3,), {}), "it", tmp_path), few=True).load()


def test_what_no_file_takes_is_refused(tmp_path, small):
    with pytest.raises(NotOnEngine, match=r"it have 0 MB beside arrays.*give arrays"):
        arguments.sent(((["a" * 7000],), {}), "it", tmp_path)


def pairs():
    return tf.data.Dataset.from_tensor_slices((X, Y))


def looked_up():
    keys = tf.lookup.KeyValueTensorInitializer(Y, Y * 2)
    table = tf.lookup.StaticHashTable(keys, -1)
    return pairs().map(lambda x, y: (x, table.lookup(y)))


def with_variable():
    factor = tf.Variable(3.0)
    return pairs().map(lambda x, y: (x * factor, y))


SAME = {
    "batched": lambda: pairs().batch(3).prefetch(tf.data.AUTOTUNE),
    "mapped": lambda: pairs().map(lambda x, y: ({"a": x, "b": x * 2}, y), tf.data.AUTOTUNE),
    "cached": lambda: pairs().cache().repeat(2),
    "table": looked_up,
    "variable": with_variable,
    "seeded": lambda: pairs().shuffle(8, seed=5, reshuffle_each_iteration=False),
    "ragged": lambda: tf.data.Dataset.from_tensors(tf.ragged.constant([[1, 2], [3]])),
    "filtered": lambda: pairs().filter(lambda _, y: y > 2).take(3),
}
PROGRAM = """
import pickle, sys
for name, (made, rows) in pickle.load(open(sys.argv[1], "rb")).items():
    (dataset,), _ = made.load()
    for _ in range(2):
        assert [str(each) for each in dataset] == rows, name
"""


@pytest.mark.slow
def test_datasets_are_equal_in_another_process(tmp_path):
    made = {}
    for name, make in SAME.items():
        dataset = make()
        made[name] = arguments.sent(((dataset,), {}), "it", tmp_path), [str(e) for e in dataset]
    path = tmp_path / "made"
    path.write_bytes(pickle.dumps(made))
    subprocess.run([sys.executable, "-W", "ignore", "-c", PROGRAM, path], check=True)


@pytest.mark.parametrize("layer", [True, False])
def test_datasets_that_change_do_so_in_each_epoch(layer, tmp_path):
    noise, generator = keras.layers.GaussianNoise(1.0), tf.random.Generator.from_seed(1)

    def change(x, y):
        return noise(x, training=True) if layer else x + generator.normal([3]), y

    found = through(pairs().map(change).batch(8), tmp_path)
    first, second = (next(x for x, _ in found.as_numpy_iterator()) for _ in range(2))
    assert np.abs(first - second).min() > 0
    assert np.abs(first - X).max() < 10


def test_datasets_are_shuffled_in_each_epoch(tmp_path):
    found = through(pairs().shuffle(8, seed=1).batch(8), tmp_path)
    orders = [list(next(found.as_numpy_iterator())[1]) for _ in range(3)]
    assert orders[0] != orders[1] != orders[2]
    assert all(sorted(each) == list(Y) for each in orders)
    # Each training begins anew.
    again = through(pairs().shuffle(8, seed=1).batch(8), tmp_path)
    assert [list(next(again.as_numpy_iterator())[1]) for _ in range(3)] == orders


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: pairs().map(lambda x, y: (tf.numpy_function(abs, [x], tf.float32), y)), "Python"),
        (lambda: pairs().cache("file"), "a file as cache"),
    ],
)
def test_why_a_dataset_is_not_sent(make, why, tmp_path):
    with pytest.raises(NotOnEngine, match=why):
        through(make(), tmp_path)
