"""Run a training or a call inside a worker, and emit its events."""

from __future__ import annotations

import functools
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace

import cloudpickle

from hpsearch.data.specs import TrainingData
from hpsearch.errors import HpsearchError
from hpsearch.importing import contained, load_object
from hpsearch.machine import DEVICE_VARIABLES, own_bytes
from hpsearch.space.execution import ExecutionResult, Status
from hpsearch.training.subjects import Job, one_thread
from hpsearch.wording import in_words, shortened, trace_of, write_trace
from hpsearch.workers.protocol import (
    Answered,
    Call,
    Called,
    Conversation,
    EpochFinished,
    Event,
    Finished,
    Resources,
    Said,
    Started,
    Threads,
    Work,
)
from hpsearch.workers.servers import CLOSED_STATUS, Wire

_PROGRESS_EVERY_SECONDS = 0.2

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
    job: Job, dataset: TrainingData, worker: int, emit: Callable[[Event], None], failures: _Failures
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
            for result in job.subject.results(job, dataset, on_epoch, say):
                emit(Answered(worker, result))
                answered.add(result.number)
    except failures as error:  # the boundary: a failure is a row
        for result in _failures(job, error, answered, time.monotonic() - started):
            emit(Answered(worker, result))
    emit(Finished(worker, training))


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
def start_tensorflow(threads: int = 1) -> None:
    """Start TensorFlow's runtime with only the GPU memory that it needs.

    Args:
        threads: The number of threads; ignored once it has been started.
    """
    # Imported here, since light workers need no TensorFlow.
    import tensorflow as tf

    # A process of the caller's pool keeps what an earlier sweep has set.
    with suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, enable=True)


class Runner:
    """Runs work in this process and observes its memory.

    Attributes:
        threads: The number of threads of TensorFlow, and the least of the native trainer.
        growth_bytes: Most growth since the first training, or since the first with TensorFlow,
            whichever is later.
        retires: Whether the worker has grown too large, or left processes that end with it.
    """

    #: TensorFlow never frees some megabytes of each model, and a new worker costs milliseconds.
    growth_bytes = 250 * 2**20

    def __init__(self, worker: int, *, threads: int = 1) -> None:
        self.threads = threads
        #: The number of threads that the driver grants at present.
        self.granted: Callable[[], int] = one_thread
        self._worker = worker
        self._first_bytes = 0
        self._uses_tensorflow = False
        self.retires = False

    def run(self, work: Work, dataset: TrainingData, emit: Callable[[Event], None]) -> None:
        """Run a training or a call and emit its events; the last says if the worker retires."""
        if work.tensorflow and not self._uses_tensorflow:
            start_tensorflow(self.threads)
            # TensorFlow's own memory does not count as growth.
            self._uses_tensorflow, self._first_bytes = True, 0

        def emit_marked(event: Event) -> None:
            if isinstance(event, Finished | Called):
                self.retires = self._has_grown() or (isinstance(work, Job) and _has_children())
                event = replace(event, retires=self.retires)
            emit(event)

        if isinstance(work, Job):
            work = replace(work, threads=lambda: max(self.threads, self.granted()))
        run(work, dataset, self._worker, emit_marked, failures=BaseException)

    def _has_grown(self) -> bool:
        used = own_bytes(os.getpid())
        self._first_bytes = self._first_bytes or used
        return used - self._first_bytes > self.growth_bytes


def _has_children() -> bool:
    """Check if this process has children, which include its orphaned descendants (Linux)."""
    if sys.platform != "linux":
        return False
    try:
        # WNOWAIT leaves exit statuses to the code that waits for them.
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


class Inbox:
    """The driver's messages to a worker.

    Attributes:
        resources: The worker's GPU and threads.
    """

    def __init__(self, connection: Wire) -> None:
        self.resources = Resources("", 1)
        self._connection = connection
        self._process = os.getpid()
        self._granted = 1

    def work(self) -> Work | Conversation:
        """Wait for the next training, call or conversation."""
        while True:
            message = cloudpickle.loads(self._connection.recv_bytes())
            match message:
                case Threads():
                    self._granted = message.number
                case Resources():
                    self.resources = message
                    if message.device:
                        # TensorFlow has not looked for GPUs yet.
                        os.environ.update(dict.fromkeys(DEVICE_VARIABLES, message.device))
                case _:
                    work: Work | Conversation = message
                    return work

    def granted(self) -> int:
        """Return the number of threads that the driver grants the training at present."""
        # A process that user code has forked must not take the worker's messages.
        while os.getpid() == self._process and self._connection.has_message:
            self._granted = cloudpickle.loads(self._connection.recv_bytes()).number
        return self._granted


def serve(worker: int, descriptor: int, dataset: TrainingData) -> int:
    """Run work until the connection is closed or the worker retires; return the exit status."""
    connection = Wire(socket.socket(fileno=descriptor))
    inbox = Inbox(connection)
    process = os.getpid()
    runner = Runner(worker)
    runner.granted = inbox.granted

    def emit(event: Event) -> None:
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
            work = inbox.work()
        except (EOFError, OSError):
            # The driver, or an earlier training's code, has closed the connection.
            return CLOSED_STATUS
        if isinstance(work, Conversation):
            load_object(work.function)(connection, *work.arguments)
            return 0
        runner.threads = inbox.resources.threads
        runner.run(work, dataset, emit)
        if runner.retires:
            return 0


def preload_tensorflow() -> None:
    """Import everything that a loaded worker needs."""
    # Only loaded workers import Keras and TensorFlow. Build nothing here: that would start
    # TensorFlow's runtime, after which a process cannot fork safely.
    import keras.src.backend.tensorflow.trainer

    import hpsearch.models.mlp
    import hpsearch.training.compiled

    del keras, hpsearch
