"""A worker reuses its compiled programs, and rows do not depend on that."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import odd_calls
import pytest

from hpsearch.space.execution import Status
from hpsearch.workers.protocol import Answered, Call

RATES = 50


@pytest.fixture
def tell(drive, tmp_path):
    def telling(executor):
        drive(executor, [Call(odd_calls.tell_programs, (tmp_path / "told",))])
        return json.loads((tmp_path / "told").read_text())

    return telling


def answers(events):
    return {e.result.number: e.result for e in events if isinstance(e, Answered)}


def test_learning_rates_of_one_architecture_are_traced_once_a_worker(start, job, drive, tell):
    rates = np.geomspace(1e-4, 1e-1, RATES).tolist()
    jobs = [
        job((2, number), seed=number, optimizer="lion", learning_rate=rate)
        for number, rate in enumerate(rates, start=1)
    ]
    with start(1) as executor:
        found = answers(drive(executor, jobs[:10]))
        early = tell(executor)
        found |= answers(drive(executor, jobs[10:]))
        late = tell(executor)
    assert {result.status for result in found.values()} == {Status.COMPLETED}
    assert len({tuple(result.curve[-1].items()) for result in found.values()}) == RATES
    assert (late["pid"], late["kept"], late["traces"]) == (early["pid"], 1, 1)
    # A traced graph takes three megabytes.
    assert late["bytes"] - early["bytes"] < 10 * 2**20


@pytest.mark.slow
def test_rows_do_not_depend_on_what_a_worker_has_run(start, job, drive, tell):
    jobs = [
        job((1, number), optimizer={"name": "sgd", "clipnorm": 1.0}, seed=number, **numbers)
        for number, numbers in enumerate(
            [
                {"learning_rate": 1e30, "momentum": 0.9, "weight_decay": 1.0},
                {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.1},
                {"learning_rate": 0.01, "momentum": 0.5, "weight_decay": 0.0},
            ],
            start=1,
        )
    ]
    with start(1) as executor:
        used = answers(drive(executor, jobs))
        assert tell(executor)["traces"] == 1
    for each in jobs:
        with start(1) as executor:
            fresh = answers(drive(executor, [each]))
        (number,) = fresh
        assert repr(replace(used[number], seconds=0)) == repr(replace(fresh[number], seconds=0))
        if fresh[number].state is not None:
            for ours, theirs in zip(used[number].state, fresh[number].state, strict=True):
                np.testing.assert_array_equal(ours, theirs)


def test_native_trainings_trace_nothing(start, job, drive, tell):
    jobs = [job((1, number), optimizer="adam", learning_rate=0.1 / number) for number in (1, 2)]
    with start(1) as executor:
        assert len(answers(drive(executor, jobs))) == 2
        told = tell(executor)
    assert (told["kept"], told["traces"]) == (0, 0)
