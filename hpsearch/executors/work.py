"""One training or call, from what was submitted to its events, in whatever process it runs.

This is the executor boundary: the one place where every exception is caught, for a trial's
failure is a row of the table.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from hpsearch.errors import HpsearchError
from hpsearch.executors.base import (
    Answered,
    Call,
    Called,
    Dataset,
    Event,
    Finished,
    Job,
    Progress,
    Started,
    Work,
)
from hpsearch.training import Programs, Steps, follow, make_trainer
from hpsearch.training.objective import ObjectiveTrainer
from hpsearch.trial import Status, TrialResult

__all__ = ["run"]

_PROGRESS_EVERY_SECONDS = 0.2

#: What this process has compiled: it runs one training at a time.
_PROGRAMS = Programs()


def run(work: Work, dataset: Dataset, worker: int, emit: Callable[[Event], None]) -> None:
    """Run a training or a call and emit what happens; never raises for what either does.

    Args:
        emit: Called with each event: of a training from Started to Finished, of a call one.
    """
    if isinstance(work, Call):
        emit(_called(work, worker, dataset))
    else:
        _train(work, dataset, worker, emit)


def _called(call: Call, worker: int, dataset: Dataset) -> Called:
    arguments = (*call.arguments, dataset) if call.with_data else call.arguments
    try:
        value = call.function(*arguments)
    except Exception as error:  # noqa: BLE001  # the boundary: a failure is told
        traceback.print_exc()
        return Called(worker, _told(error))
    return Called(worker, value=value)


def _told(error: Exception) -> str:
    """An exception in one line."""
    if isinstance(error, HpsearchError):
        return str(error)
    return f"{type(error).__name__}: {error}".strip(": ")


def _train(job: Job, dataset: Dataset, worker: int, emit: Callable[[Event], None]) -> None:
    training = job.training
    emit(Started(worker, training))
    started = time.monotonic()
    answered: set[int] = set()
    try:
        for result in _results(job, dataset, _progress(job, worker, emit), started):
            answered.add(result.trial)
            emit(Answered(worker, result))
    except Exception as error:  # noqa: BLE001  # the boundary: a failure is a row
        for result in _failures(job, error, answered, time.monotonic() - started):
            emit(Answered(worker, result))
    emit(Finished(worker, training))


def _results(
    job: Job,
    dataset: Dataset,
    on_epoch: Callable[[int, Mapping[str, float]], None],
    started: float,
) -> Iterator[TrialResult]:
    trainer = _trainer(job, dataset)
    for result in follow(
        job.training,
        job.recipe,
        trainer,
        clock=time.monotonic,
        started=started,
        on_epoch=on_epoch,
        keep=job.wants,
        past=job.past,
        floors=job.floors,
        snapshot=job.snapshot,
    ):
        late = _late(job, trainer)
        yield replace(result, late=late) if late else result


def _late(job: Job, trainer: Steps) -> Mapping[str, Any]:
    """What a model of the user's own asked for beside the values of its config."""
    if not job.recipe.model or job.objective is not None:
        return {}
    from hpsearch.usermodel.loading import values_of

    values = values_of(trainer.model)  # type: ignore[attr-defined]  # of a model, it has one
    return dict(values.late) if values is not None else {}


def _trainer(job: Job, dataset: Dataset) -> Steps:
    training = job.training
    if job.objective is not None:
        return ObjectiveTrainer(job.objective, training.values)
    dataset = dataset.of_fold(training.fold)
    return make_trainer(
        training.values,
        training.seed,
        job.recipe,
        dataset.input,
        dataset.target,
        dataset.arrays,
        programs=_PROGRAMS,
        epochs=training.epochs,
    )


def _progress(
    job: Job, worker: int, emit: Callable[[Event], None]
) -> Callable[[int, Mapping[str, float]], None]:
    """Tells epochs, but not more often than anyone can see."""
    last = 0.0

    def on_epoch(epoch: int, metrics: Mapping[str, float]) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _PROGRESS_EVERY_SECONDS:
            last = now
            emit(Progress(worker, job.training, epoch, dict(metrics)))

    return on_epoch


def _failures(
    job: Job, error: Exception, answered: set[int], seconds: float
) -> Iterator[TrialResult]:
    trace = "".join(traceback.format_exception(error))
    numbers = [number for number in job.training.trials if number not in answered]
    for number in numbers:
        yield TrialResult(
            trial=number,
            status=Status.FAILED,
            seconds=seconds / len(numbers),
            shared_with=None if number == job.training.number else job.training.number,
            error=_told(error),
            traceback=trace,
        )
