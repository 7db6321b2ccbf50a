"""Run one contender of speed.py in this process.

The contender runs the benchmark's trials as its users would, and writes every trial's score:

    python experiments/speed_peers.py NAME SWEEP.yaml DATA.npz OUT.json

Each contender gets the same rows, already split and scaled to 0..1 as float32, and trains the
same networks with the same optimizers, batch sizes and epochs; the score is the validation
accuracy of the last epoch. Reading the data and importing the libraries count as part of its time.

`keras_tuner`, `optuna`, `ray` and `sklearn` run with their defaults: one trial at a time, or one
per core for Ray. `keras_tuner_settings` compiles with the fastest settings of one process,
`..._best` with those of two processes. Both read speed_settings.json, in which
speed_settings.py wrote how long each setting takes for the sweep's networks and most epochs.
`sklearn_glorot` is scikit-learn with Keras' initial weights, for its scores.
"""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from report import HERE

from hpsearch.search.draws import grid_draws
from hpsearch.spec.sweep import load_sweep

Config = dict[str, Any]
Scores = dict[str, float]

#: Limits a process of TensorFlow or NumPy to one thread: two such are faster than one with two.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
_PROCESSES = 2
#: The step's count that stands for a whole epoch of any config.
EPOCH = "epoch"
#: What Keras computes with -> `KERAS_BACKEND`, and the `jit_compile` of `model.compile`.
BACKENDS = {
    "tensorflow": ("tensorflow", False),
    "tensorflow-xla": ("tensorflow", True),
    "jax": ("jax", True),
}
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


def longest_of(sweep: Path) -> str:
    """The sweep, such as `digits_single`, whose settings the peers use: that of the most epochs."""
    return load_sweep(sweep).name.removeprefix("speed-") + "_single"


def fastest(rows: Sequence[Mapping[str, Any]], sweep: str, processes: int) -> Mapping[str, Any]:
    """The row of speed_settings.json with the fastest settings of so many processes.

    Raises:
        SystemExit: They were not measured.
    """
    found = [row for row in rows if row["sweep"] == sweep and row["processes"] == processes]
    if not found:
        raise SystemExit(
            f"speed_settings.json has no {sweep}: run speed_settings.py --sweeps {sweep}"
        )
    return min(found, key=lambda row: float(row["s a trial"]))


def best_settings(sweep: Path, processes: int) -> dict[str, Any]:
    """The fastest backend, of those that are installed, and `steps_per_execution` for a sweep."""
    content = json.loads((HERE / "speed_settings.json").read_text(encoding="utf-8"))
    rows = [row for row in content["rows"] if find_spec(BACKENDS[row["backend"]][0])]
    row = fastest(rows, longest_of(sweep), processes)
    return {key: row[key] for key in ("backend", "steps_per_execution")}


