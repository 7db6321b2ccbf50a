"""Limits of a training's time, by a clock that the test sets."""

from __future__ import annotations

import pytest

from hpsearch.space.execution import Training
from hpsearch.training.subjects import Job
from hpsearch.workers import protocol
from hpsearch.workers.protocol import Started, WorkerState

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
