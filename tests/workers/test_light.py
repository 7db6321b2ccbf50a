"""Light workers and loaded ones: who runs what, and what waits for TensorFlow's import."""

import json
import os
import signal
from collections import Counter
from contextlib import contextmanager, suppress

import odd_calls
import psutil
import pytest
from commands import session_of, wait_for

from hpsearch.space.execution import Status
from hpsearch.workers.protocol import Answered, Call, Called


@contextmanager
def importing(executor):
    """As long as this lasts, the server that imports TensorFlow does not get on."""
    server = executor._pool.servers.loaded
    while server.pid is None:
        executor.events(0.1)
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(server.pid, signal.SIGCONT)


@pytest.fixture
def ask(drive, tmp_path):
    """Has a worker call a function; its process, and whether TensorFlow is imported there."""

    def asking(executor, *, tensorflow=False, function=odd_calls.note):
        path = tmp_path / "note"
        path.unlink(missing_ok=True)
        (event,) = drive(executor, [Call(function, (path,), tensorflow)])
        assert event.error == ""
        told = json.loads(path.read_text())
        # Its server does not, while it imports.
        assert told["collects"]
        return told["pid"], told["tensorflow"]

    return asking


def test_light_work_does_not_wait_for_the_import(start, ask, job, drive):
    with start(1) as executor, importing(executor):
        pid, imported = ask(executor)
        assert not imported
        events = drive(executor, [job((1, 1), tensorflow=False, optimizer="adam")])
        (result,) = (e.result for e in events if isinstance(e, Answered))
        assert (result.status, result.trainer) == (Status.COMPLETED, "native")
        assert ask(executor) == (pid, False)
        assert not any("tensorflow" in m.path for m in psutil.Process(pid).memory_maps())
        # Nor does the worker that takes a dead one's place.
        events = drive(executor, [Call(odd_calls.dying, (), tensorflow=False)])
        assert [event.error for event in events] == ["the worker ended (SIGSEGV)"]
        assert ask(executor)[0] != pid


def test_other_work_waits_for_the_import_and_light_work_passes_it(start, ask, job, drive):
    with start(2) as executor:
        with importing(executor):
            executor.submit(job((1, 1)))
            assert (executor.busy, executor.free) == (1, 1)
            assert not executor.events(0.3)
            path = executor.log_path.with_name("note")
            executor.submit(Call(odd_calls.note, (path,), tensorflow=False))
            assert [type(event) for event in executor.events(30)] == [Called]
        (result,) = (e.result for e in drive(executor) if isinstance(e, Answered))
        assert result.status is Status.COMPLETED


@pytest.mark.slow
def test_a_loaded_worker_takes_the_place_of_a_light_one(start, ask):
    with start(1) as executor:
        light, imported = ask(executor)
        assert not imported
        loaded, imported = ask(executor, tensorflow=True)
        assert imported
        assert list(executor._pool.workers) == [1]
        wait_for(lambda: session_of(light) is None, what="the light worker to end")
        # From now on it takes whatever comes.
        assert ask(executor) == ask(executor, tensorflow=True) == (loaded, True)


def test_each_kind_of_work_finds_its_worker(start, ask):
    with start(2) as executor:
        light, _ = ask(executor)
        loaded, _ = ask(executor, tensorflow=True)
        # There was room for both.
        assert [ask(executor)[0] for _ in range(2)] == [light, light]
        assert ask(executor, tensorflow=True)[0] == loaded
        servers = executor._pool.servers
        assert forked_by(servers.light) == {servers.loaded.pid, light}
        assert forked_by(servers.loaded) == {loaded}


def forked_by(server):
    return {child.pid for child in psutil.Process(server.pid).children()}


@pytest.mark.slow
def test_a_training_that_needs_tensorflow_after_all_is_not_lost(start, job, drive):
    """The flag is about time: a light worker can import it, too."""
    with start(1) as executor:
        events = drive(executor, [job((1, 1), tensorflow=False, optimizer="lion")])
        (result,) = (e.result for e in events if isinstance(e, Answered))
        assert (result.status, result.trainer) == (Status.COMPLETED, "graph")
        assert not executor._pool.workers[1].server.loaded


def test_a_light_worker_that_has_grown_is_replaced(start, ask):
    with start(1) as executor, importing(executor):
        pids = [ask(executor, function=odd_calls.grow)[0] for _ in range(6)]
        assert set(Counter(pids).values()) == {2}


def test_no_process_is_left_whatever_it_was_at(start, ask):
    with start(2) as executor:
        pid, _ = ask(executor)
        with importing(executor):
            executor.submit(Call(odd_calls.hanging, (), tensorflow=False))
            executor.submit(Call(odd_calls.hanging, ()))
            executor.events(0.1)
            servers = [server.pid for server in executor._pool.servers]
            executor.close()
    wait_for(lambda: not any(map(session_of, [pid, *servers])), seconds=5, what="all to end")
