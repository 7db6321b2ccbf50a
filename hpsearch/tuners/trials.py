"""Rows of our store as KerasTuner's trials, for all that a tuner answers from its oracle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from keras_tuner.src.engine import metrics_tracking as kt_metrics
from keras_tuner.src.engine import trial as kt_trial

from hpsearch.plan import Trial
from hpsearch.trial import TrialResult

if TYPE_CHECKING:
    from hpsearch.tuners.engine import OnEngine

__all__ = ["Rows"]

_OURS = ("epochs", "batch_size")


class Rows:
    """The rows of one tuner's project.

    A trial of KerasTuner's is a config with all its executions; its score is their mean, and each
    execution's that of its best epoch.
    """

    def __init__(self, tuner: OnEngine) -> None:
        self._tuner = tuner
        self._results: dict[str, dict[int, TrialResult]] = {}
        self._ids: dict[str, str] = {}

    def best_number(self, trial_id: str) -> int | None:
        """The row whose weights are those of a trial: its best execution's."""
        config = next((c for c, known in self._ids.items() if known == trial_id), None)
        scored = [r for r in self._results.get(config or "", {}).values() if r.score is not None]
        if not scored:
            return None
        sign = 1.0 if self._tuner.oracle.objective.direction == "max" else -1.0
        return max(scored, key=lambda result: (sign * (result.score or 0.0), -result.trial)).trial

    def take(
        self, trial: Trial, result: TrialResult, executions: int, *, tell: bool = False
    ) -> None:
        """A row is stored.

        Args:
            tell: Whether the screen is told of a trial that is complete.
        """
        known = self._results.setdefault(trial.config.id, {})
        known[trial.number] = result
        if len(known) < executions:
            return
        made = self._make(trial, known)
        if tell and self._tuner.oracle.verbose:
            self._show(made, sum(each.seconds for each in known.values()))

    def _make(self, trial: Trial, results: Mapping[int, TrialResult]) -> Any:
        oracle = self._tuner.oracle
        config = trial.config.id
        if config not in self._ids:
            # Before, KerasTuner's own loop may have run some.
            number = next(n for n in range(10**9) if f"{n:04d}" not in oracle.trials)
            self._ids[config] = f"{number:04d}"
        hyperparameters = oracle.hyperparameters.copy()
        late = next(iter(results.values())).late
        declared = {each.name for each in hyperparameters.space}
        hyperparameters.values = {
            name: value
            for name, value in {**trial.config.values, **late}.items()
            if name in declared or name not in _OURS
        }
        made = kt_trial.Trial(hyperparameters, self._ids[config], kt_trial.TrialStatus.RUNNING)
        self._end(made, list(results.values()))
        if made.trial_id not in oracle.trials:
            oracle.start_order.append(made.trial_id)
            oracle.end_order.append(made.trial_id)
        oracle.trials[made.trial_id] = made
        return made

    def _end(self, made: Any, results: list[TrialResult]) -> None:
        objective = self._tuner.oracle.objective
        scores = [result.score for result in results if result.status.scored]
        known = [score for score in scores if score is not None and math.isfinite(score)]
        if len(known) < len(results):
            failed = next(r for r in results if not r.status.scored or r.score is None)
            made.status = kt_trial.TrialStatus.FAILED
            made.message = failed.traceback or failed.error or str(failed.status)
            return
        made.status = kt_trial.TrialStatus.COMPLETED
        made.score = sum(known) / len(known)
        epochs = [result.scored_epoch or 1 for result in results]
        made.best_step = sum(epochs) // len(epochs) - 1
        metrics = [r.curve[(r.scored_epoch or 1) - 1] for r in results]
        made.metrics = kt_metrics.MetricsTracker()
        for name in metrics[0]:
            direction = objective.direction if name == objective.name else None
            made.metrics.register(name, direction)
            values = [each[name] for each in metrics if name in each]
            made.metrics.update(name, sum(values) / len(values), step=made.best_step)

    def _show(self, made: Any, seconds: float) -> None:
        """As KerasTuner's display has it: a trial that has ended."""
        display = self._tuner.oracle._display  # noqa: SLF001 - it has no other way
        now = datetime.now()  # noqa: DTZ005 - KerasTuner's clock has no zone
        display.search_start = display.search_start or now - timedelta(seconds=seconds)
        display.trial_start[made.trial_id] = now - timedelta(seconds=seconds)
        display.trial_number[made.trial_id] = len(self._tuner.oracle.trials)
        display.on_trial_end(made)
