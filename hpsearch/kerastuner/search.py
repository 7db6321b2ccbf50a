"""Run a tuner's search on the engine, if the engine can, as a sweep."""

from __future__ import annotations

import contextlib
import copy
import inspect
import io
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np

from hpsearch.custom import kerastuner_names as kt
from hpsearch.custom.building import (
    Tailored,
    TrackedHyperParameters,
    apart,
    give_weights,
    trains_itself,
)
from hpsearch.custom.callbacks import require_callbacks, within_epochs
from hpsearch.custom.discovery import declared_in, described
from hpsearch.custom.fit_arguments import NotOnEngine, Request, request_of
from hpsearch.custom.shipping import CustomModel, ModelHyperparameters, model_reference, shipped
from hpsearch.data.assembly import fingerprint
from hpsearch.data.dataset import Dataset, Split
from hpsearch.data.loading import InMemoryRows
from hpsearch.data.specs import TrainingData
from hpsearch.engine.search import TunerSpec
from hpsearch.engine.session import Settings, keras_changes
from hpsearch.engine.sweep import run_sweep
from hpsearch.errors import ChangedSweepError, HpsearchError, InputError, Interrupted, RefusedError
from hpsearch.files import cut_beginning
from hpsearch.importing import code_digest
from hpsearch.kerastuner.oracle import STATUS, StrategyOracle
from hpsearch.kerastuner.overrides import TrialNames, UserFit, require_plain_tuner, user_members
from hpsearch.kerastuner.trials import ProjectTuner, TunerTrials, trial_listener
from hpsearch.models.arrays import LoaderWithModel
from hpsearch.search.strategy import Exchange, Strategy
from hpsearch.space.space import Choices, Parameter
from hpsearch.spec.rules import clean_name
from hpsearch.spec.sweep import Sweep, model_sweep, sweep_from_mapping, sweep_from_text
from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.store import Store
from hpsearch.workers.servers import Servers

#: Budget of a search that only its oracle ends.
_ENDLESS = 10**9


