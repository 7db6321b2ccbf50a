"""The program as a whole: what it says of itself, its imports, the training, the verdict."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

from hpsearch.data.loading import read
from hpsearch.driver.recipe import installed
from hpsearch.driver.revisit import Visit
from hpsearch.driver.script import data as data_code
from hpsearch.driver.script.model import model_code, optimizer_code
from hpsearch.driver.script.text import call, joined, literal
from hpsearch.errors import NotSupportedError
from hpsearch.hyperparameters import DEFAULTS
from hpsearch.plan import Trial
from hpsearch.trial import Recipe, Target, Task, TrialResult

__all__ = ["program"]

#: What rounding may do to a score in so many steps; over more it grows, to the last of these.
_TOLERANCE, _STEPS, _MOST = 1e-3, 1_500, 1e-2
#: How many rows of a share may fall to the other side.
_EDGE_ROWS = 2

_HEAD = '''\
"""Trial {trial} of the sweep {sweep} as a Keras program, without hpsearch.

It reads the data, splits it, and trains the model as the row of the table says: the first
weights, the dropout masks and the order of the rows come from the sweep's and the trial's seed.
The row's trainer was {trainer}. Sums that are added up in another order are rounded otherwise,
which grows over {steps:,} steps: so a loss agrees to {tolerance:g}, not to the bit, an accuracy to
{tolerance:g} and {edge} rows. Written for TensorFlow {tensorflow} and Keras {keras}.

Exit code 0: the score was reached; 1: it was not, or the data is another.
"""
'''

_OWN_UNITS = '''\
def in_own_units(function):
    """A metric of the targets in their own units."""

    def measured(true, predicted):
        true = keras.ops.reshape(true, keras.ops.shape(predicted))
        return function(true * Y_STD + Y_MEAN, predicted * Y_STD + Y_MEAN)

    return measured


def metrics():
    """New ones, for each model that is compiled."""
    loss = keras.losses.get(LOSS)
    return [
        keras.metrics.MeanMetricWrapper(in_own_units(loss), name="own_loss"),
        keras.metrics.MeanMetricWrapper(
            in_own_units(keras.metrics.mean_absolute_error), name="mae"
        ),
        keras.metrics.MeanMetricWrapper(loss, name="standardised_loss"),
    ]


def reported(numbers):
    """In the targets' own units; regularisation is what the loss has beside its mean."""
    regularisation = numbers["loss"] - numbers["standardised_loss"]
    return {"loss": numbers["own_loss"] + regularisation, "mae": numbers["mae"]}
'''

_XLA = """\
# XLA draws other dropout masks, and trained the row's full batches only.
last = keras.Model(inputs, outputs)
last.compile(optimizer=model.optimizer, loss=LOSS, metrics={metrics}, jit_compile=False)
"""

_TRAINING = '''\
def order(epoch):
    """The order in which an epoch visits the rows."""
    sequence = np.random.SeedSequence([SWEEP_SEED, TRIAL_SEED, epoch])
    return np.random.Generator(np.random.PCG64(sequence)).permutation(len(x))


for epoch in range(1, EPOCHS + 1):
    rows, sums = order(epoch), {{}}
    for begin in range(0, len(rows), BATCH_SIZE):
        batch = rows[begin : begin + BATCH_SIZE]
        logs = {step}.train_on_batch(x[batch], y[batch], return_dict=True)
        for name, value in logs.items():
            sums[name] = sums.get(name, 0.0) + float(value) * len(batch)
    trained = {reported}({{name: value / len(rows) for name, value in sums.items()}})
    print(f"epoch {{epoch}}:", *(f"{{name}} {{value:.6g}}" for name, value in trained.items()))

