"""Run a hypermodel's `fit`, and a tuner's overridden `run_trial` and hooks, in workers."""

from __future__ import annotations

import contextlib
import copy
import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import keras
import keras_tuner
import tensorflow as tf
from keras_tuner.src.engine import trial as kt_trial

from hpsearch.errors import InputError
from hpsearch.files import NO_LINK, write_atomically
from hpsearch.models.custom import TrialCallback, built_with, seeded
from hpsearch.models.fit_arguments import NotOnEngine
from hpsearch.models.shipping import shipped
from hpsearch.training.fit import EngineFit, Watcher
from hpsearch.tuners.arguments import Sent
from hpsearch.wording import counted

#: KerasTuner's class, even if a program replaces it by hpsearch's.
SCIKIT = keras_tuner.SklearnTuner
#: Attribute that says whether a tuner has a `distribution_strategy`.
_DISTRIBUTED = "_hpsearch_distributed"
#: The first execution in a place; see `TrackedHyperParameters`.
_FIRST = "execution0"
#: Attributes that stay in the tuner's process.
_LEFT = ("_hpsearch", "distribution_strategy", "hypermodel", "oracle")
#: Methods that a subclass may override but only KerasTuner's own loop calls.
_PRIVATE = ("_build_and_fit_model", "_build_hypermodel")
#: Hooks that a training calls.
_HOOKS = ("on_batch_begin", "on_batch_end", "on_epoch_begin", "on_epoch_end")
#: Hooks that the program calls around a training.
AROUND = (
    "on_search_begin",
    "pre_create_trial",
    "on_trial_begin",
    "on_trial_end",
    "on_search_end",
)
#: Methods whose files are named by the trial, so a trial's executions would share them.
_OF_MODELS = ("load_model", "save_model")
#: An oracle's members that `Told` has itself.
_TOLD = ("get_trial", "objective", "update_trial")
#: Methods that change an oracle, and so cannot run in other processes.
_CHANGES = (
    "create_trial",
    "end_trial",
    "populate_space",
    "reload",
    "save",
    "set_state",
    "update_space",
)
_ONE_REPLICA = tf.distribute.MirroredStrategy, tf.distribute.OneDeviceStrategy


class AsGiven(keras_tuner.HyperModel):  # type: ignore[misc]  # KerasTuner has no types
    """A hypermodel that passes the arguments of `search` on to `fit`, by position or by name.

    Args:
        tuner: Its attributes and hypermodel are copied, but not its oracle.
        positions: The number of positional arguments of `search`; at most x and y unless
            `arguments` is given.
        names: The names of the keyword arguments.
        own: Whether an overridden `run_trial` or `fit` gets them.
        arguments: All arguments, if they replace the training's rows.
        called: Whether `search` got callbacks; with `arguments` only.
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
        # A SklearnTuner's hypermodel builds no Keras models.
        self._scikit = isinstance(tuner, SCIKIT)
        own_run = own and (self._scikit or is_users(tuner, "run_trial"))
        self._hypermodel, self._objective = tuner.hypermodel, tuner.oracle.objective
        self._positions, self._names = positions, frozenset(names)
        if called:
            self._names |= {"callbacks"}
        self.arguments = arguments
        # `search` has found that the engine cannot take the rows.
        self._refused = not own
        project = Path(tuner.project_dir).absolute()
        self._builds, self._ids = builds_in(project), TrialNames(project)
        self._tuner_class = type(tuner) if own_run else None
        self._attributes = held(tuner) if own_run else {}
        self._oracle = OracleSnapshot.of(tuner) if own_run else None
        # Use the next trial's id, so a trial run leaves only that trial's files.
        self._next_id = padded(tuner.oracle, next_number(tuner.oracle))

    def build(self, hp: keras_tuner.HyperParameters) -> Any:
        """Build the user's model, or one without weights if `run_trial` needs none."""
        if self._hypermodel is None or self._scikit:
            return keras.Sequential([keras.Input((1,)), keras.layers.Identity()])
        return self._hypermodel.build(hp)

    def fit(self, hp: keras_tuner.HyperParameters, model: Any, *args: Any, **kwargs: Any) -> Any:
        """Train the model by the user's `run_trial` or `fit`."""
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
            # Save the input shape: `load_model` has no rows to infer it from.
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
        trial = _trial_of(hp, self._ids, self._next_id)
        is_model = self._hypermodel is not None and not self._scikit
        tuner.hypermodel = _Built(self._hypermodel, model) if is_model else self._hypermodel
        tuner.oracle = Told(self._objective, trial, self._oracle)
        returned = tuner.run_trial(trial, *args, **kwargs)
        return tuner.oracle.history if tuner.oracle.is_told else returned


