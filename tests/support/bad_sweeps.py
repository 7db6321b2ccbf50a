"""Sweep files with one mistake each, and what must be said of it."""

from __future__ import annotations

import re
import textwrap
from typing import NamedTuple

DATA = "data: {dataset: digits}\n"
P = DATA + "parameters:\n"


class Bad(NamedTuple):
    """A file, and what must be said of it: line, key path, pieces of the message."""

    text: str
    line: int
    path: str
    pieces: tuple[str, ...]


def whole(text: str, path: str, *pieces: str, line: int = 0) -> Bad:
    """A file whose mistake is in its last line, or another one."""
    return Bad(text, line or len(text.splitlines()), path, pieces)


def bad(text: str, path: str, *pieces: str, line: int = 0) -> Bad:
    """The end of a file, where what is indented is a hyperparameter."""
    return whole(f"{P if text.startswith('  ') else DATA}{text}\n", path, *pieces, line=line)


def value(text: str, path: str, *pieces: str) -> Bad:
    """Hyperparameters; the path is relative to the last one."""
    name = re.findall(r"^\w+", text, re.MULTILINE)[-1]
    return whole(P + textwrap.indent(text, "  ") + "\n", f"parameters.{name}{path}", *pieces)


def data(keys: str, *pieces: str) -> Bad:
    """The keys of a file's data, without the braces; the last one is wrong."""
    name = re.findall(r"(\w+): ", keys)[-1]
    return whole(f"data: {{{keys}}}\n", f"data.{name}", *pieces)


def constraint(values: str, expression: str, *pieces: str) -> Bad:
    """A constraint of one hyperparameter."""
    return bad(f"  {values}\nconstraints: [{expression}]", "constraints[0]", *pieces)


