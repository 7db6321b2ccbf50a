"""The promises of every executor: one suite over all of them."""

import time
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import numpy as np
import odd_calls
import pytest
from events_until import answers
from marks import slow
from ray_cluster import ray_cluster

from hpsearch.space.execution import Status
from hpsearch.workers.executors import InProcessExecutor
from hpsearch.workers.protocol import (
    Answered,
    Call,
    Called,
    Conversation,
    EpochFinished,
    Finished,
    Heard,
    Started,
)

KINDS = ["in process", "local, 1 worker", "local, 2 workers"]
KINDS += [slow(kind) for kind in ("a pool", "ray, 2 nodes")]


@contextmanager
def on_two_nodes(on_ray):
    """Two workers, on a node each."""
    with ray_cluster(nodes=2) as cluster, on_ray(cluster, ready=2) as made:
        yield made


@pytest.fixture(scope="module", params=KINDS)
def executor(request, dataset, start, on_pool, on_ray):
    if request.param == "in process":
        context = nullcontext(InProcessExecutor(dataset))
    elif request.param == "a pool":
        context = on_pool()
    elif request.param == "ray, 2 nodes":
        context = on_two_nodes(on_ray)
    else:
        context = start(int(request.param.split()[1]))
    with context as made:
        yield made


@pytest.fixture(scope="module")
def jobs(job):
    """Seven trainings of ten trials, layer types and trainers of several kinds."""
    return [
        job((1, 1), (3, 2)),
        job((2, 3), optimizer="sgd", units=16),
        job((2, 4), layer_type="dropout", activation="relu"),
        job((1, 5), (2, 6), (3, 7), layer_type="batch_norm", hidden_layers=2),
        job((2, 8), hidden_layers=0),
        job((2, 9), seed=1),
        job((2, 10), layer_type="odd_layers:plain"),
    ]


@pytest.fixture(scope="module")
def expected(jobs, dataset, drive):
    return answers(drive(InProcessExecutor(dataset), jobs))


def of_training(events, training):
    """The events of one training; an answer belongs to the training of its trial."""
    return [
        event
        for event in events
        if (
            event.result.number in training.executions
            if isinstance(event, Answered)
            else event.training == training
        )
    ]


@pytest.fixture(scope="module")
def events(executor, jobs, drive):
    """Everything that an executor told of these jobs."""
    return drive(executor, jobs)


def test_events_of_every_training_come_in_order(events, executor, jobs):
    for job in jobs:
        first, *between, last = of_training(events, job.training)
        assert isinstance(first, Started)
        assert isinstance(last, Finished)
        answered = [e.result.number for e in between if isinstance(e, Answered)]
        assert answered == list(job.training.executions)
        epochs = [e.epoch for e in between if isinstance(e, EpochFinished)]
        assert epochs == sorted(epochs)
        assert len(answered) + len(epochs) == len(between)
        assert len({e.worker for e in (first, *between, last)}) == 1
    assert sum(len(of_training(events, job.training)) for job in jobs) == len(events)
    assert executor.busy == 0


def test_results_do_not_depend_on_the_executor(events, expected):
    found = answers(events)
    assert found.keys() == expected.keys()
    for number, result in found.items():
        other = expected[number]
        assert replace(result, seconds=0) == replace(other, seconds=0)
        assert result.status is Status.COMPLETED
        assert result.seconds > 0
        for ours, theirs in zip(result.state, other.state, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_it_takes_no_more_than_it_has_room_for(executor, job, drive):
    room = executor.free
    for number in range(1, room + 1):
        executor.submit(job((1, number)))
    assert (executor.free, executor.busy) == (0, room)
    assert answers(drive(executor)).keys() == set(range(1, room + 1))
    assert (executor.free, executor.busy) == (room, 0)


def test_an_exception_is_a_failed_row_and_the_next_training_runs(executor, job, drive):
    failing = job((1, 1), (2, 2), layer_type="odd_layers:raising", units=7)
    events = drive(executor, [failing, job((1, 3))])
    found = answers(events)
    for number in (1, 2):
        assert found[number].status is Status.FAILED
        assert found[number].score is None
        assert found[number].error == "RuntimeError: no layer of 7 today"
        assert "in raising" in found[number].traceback
        assert "odd_layers.py" in found[number].traceback
    assert (found[1].shared_with, found[2].shared_with) == (2, None)
    assert found[3].status is Status.COMPLETED
    assert isinstance(of_training(events, failing.training)[-1], Finished)


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, True),
        ({"keep_better_than": -1.0}, True),
        ({"keep_better_than": 2.0}, False),
        ({"keep": False}, False),
    ],
)
def test_weights_come_back_only_when_they_are_wanted(executor, job, drive, options, kept):
    result = answers(drive(executor, [job((1, 1), **options)]))[1]
    shapes = None if result.state is None else [array.shape for array in result.state]
    assert shapes == ([(64, 8), (8,), (8, 10), (10,)] if kept else None)


def test_a_call_gives_plain_data_and_may_read_the_rows(executor, drive, dataset):
    (event,) = drive(executor, [Call(odd_calls.rows_of, (2,), with_data=True)])
    assert event.error == ""
    assert event.value == {"twice": 2 * len(dataset.arrays.x_train)}


def test_a_failed_call_says_why_and_others_go_on(executor, job, drive, tmp_path):
    path = tmp_path / "called"
    calls = [Call(odd_calls.ours, ()), Call(odd_calls.theirs, ()), Call(odd_calls.note, (path,))]
    events = [event for work in (*calls, job((1, 1))) for event in drive(executor, [work])]
    errors = sorted(event.error for event in events if isinstance(event, Called))
    assert errors == ["", "ZeroDivisionError: by zero", "no room left"]
    assert answers(events)[1].status is Status.COMPLETED
    assert (executor.busy, path.exists()) == (0, True)


def heard(executor, count=1):
    """The next messages of a conversation, or how it ended."""
    found, deadline = [], time.monotonic() + 60
    while len(found) < count and time.monotonic() < deadline:
        found += [each for each in executor.events(0.2) if isinstance(each, Heard)]
    return [each.ended or each.message for each in found]


def test_a_conversation_goes_on_beside_trainings(executor, jobs, drive):
    if isinstance(executor, InProcessExecutor):
        return
    executor.converse(Conversation("odd_calls:echo", ("one", "two")))
    executor.say("early")
    assert heard(executor, 2) == [("one", "two"), "earlyearly"]
    executor.say("x" * 10**6)
    events = drive(executor, jobs[:2])
    said = [each.message for each in events if isinstance(each, Heard)] or heard(executor)
    assert said == ["x" * (2 * 10**6)]
    assert len(answers(events)) == 3
    executor.say("exit")
    assert heard(executor) == ["exit status 7"]
    executor.say("nobody hears this")
    assert not executor.busy
