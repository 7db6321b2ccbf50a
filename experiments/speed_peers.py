"""Run one contender of speed.py in this process.

The contender runs the benchmark's trials as its users would, and writes every trial's score:

    python experiments/speed_peers.py NAME SWEEP.yaml DATA.npz OUT.json

Each contender gets the same rows, already split and scaled to 0..1 as float32, and trains the
same networks with the same optimizers, batch sizes and epochs; the score is the validation
accuracy of the last epoch. Reading the data and importing the libraries count as part of its time.

`keras_tuner`, `optuna`, `ray` and `sklearn` run with their defaults: one trial at a time, or one
per core for Ray. `..._best` runs with the settings that speed_settings.py found fastest on two
cores, in two processes with one thread each.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from hpsearch.search.draws import grid_draws
from hpsearch.spec.sweep import load_sweep

Config = dict[str, Any]
Scores = dict[str, float]

#: Limits a process to one thread; two such processes are faster than one with two threads.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
}
_PROCESSES = 2
#: The fastest arguments of `model.compile`, according to speed_settings.py.
_BEST = {"steps_per_execution": 50}
_QUEUED = {"queued": True}


@dataclass(frozen=True)
class Job:
    """The trials of a contender.

    Attributes:
        sweep: The sweep file.
        data: The .npz file with the rows.
        directory: A directory shared by the processes of one contender.
    """

    sweep: str
    data: str
    directory: str

    @property
    def configs(self) -> dict[str, Config]:
        """Config id -> its values, in grid order."""
        space = load_sweep(Path(self.sweep)).space
        return {config.id: dict(config.values) for config in grid_draws(space)}

    def read(self) -> tuple[Any, ...]:
        """x_train, y_train, x_val, y_val."""
        with np.load(self.data) as arrays:
            return tuple(arrays[name] for name in ("x_train", "y_train", "x_val", "y_val"))


def layers_of(config: Config) -> list[int]:
    """Units of each hidden layer."""
    units = config["units"]
    return units if isinstance(units, list) else [units] * config["hidden_layers"]


def keras_model(config: Config, data: tuple[Any, ...], **compile_with: Any) -> Any:
    """The network of a config, as a Keras user would write it."""
    import keras

    x, y, *_ = data
    model = keras.Sequential([keras.Input(x.shape[1:])])
    for units in layers_of(config):
        model.add(keras.layers.Dense(units, activation=config["activation"]))
    model.add(keras.layers.Dense(int(y.max()) + 1, activation="softmax"))
    optimizer = (
        keras.optimizers.Adam()
        if config["optimizer"] == "adam"
        else keras.optimizers.SGD(momentum=0.9, nesterov=True)
    )
    model.compile(
        optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], **compile_with
    )
    return model


def fit_keras(config: Config, data: tuple[Any, ...], **compile_with: Any) -> float:
    """Train a network and return its score."""
    model = keras_model(config, data, **compile_with)
    x, y, x_val, y_val = data
    history = model.fit(
        x,
        y,
        validation_data=(x_val, y_val),
        epochs=config["epochs"],
        batch_size=config["batch_size"],
        verbose=0,
    )
    return float(history.history["val_accuracy"][-1])


def run_keras_tuner(job: Job, **compile_with: Any) -> Scores:
    """KerasTuner's GridSearch, with the config as its only hyperparameter.

    With several, the grid would contain combinations that are no configs of the sweep.
    """
    import keras_tuner

    configs, data = job.configs, job.read()
    names = list(configs)
    scores: Scores = {}

    class Network(keras_tuner.HyperModel):  # type: ignore[misc]  # KerasTuner has no types
        def build(self, hp: Any) -> Any:
            return keras_model(configs[hp.Choice("config", names)], data, **compile_with)

        def fit(self, hp: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
            config = configs[hp.get("config")]
            settings = {"epochs": config["epochs"], "batch_size": config["batch_size"]}
            history = model.fit(*args, **settings, **kwargs)
            scores[hp.get("config")] = float(history.history["val_accuracy"][-1])
            return history

    tuner = keras_tuner.GridSearch(
        Network(),
        objective="val_accuracy",
        directory=job.directory,
        project_name="speed",
        max_trials=len(names),
    )
    x, y, x_val, y_val = data
    tuner.search(x, y, validation_data=(x_val, y_val), verbose=0)
    return scores


def run_keras_tuner_processes(job: Job) -> Scores:
    """KerasTuner's distributed mode: a chief process with the oracle, and worker processes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    meeting = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": port}
    chief = _start("keras_tuner_process", job, 0, meeting | {"KERASTUNER_TUNER_ID": "chief"})
    try:
        return _gathered(
            "keras_tuner_process",
            job,
            [meeting | {"KERASTUNER_TUNER_ID": f"tuner{n}"} for n in range(1, _PROCESSES + 1)],
        )
    finally:
        # After its workers have ended, the chief sleeps for up to 20 seconds, which do not count.
        chief.kill()
        chief.wait()


def run_optuna(job: Job, **compile_with: Any) -> Scores:
    """Optuna's GridSampler around `model.fit`."""
    import keras
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    configs, data = job.configs, job.read()
    scores: Scores = {}

    def objective(trial: Any) -> float:
        keras.backend.clear_session()
        name = trial.suggest_categorical("config", list(configs))
        scores[name] = fit_keras(configs[name], data, **compile_with)
        return scores[name]

    sampler = optuna.samplers.GridSampler({"config": list(configs)}, seed=0)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(objective, n_trials=len(configs))
    return scores


