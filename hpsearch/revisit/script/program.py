"""Write a row of the table as a Keras program that needs no hpsearch."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpsearch.data.loading import read_raw
from hpsearch.data.specs import Target, Task, n_features
from hpsearch.errors import NotSupportedError
from hpsearch.models.problem import Problem, Recipe
from hpsearch.revisit.rows import StoredRun, Which, open_run
from hpsearch.revisit.script.data import (
    call,
    checksum,
    feature_code,
    imported,
    joined,
    literal,
    read_code,
    split_code,
    target_code,
)
from hpsearch.space.execution import Execution, ExecutionResult
from hpsearch.space.keras_names import INITIALIZERS, OPTIMIZER_CLASSES, SCHEDULE_CLASSES
from hpsearch.space.layer_types import RESHAPING_ACTIVATIONS, is_custom
from hpsearch.space.mlp import MLPConfig
from hpsearch.space.seeds import derive
from hpsearch.store.facts import installed

#: Initializers that draw no random numbers.
_FIXED = frozenset({"constant", "identity", "one", "ones", "zero", "zeros"})

_INITIALIZER = '''\
def initializer(seed):
    """Return a kernel's initializer."""
    return keras.initializers.get({{"class_name": {name}, "config": {config}}})
'''

_OWN_LAYER = '''\
def layer(function, x, seed, values):
    """Apply a custom layer type to `x`, with those of the values that it names."""
    keras.utils.set_random_seed(seed)
    parameters = list(inspect.signature(function).parameters.values())[1:]
    if not any(each.kind is each.VAR_KEYWORD for each in parameters):
        values = {each.name: values[each.name] for each in parameters if each.name in values}
    return function(x, **values)
