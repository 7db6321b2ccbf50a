"""The tuner of an earlier run, with all its trials."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import keras
from keras_tuner.src.engine import trial as kt_trial

from hpsearch.data.loading import Loader
from hpsearch.models.problem import Problem
from hpsearch.revisit.own_objects import load_model
from hpsearch.revisit.rows import StoredRun, Which, export_model, open_run
from hpsearch.search.asking import Exchange
from hpsearch.search.draws import DrawStrategy
from hpsearch.search.oracle import STATUS, StrategyOracle, complete, values_of
from hpsearch.space.execution import Execution, ExecutionResult
from hpsearch.space.space import Space
from hpsearch.spec.method import CONFIGS
from hpsearch.store.trials import mean, ranked
from hpsearch.tuner.sweep_tuner import SweepHyperModel, SweepTuner


class ReopenedOracle(StrategyOracle):
    """An oracle that has stored trials and proposes none; it ranks them as hpsearch does."""

    def get_best_trials(self, num_trials: int = 1) -> list[kt_trial.Trial]:
        """Return the best completed trials, the best first (see `ranked`)."""
        goal = "maximize" if self.objective.direction == "max" else "minimize"
        scores = {int(name): trial.scores for name, trial in self.trials.items() if trial.scores}
        return [self.trials[str(number)] for number in ranked(scores, goal)[:num_trials]]


class ReopenedTuner(SweepTuner):
    """The tuner of an earlier run: its trials are those of the run, by number.

    Args:
        directory: The results directory.
        load: Loads data that was in memory; None reads the sweep's `data:`.
    """

    def __init__(
        self, oracle: ReopenedOracle, run: StoredRun, space: Space, load: Loader | None
    ) -> None:
        self._where, self._load, self._trust = run.where.path, load, run.trust
        data = run.dataset
        hypermodel = SweepHyperModel(space, Problem(run.recipe, data.input, data.target))
        where = self._where.absolute()
        super().__init__(
            oracle,
            hypermodel,
            space,
            name=run.sweep.method.name,
            directory=str(where.parent),
            project_name=where.name,
        )

    def search(self, engine: Exchange | None = None) -> None:
        """Raise NotImplementedError: only `hpsearch run` continues a sweep."""
        raise NotImplementedError(
            f"{self._where}: to go on with the search, run its sweep again into this directory"
        )

    def load_model(self, trial: kt_trial.Trial) -> keras.Model:
        """Return a trial's trained model, which takes raw rows.

        Raises:
            RefusedError: Its weights were not kept, and training it again gave another score.
        """
        with tempfile.TemporaryDirectory(prefix="hpsearch-") as scratch:
            path = Path(scratch) / "model.keras"
            which = Which(int(trial.trial_id))
            export_model(self._where, path, which, load=self._load, trust=self._trust)
            return load_model(path, self._where, self._load, self._trust)


def reopened(
    directory: Path, load: Loader | None = None, trust: Collection[str] = ()
) -> ReopenedTuner:
    """Return the tuner of a results directory.

    Args:
        load, trust: As for `open_run`.

    Raises:
        InputError: There are no results, or they are those of a function.
        RefusedError: The store is damaged, the data has changed, or the directory names functions
            that are not trusted.
    """
    run = open_run(directory, load, trust)
    run.require_trusted(*run.executions)
    space = _space_of(run)
    oracle = ReopenedOracle(
        DrawStrategy(CONFIGS, space, (), run.sweep.seed),
        space,
        metric=run.recipe.metric,
        goal=run.recipe.goal,
        seed=run.sweep.seed,
    )
    executions: dict[int, list[Execution]] = {}
    for each in run.executions:
        executions.setdefault(each.trial, []).append(each)
    for number, members in sorted(executions.items()):
        results = [run.results[each.number] for each in members if each.number in run.results]
        if results:
            trial = _trial(oracle, space, members[0], results)
            oracle.trials[str(number)] = trial
            oracle.start_order.append(str(number))
            oracle.end_order.append(str(number))
    return ReopenedTuner(oracle, run, space, load)


def _space_of(run: StoredRun) -> Space:
    if not run.recipe.model:
        return run.sweep.space
    # The stored sweep names every hyperparameter that the model requested.
    named = (spec.parameter(name) for name, spec in run.sweep.parameters.items())
    return Space(tuple(named), kind=run.executions[0].config.kind) if run.executions else Space(())


def _trial(
    oracle: ReopenedOracle, space: Space, execution: Execution, results: Sequence[ExecutionResult]
) -> Any:
    hyperparameters = oracle.hyperparameters.copy()
    hyperparameters.values = values_of(space, execution.config)
    trial = kt_trial.Trial(hyperparameters, str(execution.trial), STATUS.FAILED)
    scored = [each for each in results if each.status.scored and each.score is not None]
    trial.scores = [each.score for each in scored if each.score is not None]
    if not trial.scores:
        trial.message = results[0].traceback or results[0].error or str(results[0].status)
        return trial
    epochs = [each.scored_epoch or 1 for each in scored]
    at_score = [each.curve[epoch - 1] for each, epoch in zip(scored, epochs, strict=True)]
    metrics = {
        name: mean([each[name] for each in at_score if name in each]) for name in at_score[0]
    }
    metrics[oracle.objective.name] = mean(trial.scores)
    complete(trial, oracle.objective, metrics, sum(epochs) // len(epochs) - 1)
    return trial
