"""Turn the rows of a tuner's project into its oracle's trials."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from keras_tuner import errors as kt_errors

from hpsearch.custom import kerastuner_names as kt
from hpsearch.engine.session import Listener, RunEvent, Stored, stack_level_of_caller
from hpsearch.kerastuner.oracle import (
    EPOCHS,
    INITIAL_EPOCH,
    STATUS,
    TRIAL_ID,
    StrategyOracle,
    complete,
    config_from,
    epochs_of,
)
from hpsearch.kerastuner.overrides import TrialNames, next_number, padded
from hpsearch.kerastuner.sweep_tuner import SweepTuner
from hpsearch.search.strategy import OracleEvent, Outcome, Reply
from hpsearch.space.execution import Epoch, Execution, ExecutionResult, Status
from hpsearch.space.space import Config
from hpsearch.workers.protocol import Said


class TunerTrials:
    """The trials of the oracle of an `EngineSearch`'s tuner.

    A KerasTuner trial is a config with all its executions. Its score is the mean of the executions'
    best epochs. If the tuner's oracle proposes, it creates the trials itself.
    """

    def __init__(self, search: Any) -> None:
        self._search, self.tuner = search, search.tuner
        #: Config -> execution -> result.
        self._results: dict[str, dict[int, ExecutionResult]] = {}
        #: Config -> trial that a method of hpsearch proposed.
        self._ids: dict[str, str] = {}
        #: Trial -> config.
        self._configs: dict[str, str] = {}
        #: Config -> number of its trial, for stored trials, also without a result yet.
        self._reserved: dict[str, int] = {}

    @property
    def _oracle(self) -> Any:
        return self.tuner.oracle

    def best_number(self, trial: Any) -> int | None:
        """Return the number of the trial's best execution, whose weights the trial's model gets.

        If another trial continued this one, its weights were not kept; a warning says so.
        """
        results = self._results.get(self._configs.get(trial.trial_id, ""), {})
        scored = [result for result in results.values() if result.score is not None]
        if not scored:
            return None
        best = max(scored, key=lambda result: (self._sign * (result.score or 0.0), -result.number))
        epochs = epochs_of(trial.hyperparameters.values)
        if epochs is not None and len(best.curve) > epochs:
            warnings.warn(
                f"trial {trial.trial_id} ended after {epochs} epochs, and a later one continued it:"
                f" its model has the weights of the best of {len(best.curve)} epochs",
                UserWarning,
                stacklevel=stack_level_of_caller(),
            )
        return best.number

    @property
    def _sign(self) -> float:
        return 1.0 if self._oracle.objective.direction == "max" else -1.0

    # Trials proposed by a method of hpsearch

    def reserve(self, executions: Sequence[Execution]) -> None:
        """Reserve the ids of stored trials, also without a result yet.

        Their trainings may go on at once, in files named by the ids.
        """
        # The engine counts trials from 1.
        self._reserved = {execution.config.id: execution.trial - 1 for execution in executions}
        ids = {config: padded(self._oracle, n) for config, n in self._reserved.items()}
        names = TrialNames(Path(self.tuner.project_dir))
        noted = names.known
        names.note({config: name for config, name in ids.items() if noted.get(config) != name})

    def begin(self, config: Config) -> None:
        """Add a proposed trial, unless it exists."""
        if config.id in self._ids:
            return
        oracle = self._oracle
        made = self._add(config, self._reserved.get(config.id, self._next))
        self.name(config, made.trial_id)
        oracle._display.on_trial_begin(made)

    @property
    def _next(self) -> int:
        """A number greater than those of all trials."""
        return next_number(self._oracle, self._reserved.values())

    def name(self, config: Config, trial_id: str) -> None:
        """Record a trial's id, also for workers, where user code names files by it."""
        self._configs[trial_id] = config.id
        TrialNames(Path(self.tuner.project_dir)).note({config.id: trial_id})

    def _add(self, config: Config, number: int) -> Any:
        trial_id = padded(self._oracle, number)
        if trial_id in self._oracle.trials:
            # KerasTuner's own loop has added it.
            return self._add(config, self._next)
        self._ids[config.id] = trial_id
        self._configs[trial_id] = config.id
        return self._made(config, trial_id)

    def _made(self, config: Config, trial_id: str) -> Any:
        oracle = self._oracle
        hyperparameters = oracle.hyperparameters.copy()
        declared = {entry.name for entry in hyperparameters.space}
        hyperparameters.values = {
            name: value
            for name, value in config.values.items()
            if name in declared or name not in ("epochs", "batch_size")
        }
        made = kt.Trial(hyperparameters, trial_id, STATUS.RUNNING)
        oracle.trials[trial_id] = made
        oracle.start_order.append(trial_id)
        return made

    def take(self, execution: Execution, result: ExecutionResult, *, show: bool = False) -> None:
        """Add a row; a config's last execution completes the trial, which `show` displays.

        Raises:
            FatalError: The user's code raised one.
            RuntimeError: Too many trials failed one after another.
        """
        config = execution.config
        results = self._results.setdefault(config.id, {})
        results[execution.number] = result
        if self._search.asks_the_oracle:
            return
        if len(results) < self.tuner.executions_per_trial:
            return
        trial_id = self._ids.get(config.id)
        made = self._oracle.trials.get(trial_id) or self._add(config, execution.trial - 1)
        self._end(made, list(results.values()))
        if made.trial_id not in self._oracle.end_order:
            self._oracle.end_order.append(made.trial_id)
        if show:
            self._oracle._save_trial(made)
            self._show(made, sum(finished.seconds for finished in results.values()))
            self.tell_failure(made)
            self._oracle._check_consecutive_failures()

    def repeats(self, result: ExecutionResult, runs: int) -> bool:
        """Check if a training that gave no score in `runs` runs is repeated, as in KerasTuner.

        A diverged training is repeated only if user code may draw other random numbers: the
        engine would draw the same again.
        """
        if result.status is Status.DIVERGED and not self._search.own:
            return False
        left = self._oracle.max_retries_per_trial + 1 - runs
        kind = getattr(kt_errors, result.error.partition(":")[0], None)
        fails = kind is kt_errors.FailedTrialError or _fatal(result) is not None
        return left > 0 and not fails

    def _end(self, made: Any, results: Sequence[ExecutionResult]) -> None:
        made.hyperparameters.values.update(results[0].late)
        failed = next((result for result in results if not result.status.scored), None)
        if failed is not None:
            self._fail(made, failed)
            _raise_if_fatal(failed)
            return
        complete(made, self._oracle.objective, *self._measured(results, None))

    def _fail(self, made: Any, result: ExecutionResult) -> None:
        made.status = STATUS.FAILED
        made.message = result.traceback or result.error or str(result.status)
        if result.status is Status.DIVERGED:
            made.score = math.nan

    def _measured(
        self, results: Sequence[ExecutionResult], epochs: int | None
    ) -> tuple[dict[str, float], int]:
        """Return the executions' mean metrics at their best epochs, and the mean best step."""
        curves = [result.curve[:epochs] for result in results]
        best = [self._best_epoch(curve) for curve in curves]
        rows = [curve[epoch] for curve, epoch in zip(curves, best, strict=True)]
        names = [name for name in rows[0] if all(name in row for row in rows)]
        means = {name: sum(row[name] for row in rows) / len(rows) for name in names}
        return means, sum(best) // len(best)

    def _best_epoch(self, curve: Sequence[Epoch]) -> int:
        name = self._oracle.objective.name
        finite = [index for index, epoch in enumerate(curve) if math.isfinite(epoch[name])]
        return max(finite, key=lambda index: (self._sign * curve[index][name], -index))

    def _show(self, made: Any, seconds: float) -> None:
        """Display an ended trial as KerasTuner does."""
        display = self._oracle._display
        now = datetime.now()  # noqa: DTZ005 - KerasTuner's clock has no zone
        display.search_start = display.search_start or now - timedelta(seconds=seconds)
        display.trial_start[made.trial_id] = now - timedelta(seconds=seconds)
        display.trial_number.setdefault(made.trial_id, len(self._oracle.trials))
        display.on_trial_end(made)

    # Trials proposed by the tuner's oracle

    def measured(self, outcome: Outcome) -> tuple[Mapping[str, float], int]:
        """Return the metrics of a config after the epochs of an outcome, and the best step."""
        results = list(self._results.get(outcome.config.id, {}).values())
        for result in results:
            if not result.status.scored:
                _raise_if_fatal(result)
        if outcome.score is None or not results:
            return {}, 0
        objective = self._oracle.objective
        # A trial that continued the config has replaced its results. They are missing if it
        # failed, and lack the first epochs if its `fit` began with a later one.
        means: Mapping[str, float] = dict.fromkeys(
            getattr(objective, "name_to_direction", ()), math.nan
        )
        step = 0
        name = objective.name
        curves = [run.curve[: outcome.epochs] for run in results]
        if all(any(math.isfinite(epoch[name]) for epoch in curve) for curve in curves):
            means, step = self._measured(results, outcome.epochs)
        return {**means, name: outcome.score}, step

    def complete(self, trial: Any, config: Config) -> None:
        """Add to an ended trial what its oracle lacks: values drawn in training, why it failed."""
        results = list(self._results.get(config.id, {}).values())
        late = self._late_of(config)
        failed = next((result for result in results if not result.status.scored), None)
        if failed is not None and trial.status == STATUS.FAILED:
            self._fail(trial, failed)
        if late:
            trial.hyperparameters.values.update(late)
        if late or failed:
            self._oracle._save_trial(trial)

    def tell_failure(self, trial: Any) -> None:
        """Print the reason if a trial failed."""
        if trial.status == STATUS.FAILED and self._oracle.verbose:
            why = (trial.message or "without a score").strip().splitlines()[-1]
            print(f"hpsearch: trial {trial.trial_id} failed: {why}")

    def _late_of(self, config: Config) -> Mapping[str, Any]:
        results = self._results.get(config.id, {}).values()
        return next((result.late for result in results if result.late), {})

    def restore(self, events: Sequence[OracleEvent]) -> None:
        """Add the parts of an earlier process's trials that KerasTuner's files lack."""
        proposed = {event.trial_id: event for event in events if event.config is not None}
        for event in events:
            first = proposed.get(event.trial_id)
            if first is None or first.config is None:
                continue
            self._configs[event.trial_id] = first.config.id
            trial = self._oracle.trials.get(event.trial_id)
            if event.config is not None and trial is None:
                self._made(first.config, event.trial_id)
            elif event.config is None and trial.status == STATUS.RUNNING:
                outcome = Outcome(first.config, event.score, first.epochs)
                metrics, step = self.measured(outcome)
                if metrics:
                    with _without_some_metrics():
                        complete(trial, self._oracle.objective, metrics, step)
                else:
                    trial.status = STATUS.FAILED
                    self.complete(trial, first.config)
            if event.config is None:
                trial.hyperparameters.values.update(self._late_of(first.config))

    # The project's files

    def clear(self) -> None:
        """Forget all rows."""
        self._results.clear()
        self._ids.clear()
        self._configs.clear()
        self._reserved.clear()
        if not self._search.asks_the_oracle:
            for items in (self._oracle.trials, self._oracle.start_order, self._oracle.end_order):
                items.clear()

    def save(self) -> None:
        """Write KerasTuner's files of the project; the store remains authoritative."""
        with contextlib.suppress(OSError):
            self._oracle.save()
            self.tuner.save()


