"""Threads of trainings: fixed by the sweep, or the cores that other trainings leave idle."""

import socket
from dataclasses import replace

import cloudpickle
import psutil
import pytest
from commands import wait_for

from hpsearch.engine.session import Settings
from hpsearch.machine import cores
from hpsearch.spec.execution import ExecutionSettings
from hpsearch.training.subjects import Needs
from hpsearch.workers.protocol import Call, EpochFinished, Resources, Started, Threads
from hpsearch.workers.servers import Wire
from hpsearch.workers.work import Inbox

WIDE = {"units": 1000, "hidden_layers": 2, "tensorflow": False}


@pytest.fixture
def native(job):
    """Makes an endless job of the native trainer, for at most so many threads."""
    return lambda number, most=64: replace(
        job((10**6, number), **WIDE), needs=Needs(tensorflow=False, threads=most)
    )


def threads_of(executor, worker=1):
    return psutil.Process(executor._pool.workers[worker].pid).num_threads()


def begin(executor, drive, job, until=EpochFinished):
    drive(executor, [job], until=lambda event: isinstance(event, until))


def test_a_training_takes_idle_cores_and_gives_them_back(start, native, drive):
    with start(cores=2) as executor:
        begin(executor, drive, native(1))
        assert threads_of(executor) == 1
        executor.spread(waiting=False)
        wait_for(lambda: threads_of(executor) == 2)
    with start(2, cores=4) as executor:
        begin(executor, drive, native(1))
        executor.spread(waiting=False)
        wait_for(lambda: threads_of(executor) == 4)
        executor.spread(waiting=True)
        wait_for(lambda: threads_of(executor) == 3)


def test_the_cores_are_shared_among_native_trainings(start, native, job, drive):
    with start(3, cores=8) as executor:
        for number in (1, 2):
            begin(executor, drive, native(number))
        begin(executor, drive, job((1, 3), layer_type="odd_layers:hanging"), until=Started)
        executor.spread(waiting=False)
        granted = [executor._pool.workers[number]._threads for number in (1, 2, 3)]
        assert granted == [3, 4, 1]


def test_a_small_training_leaves_its_share_to_others(start, native, drive):
    with start(3, cores=12) as executor:
        for number, most in enumerate((2, 64, 1), 1):
            begin(executor, drive, native(number, most))
        executor.spread(waiting=False)
        granted = [executor._pool.workers[number]._threads for number in (1, 2, 3)]
        assert granted == [2, 9, 1]


def test_a_worker_reads_its_threads_between_works():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        driver, inbox = Wire(ours), Inbox(Wire(theirs))
        call = Call(print, ())
        for message in (Resources("", 4), Threads(3), call, Threads(5), Threads(2)):
            driver.post(cloudpickle.dumps(message))
        assert inbox.work() == call
        assert inbox.resources.threads == 4
        assert inbox.granted() == 2
        ours.close()
        assert inbox.granted() == 2


def test_threads_of_the_sweep_are_those_of_each_training(start, native, drive):
    with start(threads=3) as executor:
        begin(executor, drive, native(1))
        wait_for(lambda: threads_of(executor) == 3)


def test_fewer_workers_have_more_threads():
    execution = ExecutionSettings(threads=cores())
    assert Settings().workers_for(execution) == 1
    assert Settings(workers=3).workers_for(execution) == 3
