"""The memory in which workers find the data."""

import os
from contextlib import contextmanager

import numpy as np
from datasets import made

from hpsearch.data.specs import Arrays, TrainingData
from hpsearch.workers.shared import mapped, share

X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)


@contextmanager
def shared(arrays):
    """The handle of rows that workers share."""
    dataset = made(X, np.arange(40) % 2)
    handle = share(TrainingData(dataset.input, dataset.target, arrays))
    try:
        yield handle
    finally:
        os.close(handle)


def test_what_a_worker_writes_stays_with_it():
    y = np.arange(40) % 2
    with shared(Arrays(X, y, X, y)) as handle:
        first, second = mapped(handle), mapped(handle)
        kept = second.arrays.x_train.copy()
        first.arrays.x_train[:] = -1
        np.testing.assert_array_equal(second.arrays.x_train, kept)
        np.testing.assert_array_equal(mapped(handle).arrays.x_train, kept)


def test_arrays_in_files_are_mapped_from_there(tmp_path):
    x = np.random.default_rng(0).random((1000, 50), dtype=np.float32)
    np.save(tmp_path / "x.npy", x)
    given = np.load(tmp_path / "x.npy", mmap_mode="r")
    y = np.zeros((1000, 1), np.float32)
    # As checks of the data make views, whose class is another one.
    with shared(Arrays(np.asarray(given)[:800], y[:800], given[800:], y[800:])) as handle:
        assert os.fstat(handle).st_size < x.nbytes / 10
        found = mapped(handle).arrays
        np.testing.assert_array_equal(np.concatenate([found.x_train, found.x_val]), x)
        found.x_train[0] = 0
        np.testing.assert_array_equal(mapped(handle).arrays.x_train[0], x[0])
