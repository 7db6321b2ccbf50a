"""One contender of speed.py in a process of its own.

It runs the benchmark's trials as its users would, and writes every trial's score:

    python experiments/speed_peers.py NAME SWEEP.yaml DATA.npz OUT.json

Each contender gets the same rows, already split and scaled to 0..1 as float32, and trains the
same networks with the same optimizers, batch sizes and epochs; the score is the validation
accuracy of the last epoch. Reading the data and importing the libraries is part of its time.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from hpsearch import sweepfile
from hpsearch.sampling import grid_draws

Config = dict[str, Any]
Scores = dict[str, float]

#: Found by trial on two cores: larger ones gain no more (see experiments/README.md).
_STEPS_PER_EXECUTION = 50


def configs_of(sweep: str) -> dict[str, Config]:
    """Config id -> its values, in grid order."""
    loaded = sweepfile.load(sweep)
    return {config.id: dict(config.values) for config, _ in grid_draws(loaded.space)}


def layers_of(config: Config) -> list[int]:
    """Units of each hidden layer."""
    units = config["units"]
    return units if isinstance(units, list) else [units] * config["hidden_layers"]


def read(path: str) -> tuple[Any, ...]:
    """x_train, y_train, x_val, y_val."""
    with np.load(path) as arrays:
        return tuple(arrays[name] for name in ("x_train", "y_train", "x_val", "y_val"))


def keras_model(config: Config, shape: tuple[int, ...], classes: int, **compile_with: Any) -> Any:
    """The network as a Keras user writes it."""
    import keras

    model = keras.Sequential([keras.Input(shape)])
    for units in layers_of(config):
        model.add(keras.layers.Dense(units, activation=config["activation"]))
    model.add(keras.layers.Dense(classes, activation="softmax"))
    optimizer = (
        keras.optimizers.Adam()
        if config["optimizer"] == "adam"
        else keras.optimizers.SGD(momentum=0.9, nesterov=True)
    )
    model.compile(
        optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], **compile_with
    )
    return model


def run_keras_tuner(
    configs: dict[str, Config], data: tuple[Any, ...], **compile_with: Any
) -> Scores:
    """KerasTuner's GridSearch over the configs' networks; one choice, as the grid has no holes."""
    import keras_tuner

    x, y, x_val, y_val = data
    names = list(configs)
    classes = int(y.max()) + 1
    scores: Scores = {}

    class Network(keras_tuner.HyperModel):
        def build(self, hp: Any) -> Any:
            config = configs[hp.Choice("config", names)]
            return keras_model(config, x.shape[1:], classes, **compile_with)

        def fit(self, hp: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
            config = configs[hp.get("config")]
            history = model.fit(
                *args, epochs=config["epochs"], batch_size=config["batch_size"], **kwargs
            )
            scores[hp.get("config")] = float(history.history["val_accuracy"][-1])
            return history

    with tempfile.TemporaryDirectory() as directory:
        tuner = keras_tuner.GridSearch(
            Network(),
            objective="val_accuracy",
            directory=directory,
            project_name="speed",
            max_trials=len(names),
        )
        tuner.search(x, y, validation_data=(x_val, y_val), verbose=0)
    return scores


def run_optuna(
    configs: dict[str, Config], data: tuple[Any, ...], n_jobs: int = 1, **compile_with: Any
) -> Scores:
    """Optuna's GridSampler around `model.fit`."""
    import keras
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    x, y, x_val, y_val = data
    classes = int(y.max()) + 1
    scores: Scores = {}

    def objective(trial: Any) -> float:
        if n_jobs == 1:
            keras.backend.clear_session()
        name = trial.suggest_categorical("config", list(configs))
        config = configs[name]
        model = keras_model(config, x.shape[1:], classes, **compile_with)
        history = model.fit(
            x,
            y,
            validation_data=(x_val, y_val),
            epochs=config["epochs"],
            batch_size=config["batch_size"],
            verbose=0,
        )
        scores[name] = float(history.history["val_accuracy"][-1])
        return scores[name]

    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.GridSampler({"config": list(configs)}, seed=0)
    )
    study.optimize(objective, n_trials=len(configs), n_jobs=n_jobs)
    return scores


def run_sklearn(configs: dict[str, Config], data: tuple[Any, ...], n_jobs: int = -1) -> Scores:
    """scikit-learn's MLPClassifier under joblib."""
    from joblib import Parallel, delayed

    x, y, x_val, y_val = (
        array.reshape(len(array), -1) if array.ndim > 1 else array for array in data
    )
    fitted = Parallel(n_jobs=n_jobs)(
        delayed(_fit_sklearn)(config, x, y, x_val, y_val) for config in configs.values()
    )
    return dict(zip(configs, fitted, strict=True))


def _fit_sklearn(config: Config, x: Any, y: Any, x_val: Any, y_val: Any) -> float:
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    adam = config["optimizer"] == "adam"
    model = MLPClassifier(
        hidden_layer_sizes=layers_of(config),
        activation={"relu": "relu", "tanh": "tanh", "sigmoid": "logistic"}[config["activation"]],
        solver="adam" if adam else "sgd",
        learning_rate_init=0.001 if adam else 0.01,
        momentum=0.9,
        nesterovs_momentum=True,
        alpha=0.0,
        epsilon=1e-7,
        batch_size=config["batch_size"],
        max_iter=config["epochs"],
        n_iter_no_change=config["epochs"] + 1,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x, y)
    return float(model.score(x_val, y_val))


#: Name -> what runs it, and the packages whose versions are told.
CONTENDERS: dict[str, tuple[Callable[..., Scores], dict[str, Any], tuple[str, ...]]] = {
    "keras_tuner": (run_keras_tuner, {}, ("keras-tuner", "keras", "tensorflow")),
    "keras_tuner_best": (
        run_keras_tuner,
        {"steps_per_execution": _STEPS_PER_EXECUTION, "jit_compile": False},
        ("keras-tuner", "keras", "tensorflow"),
    ),
    "optuna": (run_optuna, {}, ("optuna", "keras", "tensorflow")),
    "optuna_best": (
        run_optuna,
        {"n_jobs": 2, "steps_per_execution": _STEPS_PER_EXECUTION, "jit_compile": False},
        ("optuna", "keras", "tensorflow"),
    ),
    "sklearn": (run_sklearn, {}, ("scikit-learn",)),
}


def main() -> None:
    """Run one contender."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    name, sweep, data, out = sys.argv[1:]
    runner, options, packages = CONTENDERS[name]
    scores = runner(configs_of(sweep), read(data), **options)
    versions = {package: version(package) for package in packages}
    Path(out).write_text(json.dumps({"scores": scores, "versions": versions}), encoding="utf-8")


if __name__ == "__main__":
    main()
