"""The driver of a search: a KerasTuner tuner between an oracle and the training engine."""

from __future__ import annotations

import inspect
import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import keras_tuner

from hpsearch.custom.building import load_hypermodel
from hpsearch.engine.search import TunerSpec, strategy_of
from hpsearch.engine.session import Drive
from hpsearch.errors import HpsearchError, InputError
from hpsearch.importing import load_object
from hpsearch.kerastuner.oracle import (
    STATUS,
    StrategyOracle,
    config_from,
    end,
    epochs_of,
    hyperparameters_of,
    metrics_of,
    released,
    values_of,
)
from hpsearch.models.problem import Problem
from hpsearch.search.strategy import (
    Exchange,
    Inquiry,
    OracleEvent,
    Outcome,
    Proposal,
    Reply,
    Strategy,
    search_with,
)
from hpsearch.space.space import Config, Space
from hpsearch.training.subjects import ModelSubject
from hpsearch.wording import error_text, write_trace
from hpsearch.workers.servers import Wire

#: The search fails after this many proposals in a row that cannot be trained.
_MOST_USELESS = 1_000


class SweepHyperModel(keras_tuner.HyperModel):
    """The models of a sweep, from KerasTuner's values of its space."""

    def __init__(self, space: Space, subject: ModelSubject, problem: Problem) -> None:
        super().__init__()
        self._space, self._subject, self._problem = space, subject, problem

    def build(self, hp: keras_tuner.HyperParameters) -> Any:
        """Build and compile the model that the active hyperparameters describe."""
        recipe = self._problem.recipe
        if recipe.model:
            return load_hypermodel(recipe.model, recipe.code).build(hp)
        config = config_from(self._space, hp.values)
        if config is None:
            raise ValueError("these values break a constraint of the sweep")
        return self._subject.build(self._problem, config.values, 0)


