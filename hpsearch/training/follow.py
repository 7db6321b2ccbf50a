"""Turn a trainer's epochs into the results of the executions that share its training. Pure."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from hpsearch.errors import InputError
from hpsearch.models.problem import Patience, Recipe
from hpsearch.space.execution import ExecutionResult, Snapshot, Status, Training
from hpsearch.wording import metric_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from hpsearch.training.subjects import Job, OnEpoch
    from hpsearch.training.trainer import State, Trainer


def follow(
    job: Job,
    trainer: Trainer,
    started: float,
    on_epoch: OnEpoch,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[ExecutionResult]:
    """Train, and yield each stop's result as soon as the stop is reached.

    A result equals that of its execution trained alone to that epoch, except for `seconds`, which
    count from the previous stop. After an early stop or a divergence, training ends, and all later
    stops have the same curve and no seconds.

    Args:
        job: The training; the seconds of its past count towards the first stop.
        started: The clock when work on this training began; building and tracing count towards
            the first stop.
    """
    training, run = job.training, _Run(job.recipe)
    best_state: State | None = None
    if job.past is not None:
        started -= job.past.seconds
        for metrics in job.past.curve:
            run.see(metrics)
        best_state = job.past.snapshot.best
        trainer.resume(job.past.snapshot.epoch, job.past.snapshot.state)
    for epochs, number in training.stops:
        while len(run.curve) < epochs and not run.over:
            numbers = trainer.run_epoch()
            if numbers is None:
                run.finished = True
                break
            run.see(numbers)
            if run.best_epoch == len(run.curve) and job.recipe.epoch == "best":
                best_state = trainer.weights()
            on_epoch(len(run.curve), run.curve[-1])
        if not run.curve:
            raise InputError("the function yielded no score")
        result = run.result(number, training, clock() - started)
        result = replace(result, trainer=trainer.kind, weights=trainer.weights_count)
        if result.score is not None and job.wants(result.score):
            weights = best_state if best_state is not None else trainer.weights()
            result = replace(result, state=weights)
        if result.score is not None and job.snapshot and number == training.number and not run.over:
            snapshot = Snapshot(len(run.curve), trainer.state(), best_state)
            result = replace(result, snapshot=snapshot)
        yield result
        # Do not count the consumer's time as training time.
        started = clock()


def followed(
    curve: Sequence[Mapping[str, float]], epochs: int, recipe: Recipe, whole: int | None = None
) -> ExecutionResult:
    """Return the result of an execution of `epochs` from a training's curve, without training.

    Args:
        curve: At least `epochs` epochs, unless the training ended by itself.
        whole: As in `Training`: it was halted if the result has fewer epochs.

    Returns:
        A result of execution 0 without seconds, trainer and weights.
    """
    run = _Run(recipe)
    for metrics in curve[:epochs]:
        run.see(metrics)
    return run.result(0, Training({}, 0, ((epochs, 0),), whole=whole), 0.0)


@dataclass
class _Run:
    """The curve of a training so far, and how it may end."""

    recipe: Recipe
    curve: list[Mapping[str, float]] = field(default_factory=list)
    diverged: bool = False
    finished: bool = False
    best_epoch: int = 0

    def __post_init__(self) -> None:
        self.patience = Patience(self.recipe)

    @property
    def over(self) -> bool:
        """True if the training ended by itself."""
        return self.finished or self.patience.exhausted or self.diverged

    def see(self, metrics: Mapping[str, float]) -> None:
        """Record the next epoch."""
        metrics = {metric_name(n): value for n, value in self.recipe.with_sum(metrics).items()}
        for name in self.recipe.required:
            if name not in metrics:
                raise InputError(
                    f"metric: the model does not report {name!r}; it reports {', '.join(metrics)}"
                )
        self.curve.append(metrics)
        self.diverged = self.recipe.ends(metrics)
        score = metrics[self.recipe.metric]
        if not math.isfinite(score) or (self.diverged and not self.recipe.tolerant):
            return
        if not self.best_epoch or self.recipe.better(score, self._score(self.best_epoch)):
            self.best_epoch = len(self.curve)
        self.patience.see(score)

    def result(self, number: int, training: Training, seconds: float) -> ExecutionResult:
        """Return the result of an execution that stops here, without trainer and weights."""
        common: dict[str, Any] = {
            "number": number,
            "curve": tuple(self.curve),
            "seconds": seconds,
            "shared_with": None if number == training.number else training.number,
        }
        if not self.best_epoch or (self.diverged and not self.recipe.tolerant):
            last = self.curve[-1].items()
            wrong = ", ".join(f"{name} is {n}" for name, n in last if not math.isfinite(n))
            error = f"epoch {len(self.curve)}: {wrong}"
            return ExecutionResult(status=Status.DIVERGED, error=error, **common)
        halted = training.whole is not None and len(self.curve) < training.whole
        scored_epoch = self.best_epoch if self.recipe.epoch == "best" else len(self.curve)
        return ExecutionResult(
            status=Status.STOPPED if halted and not self.over else Status.COMPLETED,
            score=self._score(scored_epoch),
            scored_epoch=scored_epoch,
            best_epoch=self.best_epoch,
            best_score=self._score(self.best_epoch),
            **common,
        )

    def _score(self, epoch: int) -> float:
        return self.curve[epoch - 1][self.recipe.metric]
