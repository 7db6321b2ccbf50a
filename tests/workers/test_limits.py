"""Limits of a training's time, by a clock that the test sets."""

from __future__ import annotations

import pytest

from hpsearch.training.subjects import Job
from hpsearch.workers import protocol
from hpsearch.workers.protocol import Started, WorkerState


@pytest.mark.parametrize("began", [None, 10.4])
def test_a_training_that_exceeded_its_limit_took_longer_than_it(monkeypatch, began):
    clock = [10.0]
    monkeypatch.setattr(protocol, "now", lambda: clock[0])
    worker = WorkerState(number=0)
    worker.take(Job("training", None, None))
    if began is not None:
        clock[0] = began
        worker.hear(Started(0, "training"))
    clock[0] = 14.01
    worker.check_time(4.0)
    assert worker.end_reason == "took longer than execution.timeout, 4 s"
    assert worker.lost(worker.end_reason).seconds == pytest.approx(4.01)


def test_a_training_that_is_lost_within_its_limit_counts_from_its_beginning(monkeypatch):
    clock = [10.0]
    monkeypatch.setattr(protocol, "now", lambda: clock[0])
    worker = WorkerState(number=0)
    worker.take(Job("training", None, None))
    clock[0] = 10.4
    worker.hear(Started(0, "training"))
    clock[0] = 12.4
    worker.check_time(4.0)
    assert worker.lost("ended").seconds == pytest.approx(2.0)