def run_optuna_processes(job: Job) -> Scores:
    """Several processes that share one of Optuna's studies in a file.

    The configs are queued, because GridSampler gives some of them to two processes.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize", storage=_storage(job.directory), study_name="speed"
    )
    for name in job.configs:
        study.enqueue_trial({"config": name}, user_attrs=_QUEUED)
    return _gathered("optuna_process", job, [{}] * _PROCESSES)


def run_optuna_process(job: Job, **compile_with: Any) -> Scores:
    """Work on the shared study until its queue is empty."""
    import keras
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    configs, data = job.configs, job.read()
    study = optuna.load_study(storage=_storage(job.directory), study_name="speed")
    scores: Scores = {}
    waiting = (optuna.trial.TrialState.WAITING,)
    while study.get_trials(deepcopy=False, states=waiting):
        trial = study.ask()
        if trial.user_attrs != _QUEUED:
            # The other process took the last config in the meantime.
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            break
        name = trial.suggest_categorical("config", list(configs))
        keras.backend.clear_session()
        scores[name] = fit_keras(configs[name], data, **compile_with)
        study.tell(trial, scores[name])
    return scores


def _storage(directory: str) -> Any:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(str(Path(directory) / "study.log")))


def run_ray(job: Job, **compile_with: Any) -> Scores:
    """Ray Tune's grid search, with one core for each trial."""
    import ray
    from ray import tune

    configs, data = job.configs, job.read()

    def train(chosen: Config, data: tuple[Any, ...]) -> None:
        tune.report({"score": fit_keras(configs[chosen["config"]], data, **compile_with)})

    ray.init(include_dashboard=False, log_to_driver=False, logging_level="error")
    try:
        results = tune.Tuner(
            tune.with_parameters(train, data=data),
            param_space={"config": tune.grid_search(list(configs))},
            run_config=tune.RunConfig(storage_path=job.directory, verbose=0),
        ).fit()
        return {result.config["config"]: result.metrics["score"] for result in results}
    finally:
        ray.shutdown()


def run_sklearn(job: Job, n_jobs: int | None = None) -> Scores:
    """scikit-learn's MLPClassifier on float32, which is faster than float64.

    Args:
        job: The trials.
        n_jobs: Processes of joblib, with one core each.
    """
    from joblib import Parallel, delayed

    configs = job.configs
    x, y, x_val, y_val = job.read()
    flat, flat_val = x.reshape(len(x), -1), x_val.reshape(len(x_val), -1)
    fitted = Parallel(n_jobs=n_jobs)(
        delayed(fit_sklearn)(config, (flat, y, flat_val, y_val)) for config in configs.values()
    )
    return dict(zip(configs, fitted, strict=True))


def fit_sklearn(config: Config, data: tuple[Any, ...]) -> float:
    """Train a network and return its score."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    x, y, x_val, y_val = data
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


def _start(name: str, job: Job, number: int, environment: Mapping[str, str]) -> Any:
    out = str(Path(job.directory) / f"{number}.json")
    command = [sys.executable, __file__, name, job.sweep, job.data, out, job.directory]
    return subprocess.Popen(command, env={**os.environ, **ONE_THREAD, **environment})


def _gathered(name: str, job: Job, environments: Sequence[Mapping[str, str]]) -> Scores:
    """Run a process for each environment and return the scores of all."""
    numbered = list(enumerate(environments, 1))
    processes = [_start(name, job, number, changes) for number, changes in numbered]
    codes = [process.wait() for process in processes]
    if any(codes):
        raise SystemExit(f"{name}: a process failed: {codes}")
    scores: Scores = {}
    for number, _ in numbered:
        text = (Path(job.directory) / f"{number}.json").read_text(encoding="utf-8")
        scores |= json.loads(text)["scores"]
    return scores


@dataclass(frozen=True)
class Contender:
    """A function, its arguments, and the packages whose versions are reported."""

    run: Callable[..., Scores]
    settings: Mapping[str, Any] = field(default_factory=dict)
    packages: tuple[str, ...] = ()


_KERAS_TUNER = ("keras-tuner", "keras", "tensorflow")
_OPTUNA = ("optuna", "keras", "tensorflow")
_RAY = ("ray", "keras", "tensorflow")
#: Those without packages are single processes of another contender and are not measured alone.
CONTENDERS = {
    "keras_tuner": Contender(run_keras_tuner, {}, _KERAS_TUNER),
    "keras_tuner_best": Contender(run_keras_tuner_processes, {}, _KERAS_TUNER),
    "keras_tuner_process": Contender(run_keras_tuner, _BEST),
    "optuna": Contender(run_optuna, {}, _OPTUNA),
    "optuna_best": Contender(run_optuna_processes, {}, _OPTUNA),
    "optuna_process": Contender(run_optuna_process, _BEST),
    "ray": Contender(run_ray, {}, _RAY),
    "ray_best": Contender(run_ray, _BEST, _RAY),
    "sklearn": Contender(run_sklearn, {}, ("scikit-learn",)),
    "sklearn_best": Contender(run_sklearn, {"n_jobs": -1}, ("scikit-learn", "joblib")),
}


def main() -> None:
    """Run the contender named on the command line."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    name, sweep, data, out, *meeting = sys.argv[1:]
    contender = CONTENDERS[name]
    with tempfile.TemporaryDirectory() as directory:
        job = Job(sweep, data, *(meeting or [directory]))
        scores = contender.run(job, **contender.settings)
    versions = {package: version(package) for package in contender.packages}
    Path(out).write_text(json.dumps({"scores": scores, "versions": versions}), encoding="utf-8")


if __name__ == "__main__":
    main()
