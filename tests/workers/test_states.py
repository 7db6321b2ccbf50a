"""What executors know of their workers: limits of time, nodes, a pool's deaths."""

import os
import signal
from types import ModuleType

import pytest

# The module imports Ray only where it asks the cluster.
from hpsearch.ray.executor import Nodes
from hpsearch.space.execution import Training
from hpsearch.training.subjects import Job
from hpsearch.workers import protocol
from hpsearch.workers.protocol import EpochFinished, Lost, Started, WorkerState

TRAINING = Training({}, 0, ((1, 1),))


@pytest.mark.parametrize(
    ("began", "ends", "limit", "seconds"),
    [
        (None, 14.01, "took longer than execution.timeout, 4 s", 4.01),
        (10.4, 14.01, "took longer than execution.timeout, 4 s", 4.01),
        (10.4, 12.4, "", 2.0),
    ],
)
def test_a_lost_training_counts_from_its_beginning_unless_it_exceeded_its_limit(
    monkeypatch, began, ends, limit, seconds
):
    clock = [10.0]
    monkeypatch.setattr(protocol, "now", lambda: clock[0])
    worker = WorkerState(number=0)
    worker.take(Job(TRAINING, None, None))
    if began is not None:
        clock[0] = began
        worker.hear([Started(0, TRAINING)])
    clock[0] = ends
    worker.check_time(4.0)
    assert worker.end_reason == limit
    assert worker.lost(limit)[0].seconds == pytest.approx(seconds)


def test_none_is_left_once_each_that_has_room_is_avoided():
    def node(name, cpus):
        return {"Alive": True, "NodeID": name, "Resources": {"CPU": cpus}}

    ray = ModuleType("ray")
    ray.nodes = lambda: [node("head", 0), node("a", 2), node("b", 1)]
    nodes = Nodes(ray, {"CPU": 1})
    assert not nodes.none_left
    nodes.update()
    nodes.avoided["a"] = "it has keras 2"
    assert not nodes.none_left
    nodes.avoided["b"] = "it has keras 2"
    assert nodes.none_left


@pytest.mark.slow
def test_a_death_of_the_pool_is_told_and_costs_no_other_row(on_pool, job):
    with on_pool(workers=1) as executor:
        executor.submit(job((10**6, 1)))
        assert not [e for e in executor.events(2) if isinstance(e, EpochFinished)]
        (process,) = executor.pool._processes
        os.kill(process, signal.SIGKILL)
        (lost,) = executor.events(30)
        assert isinstance(lost, Lost)
        assert "BrokenProcessPool" in lost.reason
        assert (executor.busy, executor.free) == (0, 1)
