"""One TensorFlow thread as in a worker, and some rows."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_digits

tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)


@pytest.fixture(scope="session")
def rows():
    """Digits as images: x and y to train on, and to validate on."""
    digits = load_digits()
    x, y = (digits.images / 16).astype(np.float32), digits.target.astype(np.int32)
    return (x[:320], y[:320]), (x[320:420], y[320:420])