def use_backend(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Choose what Keras computes with, before its import; return arguments of `compile`."""
    os.environ["KERAS_BACKEND"], jit_compile = BACKENDS[settings["backend"]]
    return {"steps_per_execution": settings["steps_per_execution"], "jit_compile": jit_compile}


def layers_of(config: Config) -> list[int]:
    """Units of each hidden layer."""
    units = config["units"]
    return units if isinstance(units, list) else [units] * config["hidden_layers"]


def keras_model(config: Config, data: tuple[Any, ...], **compile_with: Any) -> Any:
    """The network of a config, as a Keras user would write it."""
    import keras

    x, y, *_ = data
    if compile_with.get("steps_per_execution") == EPOCH:
        compile_with["steps_per_execution"] = math.ceil(len(x) / config["batch_size"])
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


def run_ray(job: Job, reuse_actors: bool = False, **compile_with: Any) -> Scores:
    """Ray Tune's grid search, with one core for each trial.

    Args:
        job: The trials.
        reuse_actors: Whether a process trains several trials, so that it imports Keras only once.
        compile_with: Arguments of `model.compile`.
    """
    import ray
    from ray import tune

    configs, data = job.configs, job.read()

    def train(chosen: Config, data: tuple[Any, ...]) -> None:
        import keras

        keras.backend.clear_session()
        tune.report({"score": fit_keras(configs[chosen["config"]], data, **compile_with)})

    ray.init(include_dashboard=False, log_to_driver=False, logging_level="error")
    try:
        results = tune.Tuner(
            tune.with_parameters(train, data=data),
            param_space={"config": tune.grid_search(list(configs))},
            tune_config=tune.TuneConfig(reuse_actors=reuse_actors),
            run_config=tune.RunConfig(storage_path=job.directory, verbose=0),
        ).fit()
        return {result.config["config"]: result.metrics["score"] for result in results}
    finally:
        ray.shutdown()


def run_sklearn(job: Job, n_jobs: int | None = None, glorot: bool = False) -> Scores:
    """scikit-learn's MLPClassifier on float32, which is faster than float64.

    Args:
        job: The trials.
        n_jobs: Processes of joblib, with one core each.
        glorot: Whether to begin with Keras' initial weights.
    """
    from joblib import Parallel, delayed

    configs = job.configs
    x, y, x_val, y_val = job.read()
    flat, flat_val = x.reshape(len(x), -1), x_val.reshape(len(x_val), -1)
    fitted = Parallel(n_jobs=n_jobs)(
        delayed(fit_sklearn)(config, (flat, y, flat_val, y_val), glorot)
        for config in configs.values()
    )
    return dict(zip(configs, fitted, strict=True))


def fit_sklearn(config: Config, data: tuple[Any, ...], glorot: bool = False) -> float:
    """Train a network and return its score."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    x, y, x_val, y_val = data
    adam = config["optimizer"] == "adam"
    classifier = _with_keras_weights(MLPClassifier) if glorot else MLPClassifier
    model = classifier(
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
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x, y)
    return float(model.score(x_val, y_val))


def _with_keras_weights(classifier: Any) -> Any:
    """A class of MLPs that begins as Keras does: Glorot's uniform weights, biases of zero."""

    class KerasWeights(classifier):  # type: ignore[misc]  # scikit-learn has no types
        def _init_coef(self, fan_in: int, fan_out: int, dtype: Any) -> tuple[Any, Any]:
            bound = math.sqrt(6.0 / (fan_in + fan_out))
            weights = self._random_state.uniform(-bound, bound, (fan_in, fan_out))
            return weights.astype(dtype, copy=False), np.zeros(fan_out, dtype)

    return KerasWeights


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
    """A function and how it is called and reported.

    Attributes:
        run: The function.
        packages: Those whose versions are reported; none for a single process of another
            contender, which is not measured alone.
        peer: The library whose variants are compared, of which the fastest counts.
        settings: Keyword arguments.
        processes: The number of processes whose fastest settings it compiles with.
        keras: Whether Keras trains, so that scores must be equivalent.
    """

    run: Callable[..., Scores]
    packages: tuple[str, ...] = ()
    peer: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    processes: int = 0
    keras: bool = True


_KERAS_TUNER = ("keras-tuner", "keras")
_OPTUNA = ("optuna", "keras")
_RAY = ("ray", "keras")
_SKLEARN = ("scikit-learn", "joblib")
_TWO = {"n_jobs": _PROCESSES}
CONTENDERS = {
    "keras_tuner": Contender(run_keras_tuner, _KERAS_TUNER, "keras_tuner"),
    "keras_tuner_settings": Contender(run_keras_tuner, _KERAS_TUNER, "keras_tuner", processes=1),
    "keras_tuner_best": Contender(run_keras_tuner_processes, _KERAS_TUNER, "keras_tuner"),
    "keras_tuner_process": Contender(run_keras_tuner, processes=_PROCESSES),
    "optuna": Contender(run_optuna, _OPTUNA, "optuna"),
    "optuna_best": Contender(run_optuna_processes, _OPTUNA, "optuna"),
    "optuna_process": Contender(run_optuna_process, processes=_PROCESSES),
    "ray": Contender(run_ray, _RAY, "ray"),
    "ray_best": Contender(run_ray, _RAY, "ray", {"reuse_actors": True}, _PROCESSES),
    "sklearn": Contender(run_sklearn, _SKLEARN, "sklearn", keras=False),
    "sklearn_best": Contender(run_sklearn, _SKLEARN, "sklearn", _TWO, keras=False),
    "sklearn_glorot": Contender(run_sklearn, _SKLEARN, "", {**_TWO, "glorot": True}, keras=False),
}


def main() -> None:
    """Run the contender named on the command line."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    name, sweep, data, out, *meeting = sys.argv[1:]
    contender = CONTENDERS[name]
    settings = dict(contender.settings)
    if contender.processes:
        settings |= use_backend(best_settings(Path(sweep), contender.processes))
    with tempfile.TemporaryDirectory() as directory:
        job = Job(sweep, data, *(meeting or [directory]))
        scores = contender.run(job, **settings)
    backend = [os.environ.get("KERAS_BACKEND", "tensorflow")] if contender.keras else []
    versions = {package: version(package) for package in (*contender.packages, *backend)}
    Path(out).write_text(json.dumps({"scores": scores, "versions": versions}), encoding="utf-8")


if __name__ == "__main__":
    main()
