"""KerasTuner's four tuners on hpsearch's engine."""

from __future__ import annotations

import contextlib
import inspect
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.src.engine import objective as kt_objective
from keras_tuner.src.engine.hypermodel import DefaultHyperModel

from hpsearch.errors import HpsearchError, InputError
from hpsearch.models.callbacks import require_callbacks, within_epochs
from hpsearch.models.custom import TrackedHyperParameters, trains_itself
from hpsearch.models.discovery import declared_in, described
from hpsearch.models.mlp import give_weights
from hpsearch.models.shipping import ModelHyperparameters, model_reference
from hpsearch.search.asking import Exchange
from hpsearch.search.oracle import StrategyOracle
from hpsearch.search.strategy import Strategy
from hpsearch.space.space import Choices, Parameter
from hpsearch.store.store import Store
from hpsearch.tuner.search import TunerSpec
from hpsearch.tuner.sweep_tuner import SweepTuner, drive
from hpsearch.tuners.arguments import NotOnEngine, Request, request_of
from hpsearch.tuners.trials import TunerTrials, kept_servers, row_shape_in, search

#: Methods that a subclass may override and that only KerasTuner's own loop calls.
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
    """The base of the four tuners.

    Workers train several trials at a time. The project's directory gets the files of
    `hpsearch run`: results.csv, sweep.db, run.log. A tuner that overrides `run_trial` or a hook,
    data that is not arrays, sample weights, and several objectives run in this process, as
    KerasTuner runs them, and `search` prints why.

    Args:
        args, kwargs: KerasTuner's.
        workers: The number of trials at a time; None for one on each core.
    """

    def __init__(self, *args: Any, workers: int | None = None, **kwargs: Any) -> None:
        self.workers = workers
        self._trials = TunerTrials(self)
        if not _overridden(type(self)):
            kept_servers()
        arguments = inspect.signature(super().__init__).bind_partial(*args, **kwargs).arguments
        #: KerasTuner takes None and 0 for "choose one at random".
        self._has_seed = bool(arguments.get("seed"))
        super().__init__(*args, **kwargs)
        if self._store.exists():
            self.reload()

    @property
    def method(self) -> Mapping[str, Any]:
        """The `method` of a sweep file."""
        raise NotImplementedError

    @property
    def asks_its_oracle(self) -> bool:
        """Whether `oracle` is the user's, and proposes the trials."""
        return False

    def drive(self, engine: Exchange, spec: TunerSpec, strategy: Strategy | None) -> None:
        """Search with an oracle around hpsearch's own method."""
        assert strategy is not None
        recipe = spec.problem.recipe
        space, seed = spec.search.space, spec.search.seed
        oracle = StrategyOracle(strategy, space, metric=recipe.metric, goal=recipe.goal, seed=seed)
        SweepTuner(oracle, self.hypermodel, space, name=type(self).__name__).search(engine)

    @property
    def most_epochs(self) -> int | None:
        """Epochs of a trial, if the method decides them and not `search`."""
        return None

    @property
    def _store(self) -> Path:
        return Path(self.project_dir, "sweep.db")

    # KerasTuner's methods

    def _activate_all_conditions(self) -> None:
        """Find the hyperparameters, including some that KerasTuner's first builds miss."""
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
        """Call KerasTuner's only for TensorBoard: it needs the package tensorboard."""
        if any(type(callback).__name__ == "TensorBoard" for callback in callbacks):
            super()._configure_tensorboard_dir(callbacks, trial, execution)

    def load_model(self, trial: Any) -> Any:
        """Return the model of a trial, with the weights of its best epoch."""
        number = self._trials.best_number(trial.trial_id)
        if number is None:
            return super().load_model(trial)
        values = TrackedHyperParameters(trial.hyperparameters.values, lambda each: each.default)
        model = self._try_build(values)
        with Store(self._store, read_only=True) as store:
            weights, shape = store.weights(number), row_shape_in(store)
        if weights is None:
            name = trial.trial_id
            raise HpsearchError(f"{self._store}: the weights of trial {name} were not kept")
        if not model.built:
            give_weights(model, shape)
        model.set_weights(list(weights))
        return model

    def reload(self) -> None:
        """Load the trials from the project's directory, and the seed unless one was given."""
        if not self._store.exists():
            super().reload()
            return
        with Store(self._store, read_only=True) as store:
            executions, results = store.executions(), store.results()
            identity = store.facts().identity
        if identity is not None and not self._has_seed:
            self.oracle.seed = identity.recipe["seed"]
        for execution in executions:
            if execution.number in results:
                self._trials.take(execution, results[execution.number])

    def search(self, *args: Any, **kwargs: Any) -> None:
        """Search for the best hyperparameters; takes KerasTuner's arguments, and those of `fit`.

        Raises:
            HpsearchError: The project's directory holds another search's results, or cannot be
                written.
            RuntimeError: No trial completed.
        """
        if "verbose" in kwargs:
            self.oracle.verbose = kwargs["verbose"]
        try:
            search(self._trials, self._request(args, kwargs))
        except NotOnEngine as reason:
            if self.oracle.verbose:
                print(f"hpsearch: the trials run in this process, one by one: {reason}")  # noqa: T201
            super().search(*args, **kwargs)

    def _request(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Request:
        """Return the request for the engine.

        Raises:
            InputError: A callback is none.
            NotOnEngine: The engine cannot run this tuner or these arguments.
        """
        overridden = _overridden(type(self))
        if overridden:
            raise NotOnEngine(f"{type(self).__name__}.{overridden} is overridden")
        if isinstance(self.oracle.objective, kt_objective.MultiObjective):
            raise NotOnEngine("there are several objectives")
        if self.distribution_strategy is not None:
            raise NotOnEngine("there is a distribution_strategy")
        request = request_of(args, kwargs)
        require_callbacks(request.callbacks)
        return request

    def model_hyperparameters(self, request: Request) -> ModelHyperparameters:
        """Return the known hyperparameters, including those that the model's `fit` declares.

        Raises:
            NotOnEngine: The engine cannot express them.
        """
        custom_fit = trains_itself(self.hypermodel)
        if custom_fit and self.oracle.tune_new_entries and self.oracle.allow_new_entries:
            arrays = request.arrays
            rows = (arrays.x_train, arrays.y_train), (arrays.x_val, arrays.y_val)
            name, known = self.model_name, self._parameters()
            with contextlib.redirect_stdout(io.StringIO()):
                declared = declared_in(
                    self.hypermodel, name, known, rows, request.target, inputs=request.inputs
                )
                self._note(declared)
        defaults = {each.name: each.default for each in self.oracle.hyperparameters.space}
        by_fit = custom_fit or bool(request.arguments or within_epochs(request.callbacks))
        whole = bool(request.callbacks)
        found = tuple(self._parameters())
        return ModelHyperparameters(found, defaults, custom_fit=by_fit, whole=whole)

    def _parameters(self) -> list[Parameter]:
        """Convert KerasTuner's space.

        Raises:
            NotOnEngine: A name has several meanings.
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
            # KerasTuner's grid takes these values of a range without a step.
            values = sorted(set(declared[0].values))
            return Parameter(name, Choices(tuple(values)), parameter.when)
        return parameter

    @property
    def given_model(self) -> Any:
        """The function or hypermodel that the user passed."""
        model = self.hypermodel
        return model.build if isinstance(model, DefaultHyperModel) else model

    @property
    def model_name(self) -> str:
        """`module:name` of the hypermodel's function or class."""
        return model_reference(self.given_model)


def _overridden(tuner: type) -> str:
    """Return the first hook that a user's subclass overrides; empty if it overrides none."""
    return next((name for name in _HOOKS if _is_users(tuner, name)), "")


def _is_users(tuner: type, name: str) -> bool:
    home = next(base.__module__ for base in tuner.__mro__ if name in vars(base))
    return home.partition(".")[0] not in ("keras_tuner", "hpsearch")


class Tuner(OnEngine):
    """Asks an oracle of the user, as KerasTuner's own `Tuner` does."""

    @property
    def method(self) -> Mapping[str, Any]:
        return {"name": f"{type(self.oracle).__module__}:{type(self.oracle).__qualname__}"}

    @property
    def asks_its_oracle(self) -> bool:
        return True

    def drive(self, engine: Exchange, spec: TunerSpec, strategy: Strategy | None) -> None:
        """Search with the oracle."""
        search = drive(self.oracle, self.hypermodel, str(self.directory), str(self.project_name))
        search(engine, spec, strategy)


class GridSearch(OnEngine, keras_tuner.GridSearch):  # type: ignore[misc]  # it has no types
    """Tries every combination; ten values of a range without a step, as KerasTuner does."""

    @property
    def method(self) -> Mapping[str, Any]:
        return {"name": "grid"}


class RandomSearch(OnEngine, keras_tuner.RandomSearch):  # type: ignore[misc]
    """Tries uniform points of the space."""

    @property
    def method(self) -> Mapping[str, Any]:
        return {"name": "random"}


class BayesianOptimization(OnEngine, keras_tuner.BayesianOptimization):  # type: ignore[misc]
    """Models scores by a Gaussian process, which ignores `alpha` and fits the noise."""

    @property
    def method(self) -> Mapping[str, Any]:
        points, beta = self.oracle.num_initial_points, self.oracle.beta
        method = {"name": "bayesian", "beta": float(beta)}
        return method if points is None else {**method, "num_initial_points": int(points)}


class Hyperband(OnEngine, keras_tuner.Hyperband):  # type: ignore[misc]
    """Halves brackets of configs; one that continues keeps its optimizer's state."""

    @property
    def method(self) -> Mapping[str, Any]:
        method = {"name": "hyperband", "factor": int(self.oracle.factor)}
        iterations = self.oracle.hyperband_iterations
        endless = iterations == float("inf")
        return method if endless else {**method, "hyperband_iterations": int(iterations)}

    @property
    def asks_its_oracle(self) -> bool:
        """Whether `oracle` is the user's, and proposes the trials."""
        return False

    def drive(self, engine: Exchange, spec: TunerSpec, strategy: Strategy | None) -> None:
        """Search with an oracle around hpsearch's own method."""
        assert strategy is not None
        recipe = spec.problem.recipe
        space, seed = spec.search.space, spec.search.seed
        oracle = StrategyOracle(strategy, space, metric=recipe.metric, goal=recipe.goal, seed=seed)
        SweepTuner(oracle, self.hypermodel, space, name=type(self).__name__).search(engine)

    @property
    def most_epochs(self) -> int | None:
        return int(self.oracle.max_epochs)
