"""Sweep files with one mistake each, and what must be said of it."""

from __future__ import annotations

from typing import NamedTuple

DATA = "data: {dataset: digits}\n"
P = DATA + "parameters:\n"


class Bad(NamedTuple):
    """A file, and what must be said of it: line, key path, pieces of the message."""

    text: str
    line: int
    path: str
    pieces: tuple[str, ...]


def bad(text: str, line: int, path: str, *pieces: str) -> Bad:
    return Bad(text, line, path, pieces)


BAD = {
    # The YAML itself.
    "empty": bad("", 1, "", "empty", "hpsearch init"),
    "null": bad("---\nnull\n", 2, "", "empty"),
    "list at top": bad("- a\n- b\n", 1, "", "a list", "mapping"),
    "scalar at top": bad("digits\n", 1, "", "a single value"),
    "two documents": bad(DATA + "---\nname: b\n", 2, "", "second document"),
    "tab": bad(P + "\tunits: 3\n", 3, "", "tab", "spaces"),
    "open list": bad(P + "  units: [1, 2\n", 3, "", "not closed"),
    "open quote": bad(DATA + 'name: "abc\n', 2, "", "not closed"),
    "no space after a colon": bad(
        DATA + "method:random\nparameters:\n  units: 3\n", 2, "", "method: random", "a space"
    ),
    "no space before a list": bad(
        P + "  units: 3\n  epochs:[4]\n", 4, "", "epochs: [4]", "a space"
    ),
    "no space in a mapping": bad(
        DATA + "budget:{trials: 3}\n", 2, "budget:{trials", "budget: {", "a space"
    ),
    "second colon": bad(DATA + "description: a: b\n", 2, "", "': '"),
    "indentation": bad(P + "   units: 3\n  epochs: 2\n", 4, "", "indentation"),
    "control character": bad(DATA + "name: a\x01b\n", 2, "", "U+0001"),
    "duplicate key": bad(DATA + "seed: 1\nseed: 2\n", 3, "seed", "twice", "line 2"),
    "hyperparameter at top": bad(DATA + "epochs: 3\n", 2, "epochs", "put it under parameters:"),
    "layer's units at top": bad(DATA + "units_2: 3\n", 2, "units_2", "under parameters:"),
    "workers at top": bad(DATA + "workers: 2\n", 2, "workers", "put it under execution:"),
    "metric the other way round": bad(
        DATA + "metric: accuracy_val\n", 2, "metric", "did you mean 'val_accuracy'?"
    ),
    "list without brackets": bad(P + "  units: 32, 64\n", 3, "parameters.units", "[32, 64]"),
    "names without brackets": bad(
        P + "  activation: relu, tanh\n", 3, "parameters.activation", "[relu, tanh]"
    ),
    "duplicate parameter": bad(
        P + "  units: 1\n  units: 2\n", 4, "parameters.units", "twice", "line 3"
    ),
    "alias": bad(P + "  units: *x\n", 3, "parameters.units", "alias *x", "repeat"),
    "anchor": bad(P + "  units: &x 3\n", 3, "parameters.units", "anchor &x"),
    "merge key": bad(P + "  <<: {units: 3}\n", 3, "parameters", "merge key"),
    "python tag": bad(
        DATA + "name: !!python/object/apply:os.system [ls]\n", 2, "name", "tag", "not allowed"
    ),
    "own tag": bad(P + "  units: !mine 3\n", 3, "parameters.units", "tag !mine"),
    "key is a number": bad(DATA + "1: 2\n", 2, "", "key 1 is not text"),
    "key is a list": bad(DATA + "? [a]\n: 2\n", 2, "", "cannot be a key"),
    "nested": bad(DATA + "x: " + "[" * 60 + "]" * 60, 2, "", "more than 50 deep"),
    "depth 3000 mappings": bad("{a: " * 3000, 1, "", "more than 50 deep"),
    "huge number": bad(DATA + "seed: " + "9" * 5000, 2, "seed", "5000 digits"),
    # Unknown keys, missing keys, empty values.
    "unknown key": bad(DATA + "paramters: {}\n", 2, "paramters", "unknown key", "'parameters'"),
    "no data": bad("seed: 1\n", 1, "data", "missing"),
    "empty value": bad(P + "  units:\n", 3, "parameters.units", "has no value"),
    "empty section": bad(DATA + "budget:\n", 2, "budget", "has no value"),
    "empty list": bad(P + "  units: []\n", 3, "parameters.units", "at least one"),
    "null in a list": bad(P + "  units: [1, null]\n", 3, "parameters.units[1]", "no value"),
    "parameters is a list": bad(
        DATA + "parameters: [units]\n", 2, "parameters", "mapping of hyperparameters"
    ),
    # Name and seeds.
    "name climbs": bad(DATA + "name: ../x\n", 2, "name", "A-Z", "'../x'"),
    "name is dots": bad(DATA + "name: ..\n", 2, "name", "not . or .."),
    "name is a number": bad(DATA + "name: 12\n", 2, "name", "quotes"),
    "name too long": bad(DATA + f"name: {'a' * 65}\n", 2, "name", "1 to 64"),
    "seed is text": bad(DATA + 'seed: "1"\n', 2, "seed", "whole number", "remove the quotes"),
    "seed is true": bad(DATA + "seed: true\n", 2, "seed", "whole number", "true"),
    "seed negative": bad(DATA + "seed: -1\n", 2, "seed", "0 or more", "-1"),
    "seeds zero": bad(DATA + "seeds: 0\n", 2, "seeds", "1 to 10000", "not 0"),
    "seeds twice": bad(DATA + "seeds: [0, 1, 1]\n", 2, "seeds[2]", "twice"),
    "seeds max below min": bad(DATA + "seeds: {min: 5, max: 3}\n", 2, "seeds.min", "at most max"),
    # Data.
    "unknown dataset": bad(
        "data: {dataset: fashion-mnist}\n", 1, "data.dataset", "unknown", "'fashion_mnist'"
    ),
    "no source": bad("data: {seed: 1}\n", 1, "data", "exactly one", "none is given"),
    "two sources": bad("data: {dataset: iris, npz: a.npz}\n", 1, "data", "dataset and npz"),
    "data is text": bad("data: digits\n", 1, "data", "mapping", "'digits'"),
    "data key": bad("data:\n  dataset: iris\n  sed: 1\n", 3, "data.sed", "did you mean 'seed'?"),
    "csv without target": bad("data: {csv: a.csv}\n", 1, "data", "target is missing"),
    "target without csv": bad(
        "data: {dataset: iris, target: a}\n", 1, "data.target", "only with csv"
    ),
    "drops the target": bad(
        "data: {csv: a.csv, target: y, drop: [y]}\n", 1, "data.drop", "drops the target"
    ),
    "fraction 1": bad("data: {dataset: iris, validation: 1.0}\n", 1, "data.validation", "1.0"),
    "fraction in quotes": bad(
        'data: {dataset: iris, validation: "0.2"}\n', 1, "data.validation", "remove the quotes"
    ),
    "file for a set": bad(
        "data: {dataset: iris, test: t.csv}\n", 1, "data.test", "needs csv or npz"
    ),
    "scale": bad("data: {dataset: iris, scale: standart}\n", 1, "data.scale", "'standard'"),
    "task": bad(
        "data: {npz: a.npz, task: regresion}\n", 1, "data.task", "did you mean 'regression'?"
    ),
    "reference": bad("data: {python: mymodule}\n", 1, "data.python", "package.module:function"),
    # Values of hyperparameters.
    "quoted rate": bad(
        P + '  learning_rate: "1e-3"\n',
        3,
        "parameters.learning_rate",
        "number",
        "remove the quotes",
    ),
    "negative rate": bad(
        P + "  learning_rate: [0.1, -0.1]\n", 3, "parameters.learning_rate[1]", "above 0", "-0.1"
    ),
    "rate nan": bad(P + "  learning_rate: .nan\n", 3, "parameters.learning_rate", "finite"),
    "schedule outside": bad(
        P + "  learning_rate: {name: cosine_decay, initial_learning_rate: 0.1, decay_steps: 9}\n",
        3,
        "parameters.learning_rate",
        "belongs to an optimizer",
    ),
    "batch 0": bad(P + "  batch_size: [0]\n", 3, "parameters.batch_size[0]", "at least 1", "not 0"),
    "epochs float": bad(P + "  epochs: 1e3\n", 3, "parameters.epochs", "write 1000"),
    "layers negative": bad(
        P + "  hidden_layers: [-1]\n", 3, "parameters.hidden_layers[0]", "0 or more"
    ),
    "units 0": bad(P + "  units: [[10, 0]]\n", 3, "parameters.units[0][1]", "at least 1"),
    "units_0": bad(P + "  units_0: 3\n", 3, "parameters.units_0", "unknown", "'units'"),
    "dropout 1": bad(P + "  dropout: 1.0\n", 3, "parameters.dropout", "below 1"),
    "l2 negative": bad(P + "  l2: [-0.1]\n", 3, "parameters.l2[0]", "0 or more"),
    "activation": bad(P + "  activation: [rellu]\n", 3, "parameters.activation[0]", "'relu'"),
    "layer type": bad(P + "  layer_type: batchnorm\n", 3, "parameters.layer_type", "'batch_norm'"),
    "layer type code": bad(
        P + '  layer_type: "a.b:"\n', 3, "parameters.layer_type", "package.module:function"
    ),
    "optimizer": bad(P + "  optimizer: [Adam]\n", 3, "parameters.optimizer[0]", "'adam'"),
    "optimizer argument": bad(
        P + "  optimizer:\n    - sgd\n    - {name: sgd, momentun: 0.9}\n",
        5,
        "parameters.optimizer[1].momentun",
        "no such argument",
        "'momentum'",
    ),
    "optimizer value": bad(
        P + "  optimizer: {name: adam, beta_1: 1.5}\n", 3, "parameters.optimizer.beta_1", "below 1"
    ),
    "optimizer without name": bad(
        P + "  optimizer: [{momentum: 0.9}]\n", 3, "parameters.optimizer[0]", "name is missing"
    ),
    "optimizer clips twice": bad(
        P + "  optimizer: {name: adam, clipnorm: 1, clipvalue: 1}\n",
        3,
        "parameters.optimizer",
        "allows one of",
    ),
    "optimizer rate in quotes": bad(
        P + '  optimizer: {name: adam, learning_rate: "1e-3"}\n',
        3,
        "parameters.optimizer.learning_rate",
        "remove the quotes",
    ),
    "schedule": bad(
        P + "  optimizer: {name: sgd, learning_rate: {name: cosine, decay_steps: 3}}\n",
        3,
        "parameters.optimizer.learning_rate.name",
        "'cosine_decay'",
    ),
    "schedule argument missing": bad(
        P + "  optimizer: {name: sgd, learning_rate: {name: cosine_decay, decay_steps: 3}}\n",
        3,
        "parameters.optimizer.learning_rate",
        "initial_learning_rate",
    ),
    "initializer": bad(
        P + "  kernel_initializer: GlorotNormal\n",
        3,
        "parameters.kernel_initializer",
        "'glorot_normal'",
    ),
    "unknown hyperparameter": bad(P + "  unit: 3\n", 3, "parameters.unit", "did you mean 'units'?"),
    "lr": bad(P + "  lr: 0.1\n", 3, "parameters.lr", "did you mean 'learning_rate'?"),
    "scale as hyperparameter": bad(
        P + "  layer_type: own:layer\n  scale: [unit, none]\n",
        4,
        "parameters.scale",
        "a setting of the data: data: {scale: standard}",
        "run two sweeps and compare them: hpsearch compare",
    ),
    "impute in a config": bad(
        DATA + "parameters: {units: 5}\nconfigs: [{impute: mean}]\n",
        3,
        "configs[0].impute",
        "data: {impute: mean}",
    ),
    "no hint": bad(P + "  zzz: 0.1\n", 3, "parameters.zzz", "known are hidden_layers"),
    "duplicate choice": bad(P + "  units: [5, 6, 5]\n", 3, "parameters.units[2]", "5 is listed"),
    "duplicate rate": bad(P + "  l2: [1e-1, 0.1]\n", 3, "parameters.l2[1]", "twice"),
    # Ranges.
    "min above max": bad(
        P + "  units: {min: 9, max: 3, step: 1}\n", 3, "parameters.units.min", "below max", "9"
    ),
    "min is max": bad(P + "  units: {min: 3, max: 3}\n", 3, "parameters.units.min", "both 3"),
    "nan bound": bad(P + "  l2: {min: .nan, max: 1}\n", 3, "parameters.l2.min", "finite"),
    "no max": bad(P + "  l2: {min: 0}\n", 3, "parameters.l2", "max is missing"),
    "log from 0": bad(
        P + "  l2: {min: 0, max: 1, scale: log}\n", 3, "parameters.l2.min", "above 0 on a log"
    ),
    "rate from 0": bad(
        P + "  learning_rate: {min: 0, max: 1}\n", 3, "parameters.learning_rate.min", "above 0"
    ),
    "dropout to 1": bad(
        P + "  dropout: {min: 0, max: 1, step: 0.5}\n", 3, "parameters.dropout.max", "below 1"
    ),
    "scale word": bad(
        P + "  l2: {min: 1, max: 2, scale: logarithmic}\n", 3, "parameters.l2.scale", "linear or"
    ),
    "step does not divide": bad(
        P + "  units: {min: 10, max: 100, step: 20}\n",
        3,
        "parameters.units.max",
        "does not divide",
        "nearest valid max is",
    ),
    "step does not divide, floats": bad(
        P + "  dropout: {min: 0.1, max: 0.55, step: 0.1}\n",
        3,
        "parameters.dropout.max",
        "nearest valid max is 0.5",
    ),
    "step 0": bad(
        P + "  l2: {min: 0.1, max: 1, step: 0}\n", 3, "parameters.l2.step", "above 0", "not 0"
    ),
    "step above the range": bad(
        P + "  units: {min: 1, max: 5, step: 10}\n", 3, "parameters.units.max", "max is 11"
    ),
    "step too fine": bad(
        P + "  l2: {min: 0, max: 1, step: 1e-9}\n", 3, "parameters.l2.step", "at most 100000"
    ),
    "log step of 1": bad(
        P + "  l2: {min: 1, max: 8, step: 1, scale: log}\n", 3, "parameters.l2.step", "above 1"
    ),
    "log step does not divide": bad(
        P + "  l2: {min: 1, max: 9, step: 2, scale: log}\n", 3, "parameters.l2.max", "max is 8"
    ),
    "half a unit": bad(
        P + "  units: {min: 1.5, max: 3, step: 1}\n", 3, "parameters.units.min", "whole number"
    ),
    "type": bad(
        P + "  epochs: {min: 1, max: 3, type: float}\n", 3, "parameters.epochs.type", "int"
    ),
    "range of names": bad(
        P + "  activation: {min: 1, max: 3}\n", 3, "parameters.activation", "not a range"
    ),
    "range key": bad(P + "  l2: {min: 0, mx: 1}\n", 3, "parameters.l2.mx", "unknown", "'max'"),
    "values and range": bad(
        P + "  l2: {values: [0], min: 0, max: 1}\n", 3, "parameters.l2", "values, min or max"
    ),
    "values is no list": bad(P + "  l2: {values: 3}\n", 3, "parameters.l2.values", "a list"),
    "grid without step": bad(P + "  l2: {min: 0, max: 1}\n", 3, "parameters.l2", "a step"),
    "grid of whole numbers": bad(
        P + "  units: {min: 1, max: 9}\n", 3, "parameters.units", "step: 1"
    ),
    "huge grid": bad(
        P + "".join(f"  units_{k}: {list(range(1, 11))}\n" for k in range(1, 10)),
        2,
        "parameters",
        "1,000,000,000 points",
        "budget.trials",
    ),
    # Conditions.
    "when unknown": bad(
        P + "  layer_type: [dense, dropout]\n  dropout: {value: 0.1, when: {layer_typ: dropout}}\n",
        4,
        "parameters.dropout.when.layer_typ",
        "there is no parameter",
        "'layer_type'",
    ),
    "when absent": bad(
        P + "  dropout: {value: 0.1, when: {layer_type: dropout}}\n",
        3,
        "parameters.dropout.when.layer_type",
        "there is no parameter",
    ),
    "when never": bad(
        P + "  layer_type: [dense, dropout]\n  dropout: {value: 0.1, when: {layer_type: dropot}}\n",
        4,
        "parameters.dropout.when.layer_type",
        "never is 'dropot'",
        "did you mean 'dropout'?",
    ),
    "when itself": bad(
        P + "  units: {values: [1], when: {units: 1}}\n", 3, "parameters.units.when.units", "itself"
    ),
    "when in a cycle": bad(
        P
        + "  units: {values: [1], when: {epochs: 1}}\n  epochs: {values: [1], when: {units: 1}}\n",
        3,
        "parameters.units.when",
        "a cycle",
        "units -> epochs -> units",
    ),
    "when is empty": bad(
        P + "  units: {value: 1, when: {}}\n", 3, "parameters.units.when", "empty"
    ),
    "when is text": bad(
        P + "  units: {value: 1, when: epochs}\n", 3, "parameters.units.when", "mapping"
    ),
    # Constraints and configs.
    "constraint calls": bad(
        P + '  units: 3\nconstraints:\n  - units < 5\n  - __import__("os") == 1\n',
        6,
        "constraints[1]",
        "not allowed",
    ),
    "constraint syntax": bad(
        P + "  units: 3\nconstraints: [units <]\n", 4, "constraints[0]", "not an expression"
    ),
    # Python itself would warn of it on stderr.
    "constraint runs together": bad(
        P + "  units: 3\nconstraints: [units < 3and units > 1]\n",
        4,
        "constraints[0]",
        "not an expression",
    ),
    "constraint name": bad(
        P + "  units: 3\nconstraints: [unit < 5]\n", 4, "constraints[0]", "'unit'", "'units'"
    ),
    "constraint unquoted": bad(
        P + "  activation: relu\nconstraints: [activation == relu]\n",
        4,
        "constraints[0]",
        "quote it",
    ),
    "constraint never": bad(
        P + "  units: [3, 4]\nconstraints: [units > 5]\n",
        4,
        "constraints[0]",
        "nothing satisfies it",
        "2 points of the grid",
    ),
    "constraints never together": bad(
        P + "  units: [3, 4]\nconstraints: [units > 3, units < 4]\n",
        4,
        "constraints",
        "all of them together",
    ),
    "constraint never, random": bad(
        P + "  l2: {min: 0, max: 1}\nconstraints: [l2 > 5]\nmethod: random\nbudget: {trials: 3}\n",
        4,
        "constraints[0]",
        "10,000 random points",
    ),
    "constraint types": bad(
        P + "  activation: [relu]\nconstraints: [activation > 3]\n",
        4,
        "constraints[0]",
        "cannot be evaluated",
    ),
    "constraints is text": bad(DATA + "constraints: units < 3\n", 2, "constraints", "a list"),
    "config value": bad(
        DATA + "configs:\n  - {units: 3}\n  - {epochs: 0}\n", 4, "configs[1].epochs", "at least 1"
    ),
    "config name": bad(DATA + "configs: [{unitz: 3}]\n", 2, "configs[0].unitz", "'units'"),
    "config breaks": bad(
        P + "  units: [3, 9]\nconstraints: [units < 5]\nconfigs: [{units: 3}, {units: 9}]\n",
        5,
        "configs[1]",
        "breaks the constraint",
    ),
    "config is text": bad(DATA + "configs: [small]\n", 2, "configs[0]", "mapping"),
    # Method, metric, budget, the rest.
    "method": bad(DATA + "method: hyperban\n", 2, "method", "unknown", "'hyperband'"),
    "method option": bad(
        DATA + "method: {name: hyperband, facotr: 3}\nbudget: {trials: 3}\n",
        2,
        "method.facotr",
        "no such option",
        "'factor'",
    ),
    "method value": bad(
        DATA + "method: {name: asha, factor: 1}\nbudget: {trials: 3}\n", 2, "method.factor", "2"
    ),
    "method without name": bad(DATA + "method: {factor: 3}\n", 2, "method", "name is missing"),
    "no budget": bad(DATA + "method: random\n", 1, "", "budget is missing", "random"),
    "budget empty": bad(DATA + "budget: {}\n", 2, "budget", "trials"),
    "budget trials": bad(DATA + "budget: {trials: 0}\n", 2, "budget.trials", "at least 1"),
    "budget time": bad(DATA + "budget: {time: 30min}\n", 2, "budget.time", "30m", "'30min'"),
    "budget quoted": bad(DATA + 'budget: {time: "30"}\n', 2, "budget.time", "remove the quotes"),
    "metric goal": bad(DATA + "metric: my_score\n", 2, "metric", "goal is missing"),
    "metric near": bad(DATA + "metric: val_acuracy\n", 2, "metric", "'val_accuracy'"),
    "metric list": bad(
        DATA + "metric: [val_accuracy, weights]\n", 2, "metric", "a sweep has one metric"
    ),
    "metric word": bad(
        DATA + "metric: {name: val_loss, goal: minimise}\n", 2, "metric.goal", "'minimize'"
    ),
    "metric epoch": bad(
        DATA + "metric: {name: loss, epoch: 3}\n", 2, "metric.epoch", "last or best"
    ),
    "metric of classes": bad(
        "data: {dataset: diabetes}\nmetric: val_accuracy\n", 2, "metric", "val_mae"
    ),
    "patience": bad(
        DATA + "early_stopping: {patience: 0}\n", 2, "early_stopping.patience", "at least 1"
    ),
    "no patience": bad(
        DATA + "early_stopping: {min_delta: 1}\n", 2, "early_stopping.patience", "missing"
    ),
    "workers": bad(DATA + "execution: {workers: 0}\n", 2, "execution.workers", "auto", "not 0"),
    "memory": bad(DATA + "execution: {memory: 2 gigs}\n", 2, "execution.memory", "2GB"),
    "engine": bad(DATA + "execution: {engine: dask}\n", 2, "execution.engine", "local or ray"),
    "address": bad(DATA + "execution: {address: x}\n", 2, "execution.address", "engine: ray"),
    "execution key": bad(DATA + "execution: {worker: 2}\n", 2, "execution.worker", "'workers'"),
    "loss": bad(
        DATA + "model: {loss: mean_square_error}\n", 2, "model.loss", "'mean_squared_error'"
    ),
    "output activation": bad(
        DATA + "model: {output_activation: softmaxx}\n", 2, "model.output_activation", "'softmax'"
    ),
    "model type": bad(DATA + "model: {type: cnn}\n", 2, "model.type", "it must be mlp"),
    "model": bad(DATA + "model: build\n", 2, "model", "package.module:build"),
    "keep": bad(DATA + "keep: none\n", 2, "keep", "best or all"),
    # W&B's words.
    "run_cap": bad(DATA + "run_cap: many\n", 2, "run_cap", "whole number"),
    "run_cap and budget": bad(
        DATA + "run_cap: 3\nbudget: {trials: 4}\n", 2, "run_cap", "budget.trials"
    ),
    "distribution": bad(
        P + "  l2: {distribution: log_uniform, min: 0, max: 1}\n",
        3,
        "parameters.l2.distribution",
        "log_uniform_values",
    ),
    "distribution key": bad(
        P + "  l2: {distribution: constant, value: 1, min: 0}\n",
        3,
        "parameters.l2.min",
        "has no meaning",
    ),
    "q": bad(P + "  l2: {min: 0, max: 1, q: 0.1}\n", 3, "parameters.l2.q", "write step"),
    "q in quotes": bad(
        P + '  l2: {distribution: q_uniform, min: 0, max: 1, q: "1"}\n',
        3,
        "parameters.l2.q",
        "remove the quotes",
    ),
    "early_terminate": bad(
        DATA + "method: random\nrun_cap: 3\nearly_terminate: {type: envelope}\n",
        4,
        "early_terminate.type",
        "hyperband",
    ),
}
