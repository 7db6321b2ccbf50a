"""best.keras: the best trial's model, from its kept weights or trained again from its seed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from hpsearch import data
from hpsearch.driver.directory import ResultsDirectory
from hpsearch.executors.base import Answered, Executor, Finished, Job, Lost
from hpsearch.plan import Trial, group
from hpsearch.store import Store
from hpsearch.trial import Recipe, TrialResult

__all__ = ["BestModel"]

_META = "best_model"
_WAIT_SECONDS = 1.0


class BestModel:
    """Writes the best trial's model where it is not written yet.

    Args:
        check: Called while a training goes on; raises to end it.
    """

    def __init__(
        self,
        where: ResultsDirectory,
        store: Store,
        executor: Executor,
        dataset: data.Dataset,
        recipe: Recipe,
        *,
        check: Callable[[], None],
    ) -> None:
        self._where, self._store, self._executor = where, store, executor
        self._dataset, self._recipe, self._check = dataset, recipe, check

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
        try:
            self._write(trial, weights)
        except OSError as error:
            return f"{self._where.model} cannot be written: {error.strerror or error}"
        if not keep_all:
            self._store.keep_weights([trial.number])
        self._store.set_meta({_META: mark})
        return ""

    def _train_again(self, trial: Trial, result: TrialResult) -> Any:
        """With several seeds, the best config is known only at the end: its weights may be gone.

        Returns:
            The weights, or None where they are not those of the row.
        """
        again = self._trained(trial)
        if again is None or again.state is None or again.score != result.score:
            return None
        self._store.add_results([replace(result, state=again.state)])
        return again.state

    def _trained(self, trial: Trial) -> TrialResult | None:
        answer = None
        training = group([trial])[0]
        while not self._executor.free:
            # A sweep that was given up leaves trainings of which nobody wants to hear.
            self._executor.events(_WAIT_SECONDS)
        self._executor.submit(Job(training, self._recipe))
        while True:
            for event in self._executor.events(_WAIT_SECONDS):
                match event:
                    case Answered() if event.result.trial == trial.number:
                        answer = event.result
                    case Finished() | Lost() if event.training == training:
                        return answer
            self._check()

    def _write(self, trial: Trial, weights: Any) -> None:
        from hpsearch.hypermodel import build_model, full_model

        dataset = self._dataset
        values = {name: v for name, v in trial.config.values.items() if name != "epochs"}
        model = build_model(values, trial.seed, self._recipe, dataset.input, dataset.target)
        model.set_weights(list(weights))
        whole = full_model(model, dataset.input, dataset.target)
        # Keras writes in place, and wants the suffix.
        with tempfile.TemporaryDirectory(dir=self._where.path, prefix=".best-") as scratch:
            path = Path(scratch) / self._where.model.name
            whole.save(path)
            path.replace(self._where.model)
