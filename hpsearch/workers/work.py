"""Run a training or a call inside a worker, and emit its events."""

from __future__ import annotations

import functools
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import cloudpickle

from hpsearch.data.specs import TrainingData
from hpsearch.errors import HpsearchError
from hpsearch.importing import contained, load_object
from hpsearch.machine import descendants, own_bytes
from hpsearch.models.problem import Problem
from hpsearch.programs.trial import run_trial
from hpsearch.space.execution import ExecutionResult, Status
from hpsearch.training.follow import follow
from hpsearch.training.make import make_trainer
from hpsearch.training.objective import ObjectiveTrainer
from hpsearch.training.programs import Programs
from hpsearch.training.trainer import Trainer
from hpsearch.wording import in_words, shortened, trace_of, write_trace
from hpsearch.workers.protocol import (
    Answered,
    Call,
    Called,
    Conversation,
    EpochFinished,
    Event,
    Finished,
    Job,
    Retired,
    Said,
    Started,
    Work,
)
from hpsearch.workers.wire import CLOSED_STATUS, Wire

_PROGRESS_EVERY_SECONDS = 0.2

#: The programs that this process has compiled; it runs one training at a time.
_PROGRAMS = Programs()


#: Exceptions that count as the work's failure. Without KeyboardInterrupt: in a process that is not
#: only a worker, Ctrl-C is for the process.
_Failures = type[BaseException] | tuple[type[BaseException], ...]
_OWN: _Failures = (Exception, SystemExit)


def run(
    work: Work,
    dataset: TrainingData,
    worker: int,
    emit: Callable[[Event], None],
    failures: _Failures = _OWN,
) -> None:
    """Run a training or a call.

    Args:
        emit: Receives the events: from Started to Finished for a training, Called for a call.
        failures: Exceptions to report as failures; others are raised.
    """
    if isinstance(work, Call):
        emit(_call(work, worker, dataset, failures))
    else:
        _train(work, dataset, worker, emit, failures)


def _call(call: Call, worker: int, dataset: TrainingData, failures: _Failures) -> Called:
    arguments = (*call.arguments, dataset) if call.with_data else call.arguments
    try:
        with contained():
            value = call.function(*arguments)
    except failures as error:  # the boundary: a failure is reported
        write_trace(error)
        return Called(worker, _in_one_line(error))
    return Called(worker, value=value)


def _in_one_line(error: BaseException) -> str:
    return _storable(shortened(str(error)) if isinstance(error, HpsearchError) else in_words(error))


def _storable(text: str) -> str:
    """Replace characters that UTF-8 cannot encode, such as odd bytes of a file's name."""
    return text.encode(errors="backslashreplace").decode()


def _train(
    job: Job,
    dataset: TrainingData,
    worker: int,
    emit: Callable[[Event], None],
    failures: _Failures,
) -> None:
    training = job.training
    emit(Started(worker, training))
    started = time.monotonic()
    answered: set[int] = set()
    last_progress = 0.0

    def on_epoch(epoch: int, metrics: Mapping[str, float]) -> None:
        nonlocal last_progress
        now = time.monotonic()
        if now - last_progress >= _PROGRESS_EVERY_SECONDS:
            last_progress = now
            emit(EpochFinished(worker, training, epoch, dict(metrics)))

    def say(line: str) -> None:
        emit(Said(line, warning=True))

    try:
        with contained():
            for result in _results(job, dataset, on_epoch, say, started):
                emit(Answered(worker, result))
                answered.add(result.number)
    except failures as error:  # the boundary: a failure is a row
        for result in _failures(job, error, answered, time.monotonic() - started):
            emit(Answered(worker, result))
    emit(Finished(worker, training))


def _results(
    job: Job,
    dataset: TrainingData,
    on_epoch: Callable[[int, Mapping[str, float]], None],
    say: Callable[[str], None],
    started: float,
) -> Iterator[ExecutionResult]:
    if job.program is not None:
        yield run_trial(job.program, job.training, job.recipe, on_epoch=on_epoch, say=say)
        return
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
        snapshot=job.snapshot,
    ):
        late = _late_hyperparameters(job, trainer)
        yield replace(result, late=late) if late else result


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


