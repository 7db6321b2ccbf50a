"""Messages between driver and worker, among what else a worker's code may write there."""

import select
import socket

import pytest

from hpsearch.workers.servers import Wire


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Wire(ours), Wire(theirs), theirs


def test_messages_arrive_whole_and_in_order(pair):
    driver, worker, _ = pair
    bodies = [b"", b"one", b"x" * 100_000]
    for body in bodies[:2]:
        worker.send_bytes(body)
    assert driver.take() == bodies[:2]
    assert driver.take() == []
    driver.post(bodies[2])
    assert worker.recv_bytes() == bodies[2]


@pytest.mark.parametrize("junk", [b"\xff" * 100, b"printed\n", b"x"])
def test_what_other_code_writes_ends_the_connection(pair, junk):
    driver, worker, theirs = pair
    worker.send_bytes(b"begun")
    theirs.sendall(junk)
    worker.send_bytes(b"done")
    assert driver.take() == [b"begun"]
    assert select.select([driver], [], [], 0)[0], "nothing more comes that could wake the driver"
    with pytest.raises(EOFError):
        driver.take()
    with pytest.raises(OSError, match="Broken pipe"):
        worker.send_bytes(b"more")


def test_the_end_is_told_after_the_messages(pair):
    driver, worker, _ = pair
    worker.send_bytes(b"done")
    worker.close()
    assert driver.take() == [b"done"]
    with pytest.raises(EOFError):
        driver.take()
