"""What workers do for one trial: train it again, write its model, be called."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from hpsearch.executors.base import (
    Answered,
    Call,
    Called,
    Dataset,
    Event,
    Executor,
    Finished,
    Job,
    Lost,
    Work,
)
from hpsearch.export import write_model
from hpsearch.plan import Trial
from hpsearch.training import needs_tensorflow
from hpsearch.trial import Recipe, Status, Training, TrialResult

__all__ = ["Again"]

Weights = Sequence[npt.NDArray[Any]]

_WAIT_SECONDS = 1.0


class Again:
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
        dataset: Dataset,
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
        needed = needs_tensorflow(values, self._recipe, dataset.input, dataset.target)
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
        rest = (self._recipe, dataset.input, dataset.target)
        try:
            # Keras writes in place, and wants the suffix. A worker may still be writing when a
            # signal ends the driver.
            with tempfile.TemporaryDirectory(
                dir=path.parent, prefix=f".{path.stem}-", ignore_cleanup_errors=True
            ) as scratch:
                written = Path(scratch).absolute() / path.name
                error = self.call(Call(write_model, (written, values, trial.seed, weights, *rest)))
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
