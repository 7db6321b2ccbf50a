"""Promises of workers on a Ray cluster beyond the conformance suite; nodes are really lost."""

import os
import signal
import time
from functools import partial

import objectives
import psutil
import pytest
from events_until import answers, memory_of, wait_for
from ray_cluster import ray_cluster

from hpsearch.engine.session import require_engine
from hpsearch.errors import HpsearchError, InputError
from hpsearch.functions.trial import FunctionSubject
from hpsearch.models.problem import METRIC, Recipe
from hpsearch.ray import executor as executor_module
from hpsearch.ray.connection import connected
from hpsearch.space.execution import Status, Training
from hpsearch.spec.execution import ExecutionSettings
from hpsearch.training.subjects import Job
from hpsearch.workers.protocol import EpochFinished, Lost, Started

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster():
    with ray_cluster(nodes=2) as made:
        yield made


@pytest.fixture
def starting(cluster, on_ray):
    """An executor on the cluster, once both of its workers are there."""
    return partial(on_ray, cluster, ready=2)


@pytest.fixture
def add(cluster):
    """Adds nodes that are there for one test."""
    before = [*cluster.nodes]
    yield cluster.add
    for node in [node for node in cluster.nodes if node not in before]:
        cluster.kill(node)


def members(executor):
    """The workers that have started."""
    return [member for member in executor._members.values() if member.pid]


def all_began(executor):
    """Whether all busy workers have begun."""
    return all(m.began for m in members(executor) if m.work)


def processes(executor):
    return {member.number: member.pid for member in members(executor)}


def test_a_limit_of_time_ends_a_training_alone(starting, job, drive):
    hang = job((1, 1), layer_type="odd_layers:stuck")
    with starting(timeout_seconds=8) as executor:
        events = drive(executor, [hang, job((1, 2), tensorflow=False)])
        assert answers(events)[2].status is Status.COMPLETED
    (lost,) = losses(events)
    assert (lost.training.number, lost.timed_out, lost.machine_lost) == (1, True, False)
    assert lost.reason == "took longer than execution.timeout, 8 s"
    assert 8 <= lost.seconds < 80


def test_a_limit_of_memory_ends_a_training_alone(starting, job, drive):
    hungry = job((1, 1), layer_type="odd_layers:hungry")
    with starting(memory_bytes=2**30) as executor:
        events = drive(executor, [hungry, job((1, 2), tensorflow=False)])
        assert answers(events)[2].status is Status.COMPLETED
    (lost,) = losses(events)
    assert (lost.training.number, lost.too_large, lost.machine_lost) == (1, True, False)
    assert lost.reason.startswith("memory: the worker used ")


def test_the_data_is_mapped_not_copied(starting, large, job):
    given = large(2**19)
    with starting(provided=given) as executor:
        jobs = [job((10**6, n), batch_size=4096, tensorflow=n == 2) for n in (1, 2)]
        for each in jobs:
            executor.submit(each)
        wait_for(executor, _both_progress)
        for pid in processes(executor).values():
            store, _ = memory_of(pid, "plasma")
            assert store["Rss"] >= 0.9 * given.arrays.x_train.nbytes
            # Ray and TensorFlow themselves take some 400 MB; the data would be another 134.
            assert store["Anonymous"] == 0


def _both_progress(events):
    return len({e.worker for e in events if isinstance(e, EpochFinished)}) == 2


def test_fractions_of_a_gpu_are_asked_for(add, starting):
    node = add(cpus=2, num_gpus=1)
    recipe = Recipe(0, "", "", METRIC, "maximize")
    with starting(resources={"CPU": 0.5, "GPU": 0.5}) as executor:
        assert all(node.node_id[:8] in m.node for m in members(executor))
        for number in (1, 2):
            training = Training({"variable": "CUDA_VISIBLE_DEVICES"}, 0, ((1, number),))
            executor.submit(
                Job(training, recipe, subject=FunctionSubject(objectives.environment_number))
            )
        assert executor.ray.available_resources().get("GPU", 0) == 0
        found = answers(wait_for(executor, lambda _: not executor.busy))
    assert {(r.error, r.score) for r in found.values()} == {("", 0.0)}


