"""KerasTuner's four tuners on hpsearch's engine."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.src.engine import objective as kt_objective
from keras_tuner.src.engine.hypermodel import DefaultHyperModel

from hpsearch.errors import HpsearchError, InputError
from hpsearch.models.custom import TrackedHyperParameters, trains_itself
from hpsearch.models.discovery import declared_in, described
from hpsearch.models.mlp import give_weights
from hpsearch.models.shipping import ModelHyperparameters, model_reference
from hpsearch.space.space import Choices, Parameter
from hpsearch.space.trial import Trial, TrialResult
from hpsearch.store.store import Store
from hpsearch.tuners.arguments import NotOnEngine, Request, request_of
from hpsearch.tuners.trials import TunerTrials, kept_servers, row_shape_in, search

#: What a subclass may replace, and only KerasTuner's own loop calls.
_HOOKS = (
    "_build_and_fit_model",
    "_build_hypermodel",
    "load_model",
    "on_batch_begin",
    "on_batch_end",
    "on_epoch_begin",
    "on_epoch_end",
    "on_search_begin",
    "on_search_end",
    "on_trial_begin",
    "on_trial_end",
    "pre_create_trial",
    "run_trial",
    "save_model",
)


class OnEngine(keras_tuner.Tuner):  # type: ignore[misc]  # KerasTuner has no types
    """The part that all four tuners share.

    Trials are trained by workers, several at a time, and stored in the project's directory as
    `hpsearch run` stores them: results.csv, sweep.db, run.log. What the engine cannot do runs in
    this process, as KerasTuner runs it, and `search` says why: a tuner that overrides `run_trial`
    or a hook, data that is no arrays, several objectives.

    Args:
        args, kwargs: KerasTuner's.
        workers: How many trials at a time; one a core where None.
    """

    def __init__(self, *args: Any, workers: int | None = None, **kwargs: Any) -> None:
        #: How many trials at a time; one a core where None.
        self.workers = workers
        self._rows = TunerTrials(self)
        if not _overridden(type(self)):
            kept_servers()
        super().__init__(*args, **kwargs)
        if self._store.exists():
            self.reload()

    @property
    def method(self) -> Mapping[str, Any]:
        """The method, as a sweep file names it."""
        raise NotImplementedError

    @property
    def most_epochs(self) -> int | None:
        """How many epochs a trial trains, where the method says that and not `search`."""
        return None

    @property
    def _store(self) -> Path:
        return Path(self.project_dir, "sweep.db")

    # What KerasTuner calls

    def _activate_all_conditions(self) -> None:
        """Finds the hyperparameters; more of them than KerasTuner's first builds do."""
        if not (self.oracle.tune_new_entries and self.oracle.allow_new_entries):
            super()._activate_all_conditions()
            return
        self._note(declared_in(self.hypermodel, self.model_name, self._parameters()))

    def _note(self, declared: Sequence[Any]) -> None:
        hyperparameters = keras_tuner.HyperParameters()
        hyperparameters.merge(declared)
        self.oracle.update_space(hyperparameters)

    def _configure_tensorboard_dir(
        self, callbacks: Sequence[Any], trial: Any, execution: int = 0
    ) -> None:
        """KerasTuner's imports tensorboard, and fails the trial where it is not installed."""
        if any(type(callback).__name__ == "TensorBoard" for callback in callbacks):
            super()._configure_tensorboard_dir(callbacks, trial, execution)

    def load_model(self, trial: Any) -> Any:
        """The model of a trial, with the weights of its best epoch."""
        number = self._rows.best_number(trial.trial_id)
        if number is None:
            return super().load_model(trial)
        values = TrackedHyperParameters(trial.hyperparameters.values, lambda each: each.default)
        model = self._try_build(values)
        with Store(self._store, read_only=True) as store:
            weights, shape = store.weights(number), row_shape_in(store)
        if weights is None:
            raise HpsearchError(f"{self._store}: the weights of trial {number} were not kept")
        if not model.built:
            give_weights(model, shape)
        model.set_weights(list(weights))
        return model

    def reload(self) -> None:
        """Takes up what the project's directory holds."""
        if not self._store.exists():
            super().reload()
            return
        with Store(self._store, read_only=True) as store:
            trials, results = store.trials(), store.results()
        for trial in trials:
            if trial.number in results:
                self._rows.take(trial, results[trial.number], self.executions_per_trial)

    # The search

    def search(self, *args: Any, **kwargs: Any) -> None:
        """Searches for the best hyperparameters; arguments as of KerasTuner's, and of `fit`.

        Raises:
            HpsearchError: The project's directory holds another search's results, or cannot be
                written.
            RuntimeError: No trial completed.
        """
        if "verbose" in kwargs:
            self.oracle.verbose = kwargs["verbose"]
        try:
            request = self._request(args, kwargs)
            search(self, request)
        except NotOnEngine as reason:
            if self.oracle.verbose:
                print(f"hpsearch: the trials run in this process, one by one: {reason}")  # noqa: T201
            super().search(*args, **kwargs)

    def _request(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Request:
        """What the engine is to do.

        Raises:
            NotOnEngine: It cannot.
        """
        overridden = _overridden(type(self))
        if overridden:
            raise NotOnEngine(f"{type(self).__name__}.{overridden} is overridden")
        if isinstance(self.oracle.objective, kt_objective.MultiObjective):
            raise NotOnEngine("there are several objectives")
        if self.distribution_strategy is not None:
            raise NotOnEngine("there is a distribution_strategy")
        return request_of(args, kwargs)

    def found(self, request: Request) -> ModelHyperparameters:
        """The space of the search as it is now known, those of the model's `fit` included.

        Raises:
            NotOnEngine: It is none that the engine has.
        """
        custom_fit = trains_itself(self.hypermodel)
        if custom_fit and self.oracle.tune_new_entries and self.oracle.allow_new_entries:
            arrays = request.arrays
            rows = (arrays.x_train, arrays.y_train), (arrays.x_val, arrays.y_val)
            name, known = self.model_name, self._parameters()
            with contextlib.redirect_stdout(io.StringIO()):
                self._note(declared_in(self.hypermodel, name, known, rows, request.target))
        parameters = self._parameters()
        defaults = {each.name: each.default for each in self.oracle.hyperparameters.space}
        trained_by_fit = custom_fit or bool(request.callbacks or request.arguments)
        return ModelHyperparameters(tuple(parameters), defaults, custom_fit=trained_by_fit)

    def _parameters(self) -> list[Parameter]:
        """KerasTuner's space as ours.

        Raises:
            NotOnEngine: One name stands for several things.
        """
        declared: dict[str, list[Any]] = {}
        for hyperparameter in self.oracle.hyperparameters.space:
            declared.setdefault(hyperparameter.name, []).append(hyperparameter)
        try:
            return [self._parameter(name, each) for name, each in declared.items()]
        except InputError as error:
            raise NotOnEngine(str(error)) from None

    def _parameter(self, name: str, declared: Sequence[Any]) -> Parameter:
        parameter = described(name, declared)
        if self.method["name"] == "grid" and parameter.choices is None:
            # As KerasTuner's grid does with a range without a step.
            values = sorted(set(declared[0].values))
            return Parameter(name, Choices(tuple(values)), parameter.when)
        return parameter

    @property
    def model_name(self) -> str:
        """`module:name` of the hypermodel's function or class."""
        model = self.hypermodel
        return model_reference(model.build if isinstance(model, DefaultHyperModel) else model)

    def user_objects(self, request: Request) -> list[Any]:
        """What of the user's crosses to the workers."""
        model = self.hypermodel
        given = model.build if isinstance(model, DefaultHyperModel) else model
        return [given, self.optimizer, self.loss, self.metrics, *request.callbacks]

    def took(self, trial: Trial, result: TrialResult) -> None:
        """A result is stored."""
        self._rows.take(trial, result, self.executions_per_trial, tell=True)


def _overridden(tuner: type) -> str:
    """The first hook that a subclass of the user's replaces; empty where none is."""
    return next((name for name in _HOOKS if _is_users(tuner, name)), "")


def _is_users(tuner: type, name: str) -> bool:
    home = next(base.__module__ for base in tuner.__mro__ if name in vars(base))
    return home.partition(".")[0] not in ("keras_tuner", "hpsearch")


class GridSearch(OnEngine, keras_tuner.GridSearch):  # type: ignore[misc]  # it has no types
    """Every combination of values; of a range without a step, ten, as KerasTuner's has it."""

    @property
    def method(self) -> Mapping[str, Any]:
        """See `OnEngine`."""
        return {"name": "grid"}


class RandomSearch(OnEngine, keras_tuner.RandomSearch):  # type: ignore[misc]
    """Uniform points of the space."""

    @property
    def method(self) -> Mapping[str, Any]:
        """See `OnEngine`."""
        return {"name": "random"}


class BayesianOptimization(OnEngine, keras_tuner.BayesianOptimization):  # type: ignore[misc]
    """A Gaussian process; `alpha` is not used, since the process learns how noisy scores are."""

    @property
    def method(self) -> Mapping[str, Any]:
        """See `OnEngine`."""
        points, beta = self.oracle.num_initial_points, self.oracle.beta
        method = {"name": "bayesian", "beta": float(beta)}
        return method if points is None else {**method, "num_initial_points": int(points)}


class Hyperband(OnEngine, keras_tuner.Hyperband):  # type: ignore[misc]
    """Brackets of successive halving; a config that goes on keeps its optimizer's state."""

    @property
    def method(self) -> Mapping[str, Any]:
        """See `OnEngine`."""
        method = {"name": "hyperband", "factor": int(self.oracle.factor)}
        iterations = self.oracle.hyperband_iterations
        if iterations == float("inf"):
            return method
        return {**method, "hyperband_iterations": int(iterations)}

    @property
    def most_epochs(self) -> int | None:
        """See `OnEngine`."""
        return int(self.oracle.max_epochs)