class SweepTuner(keras_tuner.Tuner):
    """Searches a space: an oracle proposes, an engine trains, and the oracle gets the outcomes.

    Args:
        name: The oracle's name in messages.
    """

    def __init__(
        self,
        oracle: keras_tuner.Oracle,
        hypermodel: keras_tuner.HyperModel,
        space: Space,
        *,
        name: str = "",
    ) -> None:
        self.space = space
        self.name = name or type(oracle).__name__
        # KerasTuner's oracles write there, but the store keeps everything.
        directory = tempfile.mkdtemp(prefix="hpsearch-tuner-")
        weakref.finalize(self, shutil.rmtree, directory, ignore_errors=True)
        self._running: dict[tuple[str, int | None], list[Any]] = {}
        self._ended: dict[tuple[str, int | None], Any] = {}
        self._met: set[str] = set()
        self._events: list[OracleEvent] = []
        self._again: list[Proposal] = []
        #: The stored config of each trial of an earlier run.
        self._stored: dict[str, Config] = {}
        super().__init__(
            oracle=oracle, hypermodel=hypermodel, directory=directory, project_name="sweep"
        )
        # A forked tuner's process may end without the finalizer.
        shutil.rmtree(directory, ignore_errors=True)

    def save(self) -> None:
        """Do nothing: the space is known, and the store keeps everything."""

    _populate_initial_space = reload = save

    def search(self, engine: Exchange) -> None:
        """Get trials from the oracle, have them trained and report back, until the search ends."""
        search_with(self.answer, engine)

    def answer(self, request: Inquiry) -> Reply:
        """Report outcomes to the oracle, and ask it for trials."""
        try:
            with released(self.oracle):
                self._tell(request.outcomes)
                proposals, exhausted = self._ask(request)
        except Exception as error:  # noqa: BLE001 - code of the user
            return self.failed(error)
        events, self._events = tuple(self._events), []
        return Reply(tuple(proposals), exhausted, events)

    def failed(self, error: Exception) -> Reply:
        """Return the reply that says why the oracle cannot go on."""
        write_trace(error)
        return Reply(error=self._said(error))

    def _said(self, error: Exception) -> str:
        said = error_text(error)
        kind = "" if isinstance(error, HpsearchError) else f"{type(error).__name__}: "
        return (
            f"method: the oracle {self.name} failed: {kind}{said}; what was finished is stored, so "
            "the same command continues once the oracle is mended"
        )

    @property
    def _of_strategy(self) -> bool:
        return isinstance(self.oracle, StrategyOracle)

    # Outcomes

    def _tell(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            key = outcome.config.id, outcome.epochs
            running = self._running.pop(key, [])
            for trial in running:
                self._ended[key] = trial
                metrics, step = self.measured(outcome)
                end(self.oracle, trial, metrics, outcome.error, step=step)
                self.on_trial_end(trial)
                self._log(OracleEvent(trial.trial_id, score=outcome.score))
            if not running and self._of_strategy:
                self.oracle.correct(self._ended.get(key), outcome)

    def measured(self, outcome: Outcome) -> tuple[Mapping[str, float], int]:
        """Return the metrics for the oracle, and their step (from 0)."""
        return metrics_of(self.oracle, outcome), 0

    def on_trial_end(self, trial: Any) -> None:
        """Do nothing: the outcome has been reported to the oracle."""

    def _log(self, event: OracleEvent) -> None:
        # A strategy can be restored from the trials and their outcomes alone.
        if not self._of_strategy:
            self._events.append(event)

    # Proposals

    def _ask(self, request: Inquiry) -> tuple[list[Proposal], bool]:
        proposals, self._again = self._again, []
        if request.closed and self._of_strategy and not self.oracle.strategy.close():
            return proposals, True
        useless = 0
        while len(proposals) < request.room:
            trial = self._created()
            if trial.status != STATUS.RUNNING:
                return proposals, trial.status == STATUS.STOPPED
            if request.closed and not self._of_strategy:
                config = self._config_of(trial)
                if config is None or config.id not in self._met:
                    end(self.oracle, trial, {})
                    return proposals, True
            proposal = self._proposal(trial)
            if proposal is not None:
                proposals.append(proposal)
                continue
            useless += 1
            if useless == _MOST_USELESS:
                raise HpsearchError(
                    f"its last {useless:,} trials all break a constraint of the sweep"
                )
        return proposals, False

    def _created(self) -> Any:
        """The oracle's next trial; its status is IDLE if the oracle waits for a running trial."""
        # KerasTuner gives a tuner one trial at a time, so each trial gets another tuner id.
        trial = self.oracle.create_trial(f"slot-{len(self.oracle.trials)}")
        if trial.status == STATUS.IDLE and not self._running and not self._of_strategy:
            raise HpsearchError("it waits for a trial to end, and none is running")
        return trial

    def _proposal(self, trial: Any) -> Proposal | None:
        """Return a trial's proposal; if it breaks a constraint, end the trial and return None."""
        self.on_trial_begin(trial)
        if self._of_strategy:
            # Listed configs may lie outside the space, which KerasTuner's values cannot express.
            proposal: Proposal = self.oracle.proposals[trial.trial_id]
        else:
            config = self._config_of(trial)
            if config is None:
                end(self.oracle, trial, {})
                return None
            proposal = Proposal(config, epochs_of(trial.hyperparameters.values))
        config = proposal.config
        self._met.add(config.id)
        self._running.setdefault((config.id, proposal.epochs), []).append(trial)
        self._log(OracleEvent(trial.trial_id, config, proposal.epochs))
        return proposal

    # Earlier runs

    def replay(self, events: Sequence[OracleEvent]) -> None:
        """Repeat in a new oracle the proposals and outcomes of another one, in the same order.

        Trials whose end was not reported are proposed again.
        """
        try:
            with released(self.oracle):
                for event in events:
                    self._repeat(event)
        except Exception as error:
            raise HpsearchError(self._said(error)) from error
        self._again = [
            Proposal(config_from(self.space, trial.hyperparameters.values) or Config({}), epochs)
            for (_, epochs), trials in self._running.items()
            for trial in trials
        ]

    def _repeat(self, event: OracleEvent) -> None:
        """Repeat an event."""
        if event.config is None:
            for key, trials in list(self._running.items()):
                for trial in [member for member in trials if member.trial_id == event.trial_id]:
                    outcome = Outcome(self._stored[trial.trial_id], event.score, key[1])
                    metrics, step = self.measured(outcome)
                    end(self.oracle, trial, metrics, step=step)
                    trials.remove(trial)
                if not trials:
                    del self._running[key]
            return
        trial = self._created()
        while trial.status == STATUS.RUNNING and self._config_of(trial) is None:
            end(self.oracle, trial, {})
            trial = self._created()
        if trial.status != STATUS.RUNNING:
            raise HpsearchError(f"it no longer proposes its trial {event.trial_id}")
        self._adopt(trial, event.config, event.epochs)
        self._running.setdefault((event.config.id, event.epochs), []).append(trial)
        self._stored[trial.trial_id] = event.config
        self._met.add(event.config.id)

    def _adopt(self, trial: Any, stored: Config, epochs: int | None) -> None:
        """Give a trial the stored values; an oracle without a fixed seed proposed others."""
        del epochs
        values = trial.hyperparameters.values
        names = {entry.name for entry in self.oracle.hyperparameters.space} | values.keys()
        # Not a tuner's epochs, which all its trials share.
        known = values_of(self.space, stored).items()
        values.update({name: value for name, value in known if name in names})

    def _config_of(self, trial: Any) -> Config | None:
        try:
            return config_from(self.space, trial.hyperparameters.values)
        except ValueError as error:
            raise HpsearchError(f"trial {trial.trial_id}: {error}") from None


def drive(oracle: keras_tuner.Oracle) -> Drive:
    """Return a function that searches silently in this process with the user's oracle."""

    def search(engine: Exchange, spec: TunerSpec, strategy: Strategy | None) -> None:
        del strategy
        verbose, oracle.verbose = oracle.verbose, 0
        space = spec.search.space
        oracle.hyperparameters.merge(hyperparameters_of(space))
        hypermodel = SweepHyperModel(space, spec.subject, spec.problem)
        tuner = SweepTuner(oracle, hypermodel, space, name=spec.search.method.name)
        tuner.replay(spec.past.events)
        try:
            tuner.search(engine)
        finally:
            oracle.verbose = verbose

    return search


def make_tuner(spec: TunerSpec) -> SweepTuner:
    """Return the tuner of a search, in the state that earlier runs left."""
    search, recipe = spec.search, spec.problem.recipe
    hypermodel = SweepHyperModel(search.space, spec.subject, spec.problem)
    strategy = strategy_of(search, recipe)
    if strategy is None:
        tuner = SweepTuner(_oracle_of(spec), hypermodel, search.space, name=search.method.name)
        tuner.replay(spec.past.events)
        return tuner
    if spec.past.configs or spec.past.outcomes:
        strategy.restore(spec.past.configs, spec.past.outcomes)
    oracle = StrategyOracle(
        strategy, search.space, metric=recipe.metric, goal=recipe.goal, seed=search.seed
    )
    return SweepTuner(oracle, hypermodel, search.space, name=search.method.name)


def _oracle_of(spec: TunerSpec) -> keras_tuner.Oracle:
    name, options = spec.search.method.name, spec.search.method.options
    try:
        make = load_object(name)
        oracle = make(**_arguments(make, spec) | dict(options))
    except InputError as error:
        raise InputError(f"method: {error}") from None
    except Exception as error:  # noqa: BLE001 - code of the user
        said = f"{type(error).__name__}: {error_text(error)}"
        raise InputError(f"method: {name} cannot be made: {said}") from None
    if not isinstance(oracle, keras_tuner.Oracle):
        raise InputError(
            f"method: {name} must be a keras_tuner.Oracle, or a function that returns one, not "
            f"{type(oracle).__name__}"
        )
    oracle.verbose = 0
    return oracle


def _arguments(make: Any, spec: TunerSpec) -> dict[str, Any]:
    """Select the arguments of KerasTuner's oracles that a class or function takes."""
    search, recipe = spec.search, spec.problem.recipe
    direction = "max" if recipe.goal == "maximize" else "min"
    arguments: dict[str, Any] = {
        "objective": keras_tuner.Objective(recipe.metric, direction),
        "hyperparameters": hyperparameters_of(search.space),
        "seed": search.seed + 1,
        "allow_new_entries": False,
        "max_consecutive_failed_trials": None,
    }
    if search.limit is not None:
        arguments["max_trials"] = search.limit
    if (most := search.space.most_epochs) is not None:
        arguments["max_epochs"] = most
    parameters = inspect.signature(make).parameters.values()
    taken = {parameter.name for parameter in parameters}
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        taken |= set(inspect.signature(keras_tuner.Oracle).parameters)
    return {name: value for name, value in arguments.items() if name in taken}


class _RemoteEngine:
    """The engine at the other end of a connection."""

    def __init__(self, connection: Wire) -> None:
        self._connection = connection

    def exchange(self, answer: Reply) -> Inquiry | None:
        """See `Exchange.exchange`; None once the driver has closed the connection."""
        import cloudpickle  # not needed where the engine is in the same process

        try:
            self._connection.send_bytes(cloudpickle.dumps(answer))
            request: Inquiry = cloudpickle.loads(self._connection.recv_bytes())
        except (EOFError, OSError):
            return None
        return request


def converse(connection: Wire, spec: TunerSpec) -> None:
    """Search in this process, for an engine in the driver's process."""
    engine = _RemoteEngine(connection)
    try:
        tuner = make_tuner(spec)
    except HpsearchError as error:
        engine.exchange(Reply(error=str(error)))
        return
    tuner.search(engine)