def _trial_of(hp: Any, ids: TrialNames, next_one: str = "") -> Any:
    """Return the trial in training; from its second execution on, the id ends in their number.

    Args:
        next_one: The id if nothing trains yet.
    """
    trial, execution = ids.trial(hp, ids.of(hp.place) or next_one), hp.place.partition("/")[2]
    if execution not in ("", _FIRST):
        # Executions that name files by their trial must not share them.
        trial.trial_id += f"-{execution}"
    return trial


def run_first(tuner: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Run a tuner's first trial here, to learn the hyperparameters that user code requests.

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
        before, tuner.oracle = _attributes_of(tuner), _Watched(oracle, OracleSnapshot.of(tuner))
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
    """An oracle that records each use that would fail in a worker.

    Args:
        snapshot: The oracle as workers see it; None if they cannot.
    """

    def __init__(self, oracle: Any, snapshot: OracleSnapshot | None) -> None:
        vars(self).update(_oracle=oracle, _known=snapshot is not None, read=[])

    def __getattr__(self, name: str) -> Any:
        if name in _CHANGES or not (self._known or name in _TOLD):
            self.read.append(name)
        return getattr(self._oracle, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self.read.append(name)
        setattr(self._oracle, name, value)


def held(tuner: keras_tuner.Tuner) -> dict[str, Any]:
    """Return the attributes of a tuner that go to other processes."""
    found = {name: each for name, each in vars(tuner).items() if name not in _LEFT}
    return {**found, _DISTRIBUTED: getattr(tuner, "distribution_strategy", None) is not None}


def copy_of(tuner_class: type, attributes: Mapping[str, Any]) -> Any:
    """Return a tuner for one training, without engine, hypermodel and oracle.

    Its attributes are the program's: changes by other trainings do not count.
    """
    tuner: Any = object.__new__(tuner_class)
    vars(tuner).update(copy.deepcopy(dict(attributes)))
    # One replica is TensorFlow's default strategy.
    strategy = tf.distribute.get_strategy() if vars(tuner).pop(_DISTRIBUTED, False) else None
    vars(tuner).update(_hpsearch=None, distribution_strategy=strategy)
    return tuner


def _attributes_of(tuner: keras_tuner.Tuner) -> dict[str, Any]:
    """Return the values of a tuner's attributes, to detect changes later."""
    found: dict[str, Any] = {}
    for name, each in held(tuner).items():
        # If an object cannot be pickled, compare its identity.
        found[name] = id(each)
        with contextlib.suppress(Exception):
            found[name] = cloudpickle.dumps(each)
    return found


def builds_in(project: Path) -> Path:
    """Return the folder of the build configs, by config, of models that only `fit` builds."""
    return project / "builds"


def is_users(tuner: keras_tuner.Tuner, name: str) -> bool:
    """Check if user code overrides a method, in a subclass or in this tuner."""
    if name in vars(tuner):
        return True
    homes = (base.__module__ for base in type(tuner).__mro__ if name in vars(base))
    return next(homes, "hpsearch").partition(".")[0] not in ("keras_tuner", "hpsearch")


def overridden(tuner: keras_tuner.Tuner) -> str:
    """Return the first overridden method that only KerasTuner's own loop could call, or empty.

    KerasTuner neither saves nor loads a model during a search, but a `run_trial` may do both.
    """
    several = getattr(tuner, "executions_per_trial", 1) > 1 and is_users(tuner, "run_trial")
    within = any(is_users(tuner, name) for name in _HOOKS)
    # Hooks within a training would lack the attributes that hooks around it set.
    names = (*_PRIVATE, *_OF_MODELS * several, *AROUND * within)
    return next((name for name in names if is_users(tuner, name)), "")


def own_methods(tuner: keras_tuner.Tuner) -> list[str]:
    """Return the tuner's overridden methods that run in workers."""
    saves = isinstance(tuner, SCIKIT) or is_users(tuner, "run_trial")
    names = ("run_trial", *_HOOKS, *_OF_MODELS[1:] * saves)
    return [name for name in names if is_users(tuner, name)]


def unsent_attribute(tuner: keras_tuner.Tuner) -> str:
    """Return why overridden methods cannot get a tuner's attributes in workers, or empty."""
    own = own_methods(tuner)
    for name, value in held(tuner).items() if own else ():
        try:
            cloudpickle.dumps(value)
        except Exception as error:  # noqa: BLE001 - whatever the object raises
            return (
                f"other processes, where {type(tuner).__name__}.{own[0]} would run, cannot have "
                f"self.{name} ({error}): make it in the method"
            )
    return ""


class Hooks(TrialCallback):
    """Calls a tuner's overridden hooks; subclasses have the methods that call them."""

    def __init__(self, tuner: Any, trial: Any = None) -> None:
        super().__init__()
        self.trial, self.tuner = trial, tuner if trial is not None else None
        if trial is None:
            self._tuner_class, self._attributes = type(tuner), held(tuner)
            self._hypermodel, self._objective = tuner.hypermodel, tuner.oracle.objective
            self._oracle = OracleSnapshot.of(tuner)
            self._ids = TrialNames(Path(tuner.project_dir).absolute())

    def __deepcopy__(self, memo: Any) -> Hooks:
        # `begin` copies the attributes at the start of each training.
        del memo
        return copy.copy(self)

    def begin(self, hp: Any) -> None:
        """Set the trial and a copy of the tuner, unless they are set."""
        if self.trial is None:
            self.trial = _trial_of(hp, self._ids)
            self.tuner = copy_of(self._tuner_class, self._attributes)
            self.tuner.hypermodel = self._hypermodel
            self.tuner.oracle = Told(self._objective, self.trial, self._oracle, hears=False)

    def on_train_begin(self, logs: Any = None) -> None:
        """Begin the trial of the model in training."""
        del logs
        if (hp := built_with(self.model)) is not None:
            self.begin(hp)


def hooks_of(tuner: keras_tuner.Tuner, trial: Any = None) -> list[Hooks]:
    """Return the callback that calls a tuner's overridden hooks, if it has any.

    Args:
        trial: The trial in training; None if only the worker will know it.
    """

    def calling(name: str) -> Any:
        def call(self: Hooks, index: int, logs: Any = None) -> None:
            getattr(self.tuner, name)(self.trial, self.model, index, logs=logs)

        return call

    # Define overridden hooks only: callbacks that act on batches cost speed.
    found = {name: calling(name) for name in _HOOKS if is_users(tuner, name)}
    return [type(Hooks.__name__, (Hooks,), found)(tuner, trial)] if found else []


def require_one_replica(tuner: keras_tuner.Tuner) -> None:
    """Check that a `distribution_strategy` changes nothing, and print that it is left out.

    Raises:
        NotOnEngine: It trains several replicas, or in several processes, or names a device.
    """
    # A SklearnTuner lacks the attribute.
    strategy = getattr(tuner, "distribution_strategy", None)
    if strategy is None:
        return
    count = strategy.num_replicas_in_sync
    if count > 1 or not isinstance(strategy, _ONE_REPLICA):
        raise NotOnEngine(f"there is a distribution_strategy ({counted(count, 'replica')})")
    (device,) = strategy.extended.worker_devices
    default = (tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU"))[0]
    if not device.endswith(default.name):
        raise NotOnEngine(f"there is a distribution_strategy on {device}")
    if tuner.oracle.verbose:
        said = "the distribution_strategy has one replica, and workers train without it"
        print(f"hpsearch: {said}")  # noqa: T201


class _Built(keras_tuner.HyperModel):  # type: ignore[misc]
    """A hypermodel whose first build returns an existing model."""

    def __init__(self, hypermodel: keras_tuner.HyperModel, model: Any) -> None:
        super().__init__()
        self._hypermodel, self._models = hypermodel, [model]

    def build(self, hp: keras_tuner.HyperParameters) -> Any:
        return self._models.pop() if self._models else self._hypermodel.build(hp)

    def fit(self, hp: keras_tuner.HyperParameters, model: Any, *args: Any, **kwargs: Any) -> Any:
        return self._hypermodel.fit(hp, model, *args, **kwargs)


@dataclass(frozen=True)
class OracleSnapshot:
    """The oracle's state before the search, for reading in other processes.

    Attributes:
        code: The oracle, pickled by cloudpickle.
        project: The directory that holds KerasTuner's files of its trials.
    """

    code: bytes
    project: Path

    @classmethod
    def of(cls, tuner: keras_tuner.Tuner) -> OracleSnapshot | None:
        """Return the snapshot of a tuner's oracle; None if it cannot be pickled."""
        oracle = tuner.oracle
        try:
            code = shipped(oracle, type(oracle).__name__)
        except InputError:
            return None
        return cls(code, Path(tuner.project_dir).absolute())

    def load(self) -> Any:
        """Return the oracle."""
        return cloudpickle.loads(self.code)

    def read_trials(self, oracle: Any, seen: dict[Path, tuple[int, int]]) -> None:
        """Add to an oracle the trials that have begun or ended since.

        Args:
            seen: Each file read so far -> its time and size then.
        """
        for path in sorted(self.project.glob("trial_*/trial.json")):
            # KerasTuner may be writing one of them.
            with contextlib.suppress(OSError, ValueError, KeyError):
                found = path.stat()
                if seen.get(path) == (version := (found.st_mtime_ns, found.st_size)):
                    continue
                trial = kt_trial.Trial.from_state(json.loads(path.read_text(encoding="utf-8")))
                seen[path] = version
                oracle.trials[trial.trial_id] = trial
                ended = trial.status != kt_trial.TrialStatus.RUNNING
                for order in (oracle.start_order, *([oracle.end_order] if ended else ())):
                    if trial.trial_id not in order:
                        order.append(trial.trial_id)


def next_number(oracle: Any, reserved: Collection[int] = ()) -> int:
    """Return a number greater than those of an oracle's trials and the reserved ones."""
    known = (int(each) for each in oracle.trials if each.isdecimal())
    return max((*known, *reserved), default=-1) + 1


def padded(oracle: Any, number: int) -> str:
    """Return a trial's id, padded as in KerasTuner."""
    return f"{number:0{len(str(oracle.max_trials))}d}"


class TrialNames:
    """Finds KerasTuner's trial ids by config, for workers.

    Args:
        project: The directory that holds the file of ids and KerasTuner's files.
    """

    def __init__(self, project: Path) -> None:
        self._project, self._path = project, project / ".trials"

    def note(self, ids: Mapping[str, str]) -> None:
        """Record trial ids by config; a config's last id counts."""
        lines = "".join(f"\n{config} {trial_id}" for config, trial_id in ids.items())
        # A full disk ends the search elsewhere; until then workers use the config as the id.
        with contextlib.suppress(OSError), self._open("a") as file:
            file.write(lines)

    def _open(self, mode: str) -> Any:
        def opened(path: str, flags: int) -> int:
            return os.open(path, flags | NO_LINK, 0o666)

        # A program may have written bytes that are not UTF-8.
        return open(self._path, mode, encoding="utf-8", errors="replace", opener=opened)

    def trial(self, hp: Any, trial_id: str) -> Any:
        """Return a running trial, with its oracle's `tuner/` values added to the config."""
        path = self._project / f"trial_{trial_id}" / "trial.json"
        with contextlib.suppress(OSError, ValueError, KeyError):
            values = json.loads(path.read_text(encoding="utf-8"))["hyperparameters"]["values"]
            # For example Hyperband's epochs, and the trial to continue.
            hp.values.update({n: each for n, each in values.items() if n.startswith("tuner/")})
        return kt_trial.Trial(hp, trial_id, kt_trial.TrialStatus.RUNNING)

    def renamed(self, place: str) -> str:
        """Return a place with the trial's id for the config, as KerasTuner names directories."""
        return str(Path(self.of(place), place.partition("/")[2])) if place else place

    def of(self, place: str) -> str:
        """Return the trial id of a place, or its config if unknown."""
        config = place.partition("/")[0]
        return self.known.get(config, config)

    @property
    def known(self) -> dict[str, str]:
        """The ids by config."""
        lines: Sequence[str] = ()
        with contextlib.suppress(OSError), self._open("r") as file:
            lines = file.read().splitlines()
        pairs = (line.partition(" ") for line in lines)
        return {config: trial_id for config, _, trial_id in pairs if trial_id}


class Told:
    """A stand-in oracle that records metrics, as `run_trial` did in KerasTuner's first versions.

    Args:
        trial: The running trial.
        known: The oracle that answers everything else, or None.
        hears: Whether the recorded metrics are read.
    """

    def __init__(
        self,
        objective: Any,
        trial: Any,
        known: OracleSnapshot | None = None,
        *,
        hears: bool = True,
    ) -> None:
        self.objective = objective
        self._trial, self._known, self._hears = trial, known, hears
        self._oracle: Any = None
        self._seen: dict[Path, tuple[int, int]] = {}
        #: Metric -> step -> values.
        self._reports: dict[str, dict[int, list[float]]] = {}

    def __getattr__(self, name: str) -> Any:
        known = None if name.startswith("__") else vars(self).get("_known")
        if known is None or name in _CHANGES:
            raise AttributeError(
                f"{name}: this runs in another process, where an oracle "
                f"{'cannot be pickled' if known is None else 'can be read'}, and be told by "
                "update_trial, but not do this: have run_trial return its numbers"
            )
        return getattr(self._read(known), name)

    def _read(self, known: OracleSnapshot) -> Any:
        """Return the oracle with its trials up to date."""
        if self._oracle is None:
            self._oracle = known.load()
        known.read_trials(self._oracle, self._seen)
        self._oracle.trials[self._trial.trial_id] = self._trial
        return self._oracle

    def get_trial(self, trial_id: str) -> Any:
        """Return the running trial, or another one as the files have it."""
        if self._known is None or trial_id == self._trial.trial_id:
            return self._trial
        return self._read(self._known).get_trial(trial_id)

    @property
    def is_told(self) -> bool:
        """True if it got the objective, which then replaces what `run_trial` returns."""
        return self.objective.name in self._reports

    def update_trial(self, trial_id: str, metrics: Mapping[str, float], step: int = 0) -> Any:
        """Record metrics of a step; the step with the best mean counts.

        Raises:
            RuntimeError: They would not be read.
        """
        del trial_id
        if not self._hears:
            raise RuntimeError(
                "update_trial: hooks run in another process, where nobody hears it: have fit or "
                "run_trial return the numbers"
            )
        for name, value in metrics.items():
            self._reports.setdefault(name, {}).setdefault(step, []).append(float(value))
        return self._trial

    @property
    def history(self) -> keras.callbacks.History:
        """The recorded steps, as the epochs of a training."""
        history = keras.callbacks.History()
        history.history = {
            name: [sum(steps[step]) / len(steps[step]) for step in sorted(steps)]
            for name, steps in self._reports.items()
        }
        return history
