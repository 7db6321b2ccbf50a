"""Train a Keras model on the rows beside this file, and compare its score with that of a sweep.

`python train.py` needs Keras on TensorFlow and NumPy, not hpsearch, which wrote this directory.
model.keras is the model before its training. rows.npz has the training rows as the model takes
them, their order in each epoch, and the validation rows. Trainers add numbers up in different
orders, so the score agrees not to the bit, but to a tolerance in rows.npz.

Exit code 0: the score was reached; 1: it was not.
"""

import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"
# oneDNN would add numbers up in yet another order.
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"

import keras
import numpy as np


def main() -> int:
    """Train, evaluate, and return the exit code."""
    here = Path(__file__).parent
    rows = dict(np.load(here / "rows.npz", allow_pickle=False))
    model = keras.models.load_model(here / "model.keras", safe_mode=True)
    # XLA, if the model uses it, draws other dropout masks, and trained only the full batches.
    partial = keras.Model(model.inputs, model.outputs)
    partial.compile(optimizer=model.optimizer, loss=model.loss, jit_compile=False)
    # The score is in the targets' units, but a regression is trained on standardised targets.
    outputs = keras.layers.Rescaling(rows["scale"], rows["offset"])(model.outputs[0])
    judge = keras.Model(model.inputs, outputs)
    judge.compile_from_config({**model.get_compile_config(), "jit_compile": False})

    arguments = ("x", "y", "sample_weight")
    train = {name: rows[name] for name in arguments if name in rows}
    validation = {name: rows[f"val_{name}"] for name in arguments if f"val_{name}" in rows}
    size = int(rows["batch_size"])
    for epoch, order in enumerate(rows["order"], start=1):
        for begin in range(0, len(order), size):
            batch = order[begin : begin + size]
            step = model if len(batch) == size else partial
            step.train_on_batch(**{name: values[batch] for name, values in train.items()})
        print(f"epoch {epoch} of {len(rows['order'])}")

    measured = judge.evaluate(**validation, batch_size=1024, verbose=0, return_dict=True)
    metric, expected = str(rows["metric"]), float(rows["score"])
    score = float(measured[metric.removeprefix("val_")])
    tolerance = float(rows["tolerance"])
    reached = abs(score - expected) <= tolerance
    verdict = f"{'' if reached else 'not '}equal within {tolerance:.3g}"
    # In ASCII, for a file may hold any text.
    print(f"{metric!a} {score!r}, in the row {expected!r}: {verdict}")
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
