"""A worker reuses its graphs, and rows do not depend on that."""

from __future__ import annotations

import json

import numpy as np
import odd_calls
from events_until import answers

from hpsearch.space.execution import Status
from hpsearch.workers.protocol import Call

RATES = 20


def test_learning_rates_of_one_architecture_are_traced_once_a_worker(start, job, drive, tmp_path):
    def programs(executor):
        drive(executor, [Call(odd_calls.tell_programs, (tmp_path / "programs",))])
        return json.loads((tmp_path / "programs").read_text())

    rates = np.geomspace(1e-4, 1e-1, RATES).tolist()
    jobs = [
        job((2, number), seed=number, optimizer="lion", learning_rate=rate)
        for number, rate in enumerate(rates, start=1)
    ]
    with start(1) as executor:
        found = answers(drive(executor, jobs[:10]))
        early = programs(executor)
        found |= answers(drive(executor, jobs[10:]))
        late = programs(executor)
    assert {result.status for result in found.values()} == {Status.COMPLETED}
    assert len({tuple(result.curve[-1].items()) for result in found.values()}) == RATES
    assert (late["pid"], late["kept"], late["traces"]) == (early["pid"], 1, 1)
    # A traced graph takes three megabytes.
    assert late["bytes"] - early["bytes"] < 10 * 2**20
