"""FAULTS 35: what hangs before a trial begins ends with the trial's time."""

import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import odd_calls
import psutil
import pytest
from commands import session_of, stored_results, wait_for

import hpsearch
from hpsearch.errors import HpsearchError
from hpsearch.functions.trial import FunctionSubject
from hpsearch.models.problem import METRIC, Recipe
from hpsearch.space.execution import Training
from hpsearch.training.subjects import Job, Needs
from hpsearch.workers.local import LocalExecutor
from hpsearch.workers.protocol import Answered, Call, Called, Lost
from hpsearch.workers.servers import Servers, Wire
from hpsearch.workers.shared import NO_ROWS

_LIMIT_SECONDS = 1.0
_HANGS_ELSEWHERE = """\
import os
import time

if os.getpid() != {driver}:
    time.sleep(1000)


def score(config):
    return 1.0
"""


@pytest.fixture
def executor(tmp_path):
    """A worker for functions, whose time is limited."""
    with (
        (tmp_path / "run.log").open("w") as log,
        Servers(log, tensorflow=False) as servers,
        LocalExecutor(servers, 1, timeout_seconds=_LIMIT_SECONDS) as executor,
    ):
        executor.provide(NO_ROWS)
        yield executor


def job(number, objective=float):
    training = Training({"x": 1.0}, 0, ((1, number),))
    recipe = Recipe(0, "", "", METRIC, "minimize")
    return Job(training, recipe, needs=Needs(tensorflow=False), subject=FunctionSubject(objective))


def events(executor, kind):
    """Events until one of a kind comes; the time is bounded."""
    found, deadline = [], time.monotonic() + _LIMIT_SECONDS + 30
    while not any(isinstance(each, kind) for each in found):
        assert time.monotonic() < deadline, found
        found += executor.events(0.2)
    return next(each for each in found if isinstance(each, kind))


def test_a_worker_that_is_stopped_before_its_training_is_ended(executor):
    executor.submit(job(1))

    def forked():
        for child in psutil.Process(executor._pool.servers._process.pid).children():
            if child.name() == "hpsearch-1":
                return child.pid
        return None

    # The driver sends the training once it has read that the worker was forked.
    victim = wait_for(forked, what="the worker")
    os.kill(victim, signal.SIGSTOP)
    lost = events(executor, Lost)
    assert lost.timed_out
    assert lost.reason == "took longer than execution.timeout, 1 s"
    assert lost.seconds > _LIMIT_SECONDS
    wait_for(lambda: session_of(victim) is None, what="the worker to end")
    executor.submit(job(2))
    assert events(executor, Answered).result.number == 2


@pytest.mark.parametrize("ready", [True, False])
def test_a_server_that_is_stopped_ends_the_run(executor, ready):
    pool = executor._pool
    if ready:
        executor.submit(job(1))
        events(executor, Answered)
        os.kill(pool.workers[1].pid, signal.SIGKILL)
        wait_for(lambda: executor.events(0.0) == [] and not pool.workers, what="no worker")
    else:
        wait_for(lambda: executor.events(0.1) == [] and pool.servers.light.pid, what="a PID")
    os.kill(pool.servers.light.pid, signal.SIGSTOP)
    executor.submit(job(2))
    with pytest.raises(HpsearchError, match=r"\(PID \d+\) has not answered for [1-6] s, .* again"):
        events(executor, Answered)


def test_an_import_that_hangs_in_workers_is_a_timeout(tmp_path, monkeypatch):
    (tmp_path / "hangs_elsewhere.py").write_text(_HANGS_ELSEWHERE.format(driver=os.getpid()))
    monkeypatch.syspath_prepend(tmp_path)
    import hangs_elsewhere  # where the test has put it

    results = hpsearch.optimize(
        hangs_elsewhere.score, {"x": [1, 2]}, "grid", workers=2, timeout_seconds=_LIMIT_SECONDS
    )
    assert results.table["status"].tolist() == ["timeout"] * 2
    assert results.table["seconds"].between(_LIMIT_SECONDS, _LIMIT_SECONDS + 5).all()


def test_a_call_before_the_first_trial_is_ended(executor, monkeypatch):
    """As the one that builds a custom model; others may take longer than a training."""
    monkeypatch.setattr("hpsearch.workers.protocol._CALL_SECONDS", 0.5)
    executor.submit(Call(odd_calls.hanging, (), tensorflow=False, timed=True))
    called = events(executor, Called)
    assert called.ended
    assert called.error == "took longer than execution.timeout, 1 s"


def test_a_message_to_a_process_that_does_not_read_waits_for_no_one():
    ours, theirs = map(Wire, socket.socketpair())
    body = os.urandom(1 << 24)
    ours.post(body)
    assert ours.waits
    # It arrives whole once the other side reads.
    received = []
    while not received:
        received += theirs.take()
        ours.flush()
    assert received == [body]
    assert not ours.waits
    for side in (ours, theirs):
        side.close()


def tuners():
    """This process' tuners; other processes may end while their names are read."""
    with suppress(psutil.NoSuchProcess):
        children = psutil.Process().children(recursive=True)
        return [child for child in children if "tuner" in child.name()]


@pytest.mark.slow
def test_a_tuner_that_is_stopped_between_two_asks_ends_the_run(tmp_path, monkeypatch):
    sweep = {
        "data": {"dataset": "wine"},
        "parameters": {"units": {"min": 1, "max": 10_000}, "epochs": 1},
        "method": "tpe",
        "budget": {"trials": 10_000},
        "execution": {"timeout": _LIMIT_SECONDS},
    }

    def stop_the_tuner():
        wait_for(lambda: stored_results(tmp_path / "out") > 40, every=0.1, what="some asks")
        # One that was there before the first ask could be another run's, which ends.
        (tuner,) = wait_for(tuners)
        monkeypatch.setattr("hpsearch.engine.loop._START_SECONDS", 0.0)
        tuner.suspend()
        return tuner

    unanswered = "method: tpe gave no answer within 1 s; what was"
    with ThreadPoolExecutor(1) as thread:
        stopped = thread.submit(stop_the_tuner)
        try:
            with pytest.raises(HpsearchError, match=unanswered):
                hpsearch.run(sweep, out=tmp_path / "out")
        finally:
            # If the tuner was not stopped, this says why.
            tuner = stopped.result()
        wait_for(lambda: session_of(tuner.pid) is None, what="the tuner to end")
