"""The generated table of Keras' names is that of the installed Keras, and cheap to load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hpsearch.space import keras_names

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_table_equals_the_installed_keras() -> None:
    script = ROOT / "tests" / "generate_keras_names.py"
    done = subprocess.run(
        [sys.executable, script, "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"run python {script}\n{done.stdout}{done.stderr[-2000:]}"


def test_names_of_the_notes_are_there() -> None:
    assert {"sigmoid", "relu", "softmax"} <= set(keras_names.ACTIVATIONS)
    assert {"sgd", "adagrad", "rmsprop", "adam", "adamw", "lamb"} <= keras_names.OPTIMIZERS.keys()
    assert keras_names.LOSSES["mse"] == "mean_squared_error"
    assert keras_names.SCHEDULES["cosine_decay"]["decay_steps"] == keras_names.REQUIRED
    assert keras_names.METRICS["val_accuracy"] == "maximize"
    assert keras_names.METRICS["val_loss"] == "minimize"
    assert keras_names.SCHEDULE_CLASSES["cosine_decay"] == "CosineDecay"
    assert keras_names.SCHEDULE_CLASSES.keys() == keras_names.SCHEDULES.keys()
