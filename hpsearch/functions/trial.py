"""Run a user's function in place of a model; each score is an epoch."""

from __future__ import annotations

import inspect
import numbers
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hpsearch.data.specs import TrainingData
from hpsearch.models.problem import METRIC, Objective
from hpsearch.space.execution import ExecutionResult
from hpsearch.training.follow import follow
from hpsearch.training.subjects import Job, OnEpoch, Say
from hpsearch.training.trainer import State

#: Most stopped generators kept to continue in this process; others start again.
_MOST_PAUSED = 1_000
_paused: dict[tuple[str, int], tuple[Objective, Iterator[Any]]] = {}


def forget_paused(objective: Objective) -> None:
    """Forget a function's stopped generators, which another search must not continue."""
    for key, (called, _) in list(_paused.items()):
        if called is objective:
            _paused.pop(key, None)


class ObjectiveTrainer:
    """Calls a function for its score, or for an iterator with one score an epoch.

    Args:
        objective: The function, called once with a copy of the values.
    """

    kind = "function"
    weights_count = None
    model = None

    def __init__(self, objective: Objective, values: Mapping[str, Any]) -> None:
        self._objective = objective
        self._values = values
        self._epoch = 0
        self._scores: Iterator[Any] | None = None

    def run_epoch(self) -> dict[str, float] | None:
        """Return the next score as `METRIC`; None after the last one.

        Raises:
            TypeError: The function did not return a number.
        """
        if self._scores is None:
            given = self._objective(dict(self._values))
            if isinstance(given, Iterator) and not inspect.isgeneratorfunction(self._objective):
                # Its kind was decided before it was called: it would end after the first score.
                raise TypeError(
                    "the function returned a generator: pass the function that yields, "
                    "def f(config): yield score"
                )
            self._scores = given if isinstance(given, Iterator) else iter((given,))
        try:
            score = next(self._scores)
        except StopIteration:
            return None
        self._epoch += 1
        if isinstance(score, bool) or not isinstance(score, numbers.Real):
            raise TypeError(f"the function must give a number, not {type(score).__name__}")
        return {METRIC: float(score)}

    @property
    def _key(self) -> tuple[str, int]:
        return repr(sorted(self._values.items(), key=str)), self._epoch

    def state(self) -> State:
        """Return nothing to store, but keep the iterator, so that it can continue here."""
        if self._scores is not None:
            _paused[self._key] = (self._objective, self._scores)
            if len(_paused) > _MOST_PAUSED:
                _paused.pop(next(iter(_paused), self._key), None)
        return ()

    def resume(self, epoch: int, state: State) -> None:
        """Continue after `epoch`; if the iterator is not kept here, repeat it from the start."""
        del state
        self._epoch = epoch
        objective, scores = _paused.pop(self._key, (None, None))
        if objective is self._objective:
            self._scores = scores
            return
        self._epoch = 0
        while self._epoch < epoch and self.run_epoch() is not None:
            pass

    def weights(self) -> State:
        """Return no weights."""
        return ()


@dataclass(frozen=True)
class FunctionSubject:
    """A function from a config's values to its score, or to an iterator with a score an epoch."""

    objective: Objective
    gives_rows = False

    def results(
        self, job: Job, dataset: TrainingData, on_epoch: OnEpoch, say: Say
    ) -> Iterator[ExecutionResult]:
        """Call the function for the job's config."""
        del dataset, say
        trainer = ObjectiveTrainer(self.objective, job.training.values)
        return follow(job, trainer, time.monotonic(), on_epoch)