def _late_hyperparameters(job: Job, trainer: Trainer) -> Mapping[str, Any]:
    """Return the values that a custom model requested beyond its config."""
    if not job.recipe.model or job.objective is not None:
        return {}
    # Imports Keras.
    from hpsearch.models.custom import built_with

    values = built_with(trainer.model)
    return dict(values.late) if values is not None else {}


def _failures(
    job: Job, error: BaseException, answered: set[int], seconds: float
) -> Iterator[ExecutionResult]:
    trace = _storable(trace_of(error))
    numbers = [number for number in job.training.executions if number not in answered]
    for number in numbers:
        yield ExecutionResult(
            number=number,
            status=Status.FAILED,
            seconds=seconds / len(numbers),
            shared_with=None if number == job.training.number else job.training.number,
            error=_in_one_line(error),
            traceback=trace,
        )


@functools.cache
def start_tensorflow() -> None:
    """Start TensorFlow's runtime with one thread and only the GPU memory that it needs."""
    # Imported here, since light workers need no TensorFlow.
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, enable=True)


class Runner:
    """Runs work in this process and observes its memory.

    Args:
        worker: The worker's number.
        growth_bytes: Most growth since the first training, or since the first with TensorFlow,
            whichever is later.
    """

    def __init__(self, worker: int, growth_bytes: int) -> None:
        self._worker, self._growth_bytes = worker, growth_bytes
        self._first_bytes = 0
        self._uses_tensorflow = False

    def run(self, work: Work, dataset: TrainingData, emit: Callable[[Event], None]) -> None:
        """Run a training or a call and emit its events."""
        if work.tensorflow and not self._uses_tensorflow:
            start_tensorflow()
            # TensorFlow's own memory does not count as growth.
            self._uses_tensorflow, self._first_bytes = True, 0
        run(work, dataset, self._worker, emit, failures=BaseException)
        self._first_bytes = self._first_bytes or own_bytes(os.getpid())

    @property
    def has_grown(self) -> bool:
        """True if the process has grown too much."""
        return own_bytes(os.getpid()) - self._first_bytes > self._growth_bytes


def _has_children() -> bool:
    """Check if this process has live descendants (Linux)."""
    if sys.platform != "linux":
        return False
    try:
        # WNOWAIT leaves exit statuses to the code that waits for them.
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    own = os.getpid()
    return bool(descendants([own])[own])


def _end_with_parent_by_polling() -> None:
    """End this process with its parent, on systems that cannot do so themselves (macOS)."""
    if sys.platform == "linux":
        return
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def serve(worker: int, descriptor: int, dataset: TrainingData, growth_bytes: int) -> int:
    """Run work until the connection is closed or the worker retires; return the exit status.

    Args:
        growth_bytes: See `Runner`.
    """
    connection = Wire(socket.socket(fileno=descriptor))
    process = os.getpid()
    _end_with_parent_by_polling()
    runner = Runner(worker, growth_bytes)

    def emit(event: Event | Retired) -> None:
        if os.getpid() != process:
            # User code has forked this process, which must not go on as a worker.
            os._exit(0)
        body = cloudpickle.dumps(event)
        try:
            connection.send_bytes(body)
        except OSError:
            os._exit(CLOSED_STATUS)

    while True:
        try:
            work: Work | Conversation = cloudpickle.loads(connection.recv_bytes())
        except (EOFError, OSError):
            # The driver, or an earlier training's code, has closed the connection.
            return CLOSED_STATUS
        if isinstance(work, Conversation):
            load_object(work.function)(connection, *work.arguments)
            return 0
        runner.run(work, dataset, emit)
        if runner.has_grown or (isinstance(work, Job) and _has_children()):
            # Retire after leaving processes, too: the server ends them with the worker.
            emit(Retired())
            return 0


def preload_tensorflow() -> None:
    """Import everything that a loaded worker needs."""
    # Only loaded workers import Keras and TensorFlow. Build nothing here: that would start
    # TensorFlow's runtime, after which a process cannot fork safely.
    import keras.src.backend.tensorflow.trainer

    import hpsearch.models.mlp
    import hpsearch.training.compiled

    del keras, hpsearch