BAD = {
    # The YAML itself.
    "empty": whole("", "", "empty", "hpsearch init", line=1),
    "null": whole("---\nnull\n", "", "mapping", "nothing"),
    "list at top": whole("- a\n- b\n", "", "the list", "mapping", line=1),
    "two documents": bad("---\nname: b", "", "second document", line=2),
    "tab": bad("parameters:\n\tunits: 3", "", "tab", "spaces"),
    "open list": bad("  units: [1, 2", "", "not closed"),
    "open quote": bad('name: "abc', "", "not closed"),
    "no space after a colon": bad(
        "method:random\nparameters:\n  units: 3", "", "without ': ' after it", line=2
    ),
    "indentation": bad("   units: 3\n  epochs: 2", "", "indentation"),
    "control character": bad("name: a\x01b", "", "U+0001"),
    "duplicate key": bad("seed: 1\nseed: 2", "seed", "twice", "line 2"),
    "metric the other way round": bad(
        "metric: accuracy_val", "metric", "did you mean 'val_accuracy'?"
    ),
    "list without brackets": value("units: 32, 64", "", "[32, 64]"),
    "alias": whole(P + "  units: *x\n", "parameters.units", "*x: no value before it", "&x"),
    "merge key": bad("  <<: 3", "parameters.<<", "merges mappings"),
    "python tag": bad(
        "name: !!python/object/apply:os.system [ls]", "name", "tags (!)", "not allowed"
    ),
    "key is a number": bad("1: 2", "", "key 1 is not text"),
    "key is a list": bad("? [a]\n: 2", "", "a key must be text", line=2),
    "nested": whole(DATA + "x: " + "[" * 60 + "]" * 60, "", "more than 50 deep"),
    "depth 3000 mappings": whole("{a: " * 3000, "", "more than 50 deep"),
    "huge number": whole(DATA + "seed: " + "9" * 5000, "seed", "5000 digits"),
    # Unknown keys, missing keys, empty values.
    "unknown key": bad("paramters: {}", "paramters", "unknown key", "'parameters'"),
    "no data": whole("seed: 1\n", "data", "missing"),
    "empty value": value("units:", "", "has no value"),
    "empty section": bad("budget:", "budget", "has no value"),
    "empty list": value("units: []", "", "a list of values, at least 1, not 0"),
    "null in a list": value("units: [1, null]", "[1]", "no value"),
    # Name and seeds.
    "name climbs": bad("name: ../x", "name", "A-Z", "'../x'"),
    "name is dots": bad("name: ..", "name", "not . or .."),
    "seed is text": bad('seed: "1"', "seed", "whole number", "remove the quotes"),
    "seed is true": bad("seed: true", "seed", "whole number", "true"),
    "seeds max below min": bad("seeds: {min: 5, max: 3}", "seeds.min", "at most max"),
    # Data.
    "unknown dataset": data("dataset: fashion-mnist", "unknown", "'fashion_mnist'"),
    "no source": whole("data: {seed: 1}\n", "data", "exactly one", "none is given"),
    "two sources": whole("data: {dataset: iris, npz: a.npz}\n", "data", "dataset and npz"),
    "csv without target": whole("data: {csv: a.csv}\n", "data", "target is missing"),
    "target without csv": data("dataset: iris, target: a", "only with csv"),
    "drops the target": data("csv: a.csv, target: y, drop: [y]", "drops the target"),
    "fraction 1": data("dataset: iris, validation: 1.0", "1.0"),
    "file for a set": data("dataset: iris, test: t.csv", "needs csv or npz"),
    "scale": data("dataset: iris, scale: standart", "'standard'"),
    "reference": data("python: mymodule", "package.module:function"),
    # Values of hyperparameters.
    "quoted rate": value('learning_rate: "1e-3"', "", "number", "remove the quotes"),
    "negative rate": value("learning_rate: [0.1, -0.1]", "[1]", "above 0", "-0.1"),
    "rate nan": value("learning_rate: .nan", "", "finite"),
    "batch 0": value("batch_size: [0]", "[0]", "at least 1", "not 0"),
    "units 0": value("units: [[10, 0]]", "[0][1]", "at least 1"),
    "units_0": value("units_0: 3", "", "unknown", "'units'"),
    "dropout 1": value("dropout: 1.0", "", "below 1"),
    "activation": value("activation: [rellu]", "[0]", "'relu'"),
    "layer type": value("layer_type: batchnorm", "", "'batch_norm'"),
    "layer type code": value('layer_type: "a.b:"', "", "package.module:function"),
    "optimizer": value("optimizer: [Adam]", "[0]", "'adam'"),
    "optimizer argument": value(
        "optimizer:\n  - sgd\n  - {name: sgd, momentun: 0.9}",
        "[1].momentun",
        "unknown key",
        "'momentum'",
    ),
    "optimizer without name": value("optimizer: [{momentum: 0.9}]", "[0]", "name is missing"),
    "schedule": value(
        "optimizer: {name: sgd, learning_rate: {name: cosine, decay_steps: 3}}",
        ".learning_rate.name",
        "'cosine_decay'",
    ),
    "schedule argument missing": value(
        "optimizer: {name: sgd, learning_rate: {name: cosine_decay, decay_steps: 3}}",
        ".learning_rate.initial_learning_rate",
        "is missing",
    ),
    "unknown hyperparameter": value("unit: 3", "", "did you mean 'units'?"),
    "scale as hyperparameter": value(
        "layer_type: own:layer\nscale: [unit, none]",
        "",
        "a setting of the data: data: {scale: standard}",
        "run two sweeps and compare them: hpsearch compare",
    ),
    "impute in a config": bad(
        "parameters: {units: 5}\nconfigs: [{impute: mean}]",
        "configs[0].impute",
        "data: {impute: mean}",
    ),
    "duplicate choice": value("units: [5, 6, 5]", "[2]", "5 is listed"),
    # Ranges.
    "min above max": value("units: {min: 9, max: 3, step: 1}", ".min", "below max", "9"),
    "min is max": value("units: {min: 3, max: 3}", ".min", "both 3"),
    "nan bound": value("l2: {min: .nan, max: 1}", ".min", "finite"),
    "log from 0": value("l2: {min: 0, max: 1, scale: log}", ".min", "above 0 on a log"),
    "dropout to 1": value("dropout: {min: 0, max: 1, step: 0.5}", ".max", "below 1"),
    "step does not divide": value(
        "units: {min: 10, max: 100, step: 20}", ".max", "does not divide", "nearest valid max is"
    ),
    "step above the range": value("units: {min: 1, max: 5, step: 10}", ".max", "max is 11"),
    "step too fine": value("l2: {min: 0, max: 1, step: 1e-9}", ".step", "at most 100000"),
    "log step of 1": value("l2: {min: 1, max: 8, step: 1, scale: log}", ".step", "above 1"),
    "log step does not divide": value(
        "l2: {min: 1, max: 9, step: 2, scale: log}", ".max", "max is 8"
    ),
    "half a unit": value("units: {min: 1.5, max: 3, step: 1}", ".min", "whole number"),
    "type": value("epochs: {min: 1, max: 3, type: float}", ".type", "int"),
    "range of names": value("activation: {min: 1, max: 3}", "", "not a range"),
    "values and range": value("l2: {values: [0], min: 0, max: 1}", "", "values, min or max"),
    "grid without step": value("l2: {min: 0, max: 1}", "", "a step"),
    "grid of whole numbers": value("units: {min: 1, max: 9}", "", "step: 1"),
    "huge grid": whole(
        P + "".join(f"  units_{k}: {list(range(1, 11))}\n" for k in range(1, 10)),
        "parameters",
        "1,000,000,000 points",
        "budget.trials",
        line=2,
    ),
    # Conditions.
    "when unknown": value(
        "layer_type: [dense, dropout]\ndropout: {value: 0.1, when: {layer_typ: dropout}}",
        ".when.layer_typ",
        "there is no parameter",
        "'layer_type'",
    ),
    "when never": value(
        "layer_type: [dense, dropout]\ndropout: {value: 0.1, when: {layer_type: dropot}}",
        ".when.layer_type",
        "never is the text 'dropot'",
        "did you mean 'dropout'?",
    ),
    "when itself": value("units: {values: [1], when: {units: 1}}", ".when.units", "itself"),
    "when in a cycle": bad(
        "  units: {values: [1], when: {epochs: 1}}\n  epochs: {values: [1], when: {units: 1}}",
        "parameters.units.when",
        "a cycle",
        "units -> epochs -> units",
        line=3,
    ),
    "when is empty": value("units: {value: 1, when: {}}", ".when", "empty"),
    # Constraints and configs.
    "constraint calls": bad(
        '  units: 3\nconstraints:\n  - units < 5\n  - __import__("os") == 1',
        "constraints[1]",
        "not allowed",
    ),
    "constraint syntax": constraint("units: 3", "units <", "not an expression"),
    "constraint name": constraint("units: 3", "unit < 5", "'unit'", "'units'"),
    "constraint unquoted": constraint("activation: relu", "activation == relu", "in quotes"),
    "constraints never together": bad(
        "  units: [3, 4]\nconstraints: [units > 3, units < 4]",
        "constraints",
        "nothing satisfies all of them",
        "2 points of the grid",
    ),
    "constraint never, random": bad(
        "  l2: {min: 0, max: 1}\nconstraints: [l2 > 5]\nmethod: random\nbudget: {trials: 3}",
        "constraints",
        "10,000 random points",
        line=4,
    ),
    "constraint types": constraint("activation: [relu]", "activation > 3", "cannot be evaluated"),
    "config value": bad(
        "configs:\n  - {units: 3}\n  - {epochs: 0}", "configs[1].epochs", "at least 1"
    ),
    "config name": bad("configs: [{unitz: 3}]", "configs[0].unitz", "'units'"),
    "config breaks": bad(
        "  units: [3, 9]\nconstraints: [units < 5]\nconfigs: [{units: 3}, {units: 9}]",
        "configs[1]",
        "breaks a constraint",
    ),
    # Method, metric, budget, the rest.
    "method": bad("method: hyperban", "method", "unknown", "'hyperband'"),
    "method option": bad(
        "method: {name: hyperband, facotr: 3}\nbudget: {trials: 3}",
        "method.facotr",
        "unknown key",
        "'factor'",
        line=2,
    ),
    "configs with an oracle": bad(
        'method: "a.b:MyOracle"\nbudget: {trials: 3}\nconfigs: [{units: 3}]',
        "configs",
        "an oracle proposes every config",
    ),
    "method without name": bad("method: {factor: 3}", "method", "name is missing"),
    "no budget": bad("method: random", "", "budget is missing", "random", line=1),
    "budget time": bad("budget: {time: 30min}", "budget.time", "30m", "'30min'"),
    "metric goal": bad("metric: my_score", "metric", "goal is missing"),
    "metric twice": bad("metric: {name: loss, also: [f1, val_f1]}", "metric.also[1]", "twice"),
    "metric beside": bad("metric: {name: loss, also: [acc]}", "metric.also[0]", "'accuracy'"),
    "metric of a model": bad(
        "model: a:b\nmetric: {name: loss, also: [f1]}", "metric.also", "your model is compiled with"
    ),
    "metric near": bad("metric: val_acuracy", "metric", "'val_accuracy'"),
    "metric of classes": whole(
        "data: {dataset: diabetes}\nmetric: val_accuracy\n", "metric", "val_mae"
    ),
    "memory": bad("execution: {memory: 2 gigs}", "execution.memory", "2GB"),
    "engine": bad("execution: {engine: dask}", "execution.engine", "local or ray"),
    "address": bad("execution: {address: x}", "execution.address", "engine: ray"),
    "loss": bad("model: {loss: mean_square_error}", "model.loss", "'mean_squared_error'"),
    "model": bad("model: build", "model", "package.module:build"),
    # W&B's words.
    "run_cap and budget": bad(
        "run_cap: 3\nbudget: {trials: 4}", "run_cap", "budget.trials", line=2
    ),
    "distribution": value(
        "l2: {distribution: log_uniform, min: 0, max: 1}", ".distribution", "log_uniform_values"
    ),
    "q": value("l2: {min: 0, max: 1, q: 0.1}", ".q", "write step"),
    "early_terminate": bad(
        "method: random\nrun_cap: 3\nearly_terminate: {type: envelope}",
        "early_terminate.type",
        "hyperband",
    ),
}
