"""One training or call inside a worker, from submission to events."""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cloudpickle

from hpsearch.data.specs import TrainingData
from hpsearch.errors import HpsearchError
from hpsearch.models.problem import Problem
from hpsearch.space.trial import Status, TrialResult
from hpsearch.training.follow import follow
from hpsearch.training.make import make_trainer
from hpsearch.training.objective import ObjectiveTrainer
from hpsearch.training.programs import Programs
from hpsearch.training.trainer import Trainer
from hpsearch.workers.protocol import (
    Answered,
    Call,
    Called,
    EpochFinished,
    Event,
    Finished,
    Job,
    Retired,
    Started,
    Work,
)

_PROGRESS_EVERY_SECONDS = 0.2

#: What this process has compiled: it runs one training at a time.
_PROGRAMS = Programs()


def run(work: Work, dataset: TrainingData, worker: int, emit: Callable[[Event], None]) -> None:
    """Run a training or a call and emit what happens; never raises for what either does.

    Args:
        emit: Called with each event: of a training from Started to Finished, of a call one.
    """
    if isinstance(work, Call):
        emit(_called(work, worker, dataset))
    else:
        _train(work, dataset, worker, emit)


def _called(call: Call, worker: int, dataset: TrainingData) -> Called:
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


def _train(job: Job, dataset: TrainingData, worker: int, emit: Callable[[Event], None]) -> None:
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
    dataset: TrainingData,
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


def _late(job: Job, trainer: Trainer) -> Mapping[str, Any]:
    """What a model of the user's own asked for beside the values of its config."""
    if not job.recipe.model or job.objective is not None:
        return {}
    from hpsearch.models.custom import built_with

    values = built_with(trainer.model)
    return dict(values.late) if values is not None else {}


def _trainer(job: Job, dataset: TrainingData) -> Trainer:
    training = job.training
    if job.objective is not None:
        return ObjectiveTrainer(job.objective, training.values)
    dataset = dataset.of_fold(training.fold)
    return make_trainer(
        Problem(job.recipe, dataset.input, dataset.target),
        training.values,
        training.seed,
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
            emit(EpochFinished(worker, job.training, epoch, dict(metrics)))

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


@functools.cache
def start_tensorflow() -> None:
    """Start its runtime, once, with one thread, taking no more of a GPU than it needs."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, enable=True)


def _resident_bytes() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import psutil

        return int(psutil.Process().memory_info().rss)


class Runner:
    """Runs work in this process, and sees how it grows.

    Args:
        worker: Its number.
        growth_bytes: How much more memory than after the first training is too large; than
            after the first with TensorFlow, once it runs.
    """

    def __init__(self, worker: int, growth_bytes: int) -> None:
        self._worker, self._growth_bytes = worker, growth_bytes
        self._at_start = 0
        self._tensorflow_runs = False

    def run(self, work: Work, dataset: TrainingData, emit: Callable[[Event], None]) -> None:
        """Run a training or a call and emit what happens."""
        if work.tensorflow and not self._tensorflow_runs:
            # Not before: a worker may have trainings only that do without.
            start_tensorflow()
            # What TensorFlow needs for itself is no growth.
            self._tensorflow_runs, self._at_start = True, 0
        run(work, dataset, self._worker, emit)
        self._at_start = self._at_start or _resident_bytes()

    @property
    def has_grown(self) -> bool:
        """Whether it has become too large."""
        return _resident_bytes() - self._at_start > self._growth_bytes


def _end_with_parent_by_polling() -> None:
    """Where the system kills no orphans (macOS), a thread sees to it."""
    if sys.platform == "linux":
        return
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def serve(worker: int, descriptor: int, dataset: TrainingData, growth_bytes: int) -> None:
    """Run what comes until the driver closes the connection, or the process has grown too large.

    Args:
        growth_bytes: See `Runner`.
    """
    connection: Connection[Any, Any] = Connection(descriptor)
    _end_with_parent_by_polling()
    runner = Runner(worker, growth_bytes)

    def emit(event: Event) -> None:
        connection.send_bytes(cloudpickle.dumps(event))

    while True:
        try:
            work: Work = cloudpickle.loads(connection.recv_bytes())
        except EOFError:
            return
        runner.run(work, dataset, emit)
        if runner.has_grown:
            connection.send_bytes(cloudpickle.dumps(Retired()))
            return


def preload_tensorflow() -> None:
    """Import what else a loaded worker needs."""
    # Keras asks for the devices when it first builds something; TensorFlow's own answer here
    # would start its runtime, so the import alone must do.
    import keras_tuner
    import tensorflow as tf
    from keras.src.backend.tensorflow import trainer

    import hpsearch.models.mlp
    import hpsearch.training.compiled

    del keras_tuner, tf, trainer, hpsearch