@contextlib.contextmanager
def _without_some_metrics() -> Iterator[None]:
    """Silence NumPy's warning about metrics that are not known any more."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN", RuntimeWarning)
        yield


def _raise_if_fatal(result: ExecutionResult) -> None:
    """Raise the error if KerasTuner would end the search for it."""
    kind = _fatal(result)
    if kind is not None:
        raise kind(result.error.partition(": ")[2] or result.error)


def _fatal(result: ExecutionResult) -> type[Exception] | None:
    """Return the class of an error that ends a search; None for others."""
    kind = getattr(kt_errors, result.error.partition(":")[0], None)
    if "must return a keras.Model" in result.error:
        kind = kt_errors.FatalTypeError
    is_fatal = isinstance(kind, type) and issubclass(kind, kt_errors.FatalError)
    return kind if is_fatal else None


class ProjectTuner(SweepTuner):
    """Searches for a tuner of KerasTuner, and updates the trials of its project."""

    def __init__(self, trials: TunerTrials, *args: Any, **kwargs: Any) -> None:
        self._trials = trials
        super().__init__(*args, **kwargs)

    def on_trial_begin(self, trial: Any) -> None:
        """Add a trial that a method of hpsearch proposes, or name the oracle's."""
        if isinstance(self.oracle, StrategyOracle):
            self._trials.begin(self.oracle.proposals[trial.trial_id].config)
        else:
            config = config_from(self.space, trial.hyperparameters.values)
            if config is not None:
                self._trials.name(config, trial.trial_id)

    def replay(self, events: Sequence[OracleEvent]) -> None:
        """Repeat the oracle's events, perhaps without metrics that are unknown by now."""
        with _without_some_metrics():
            super().replay(events)

    def _adopt(self, trial: Any, stored: Config, epochs: int | None) -> None:
        """Give a trial the stored values and epochs."""
        super()._adopt(trial, stored, epochs)
        if epochs is not None:
            self._continue(trial.hyperparameters.values, stored, epochs)
        # Workers read from the file which trial to continue.
        self.oracle._save_trial(trial)

    def _continue(self, values: dict[str, Any], config: Config, epochs: int) -> None:
        """Have a trial continue the config's stored trial instead of the oracle's choice."""
        values.pop(TRIAL_ID, None)
        values.update({EPOCHS: epochs, INITIAL_EPOCH: 0})
        for name, stored in self._stored.items():
            reached = epochs_of(self.oracle.trials[name].hyperparameters.values) or 0
            if stored.id == config.id and values[INITIAL_EPOCH] < reached < epochs:
                values.update({TRIAL_ID: name, INITIAL_EPOCH: reached})

    def on_trial_end(self, trial: Any) -> None:
        """Complete a trial that the oracle proposed."""
        if not isinstance(self.oracle, StrategyOracle):
            config = config_from(self.space, trial.hyperparameters.values)
            self._trials.complete(trial, config or Config({}))
            self._trials.tell_failure(trial)

    def _repeat(self, event: OracleEvent) -> None:
        """Repeat an event, and complete a trial that it ends."""
        super()._repeat(event)
        if event.config is None and event.trial_id in self._stored:
            trial = self.oracle.trials[event.trial_id]
            self._trials.complete(trial, self._stored[event.trial_id])

    def measured(self, outcome: Outcome) -> tuple[Mapping[str, float], int]:
        """Return the metrics for the oracle, and the best step."""
        if isinstance(self.oracle, StrategyOracle):
            return super().measured(outcome)
        return self._trials.measured(outcome)

    def failed(self, error: Exception) -> Reply:
        """Raise the error if KerasTuner's own search would; see `TunerTrials.take`."""
        if isinstance(error, RuntimeError | kt_errors.FatalError):
            ours = isinstance(self.oracle, StrategyOracle)
            fatal = isinstance(error, kt_errors.FatalError)
            if not ours and not fatal and self.oracle.end_order:
                # The oracle raises when its last trial ends, before that failure is printed.
                self._trials.tell_failure(self.oracle.trials[self.oracle.end_order[-1]])
            raise error
        return super().failed(error)


def trial_listener(trials: TunerTrials) -> Listener:
    """Return a listener that adds results to the tuner's trials, and prints lines.

    It prints nothing about the data, as KerasTuner does, and no lines if the oracle is silent.
    """

    def listen(event: RunEvent) -> None:
        match event:
            case Stored():
                trials.take(event.execution, event.result, show=True)
            case Said() if trials.tuner.oracle.verbose:
                print(f"hpsearch: {'warning: ' * event.warning}{event.message}")

    return listen
