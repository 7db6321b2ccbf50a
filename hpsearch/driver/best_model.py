"""The best trial's weights, kept or trained again from its seed, and best.keras of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hpsearch.driver.again import Again
from hpsearch.driver.directory import ResultsDirectory
from hpsearch.executors.base import Dataset, Executor
from hpsearch.plan import Trial
from hpsearch.store import Store
from hpsearch.trial import Recipe, TrialResult

__all__ = ["BestModel"]

_META = "best_model"


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
        dataset: Dataset,
        check: Callable[[], None],
    ) -> None:
        self._where, self._store = where, store
        self._again = Again(executor, recipe, dataset=dataset, check=check)

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
        weights = self._weights(trial, result)
        if weights is None:
            return f"{self._where.model} is not written: {self._lost(trial, result)}"
        error = self._again.write(self._where.model, trial, weights)
        if error:
            return f"{self._where.model} cannot be written: {error}"
        if not keep_all:
            self._store.keep_weights([trial.number])
        self._store.set_meta({_META: mark})
        return ""

    def keep(self, trial: Trial, result: TrialResult) -> str:
        """See that its weights are stored.

        Returns:
            Why they are not, or empty.
        """
        return "" if self._weights(trial, result) is not None else self._lost(trial, result)

    def _weights(self, trial: Trial, result: TrialResult) -> Any:
        return self._store.weights(trial.number) or self._train_again(trial, result)

    def _lost(self, trial: Trial, result: TrialResult) -> str:
        return (
            f"trial {trial.number} did not score {result.score} again when it was trained for its "
            "weights; another processor type or other versions than those of its row?"
        )

    def _train_again(self, trial: Trial, result: TrialResult) -> Any:
        """With several seeds, the best config is known only at the end: its weights may be gone.

        Returns:
            The weights, or None where they are not those of the row.
        """
        again = self._again.train(trial, len(result.curve))
        if again.state is None or again.score != result.score:
            return None
        self._store.add_results([replace(result, state=again.state)])
        return again.state
