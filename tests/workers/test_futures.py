"""Trainings on executors of `concurrent.futures`: a process pool, and Dask's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pandas as pd
import pytest

import hpsearch
from hpsearch.workers.protocol import EpochFinished, Lost

SWEEP = {
    "name": "pooled",
    "data": {"dataset": "digits"},
    "parameters": {
        "units": [8],
        "optimizer": ["adam", "adamax"],
        "epochs": [1, 2],
    },
}


@pytest.mark.slow
def test_a_death_of_the_pool_is_told_and_costs_no_other_row(on_pool, job):
    with on_pool(workers=1) as executor:
        executor.submit(job((10**6, 1)))
        assert not [e for e in executor.events(10) if isinstance(e, EpochFinished)]
        (process,) = executor.pool._processes
        os.kill(process, signal.SIGKILL)
        (lost,) = executor.events(30)
        assert isinstance(lost, Lost)
        assert "BrokenProcessPool" in lost.reason
        assert (executor.busy, executor.free) == (0, 1)


@pytest.mark.slow
def test_dask_trains_the_same_table(tmp_path):
    program = f"""\
        from dask.distributed import Client
        import hpsearch

        if __name__ == "__main__":
            with Client(n_workers=2, threads_per_worker=1, dashboard_address=None) as client:
                hpsearch.run({SWEEP!r}, out="dask", workers=2, executor=client.get_executor())
    """
    (tmp_path / "program.py").write_text(textwrap.dedent(program))
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    hpsearch.run(SWEEP, out=tmp_path / "local", workers=1)
    tables = [
        pd.read_csv(tmp_path / out / "results.csv").drop(columns="seconds")
        for out in ("dask", "local")
    ]
    assert set(tables[0]["trainer"]) == {"native", "graph"}
    pd.testing.assert_frame_equal(*tables)
    assert (tmp_path / "dask" / "best.keras").exists()