'''


def model_code(problem: Problem, values: Mapping[str, Any], seed: int) -> str:
    """Return statements that define `inputs`, `outputs` and `model`.

    Raises:
        NotSupportedError: It is a custom model.
    """
    recipe, features = problem.recipe, n_features(problem.input)
    if recipe.model:
        raise NotSupportedError(
            f"model: {recipe.model!r} builds its own model, which is a program already; a script "
            "is written for hpsearch's own MLPs"
        )
    config = MLPConfig(values)
    layers = _Layers(config, seed, recipe)
    parts = [layers.initializer()]
    if is_custom(config.layer_type) and config.widths:
        parts = [imported(config.layer_type, "own_layer"), _OWN_LAYER, *parts]
    lines = [
        f"keras.utils.set_random_seed({derive(recipe.sweep_seed, seed)})",
        f"inputs = hidden = keras.Input(({features},))",
    ]
    incoming = features
    for number, units in enumerate(config.widths, start=1):
        lines += layers.block(number, units, incoming)
        incoming = layers.width(units)
    output = layers.dense(0, problem.target.outputs, activation=recipe.output_activation)
    lines += [f"outputs = {output}(hidden)", "model = keras.Model(inputs, outputs)"]
    return joined([*parts, "\n".join(lines)])


@dataclass(frozen=True)
class _Layers:
    """Writes the layers of one model."""

    config: MLPConfig
    seed: int
    recipe: Recipe

    def _block_seed(self, layer: int) -> int:
        return derive(self.recipe.sweep_seed, self.seed, layer)

    def width(self, units: int) -> int:
        """The width of a block's output, which Keras' glu halves."""
        return units // 2 if self.config.activation == "glu" else units

    def initializer(self) -> str:
        """The program's function `initializer`."""
        own = self.config.kernel_initializer
        named = {"name": own} if isinstance(own, str) else dict(own)
        name = named.pop("name")
        config = {**INITIALIZERS.get(name, {}), **named}
        items = [f"{literal(key)}: {literal(value)}" for key, value in config.items()]
        if name not in _FIXED:
            items.append('"seed": seed')
        return _INITIALIZER.format(name=literal(name), config=f"{{{', '.join(items)}}}")

    def dense(
        self,
        layer: int,
        units: int,
        *,
        activation: str | None = None,
        use_bias: bool = True,
        part: int = 0,
    ) -> str:
        """A Dense layer; layer 0 is the output."""
        named = {"activation": literal(activation)} if activation else {}
        if not use_bias:
            named["use_bias"] = "False"
        named["kernel_initializer"] = f"initializer({derive(self._block_seed(layer), part)})"
        if self.config.l2:
            named["kernel_regularizer"] = f"keras.regularizers.L2({self.config.l2!r})"
        return call("keras.layers.Dense", [repr(units)], named)

    def block(self, layer: int, units: int, incoming: int) -> Iterator[str]:
        """A hidden block, from `hidden` to `hidden`."""
        layer_type = self.config.layer_type
        if is_custom(layer_type):
            yield self._own(layer, units)
        elif layer_type in ("batch_norm", "layer_norm"):
            kind = "Batch" if layer_type == "batch_norm" else "Layer"
            yield f"hidden = {self.dense(layer, units, use_bias=kind != 'Batch')}(hidden)"
            yield f"hidden = keras.layers.{kind}Normalization()(hidden)"
            yield self._activate()
        elif layer_type == "residual":
            yield "before = hidden"
            yield from self._activated(layer, units)
            if incoming != self.width(units):
                projection = self.dense(layer, self.width(units), use_bias=False, part=1)
                yield f"before = {projection}(before)"
            yield "hidden = keras.layers.Add()([before, hidden])"
        else:
            yield from self._activated(layer, units)
            if layer_type == "dropout":
                rate, seed = self.config.dropout, derive(self._block_seed(layer), 2)
                yield f"hidden = keras.layers.Dropout({rate!r}, seed={seed})(hidden)"

    def _activated(self, layer: int, units: int) -> Iterator[str]:
        reshapes = self.config.activation in RESHAPING_ACTIVATIONS
        activation = None if reshapes else self.config.activation
        yield f"hidden = {self.dense(layer, units, activation=activation)}(hidden)"
        if reshapes:
            yield self._activate()

    def _activate(self) -> str:
        if self.config.activation in RESHAPING_ACTIVATIONS:
            return f"hidden = keras.activations.get({literal(self.config.activation)})(hidden)"
        return f"hidden = keras.layers.Activation({literal(self.config.activation)})(hidden)"

    def _own(self, layer: int, units: int) -> str:
        offered = {**self.config.values, "units": units, "activation": self.config.activation}
        seed = repr(self._block_seed(layer))
        return f"hidden = {call('layer', ['own_layer', 'hidden', seed, literal(offered)])}"


def optimizer_code(values: Mapping[str, Any]) -> str:
    """Return the expression of the optimizer."""
    name, settings = MLPConfig(values).optimizer
    named = {key: literal(value) for key, value in settings.items()}
    rate = settings.get("learning_rate")
    if isinstance(rate, Mapping):
        arguments = {key: literal(value) for key, value in rate.items() if key != "name"}
        schedule = f"keras.optimizers.schedules.{SCHEDULE_CLASSES[rate['name']]}"
        named["learning_rate"] = call(schedule, named=arguments)
    elif rate is not None:
        named["learning_rate"] = repr(float(rate))
    return call(f"keras.optimizers.{OPTIMIZER_CLASSES[name]}", named=named)


#: Rounding may change a score by the tolerance in so many steps, and in proportion in more.
_TOLERANCE, _STEPS, _MOST_TOLERANCE = 1e-3, 1_500, 1e-2
#: Rows of an accuracy that rounding may turn right or wrong.
_EDGE_ROWS = 2

_HEAD = '''\
"""{label} of the sweep {sweep} as a Keras program, without hpsearch.

It reads the data, splits it, and trains the model of the table's row: the initial weights, the
dropout masks and the order of the rows come from the seeds of the sweep and the row. The row's
trainer was {trainer}, which may add numbers up in another order. The rounding errors grow over
{steps:,} steps, so a loss agrees to {tolerance:g}, not to the bit, and an accuracy to
{tolerance:g} and {edge} rows. Written for TensorFlow {tensorflow} and Keras {keras}.

Exit code 0: the score was reached; 1: it was not, or the data has changed.
"""
'''

_OWN_UNITS = '''\
def in_own_units(function):
    """Return a metric of the targets in their own units."""

    def measured(true, predicted):
        true = keras.ops.reshape(true, keras.ops.shape(predicted))
        return function(true * Y_STD + Y_MEAN, predicted * Y_STD + Y_MEAN)

    return measured


def metrics():
    """Return new metrics for a model to be compiled with."""
    loss = keras.losses.get(LOSS)
    return [
        keras.metrics.MeanMetricWrapper(in_own_units(loss), name="own_loss"),
        keras.metrics.MeanMetricWrapper(
            in_own_units(keras.metrics.mean_absolute_error), name="mae"
        ),
        keras.metrics.MeanMetricWrapper(loss, name="standardised_loss"),
    ]


def reported(numbers):
    """Return loss and mae in the targets' own units, the loss with its regularisation."""
    regularisation = numbers["loss"] - numbers["standardised_loss"]
    return {"loss": numbers["own_loss"] + regularisation, "mae": numbers["mae"]}
