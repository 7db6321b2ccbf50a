"""Train model.keras on rows.npz, and compare its score with that of a sweep.

`python train.py` needs Keras on TensorFlow and NumPy, not hpsearch, which wrote this directory.
Trainers add numbers up in different orders, so scores agree to a tolerance. It grows with the
number of steps, and lets two rows of an accuracy turn. Exit code 0: reached; 1: not reached.
"""

import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"
# oneDNN would add numbers up in yet another order.
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"

import keras
import numpy as np

rows = dict(np.load(Path(__file__).with_name("rows.npz"), allow_pickle=False))
model = keras.models.load_model(Path(__file__).with_name("model.keras"), safe_mode=True)
# XLA, if the model uses it, draws other dropout masks, and trained only the full batches.
partial = keras.Model(model.inputs, model.outputs)
partial.compile(optimizer=model.optimizer, loss=model.loss, jit_compile=False)
# The score is in the targets' units, but a regression is trained on standardised targets.
outputs = keras.layers.Rescaling(rows["scale"], rows["offset"])(model.outputs[0])
judge = keras.Model(model.inputs, outputs)
judge.compile_from_config({**model.get_compile_config(), "jit_compile": False})
names = ("x", "y", "sample_weight")
train = {name: rows[name] for name in names if name in rows}
validation = {name: rows[f"val_{name}"] for name in names if f"val_{name}" in rows}
size = int(rows["batch_size"])
for epoch, order in enumerate(rows["order"], start=1):
    for begin in range(0, len(order), size):
        batch = order[begin : begin + size]
        step = model if len(batch) == size else partial
        step.train_on_batch(**{name: values[batch] for name, values in train.items()})
    print(f"epoch {epoch} of {len(rows['order'])}")
scores = judge.evaluate(**validation, batch_size=1024, verbose=0, return_dict=True)
metric, expected = str(rows["metric"]), float(rows["score"])
score = scores[metric.removeprefix("val_")]
steps = np.ceil(len(train["x"]) / size) * len(rows["order"])
tolerance = min(max(1e-3, steps / 1.5e6), 1e-2)
if metric == "val_accuracy":
    tolerance += 2 / len(validation["x"])
else:
    tolerance *= max(1.0, abs(expected))
reached = abs(score - expected) <= tolerance
verdict = f"{'' if reached else 'not '}equal within {tolerance:.3g}"
# In ASCII, for a file may hold any text.
print(f"{metric!a} {score!r}, in the row {expected!r}: {verdict}")
sys.exit(0 if reached else 1)