validated = {reported}(
    model.evaluate(x_validation, y_validation, batch_size=1024, verbose=0, return_dict=True)
)
measured = trained | {{f"val_{{name}}": value for name, value in validated.items()}}
score = float(measured[METRIC])
reached = abs(score - SCORE) <= {allowed}
verdict = "reached" if reached else "not reached"
print(f"{{METRIC}} {{score!r}}, in the row {{SCORE!r}}: {{verdict}}")
sys.exit(0 if reached else 1)
'''

_ENVIRONMENT = """\
os.environ["KERAS_BACKEND"] = "tensorflow"
# Else sums are added up in an order of oneDNN's own.
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
"""

#: What the body may use -> the line that imports it, in their order.
_STANDARD = {
    "gzip": "import gzip",
    "hashlib": "import hashlib",
    "inspect": "import inspect",
    "os": "import os",
    "sys": "import sys",
    "Path": "from pathlib import Path",
}
_OTHERS = {
    "keras": "import keras",
    "np": "import numpy as np",
    "pd": "import pandas as pd",
    "sklearn": "import sklearn.datasets",
    "train_test_split": "from sklearn.model_selection import train_test_split",
}


def program(visited: Visit, trial: Trial, result: TrialResult) -> str:
    """The text of a program that trains as the row says, and ends with whether it scored so.

    Raises:
        NotSupportedError: The model is built by a function of one's own, rows have weights, or
            another metric than the usual ones is scored.
        DataError: The data cannot be read.
    """
    _require_plain(visited, trial)
    body = joined(_parts(visited, trial, result))
    head = _HEAD.format(
        trial=trial.number,
        sweep=visited.sweep.name,
        trainer=result.trainer,
        steps=_steps(visited, trial, result),
        tolerance=_tolerance(visited, trial, result),
        edge=_EDGE_ROWS,
        **installed(),
    )
    return joined([head, _imports(body), body])


def _require_plain(visited: Visit, trial: Trial) -> None:
    recipe = visited.recipe
    found = "weights of rows" if recipe.weighted else recipe.keras_metric
    if trial.fold is not None or visited.sweep.data.split is not None:
        found = "folds, and no splits by group or time,"
    if found:
        raise NotSupportedError(
            f"a program of one's own has no {found}, which this sweep's score has: "
            "`hpsearch reproduce` without --script trains the row again"
        )


def _imports(body: str) -> str:
    def used(names: dict[str, str]) -> list[str]:
        wanted = "os.environ" + body
        return [line for name, line in names.items() if re.search(rf"\b{name}\b[.(]", wanted)]

    lines = [*used(_STANDARD), "", _ENVIRONMENT, *used(_OTHERS)]
    if re.search(r"^from \S+ import own_|^from .* as own_", body, re.MULTILINE):
        # Where the user's own functions lie.
        lines += ["", f"sys.path.append({str(Path.cwd())!r})"]
    return "\n".join(lines)


def _parts(visited: Visit, trial: Trial, result: TrialResult) -> Iterator[str]:
    dataset, recipe, values = visited.dataset, visited.recipe, trial.config.without_epochs
    source, options = read(visited.sweep.data)
    batch_size = int(values.get("batch_size", DEFAULTS["batch_size"]))
    yield (
        f"SWEEP_SEED, TRIAL_SEED = {recipe.sweep_seed}, {trial.seed}\n"
        f"BATCH_SIZE, EPOCHS = {batch_size}, {result.scored_epoch}\n"
        f"LOSS, METRIC = {literal(recipe.loss)}, {literal(recipe.metric)}\n"
        f"SCORE = {result.score!r}"
    )
    yield "# The rows"
    yield data_code.read_code(visited.sweep.data, source, dataset)
    yield data_code.target_code(source, dataset.target)
    yield data_code.split_code(source, options, dataset)
    yield "# What the model reads of them"
    yield data_code.feature_code(dataset.input)
    checks = [
        data_code.checksum(dataset.input, each) for each in (dataset.train, dataset.validation)
    ]
    yield (
        f"if [checksum(x, y), checksum(x_validation, y_validation)] != {literal(checks)}:\n"
        '    sys.exit("the data is not that of the row")'
    )
    yield "x, x_validation = features(x), features(x_validation)" + _shaped(recipe, dataset.target)
    yield "# The model"
    yield model_code(values, trial.seed, recipe, dataset.input, dataset.target)
    xla, in_own_units = result.trainer == "xla", dataset.target.task is Task.REGRESSION
    metrics = "metrics()" if in_own_units else '["accuracy"]'
    if in_own_units:
        yield _OWN_UNITS
    named = {"optimizer": optimizer_code(values), "loss": "LOSS", "metrics": metrics}
    yield call("model.compile", named={**named, "jit_compile": repr(xla)})
    if xla:
        yield _XLA.format(metrics=metrics)
    yield "# The training"
    yield _TRAINING.format(
        step="(model if len(batch) == BATCH_SIZE else last)" if xla else "model",
        reported="reported" if in_own_units else "dict",
        allowed=_allowed(recipe, _tolerance(visited, trial, result)),
    )


def _shaped(recipe: Recipe, target: Target) -> str:
    """Targets as the loss wants them; see `hpsearch.training.measures.prepared`."""
    if "sparse" in recipe.loss.lower() or target.task is Task.REGRESSION:
        return ""
    if target.task is Task.MULTICLASS:
        shaped = f"keras.utils.to_categorical({{0}}, {target.outputs})"
    else:
        shaped = '{0}.astype("float32").reshape(-1, 1)'
    return f"\ny, y_validation = {shaped.format('y')}, {shaped.format('y_validation')}"


def _steps(visited: Visit, trial: Trial, result: TrialResult) -> int:
    batch_size = int(trial.config.without_epochs.get("batch_size", DEFAULTS["batch_size"]))
    return math.ceil(len(visited.dataset.train) / batch_size) * (result.scored_epoch or 0)


def _tolerance(visited: Visit, trial: Trial, result: TrialResult) -> float:
    grown = _TOLERANCE * max(1.0, _steps(visited, trial, result) / _STEPS)
    return round(min(grown, _MOST), 4)


def _allowed(recipe: Recipe, tolerance: float) -> str:
    if recipe.metric.endswith("accuracy"):
        rows = "len(y_validation)" if recipe.metric.startswith("val_") else "len(y)"
        return f"{tolerance:g} + {_EDGE_ROWS} / {rows}"
    return f"{tolerance:g} * max(1.0, abs(SCORE))"
