"""Run a hypermodel's `fit` and a tuner's overridden `run_trial` in workers."""

from __future__ import annotations

import contextlib
import copy
import json
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import CodeType
from typing import Any

import keras_tuner

from hpsearch.custom import kerastuner_names as kt
from hpsearch.custom.fit_arguments import NotOnEngine
from hpsearch.custom.trainers import Watcher
from hpsearch.files import NO_LINK

#: The first execution in a place; see `TrackedHyperParameters`.
_FIRST = "execution0"
#: Attributes that stay in the tuner's process.
_DRIVER_ONLY = ("_hpsearch", "hypermodel", "oracle")
#: Methods of KerasTuner that user code may override in a search on the engine.
_OVERRIDABLE = frozenset({"run_trial", "search"})


class UserFit(keras_tuner.HyperModel):
    """A hypermodel that passes the arguments of `search` on to `fit`, by position or by name.

    Args:
        tuner: Its attributes and hypermodel are copied, but not its oracle.
        positions: The number of positional arguments of `search`.
        names: The names of the keyword arguments.
    """

    def __init__(self, tuner: keras_tuner.Tuner, positions: int, names: Collection[str]) -> None:
        super().__init__()
        own_run = "run_trial" in user_members(tuner)
        self._hypermodel = tuner.hypermodel
        self._positions, self._names = positions, frozenset(names)
        self._ids = TrialNames(Path(tuner.project_dir).absolute())
        self._tuner_class = type(tuner) if own_run else None
        shared = vars(tuner).items() if own_run else ()
        self._attributes = {name: value for name, value in shared if name not in _DRIVER_ONLY}
        # Use the next trial's id, so a trial run leaves only that trial's files.
        self._next_id = padded(tuner.oracle, next_number(tuner.oracle))

    def build(self, hp: keras_tuner.HyperParameters) -> Any:
        """Build the user's model."""
        return self._hypermodel.build(hp)

    def fit(self, hp: keras_tuner.HyperParameters, model: Any, *args: Any, **kwargs: Any) -> Any:
        """Train the model by the user's `run_trial` or `fit`."""
        given = {**dict(zip(("x", "y"), args, strict=False)), **kwargs}
        first = [given.pop(name) for name in ("x", "y")[: self._positions]]
        if self._tuner_class is None:
            return self._hypermodel.fit(hp, model, *first, **given)
        tuner: Any = object.__new__(self._tuner_class)
        # Copies of the program's attributes: changes by other trainings do not count.
        vars(tuner).update(copy.deepcopy(self._attributes), _hpsearch=None, oracle=None)
        callbacks = given.pop("callbacks", [])
        watching = [callback for callback in callbacks if isinstance(callback, Watcher)]
        if "callbacks" in self._names:
            given["callbacks"] = [callback for callback in callbacks if callback not in watching]
        split = {"validation_data"} if "validation_split" in self._names else set()
        names = self._names | split
        arguments = {name: value for name, value in given.items() if name not in names}
        vars(tuner).update(_watching=watching, _given=arguments)
        tuner.hypermodel = _Built(self._hypermodel, model)
        trial = self._ids.trial(hp, self._next_id)
        return tuner.run_trial(trial, *first, **{n: given[n] for n in given if n in names})


def user_members(tuner: keras_tuner.Tuner) -> dict[str, Any]:
    """Return the attributes that user code gives a tuner, by its classes or directly."""
    classes = [
        base
        for base in type(tuner).__mro__
        if base.__module__.partition(".")[0] not in ("keras_tuner", "hpsearch", "builtins")
    ]
    members: dict[str, Any] = {}
    for base in reversed(classes):
        members.update(vars(base))
    return {**members, **vars(tuner)}


def require_plain_tuner(tuner: keras_tuner.Tuner) -> None:
    """Check that workers, which lack the oracle and KerasTuner's loop, can run a tuner's trials."""
    if getattr(tuner, "distribution_strategy", None) is not None:
        raise NotOnEngine("there is a distribution_strategy")
    if tuner.hypermodel is None:
        raise NotOnEngine("there is no hypermodel")
    members, name = user_members(tuner), type(tuner).__name__
    theirs = (vars(base) for base in type(tuner).__mro__ if base.__module__.startswith("keras_t"))
    methods = {key for attributes in theirs for key, value in attributes.items() if callable(value)}
    for method in sorted(methods & members.keys() - _OVERRIDABLE):
        if not method.startswith("__"):
            raise NotOnEngine(f"{name}.{method} is overridden")
    functions = (value for key, value in members.items() if key not in ("__init__", "search"))
    codes = [value.__code__ for value in functions if hasattr(value, "__code__")]
    while codes and "run_trial" in members:
        code = codes.pop()
        if "oracle" in code.co_names:
            raise NotOnEngine(f"{name}.{code.co_name} uses self.oracle, which other processes lack")
        codes += [constant for constant in code.co_consts if isinstance(constant, CodeType)]


class _Built(keras_tuner.HyperModel):
    """A hypermodel whose first build returns an existing model."""

    def __init__(self, hypermodel: keras_tuner.HyperModel, model: Any) -> None:
        super().__init__()
        self._hypermodel, self._models = hypermodel, [model]

    def build(self, hp: keras_tuner.HyperParameters) -> Any:
        return self._models.pop() if self._models else self._hypermodel.build(hp)

    def fit(self, hp: keras_tuner.HyperParameters, model: Any, *args: Any, **kwargs: Any) -> Any:
        return self._hypermodel.fit(hp, model, *args, **kwargs)


def next_number(oracle: Any, reserved: Collection[int] = ()) -> int:
    """Return a number greater than those of an oracle's trials and the reserved ones."""
    numbers = (int(trial_id) for trial_id in oracle.trials if trial_id.isdecimal())
    return max((*numbers, *reserved), default=-1) + 1


def padded(oracle: Any, number: int) -> str:
    """Return a trial's id, padded as in KerasTuner."""
    return f"{number:0{len(str(oracle.max_trials))}d}"


class TrialNames:
    """Finds KerasTuner's trial ids by config, for workers."""

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

    def trial(self, hp: Any, next_id: str) -> Any:
        """Return the trial in training, or one of id `next_id`; `hp` gets its `tuner/` values."""
        trial_id, execution = self.of(hp.place) or next_id, hp.place.partition("/")[2]
        path = self._project / f"trial_{trial_id}" / "trial.json"
        with contextlib.suppress(OSError, ValueError, KeyError):
            values = json.loads(path.read_text(encoding="utf-8"))["hyperparameters"]["values"]
            # For example Hyperband's epochs, and the trial to continue.
            hp.values.update({n: value for n, value in values.items() if n.startswith("tuner/")})
        if execution not in ("", _FIRST):
            # Executions that name files by their trial must not share them.
            trial_id += f"-{execution}"
        return kt.Trial(hp, trial_id, kt.TrialStatus.RUNNING)

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
