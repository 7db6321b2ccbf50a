"""Trainings in a process pool; test_cluster_documents.py has Dask's."""

from __future__ import annotations

import os
import signal

import pytest

from hpsearch.workers.protocol import EpochFinished, Lost


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
