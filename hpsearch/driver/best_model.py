"""best.keras: the best trial's model, from its kept weights or trained again from its seed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from hpsearch.driver.directory import ResultsDirectory
from hpsearch.executors.base import (
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
from hpsearch.export import write_model
from hpsearch.plan import Trial, group
from hpsearch.store import Store
from hpsearch.training import needs_tensorflow
from hpsearch.trial import InputSpec, Recipe, Status, Target, TrialResult

__all__ = ["BestModel"]

_META = "best_model"
_WAIT_SECONDS = 1.0


class BestModel:
    """Writes the best trial's model where it is not written yet.

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
        input_spec: InputSpec,
        target: Target,
        check: Callable[[], None],
    ) -> None:
        self._where, self._store, self._executor = where, store, executor
        self._recipe, self._input, self._target = recipe, input_spec, target
        self._check = check

    def save(self, trial: Trial, result: TrialResult, *, keep_all: bool) -> str:
        """Write it, unless it is there.

        Returns:
            Why there is no model, or empty: the table stands either way. An earlier model, which
            would be another trial's, is gone then.
        """
        mark = f"{trial.number}:{trial.config.id}"
        if self._where.model.exists() and self._store.meta().get(_META) == mark:
            return ""
        self._where.model.unlink(missing_ok=True)
        weights = self._store.weights(trial.number) or self._train_again(trial, result)
        if weights is None:
            return (
                f"{self._where.model} is not written: trial {trial.number} did not score "
                f"{result.score} again when it was trained for its weights; another processor "
                "type or other versions than those of its row?"
            )
        error = self._write(trial, weights)
        if error:
            return f"{self._where.model} cannot be written: {error}"
        if not keep_all:
            self._store.keep_weights([trial.number])
        self._store.set_meta({_META: mark})
        return ""

    def _train_again(self, trial: Trial, result: TrialResult) -> Any:
        """With several seeds, the best config is known only at the end: its weights may be gone.

        Returns:
            The weights, or None where they are not those of the row.
        """
        again = self._trained(trial, result)
        if again is None or again.state is None or again.score != result.score:
            return None
        self._store.add_results([replace(result, state=again.state)])
        return again.state

    def _trained(self, trial: Trial, result: TrialResult) -> TrialResult | None:
        answer = None
        training = group([trial])[0]
        if result.status is Status.STOPPED:
            training = replace(training, stops=((len(result.curve), trial.number),))
        needed = needs_tensorflow(training.values, self._recipe, self._input, self._target)
        for event in self._events_of(Job(training, self._recipe, tensorflow=needed)):
            match event:
                case Answered() if event.result.trial == trial.number:
                    answer = event.result
                case Finished() | Lost() if event.training == training:
                    break
        return answer

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

    def _write(self, trial: Trial, weights: Any) -> str:
        """Have a worker write it, for that takes Keras.

        Returns:
            Why it cannot be written, or empty.
        """
        values = {name: v for name, v in trial.config.values.items() if name != "epochs"}
        try:
            # Keras writes in place, and wants the suffix. A worker may still be writing when a
            # signal ends the driver.
            with tempfile.TemporaryDirectory(
                dir=self._where.path, prefix=".best-", ignore_cleanup_errors=True
            ) as scratch:
                path = Path(scratch).absolute() / self._where.model.name
                rest = (self._recipe, self._input, self._target)
                error = self._called(Call(write_model, (path, values, trial.seed, weights, *rest)))
                if not error:
                    path.replace(self._where.model)
                return error
        except OSError as failure:
            return failure.strerror or str(failure)

    def _called(self, call: Call) -> str:
        return next(e.error for e in self._events_of(call) if isinstance(e, Called))
