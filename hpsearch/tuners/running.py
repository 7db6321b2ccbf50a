"""A hypermodel's own `fit`, and a tuner's own `run_trial`, in a worker."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import cloudpickle
import keras
import keras_tuner
import tensorflow as tf
from keras_tuner.src.engine import trial as kt_trial

from hpsearch.files import write_atomically
from hpsearch.models.custom import seeded
from hpsearch.models.fit_arguments import NotOnEngine
from hpsearch.training.fit import EngineFit, Watcher
from hpsearch.tuners.arguments import Sent
from hpsearch.wording import counted

#: KerasTuner's own, even if a program puts hpsearch's class in its place.
SCIKIT = keras_tuner.SklearnTuner
#: What a tuner has in its own process only.
_LEFT = ("_hpsearch", "distribution_strategy", "hypermodel", "oracle")
#: Methods that a subclass may override and that only KerasTuner's own loop calls.
_HOOKS = (
    "_build_and_fit_model",
    "_build_hypermodel",
    "on_batch_begin",
    "on_batch_end",
    "on_epoch_begin",
    "on_epoch_end",
    "pre_create_trial",
)
#: Methods whose argument names a trial as workers cannot.
_OF_MODELS = ("load_model", "save_model")
_ONE_REPLICA = tf.distribute.MirroredStrategy, tf.distribute.OneDeviceStrategy


class AsGiven(keras_tuner.HyperModel):  # type: ignore[misc]  # KerasTuner has no types
    """A hypermodel whose `fit` gets the arguments as `search` did, by position or by name.

    Args:
        tuner: Its attributes and hypermodel are copied; its oracle stays where it is.
        positions: How many arguments `search` was given by position; x and y at most, unless
            `arguments` has them.
        names: The names of the others.
        own: Whether a `run_trial` or `fit` of the user's gets them.
        arguments: All of them, if rows are not what a training has.
        called: Whether `search` was given callbacks; with `arguments` only.
    """

    def __init__(
        self,
        tuner: keras_tuner.Tuner,
        positions: int,
        names: Collection[str],
        *,
        own: bool = True,
        arguments: Sent | None = None,
        called: bool = False,
    ) -> None:
        super().__init__()
        # Its hypermodel builds no Keras models.
        self._scikit = isinstance(tuner, SCIKIT)
        own_run = own and (self._scikit or is_users(tuner, "run_trial"))
        self._hypermodel, self._objective = tuner.hypermodel, tuner.oracle.objective
        self._positions, self._names = positions, frozenset(names)
        if called:
            self._names |= {"callbacks"}
        self.arguments = arguments
        # Rows that `search` has seen to be none of the engine's.
        self._refused = not own
        self._builds = builds_in(Path(tuner.project_dir).absolute())
        self._tuner_class = type(tuner) if own_run else None
        self._attributes = held(tuner) if own_run else {}

    def build(self, hp: keras_tuner.HyperParameters) -> Any:
        """Build the user's model; one without weights if a `run_trial` needs none."""
        if self._hypermodel is None or self._scikit:
            return keras.Sequential([keras.Input((1,)), keras.layers.Identity()])
        return self._hypermodel.build(hp)

    def fit(self, hp: keras_tuner.HyperParameters, model: Any, *args: Any, **kwargs: Any) -> Any:
        """Call the user's method for a model that is built."""
        if self.arguments is not None:
            given_first, given = self.arguments.load()
            first = list(given_first)
            given.update(kwargs)
            if self._refused and isinstance(model.fit, EngineFit):
                model.fit.leave()
        else:
            given = {**dict(zip(("x", "y"), args, strict=False)), **kwargs}
            first = [given.pop(name) for name in ("x", "y")[: self._positions]]
        was_built = model.built
        returned = self._fit(hp, model, first, given)
        if hp.place and model.built and not was_built:
            # Who loads its weights has no rows to build it for.
            with contextlib.suppress(OSError, TypeError, ValueError):
                self._builds.mkdir(exist_ok=True)
                path = self._builds / f"{hp.place.partition('/')[0]}.json"
                write_atomically(path, json.dumps(model.get_build_config()))
        return returned

    def _fit(self, hp: Any, model: Any, first: Sequence[Any], given: dict[str, Any]) -> Any:
        if self._tuner_class is None:
            return self._hypermodel.fit(hp, model, *first, **given)
        tuner = copy_of(self._tuner_class, self._attributes)
        callbacks = given.pop("callbacks", [])
        watching = [each for each in callbacks if isinstance(each, Watcher)]
        if "callbacks" in self._names:
            given["callbacks"] = [each for each in callbacks if each not in watching]
        split = {"validation_data"} if "validation_split" in self._names else set()
        names = self._names | split
        rest = {name: each for name, each in given.items() if name not in names}
        vars(tuner).update(_watching=watching, _given=rest)
        return self._run(tuner, hp, model, first, {n: given[n] for n in given if n in names})

    def _run(
        self, tuner: Any, hp: Any, model: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        trial = kt_trial.Trial(hp, hp.place.replace("/", "-"), kt_trial.TrialStatus.RUNNING)
        is_model = self._hypermodel is not None and not self._scikit
        tuner.hypermodel = _Built(self._hypermodel, model) if is_model else self._hypermodel
        tuner.oracle = Told(self._objective, trial)
        returned = tuner.run_trial(trial, *args, **kwargs)
        return tuner.oracle.history if returned is None else returned


def run_first(tuner: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Run a tuner's first trial here, which tells what hyperparameters code of the user's has.

    Raises:
        NotOnEngine: The code needs this process.
    """
    oracle = tuner.oracle
    runs = is_users(tuner, "run_trial")
    name = f"{type(tuner).__name__}.run_trial" if runs else f"{type(tuner.hypermodel).__name__}.fit"
    while not oracle.end_order:
        trial = oracle.create_trial(tuner.tuner_id)
        if trial.status != kt_trial.TrialStatus.RUNNING:
            return
        tuner.on_trial_begin(trial)
        before, tuner.oracle = _attributes_of(tuner), _Watched(oracle)
        try:
            with seeded(oracle.seed):
                tuner._try_run_and_update_trial(trial, *args, **kwargs)  # noqa: SLF001
        finally:
            read, tuner.oracle = tuner.oracle.read, oracle
        changed = [n for n, each in _attributes_of(tuner).items() if each != before.get(n)]
        tuner.on_trial_end(trial)
        if read:
            raise NotOnEngine(f"{name} uses self.oracle.{read[0]}, which other processes lack")
        if changed:
            raise NotOnEngine(
                f"{name} changes self.{changed[0]}, which would stay in other processes: have it "
                "return its numbers, and collect them in on_trial_end"
            )


class _Watched:
    """An oracle that notes what is used of it beyond what it has in a worker."""

    def __init__(self, oracle: Any) -> None:
        self._oracle = oracle
        self.read: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name not in ("objective", "get_trial", "update_trial"):
            self.read.append(name)
        return getattr(self._oracle, name)


def held(tuner: keras_tuner.Tuner) -> dict[str, Any]:
    """Return the attributes that a tuner has in other processes as well."""
    return {name: each for name, each in vars(tuner).items() if name not in _LEFT}


def copy_of(tuner_class: type, attributes: Mapping[str, Any]) -> Any:
    """Return a tuner for one training, which has neither engine, hypermodel nor oracle.

    It begins with what the program had, whatever other trainings have changed.
    """
    tuner: Any = object.__new__(tuner_class)
    vars(tuner).update(copy.deepcopy(dict(attributes)))
    vars(tuner).update(_hpsearch=None, distribution_strategy=None)
    return tuner


def _attributes_of(tuner: keras_tuner.Tuner) -> dict[str, Any]:
    """Return the values of a tuner's attributes, to see later whether they have changed."""
    found: dict[str, Any] = {}
    for name, each in held(tuner).items():
        # What cannot be pickled is only known to be the same object.
        found[name] = id(each)
        with contextlib.suppress(Exception):
            found[name] = cloudpickle.dumps(each)
    return found


def builds_in(project: Path) -> Path:
    """Return the folder with the build configs, by config, of models that only `fit` builds."""
    return project / "builds"


def is_users(tuner: keras_tuner.Tuner, name: str) -> bool:
    """Return whether a method is the user's, of a subclass or of this tuner."""
    if name in vars(tuner):
        return True
    homes = (base.__module__ for base in type(tuner).__mro__ if name in vars(base))
    return next(homes, "hpsearch").partition(".")[0] not in ("keras_tuner", "hpsearch")


def overridden(tuner: keras_tuner.Tuner) -> str:
    """Return the first method that only KerasTuner's own loop could call; empty if there is none.

    KerasTuner itself saves no model, and loads one in Hyperband only, apart from what the program
    asks for. A `run_trial` may call both.
    """
    loads = is_users(tuner, "run_trial") or isinstance(tuner, SCIKIT | keras_tuner.Hyperband)
    names = (*_HOOKS, *_OF_MODELS) if loads else _HOOKS
    return next((name for name in names if is_users(tuner, name)), "")


def require_one_replica(tuner: keras_tuner.Tuner) -> None:
    """Check that a `distribution_strategy` changes nothing, and say so.

    Raises:
        NotOnEngine: It trains several replicas, in several processes or on a device that it names,
            or a `run_trial` of the user's may use it.
    """
    # A tuner of scikit-learn's models has none.
    strategy = getattr(tuner, "distribution_strategy", None)
    if strategy is None:
        return
    count = strategy.num_replicas_in_sync
    if count > 1 or not isinstance(strategy, _ONE_REPLICA):
        raise NotOnEngine(f"there is a distribution_strategy ({counted(count, 'replica')})")
    if is_users(tuner, "run_trial"):
        raise NotOnEngine("there is a distribution_strategy, which run_trial may use")
    (device,) = strategy.extended.worker_devices
    default = (tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU"))[0]
    if not device.endswith(default.name):
        raise NotOnEngine(f"there is a distribution_strategy on {device}")
    if tuner.oracle.verbose:
        said = "the distribution_strategy has one replica, and workers train without it"
        print(f"hpsearch: {said}")  # noqa: T201


class _Built(keras_tuner.HyperModel):  # type: ignore[misc]
    """A hypermodel whose first model exists already."""

    def __init__(self, hypermodel: keras_tuner.HyperModel, model: Any) -> None:
        super().__init__()
        self._hypermodel, self._models = hypermodel, [model]

    def build(self, hp: keras_tuner.HyperParameters) -> Any:
        return self._models.pop() if self._models else self._hypermodel.build(hp)

    def fit(self, hp: keras_tuner.HyperParameters, model: Any, *args: Any, **kwargs: Any) -> Any:
        return self._hypermodel.fit(hp, model, *args, **kwargs)


class Told:
    """An oracle that is told metrics, as `run_trial` did it in KerasTuner's first versions."""

    def __init__(self, objective: Any, trial: Any) -> None:
        self.objective = objective
        self._trial = trial
        #: Metric -> step -> values.
        self._reports: dict[str, dict[int, list[float]]] = {}

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"{name}: run_trial runs in another process, where the oracle has only objective, "
            "get_trial and update_trial"
        )

    def get_trial(self, trial_id: str) -> Any:
        """Return the trial that runs."""
        del trial_id
        return self._trial

    def update_trial(self, trial_id: str, metrics: Mapping[str, float], step: int = 0) -> Any:
        """Take metrics of a step; the best step counts, by the mean of what it was given."""
        del trial_id
        for name, value in metrics.items():
            self._reports.setdefault(name, {}).setdefault(step, []).append(float(value))
        return self._trial

    @property
    def history(self) -> keras.callbacks.History:
        """The steps as the epochs of a training."""
        history = keras.callbacks.History()
        history.history = {
            name: [sum(steps[step]) / len(steps[step]) for step in sorted(steps)]
            for name, steps in self._reports.items()
        }
        return history
