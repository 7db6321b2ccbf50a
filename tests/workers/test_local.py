"""Workers that die, hang, grow and speak; and what is left of them: nothing."""

import os
import signal
import sys
import time

import psutil
import pytest
from commands import wait_for
from events_until import memory_of

from hpsearch.errors import HpsearchError
from hpsearch.workers.protocol import Answered, Call, EpochFinished, Lost, Started


def lost(events):
    return [e for e in events if isinstance(e, Lost)]


def pid_of(executor, worker):
    """The process of a worker, once the executor has been told."""
    while executor._pool.workers[worker].pid is None:
        executor.events(0.1)
    return executor._pool.workers[worker].pid


def test_what_was_answered_before_a_death_is_not_lost(start, job, drive):
    with start() as executor:
        endless = job((1, 1), (10**6, 2))
        events = drive(executor, [endless], until=lambda e: isinstance(e, Answered))
        assert [e.result.number for e in events if isinstance(e, Answered)] == [1]
        os.kill(pid_of(executor, 1), signal.SIGKILL)
        (loss,) = lost(drive(executor))
        assert loss.training == endless.training


def test_a_worker_imports_from_the_directory_in_which_it_starts(
    start, drive, tmp_path, monkeypatch
):
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    (tmp_path / "later.py").write_text("ONE = 1\n")
    with start() as executor:
        monkeypatch.chdir(tmp_path)
        (event,) = drive(executor, [Call(lambda: __import__("later").ONE, (), tensorflow=False)])
        assert (event.error, event.value) == ("", 1)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_deaths_while_nobody_looks_are_told(start, job, drive, workers):
    with start(workers) as executor:
        numbers = range(1, workers + 1)
        hangs = [job((1, n), layer_type="odd_layers:hanging", units=n) for n in numbers]
        for each in hangs:
            drive(executor, [each], until=lambda e: isinstance(e, Started))
        pids = [pid_of(executor, n) for n in numbers]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        # Their ends and the server's word of them are all there at the first look.
        wait_for(lambda: not any(map(psutil.pid_exists, pids)), what="workers to end")
        time.sleep(0.2)
        losses = lost(drive(executor))
        assert sorted(loss.training.number for loss in losses) == list(numbers)
        assert all("SIGKILL" in loss.reason for loss in losses)


def test_the_servers_have_one_thread_whenever_they_fork(start, job, drive):
    with start(2) as executor:
        for number in (1, 2, 3):
            drive(executor, [job((1, number))])
            assert [psutil.Process(s.pid).num_threads() for s in executor._pool.servers] == [1, 1]


def test_the_data_is_mapped_not_copied(start, large, job, drive):
    given = large(2**20)
    with start(provided=given) as executor:
        endless = job((10**6, 1), batch_size=4096)
        drive(executor, [endless], until=lambda e: isinstance(e, EpochFinished))
        data, other = memory_of(pid_of(executor, 1), "memfd:hpsearch-data")
    size = given.arrays.x_train.nbytes
    # All of it is read where it lies, no page of it was copied, nor is there another copy.
    assert data["Rss"] >= 0.9 * size
    assert data["Anonymous"] == 0
    assert other["Private_Dirty"] < size


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["light", "loaded"])
def test_the_end_of_a_server_is_said(start, job, drive, victim):
    with start() as executor:
        drive(executor, [job((1, 1))])
        os.kill(getattr(executor._pool.servers, victim).pid, signal.SIGKILL)

        def work_on():
            # A process takes a moment to end, and these trainings take a millisecond.
            for number in range(2, 2_000):
                drive(executor, [job((1, number))])

        with pytest.raises(HpsearchError, match=r"the process that starts workers ended.*run\.log"):
            work_on()
