"""Trainings on 333 digits, and executors to run them."""

import concurrent.futures
import math
import multiprocessing
import signal
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from events_until import wait_for
from sklearn.datasets import load_digits

from hpsearch.data.specs import Arrays, InputSpec, Target, Task, TrainingData
from hpsearch.models.problem import Recipe
from hpsearch.ray.connection import connected
from hpsearch.ray.executor import RayExecutor
from hpsearch.space.execution import Training
from hpsearch.spec.execution import ExecutionSettings
from hpsearch.training.mlps import MLPs
from hpsearch.training.subjects import Job, Needs
from hpsearch.workers.executors import FuturesExecutor
from hpsearch.workers.local import LocalExecutor
from hpsearch.workers.servers import Servers

# As in a worker. At import, before any test: TensorFlow refuses once it has run something.
tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)

RECIPE = Recipe(3, "sparse_categorical_crossentropy", "softmax", "val_accuracy", "maximize")
_LONGEST_SECONDS = 120


@pytest.fixture(scope="session")
def dataset():
    x, y = load_digits(return_X_y=True)
    x, y = (x / 16).astype(np.float32), y.astype(np.int32)
    return TrainingData(
        InputSpec((64,), "float32"),
        Target(Task.MULTICLASS, 10, tuple("0123456789")),
        Arrays(x[:333], y[:333], x[333:500], y[333:500]),
    )


@pytest.fixture(scope="session")
def job():
    """Makes a job; stops as `(epochs, trial)`."""

    def make(*stops, seed=0, keep=True, keep_better_than=None, tensorflow=True, **values):
        values = {"hidden_layers": 1, "units": 8, "optimizer": "adam"} | values
        return Job(
            Training(values, seed, stops),
            RECIPE,
            MLPs(),
            keep_better_than if keep else math.inf,
            Needs(tensorflow, device=False),
        )

    return make


@pytest.fixture(scope="session")
def drive():
    """Runs jobs to their end, or until an event makes `until` true; every event, in order."""

    def too_long(*_):
        raise TimeoutError(f"the executor did not end within {_LONGEST_SECONDS} s")

    def run(executor, jobs=(), until=lambda _: False):
        waiting, events = list(jobs), []
        before = signal.signal(signal.SIGALRM, too_long)
        signal.alarm(_LONGEST_SECONDS)
        try:
            while waiting or executor.busy:
                while waiting and executor.free:
                    executor.submit(waiting.pop(0))
                new = executor.events(0.5)
                events += new
                if any(map(until, new)):
                    break
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)
        return events

    return run


@pytest.fixture(scope="session")
def start(tmp_path_factory, dataset):
    """A local executor with data in place; its processes write to `executor.log_path`."""

    @contextmanager
    def starting(workers=1, *, provided=dataset, **options):
        path = tmp_path_factory.mktemp("executor") / "run.log"
        with path.open("w") as log, LocalExecutor(Servers(log), workers, **options) as executor:
            executor.provide(provided)
            executor.log_path = path
            yield executor

    return starting


@pytest.fixture(scope="session")
def large(dataset):
    """Makes a dataset of `rows` rows of 64 numbers, large compared with other memory."""

    def make(rows):
        rng = np.random.default_rng(0)
        x = rng.random((rows, 64), np.float32)
        y = rng.integers(10, size=rows, dtype=np.int32)
        return replace(dataset, arrays=Arrays(x, y, x[:100], y[:100]))

    return make


@pytest.fixture(scope="session")
def on_pool(tmp_path_factory, dataset):
    """An executor over a process pool of the standard library, `executor.pool`."""

    @contextmanager
    def starting(workers=2):
        context = multiprocessing.get_context("spawn")
        with (
            (tmp_path_factory.mktemp("pool") / "run.log").open("w") as log,
            concurrent.futures.ProcessPoolExecutor(workers, mp_context=context) as pool,
            FuturesExecutor(pool, workers, log) as executor,
        ):
            executor.pool = pool
            executor.provide(dataset)
            yield executor

    return starting


@pytest.fixture(scope="session")
def on_ray(tmp_path_factory, dataset):
    """An executor on a cluster once `ready` of its workers are there; `executor.ray` is Ray."""

    @contextmanager
    def starting(cluster, *, ready, provided=dataset, workers=2, memory_bytes=None, **execution):
        settings = ExecutionSettings(engine="ray", **execution)
        with (
            (tmp_path_factory.mktemp("ray") / "run.log").open("w") as log,
            connected(cluster.address, log) as ray,
            RayExecutor(ray, settings, workers, memory_bytes, log) as executor,
        ):
            executor.ray = ray
            executor.provide(provided)
            wait_for(executor, lambda _: executor.free >= ready)
            yield executor

    return starting
