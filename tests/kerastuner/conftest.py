"""Small data in the shapes of KerasTuner's guides, and a directory for their files."""

import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_digits

from hpsearch.kerastuner.trials import TunerTrials

tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The working directory of a guide."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def images():
    """Digits in the form of the guide's MNIST: images with a channel, one-hot classes."""
    digits = load_digits()
    x = (digits.images / 16).astype("float32")[..., None]
    y = np.eye(10)[digits.target]
    return x[:480], y[:480], x[480:640], y[480:640]


@pytest.fixture(scope="session")
def data(images):
    """The images as arguments of `search`."""
    x, y, x_val, y_val = images
    return {"x": x, "y": y, "validation_data": (x_val, y_val)}


@pytest.fixture(scope="session")
def numbers():
    """Random data for a regression, as in the guide."""
    random = np.random.default_rng(0)
    return {
        "x": random.random((100, 10)),
        "y": random.random((100, 1)),
        "validation_data": (random.random((20, 10)), random.random((20, 1))),
    }


@pytest.fixture
def interrupt_after(monkeypatch):
    """Return a function: the next search is interrupted, as by Ctrl-C, after so many trials."""
    ends = TunerTrials.tell_failure

    def interrupt(count, before=lambda: None):
        ended = []

        def ending(trials, trial):
            ends(trials, trial)
            ended.append(trial)
            if len(ended) == count:
                before()
                raise KeyboardInterrupt

        monkeypatch.setattr(TunerTrials, "tell_failure", ending)

    return interrupt