'''

_XLA = """\
# XLA draws its own dropout masks, and trained only the full batches of the row.
last = keras.Model(inputs, outputs)
last.compile(optimizer=model.optimizer, loss=LOSS, metrics={metrics}, jit_compile=False)
"""

_TRAINING = '''\
def order(epoch):
    """Return the order of the rows in an epoch."""
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
# oneDNN would add numbers up in an order of its own.
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
"""

#: A name that the body may use -> the line that imports it, in order.
_STANDARD = {
    "gzip": "import gzip",
    "hashlib": "import hashlib",
    "inspect": "import inspect",
    "os": "import os",
    "sys": "import sys",
    "Decimal": "from decimal import Decimal",
    "Path": "from pathlib import Path",
}
_OTHERS = {
    "keras": "import keras",
    "np": "import numpy as np",
    "pd": "import pandas as pd",
    "sklearn": "import sklearn.datasets",
    "train_test_split": "from sklearn.model_selection import train_test_split",
}


def program(run: StoredRun, execution: Execution, result: ExecutionResult) -> str:
    """Return the text of a program that trains a row again and says whether it scores the same.

    Raises:
        NotSupportedError: It is a custom model, rows have weights or folds, or the metric is not
            loss, accuracy or mae.
        DataError: The data cannot be read.
    """
    _require_plain(run, execution)
    batches = math.ceil(len(run.dataset.train) / MLPConfig(execution.config.values).batch_size)
    steps = batches * (result.scored_epoch or 0)
    tolerance = round(min(_TOLERANCE * max(1.0, steps / _STEPS), _MOST_TOLERANCE), 4)
    body = joined(_parts(run, execution, result, tolerance))
    head = _HEAD.format(
        label=execution.label.capitalize(),
        sweep=run.sweep.name,
        trainer=result.trainer,
        steps=steps,
        tolerance=tolerance,
        edge=_EDGE_ROWS,
        **installed(),
    )
    return joined([head, _imports(body), body])


def _require_plain(run: StoredRun, execution: Execution) -> None:
    recipe = run.recipe
    found = f"the metric {recipe.keras_metric}" if recipe.keras_metric else ""
    if recipe.weighted:
        found = "weights of rows"
    if execution.fold is not None or run.sweep.data.split is not None:
        found = "folds and splits by group or time"
    if run.sweep.data.train_on != "train":
        found = "training and validation rows together"
    if found:
        raise NotSupportedError(
            f"a program is not written for {found}, which this sweep has: "
            "`hpsearch reproduce` without --script trains the row again"
        )


def _imports(body: str) -> str:
    def used(names: dict[str, str]) -> list[str]:
        wanted = "os.environ" + body
        return [line for name, line in names.items() if re.search(rf"\b{name}\b[.(]", wanted)]

    lines = [*used(_STANDARD), "", _ENVIRONMENT, *used(_OTHERS)]
    if re.search(r"^from \S+ import own_|^from .* as own_", body, re.MULTILINE):
        # The user's functions are found where hpsearch found them.
        lines += ["", f"sys.path.append({str(Path.cwd())!r})"]
    return "\n".join(lines)


def _parts(
    run: StoredRun, execution: Execution, result: ExecutionResult, tolerance: float
) -> Iterator[str]:
    dataset, recipe, values = run.read_as(execution), run.recipe, execution.config.without_epochs
    source, options = read_raw(run.sweep.data)
    batch_size = MLPConfig(values).batch_size
    yield (
        f"SWEEP_SEED, TRIAL_SEED = {recipe.sweep_seed}, {execution.seed}\n"
        f"BATCH_SIZE, EPOCHS = {batch_size}, {result.scored_epoch}\n"
        f"LOSS, METRIC = {literal(recipe.loss)}, {literal(recipe.metric)}\n"
        f"SCORE = {result.score!r}"
    )
    yield "# The rows"
    yield read_code(run.sweep.data, source, dataset)
    yield target_code(source, dataset.target)
    yield split_code(source, options, dataset)
    yield "# What the model reads of them"
    yield feature_code(dataset.input)
    checks = [checksum(dataset.input, each) for each in (dataset.train, dataset.validation)]
    yield (
        f"if [checksum(x, y), checksum(x_validation, y_validation)] != {literal(checks)}:\n"
        '    sys.exit("the data is not that of the row")'
    )
    yield "x, x_validation = features(x), features(x_validation)" + _shaped(recipe, dataset.target)
    yield "# The model"
    problem = Problem(recipe, dataset.input, dataset.target)
    yield model_code(problem, values, execution.seed)
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
        allowed=_allowed(recipe, tolerance),
    )


def _shaped(recipe: Recipe, target: Target) -> str:
    """A statement that shapes targets for the loss; see `hpsearch.training.measures.prepared`."""
    if "sparse" in recipe.loss.lower() or target.task is Task.REGRESSION:
        return ""
    if target.task is Task.MULTICLASS:
        shaped = f"keras.utils.to_categorical({{0}}, {target.outputs})"
    else:
        shaped = '{0}.astype("float32").reshape(-1, 1)'
    return f"\ny, y_validation = {shaped.format('y')}, {shaped.format('y_validation')}"


def _allowed(recipe: Recipe, tolerance: float) -> str:
    if recipe.metric.endswith("accuracy"):
        rows = "len(y_validation)" if recipe.metric.startswith("val_") else "len(y)"
        return f"{tolerance:g} + {_EDGE_ROWS} / {rows}"
    return f"{tolerance:g} * max(1.0, abs(SCORE))"


def trial_script(directory: Path, which: Which, trust: Collection[str] = ()) -> str:
    """Return the program of a trial.

    Args:
        trust: As for `open_run`.

    Raises:
        InputError: There is no such trial, it has no score, or no program can be written for it.
        RefusedError: The data has changed, or a function reads it that is not trusted.
    """
    run = open_run(directory, trust=trust)
    return program(run, *run.scored(which))