def losses(events):
    return [e for e in events if isinstance(e, Lost)]


def test_a_lost_worker_or_node_costs_only_what_it_ran(cluster, add, starting, job):
    # Without TensorFlow, whose import takes a worker seconds.
    light = partial(job, tensorflow=False)
    doomed = add()
    # There are as many workers as there is room for.
    with starting(ready=3, workers=None) as executor:
        assert executor.free == 3
        for number in (1, 2, 3):
            executor.submit(light((10**6, number)))
        events = wait_for(executor, lambda _: all_began(executor))
        (started,) = [e for e in events if isinstance(e, Started) and e.training.number == 1]
        os.kill(processes(executor)[started.worker], signal.SIGKILL)
        (lost,) = losses(wait_for(executor, lambda _: executor.busy == 2))
        assert lost.training.number == 1
        assert (lost.machine_lost, lost.timed_out, lost.too_large) == (False, False, False)
        assert "ended" in lost.reason
        wait_for(executor, lambda _: executor.free == 1)
        executor.submit(light((10**6, 4)))
        wait_for(executor, lambda _: all_began(executor))
        cluster.kill(doomed)
        (lost,) = losses(wait_for(executor, lambda _: executor.busy == 2))
        assert lost.machine_lost
        assert lost.reason.endswith("went away")
        # A new node gets work.
        add()
        wait_for(executor, lambda _: executor.free == 1)
        executor.submit(light((1, 5)))
        assert answers(wait_for(executor, lambda _: executor.busy == 2))[5].status.scored


def test_a_node_with_other_versions_is_not_used(starting, monkeypatch, job):
    here = (*executor_module.package_versions()[:-2], "keras 3.0.0", "numpy 1.0")
    monkeypatch.setattr(executor_module, "package_versions", lambda: here)
    with starting(ready=0) as executor:
        with pytest.raises(HpsearchError, match=r"the last: .* no more .* it has keras 3"):
            wait_for(executor, lambda _: False)
        assert executor.free == 0


def test_without_a_node_it_waits_says_so_and_does_not_spin(add, starting, monkeypatch):
    monkeypatch.setattr(executor_module, "_SAY_AFTER_SECONDS", 3.0)
    needed = {"special": 1}
    with starting(ready=0, workers=1, resources=needed) as executor:
        before = psutil.Process().cpu_times()
        (said,) = executor.events(30)
        after = psutil.Process().cpu_times()
        assert "waiting: no node has room for a worker of {'CPU'" in said.message
        assert after.user - before.user < 1
        add(resources=needed)
        wait_for(executor, lambda _: executor.free == 1)


_TOKEN = {"RAY_AUTH_TOKEN": "0" * 64}


@pytest.mark.parametrize(
    ("address", "environ", "said"),
    [
        ("ray://10.0.0.1:10001", _TOKEN, "no Ray cluster answers at ray:"),
        ("127.0.0.1:9", _TOKEN, "no Ray cluster answers at 127.0.0.1:9"),
        ("nowhere", _TOKEN, "no Ray cluster answers at nowhere"),
        ("127.0.0.1:6379", {}, "the cluster's token is not here"),
        ("127.0.0.1:6379", {"RAY_AUTH_MODE": "disabled"}, "whoever reaches such a cluster"),
    ],
)
def test_a_cluster_that_cannot_be_used_is_told_at_once(
    address, environ, said, monkeypatch, tmp_path
):
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": str(tmp_path), **environ}.items():
        monkeypatch.setenv(name, value)
    began = time.monotonic()
    log = (tmp_path / "log").open("w")
    with log, pytest.raises(InputError, match=said), connected(address, log):
        pass
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("version", "said"), [("unknown", "which is not installed"), ("2.53.1", "which is 2.53.1")]
)
def test_without_ray_or_with_an_old_one_it_is_said_what_to_install(version, said, monkeypatch):
    monkeypatch.setattr("hpsearch.ray.connection.version_of", lambda _: version)
    with pytest.raises(InputError, match=said) as refused:
        require_engine(ExecutionSettings(engine="ray"))
    assert "pip install 'hpsearch[ray]'" in str(refused.value)