class EngineSearch:
    """The searches of one of KerasTuner's tuners on the engine.

    Args:
        tuner: The tuner, not yet initialised.
        seeded: Whether the user gave a seed.
        workers: The number of trials at a time; None for one on each core.
    """

    def __init__(self, tuner: keras_tuner.Tuner, *, seeded: bool, workers: int | None) -> None:
        self.tuner = tuner
        self.seeded = seeded
        self.workers = workers
        self.trials = TunerTrials(self)
        #: The oracle's state before its first proposal.
        self._new: dict[str, Any] = {}
        #: True if the oracle itself has created the stored trials, in this process.
        self._live = False
        self._begun = False
        #: Builds and trains the models of the search under way.
        self._hypermodel: keras_tuner.HyperModel | None = None
        #: True if user code, a `run_trial` or a `fit`, gets the arguments of `search`.
        self.own = False

    @property
    def store(self) -> Path:
        """The store in the project's directory."""
        return Path(self.tuner.project_dir, "sweep.db")

    @property
    def asks_the_oracle(self) -> bool:
        """True if the tuner's oracle proposes, False if a method of hpsearch replaces it."""
        return ":" in method_of(self.tuner)["name"]

    # The tuner's methods

    def begin(self) -> None:
        """Load the project."""
        self._begun = True
        if not _is_shared():
            self._new = copy.deepcopy(self.tuner.oracle.get_state())
            self.reload()

    def reload(self) -> bool:
        """Load the trials of the store, if there is one.

        The oracle takes the store's seed, as in KerasTuner, unless the user gave another one.
        """
        if not self.store.exists():
            return False
        if not self._begun:
            # KerasTuner's constructor calls this before the tuner has all its attributes.
            return True
        # The store is complete, whatever KerasTuner makes of incomplete files.
        with contextlib.suppress(Exception):
            self.tuner.oracle.reload()
        # KerasTuner reads files in the directory's order, which would decide between equal scores.
        self.tuner.oracle.trials = dict(sorted(self.tuner.oracle.trials.items()))
        with Store(self.store, read_only=True) as store:
            self._require_method(store)
            executions, results = store.executions(), store.results()
            events = store.events()
            identity = store.facts().identity
        if identity is not None:
            seed = self._new["seed"] if self.seeded else identity.recipe["seed"]
            self.tuner.oracle.seed = self._new["seed"] = self._new["seed_state"] = seed
        self.trials.clear()
        if not self.asks_the_oracle:
            self.trials.reserve(executions)
        for execution in executions:
            if execution.number in results:
                self.trials.take(execution, results[execution.number])
        if self.asks_the_oracle:
            self.trials.restore(events)
        return True

    def _require_method(self, store: Store) -> None:
        """Check that the project's trials come from the same kind of search."""
        before = sweep_from_text(store.facts().sweep).method.name
        now = method_of(self.tuner)["name"]
        if before != now:
            raise RuntimeError(
                f"{self.tuner.project_dir} holds the trials of a search by {before}, and this is "
                f"{now}: change the `project_name`, or pass `overwrite=True` to begin anew"
            )

    def model_of(self, trial: Any) -> Any:
        """Return a trial's model with its best epoch's weights; None without a score.

        Raises:
            HpsearchError: The weights were not kept.
        """
        number = self.trials.best_number(trial)
        if number is None:
            return None
        values = TrackedHyperParameters(trial.hyperparameters.values, lambda entry: entry.default)
        # Not the tuner's method, in which KerasTuner's Hyperband would load a checkpoint.
        with apart():
            model = keras_tuner.Tuner._build_hypermodel(self.tuner, values)
        with Store(self.store, read_only=True) as store:
            weights, shape = store.weights(number), row_shape_in(store)
        if weights is None:
            name = trial.trial_id
            raise HpsearchError(f"{self.store}: the weights of trial {name} were not kept")
        if not model.built:
            give_weights(model, shape)
        model.set_weights(list(weights))
        return model

    def run(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
        """Search on the engine with the arguments of `search`; False if it cannot run them.

        Raises:
            KeyboardInterrupt: The user interrupted it.
            RuntimeError: No trial completed, or too many failed one after another.
        """
        oracle = self.tuner.oracle
        # Where processes share the trials, an OracleClient has few of an oracle's attributes.
        ended = () if _is_shared() else oracle.end_order
        if oracle.max_trials and len(ended) >= oracle.max_trials:
            # KerasTuner would do nothing, whatever the arguments are.
            return True
        try:
            self._run(self._request(args, kwargs))
        except NotOnEngine as reason:
            if getattr(oracle, "verbose", True):
                print(f"hpsearch: the trials run in this process, one by one: {reason}")
            return False
        return True

    def _request(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Request:
        """Return the request for the engine."""
        self._require_engine()
        tuner = self.tuner
        self.own = "run_trial" in user_members(tuner) or trains_itself(tuner.hypermodel)
        if self.own:
            _require_arrays(args, kwargs)
        request = request_of(args, kwargs, own_fit=self.own)
        self._hypermodel = UserFit(tuner, len(args), kwargs) if self.own else tuner.hypermodel
        require_callbacks(request.callbacks)
        return request

    def _require_engine(self) -> None:
        """Check that workers can run the tuner's trials."""
        if _is_shared():
            raise NotOnEngine("KERASTUNER_ORACLE_IP is set, so that processes share the trials")
        if self.tuner.oracle.trials and not self.store.exists():
            raise NotOnEngine("KerasTuner's own loop began this project")
        require_plain_tuner(self.tuner)

    def _tell_what_stays(self, request: Request) -> None:
        """Print which user code runs in workers, where it cannot change objects of this process."""
        runs = "run_trial" in user_members(self.tuner)
        names = [f"{type(self.tuner).__name__}.run_trial"] if runs else []
        users = map(type, request.callbacks)
        names += [user.__name__ for user in users if not user.__module__.startswith("keras.")]
        if names and self.tuner.oracle.verbose:
            said = f"{', '.join(dict.fromkeys(names))} runs in other processes"
            print(f"hpsearch: {said}: what it changes in this program stays there")
        if changes := keras_changes():
            # KerasTuner's loop trains in float32, too: it clears Keras' state before each build.
            print(f"hpsearch: {changes}, but models are float32 unless build itself sets a policy")

    def _run(self, request: Request) -> None:
        tuner, trials = self.tuner, self.trials
        where = Path(tuner.project_dir)
        settings = Settings(
            out=where,
            workers=self.workers,
            report=False,
            model=False,
            drive=self._drive,
            repeat=trials.repeats,
        )
        # The servers import TensorFlow while this process builds models and reads the rows.
        with servers_of_search(ResultsDirectory(where)) as servers:
            try:
                hyperparameters = self._hyperparameters(request)
                model = self._model(request, hyperparameters)
            except InputError as error:
                raise NotOnEngine(str(error)) from None
            sweep = sweep_of(tuner, request, hyperparameters, self._model_name)
            dataset = dataset_of(request)
            loader = LoaderWithModel(lambda _: dataset, model)
            self._tell_what_stays(request)
            try:
                outcome = run_sweep(sweep, settings, trial_listener(trials), loader, servers)
            except ChangedSweepError as error:
                raise RefusedError(
                    f"{error}\nFor a tuner: overwrite=True begins anew, another project_name keeps "
                    "both"
                ) from None
            except Interrupted as error:
                if error.by_keyboard:
                    raise KeyboardInterrupt from error
                raise
            finally:
                trials.save()
        ended = tuner.oracle.trials.values()
        if not (outcome.completed or any(trial.status == STATUS.COMPLETED for trial in ended)):
            failed = [trial for trial in ended if trial.message]
            why = failed[-1].message if failed else "none was tried"
            raise RuntimeError(f"no trial completed; the last one: {why}")

    def _drive(self, engine: Exchange, spec: TunerSpec, strategy: Strategy | None) -> None:
        """Search with the tuner's oracle, or with an oracle around a method of hpsearch."""
        tuner, search, recipe = self.tuner, spec.search, spec.problem.recipe
        oracle = tuner.oracle
        if not self.asks_the_oracle:
            assert strategy is not None
            oracle = StrategyOracle(
                strategy, search.space, metric=recipe.metric, goal=recipe.goal, seed=search.seed
            )
        name = type(tuner).__name__
        driven = ProjectTuner(self.trials, oracle, self._hypermodel, search.space, name=name)
        tuner.oracle._set_project_dir(tuner.directory, tuner.project_name)
        if self.asks_the_oracle and not self._live:
            self._replay(driven, spec)
        # After an error or an interruption, rebuild the oracle as another process would.
        self._live = False
        driven.search(engine)
        self._live = True

    def _replay(self, driven: ProjectTuner, spec: TunerSpec) -> None:
        """Replay silently in the oracle what it did in an earlier process."""
        oracle = driven.oracle
        verbose, oracle.verbose = oracle.verbose, 0
        # Trials that failed in that process must not end this search.
        most, oracle.max_consecutive_failed_trials = oracle.max_consecutive_failed_trials, None
        hyperparameters = oracle.hyperparameters
        oracle.trials.clear()
        oracle.set_state(copy.deepcopy(self._new))
        oracle.hyperparameters = hyperparameters
        driven.replay(spec.past.events)
        oracle.verbose, oracle.max_consecutive_failed_trials = verbose, most
        for trial in oracle.ongoing_trials.values():
            # KerasTuner shows a trial's end only if it has shown its start.
            oracle._display.on_trial_begin(trial)

    # The sweep's hyperparameters and code

    def _hyperparameters(self, request: Request) -> ModelHyperparameters:
        """Return the hyperparameters, including those that KerasTuner's first build missed."""
        tuner, oracle = self.tuner, self.tuner.oracle
        row = None if request.inputs else request.input.shape or None
        custom_fit = trains_itself(self._hypermodel)
        if oracle.tune_new_entries and oracle.allow_new_entries:
            declared, name = self._parameters(), self._model_name
            self._note(declared_in(tuner.hypermodel, name, declared, row=row))
            if self.own:
                self._note(self._declared_by_fit(request))
        defaults = {entry.name: entry.default for entry in oracle.hyperparameters.space}
        by_fit = custom_fit or bool(request.arguments or within_epochs(request.callbacks))
        whole = bool(request.callbacks)
        parameters = tuple(self._parameters())
        code = code_digest(tuner.hypermodel)
        return ModelHyperparameters(parameters, defaults, custom_fit=by_fit, whole=whole, code=code)

    def _declared_by_fit(self, request: Request) -> Sequence[Any]:
        data = TrainingData(request.input, request.target, request.arrays)
        fitting = Tailored(self._hypermodel, custom_fit=True, arguments=request.arguments)
        # Hide the output of code that the trials will run again.
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return declared_in(fitting, self._model_name, self._parameters(), data)

    def _note(self, declared: Sequence[Any]) -> None:
        hyperparameters = keras_tuner.HyperParameters()
        hyperparameters.merge(declared)
        self.tuner.oracle.update_space(hyperparameters)

    def _parameters(self) -> list[Parameter]:
        """Convert KerasTuner's space."""
        declared: dict[str, list[Any]] = {}
        for hyperparameter in self.tuner.oracle.hyperparameters.space:
            declared.setdefault(hyperparameter.name, []).append(hyperparameter)
        parameters = [described(name, declarations) for name, declarations in declared.items()]
        if method_of(self.tuner)["name"] == "grid":
            for index, parameter in enumerate(parameters):
                if parameter.choices is None:
                    # From a range without a step, KerasTuner's grid takes these values.
                    values = sorted(set(declared[parameter.name][0].values))
                    parameters[index] = replace(parameter, domain=Choices(tuple(values)))
        return parameters

    def _model(self, request: Request, declared: ModelHyperparameters) -> CustomModel:
        """Return the hypermodel for workers."""
        tuner = self.tuner
        settings = {
            "optimizer": tuner.optimizer,
            "loss": tuner.loss,
            "metrics": tuner.metrics,
            "most_weights": tuner.max_model_size,
        }
        users = [self._given_model, type(tuner), *settings.values()]
        tailored = Tailored(
            self._hypermodel,
            custom_fit=declared.custom_fit,
            **settings,
            callbacks=request.callbacks,
            arguments=request.arguments,
            renamed=TrialNames(self.store.parent.absolute()).renamed,
        )
        return CustomModel(
            *shipped(tailored, self._model_name, of=[*users, *request.callbacks]),
            found=declared,
            late="drawn" if tuner.oracle.tune_new_entries else "default",
            tolerant=True,
            summed=summed(tuner.oracle.objective),
            files=tailored.files,
        )

    @property
    def _given_model(self) -> Any:
        """The function or hypermodel that the user passed."""
        model = self.tuner.hypermodel
        return model.build if isinstance(model, kt.DefaultHyperModel) else model

    @property
    def _model_name(self) -> str:
        """`module:name` of the hypermodel's function or class."""
        return model_reference(self._given_model)


def _require_arrays(args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Check that user code gets the same rows in a worker as here."""
    rows = [*args, *(kwargs[name] for name in ("x", "y") if name in kwargs)]
    if len(args) > len(("x", "y")) or not all(isinstance(part, np.ndarray) for part in rows):
        raise NotOnEngine("code of the program's own gets other arguments than the arrays x and y")


def _is_shared() -> bool:
    """Check if processes share the trials: KerasTuner's distributed mode."""
    return bool(os.environ.get("KERASTUNER_ORACLE_IP"))


@contextlib.contextmanager
def servers_of_search(where: ResultsDirectory) -> Iterator[Servers]:
    """Start the servers of one search, and add their output to its log at the end."""
    with tempfile.TemporaryFile("a+", encoding="utf-8") as log:
        try:
            with Servers(log) as servers:
                yield servers
        finally:
            copy_log(log.fileno(), where)


def copy_log(descriptor: int, where: ResultsDirectory) -> None:
    """Append what workers wrote, if anything, to a project's log."""
    output = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    if not output:
        return
    with contextlib.suppress(OSError), where.open_log() as log:
        log.write(output.decode("utf-8", "replace"))
        log.flush()
        cut_beginning(log)


# The tuner's search as a sweep


def method_of(tuner: keras_tuner.Tuner) -> Mapping[str, Any]:
    """Return the `method` of a sweep file; the tuner's oracle has a name with a colon."""
    oracle = tuner.oracle
    if isinstance(tuner, keras_tuner.GridSearch):
        return {"name": "grid"}
    if isinstance(tuner, keras_tuner.BayesianOptimization):
        return {"name": "bayesian", **_bayesian(oracle)}
    for name in ("HyperbandOracle", "RandomSearchOracle"):
        if isinstance(oracle, getattr(keras_tuner.oracles, name)):
            return {"name": f"keras_tuner.oracles:{name}"}
    return {"name": model_reference(type(oracle))}


def _bayesian(oracle: Any) -> dict[str, Any]:
    options: dict[str, Any] = {"beta": float(oracle.beta), "prior": "none"}
    default = inspect.signature(type(oracle).__init__).parameters["alpha"].default
    if oracle.alpha != default:
        # If omitted, the noise is fitted.
        options["alpha"] = float(oracle.alpha)
    if oracle.num_initial_points is not None:
        options["num_initial_points"] = int(oracle.num_initial_points)
    return options


def sweep_of(tuner: Any, request: Request, found: ModelHyperparameters, model: str) -> Sweep:
    """Return the sweep of a tuner's search, with the model's hyperparameters and `module:name`."""
    oracle, objective, method = tuner.oracle, tuner.oracle.objective, method_of(tuner)
    arrays = request.arrays
    validation = arrays.x_val, arrays.y_val
    rows = InMemoryRows(arrays.x_train, arrays.y_train, arrays.w_train, validation)
    raw: dict[str, Any] = {
        "name": clean_name(str(tuner.project_name)),
        "seed": int(oracle.seed),
        "data": {"memory": rows.described},
        "model": model,
        "metric": {
            "name": objective.name,
            "goal": "maximize" if objective.direction == "max" else "minimize",
            "epoch": "best",
        },
        "method": dict(method),
        "parameters": _fixed(oracle, request, found),
        "seeds": int(tuner.executions_per_trial),
        "keep": "all",
    }
    if oracle.max_trials and not tuner._hpsearch.asks_the_oracle:
        raw["budget"] = {"trials": int(oracle.max_trials)}
    elif method["name"] != "grid":
        # The oracle ends the search.
        raw["budget"] = {"trials": _ENDLESS}
    return model_sweep(sweep_from_mapping(raw))


def _fixed(oracle: Any, request: Request, declared: ModelHyperparameters) -> dict[str, int]:
    """Return the epochs and batch size of all trials, unless the model declares them."""
    # Hyperband decides the epochs, not `search`.
    epochs = getattr(oracle, "max_epochs", None) or request.epochs
    fixed = {"epochs": epochs, "batch_size": request.batch_size}
    if not declared.custom_fit:
        defaults_of_fit = {"epochs": 1, "batch_size": 32}
        fixed = {name: value or defaults_of_fit[name] for name, value in fixed.items()}
    return {n: int(v) for n, v in fixed.items() if v is not None and n not in declared.defaults}


def summed(objective: Any) -> tuple[tuple[str, int], ...]:
    """Return the metrics in the minimized sum, with their signs; empty for a single metric."""
    if not isinstance(objective, kt.MultiObjective):
        return ()
    directions = objective.name_to_direction
    return tuple((name, 1 if way == "min" else -1) for name, way in directions.items())


def dataset_of(request: Request) -> Dataset:
    """Return the arrays as a dataset, without scaling, encoding or standardising them."""
    arrays = request.arrays
    train = Split(arrays.x_train, arrays.y_train, arrays.w_train)
    validation = Split(arrays.x_val, arrays.y_val, arrays.w_val)
    splits = {"train": train, "validation": validation}
    parts = [part.in_fingerprint for part in (*request.parts, *request.inputs)]
    return Dataset(
        name="memory",
        input=request.input,
        target=request.target,
        train=train,
        validation=validation,
        test=None,
        fingerprint=fingerprint(splits, parts),
    )


def row_shape_in(store: Store) -> tuple[int, ...]:
    """Return the shape of a row of the data that a store's trials used."""
    memory = model_sweep(sweep_from_text(store.facts().sweep)).data.memory
    shape = re.match(r"\(([\d, ]*)\)", (memory or {}).get("x", ""))
    return tuple(int(n) for n in re.findall(r"\d+", shape.group(1) if shape else ""))[1:]
