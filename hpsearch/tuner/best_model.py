"""A trial trained again, its model written; and best.keras."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy.typing as npt

from hpsearch.data.specs import TrainingData
from hpsearch.errors import RefusedError
from hpsearch.models.problem import Problem, Recipe
from hpsearch.space.trial import Status, Training, Trial, TrialResult
from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.store import Store
from hpsearch.training.kinds import needs_tensorflow
from hpsearch.workers.calls import write_model
from hpsearch.workers.protocol import (
    Answered,
    Call,
    Called,
    Event,
    Executor,
    Finished,
    Job,
    Lost,
    Work,
)

Weights = Sequence[npt.NDArray[Any]]

_WAIT_SECONDS = 1.0


class Retrainer:
    """Has an executor's workers do what one trial needs.

    Args:
        dataset: What was provided to the executor.
        check: Called while a worker is at it; raises to end it.
    """

    def __init__(
        self,
        executor: Executor,
        recipe: Recipe,
        *,
        dataset: TrainingData,
        check: Callable[[], None],
    ) -> None:
        self._executor, self._recipe = executor, recipe
        self._dataset = dataset
        self._check = check

    def train(self, trial: Trial, epochs: int) -> TrialResult:
        """What the trial gives when it is trained alone, weights included.

        Args:
            epochs: How many its row's training took.

        Returns:
            Its result; of status `killed` where the worker ended.
        """
        values = trial.config.trained
        stops = ((epochs, trial.number),)
        training = Training(values, trial.seed, stops, fold=trial.fold)
        dataset = self._dataset.of_fold(trial.fold)
        problem = Problem(self._recipe, dataset.input, dataset.target)
        needed = needs_tensorflow(problem, values)
        answer = TrialResult(trial.number, Status.KILLED, error="the worker gave no result")
        for event in self._events_of(Job(training, self._recipe, tensorflow=needed)):
            match event:
                case Answered() if event.result.trial == trial.number:
                    answer = event.result
                case Lost() if event.training == training:
                    return TrialResult(trial.number, Status.KILLED, error=event.reason)
                case Finished() if event.training == training:
                    break
        return answer

    def weights(self, trial: Trial, result: TrialResult) -> Weights:
        """The weights of a row, from the same training once more.

        Raises:
            RefusedError: It did not give the row's score.
        """
        again = self.train(trial, len(result.curve))
        if again.state is None or again.score != result.score:
            found = again.error or f"it scored {again.score!r}"
            raise RefusedError(
                f"trial {trial.number} did not give its row's {self._recipe.metric}, "
                f"{result.score!r}, when it was trained again: {found}; another processor type or "
                "other versions than those of its row?"
            )
        return again.state

    def call(self, call: Call) -> str:
        """Call a function in a worker.

        Returns:
            Why it failed, or empty.
        """
        return self.ask(call).error

    def ask(self, call: Call) -> Called:
        """What a function gives in a worker."""
        return next(event for event in self._events_of(call) if isinstance(event, Called))

    def write(self, path: Path, trial: Trial, weights: Weights) -> str:
        """Have a worker write the trial's model, for that takes Keras; an earlier file is replaced.

        Returns:
            Why it cannot be written, or empty.
        """
        values = trial.config.trained
        dataset = self._dataset.of_fold(trial.fold)
        problem = Problem(self._recipe, dataset.input, dataset.target)
        try:
            # Keras writes in place, and wants the suffix. A worker may still be writing when a
            # signal ends the driver.
            with tempfile.TemporaryDirectory(
                dir=path.parent, prefix=f".{path.stem}-", ignore_cleanup_errors=True
            ) as scratch:
                written = Path(scratch).absolute() / path.name
                error = self.call(
                    Call(write_model, (written, problem, values, trial.seed, weights))
                )
                if not error:
                    written.replace(path)
                return error
        except OSError as failure:
            return failure.strerror or str(failure)

    def _events_of(self, work: Work) -> Iterator[Event]:
        """Submits it, and gives what happens for as long as it is asked for."""
        while not self._executor.free:
            # A sweep that was given up leaves trainings of which nobody wants to hear.
            self._executor.events(_WAIT_SECONDS)
            self._check()
        self._executor.submit(work)
        while True:
            yield from self._executor.events(_WAIT_SECONDS)
            self._check()


class BestModel:
    """Writes the best trial's model where it is not written yet, or sees to its weights alone.

    Args:
        check: Called while a worker is at it; raises to end it.
    """

    def __init__(
        self,
        where: ResultsDirectory,
        store: Store,
        executor: Executor,
        recipe: Recipe,
        *,
        dataset: TrainingData,
        check: Callable[[], None],
    ) -> None:
        self._where, self._store = where, store
        self._again = Retrainer(executor, recipe, dataset=dataset, check=check)

    def save(self, trial: Trial, result: TrialResult, *, keep_all: bool) -> str:
        """Write it, unless it is there.

        Returns:
            Why there is no model, or empty: the table stands either way. An earlier model, which
            would be another trial's, is gone then.
        """
        mark = f"{trial.number}:{trial.config.id}"
        if self._where.model.exists() and self._store.facts().best_model == mark:
            return ""
        self._where.model.unlink(missing_ok=True)
        try:
            weights = self._weights(trial, result)
        except RefusedError as error:
            return f"{self._where.model} is not written: {error}"
        failure = self._again.write(self._where.model, trial, weights)
        if failure:
            return f"{self._where.model} cannot be written: {failure}"
        if not keep_all:
            self._store.keep_weights([trial.number])
        self._store.set_facts(best_model=mark)
        return ""

    def keep(self, trial: Trial, result: TrialResult) -> str:
        """See that its weights are stored.

        Returns:
            Why they are not, or empty.
        """
        try:
            self._weights(trial, result)
        except RefusedError as error:
            return str(error)
        return ""

    def _weights(self, trial: Trial, result: TrialResult) -> Weights:
        """The stored ones; with several seeds, the best config is known only at the end."""
        kept = self._store.weights(trial.number)
        if kept is not None:
            return kept
        weights = self._again.weights(trial, result)
        self._store.add_results([replace(result, state=tuple(weights))])
        return weights
