"""FAULTS 36: time in which all processes were suspended counts for nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
from commands import environment, wait_for

_SUPPORT = Path(__file__).parent.parent / "support"
_TICKS = """\
import time
from hpsearch.machine import now, waiting

while True:
    with waiting(0.1):
        time.sleep(0.1)
    print(time.monotonic() - now(), flush=True)
"""
_SEARCH = """\
import hpsearch, objectives

if __name__ == "__main__":
    hpsearch.optimize(
        objectives.sleeping, {"seconds": [1.0, 1.01, 1.02, 1.03, 1.04, 1.05]}, "grid",
        workers=2, out="out", timeout_seconds=6, time_seconds=8,
    )
"""
_SLEEP_SECONDS = 10


def started(program, cwd):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=cwd,
        env=environment() | {"PYTHONPATH": str(_SUPPORT)},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_wait_that_was_suspended_took_no_time(tmp_path):
    process = started(_TICKS, tmp_path)
    try:
        # However slow this machine is, a tick is short.
        skipped = float(process.stdout.readline())
        assert skipped < 1.0
        for attempt in range(5):
            # It nearly always waits; just after a line, it may not wait yet.
            time.sleep(0.01 * (attempt + 2))
            process.send_signal(signal.SIGSTOP)
            wait_for(lambda: psutil.Process(process.pid).status() == "stopped")
            time.sleep(1.5)
            process.send_signal(signal.SIGCONT)
            skipped = [float(process.stdout.readline()) for _ in range(10)][-1]
            if skipped > 1.0:
                break
    finally:
        process.kill()
        process.communicate()
    assert skipped > 1.0


@pytest.mark.slow
def test_a_search_that_is_suspended_for_longer_than_its_limits_goes_on(tmp_path):
    process = started(_SEARCH, tmp_path)
    try:
        driver = psutil.Process(process.pid)

        def family():
            found = [driver, *driver.children(recursive=True)]
            return (
                found
                if sum(each.name() in ("hpsearch-1", "hpsearch-2") for each in found) == 2
                else []
            )

        wait_for(family, what="two workers")
        # Only waits that were suspended count: just now it may be busy with their start.
        wait_for(lambda: driver.status() == psutil.STATUS_SLEEPING, what="the driver to wait")
        members = wait_for(family, what="two workers")
        for each in members:
            each.suspend()
        time.sleep(_SLEEP_SECONDS)
        # The driver first: it looks at its workers while they still stand.
        for each in members:
            each.resume()
        process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    rows = pd.read_csv(tmp_path / "out" / "results.csv")
    assert rows["status"].tolist() == ["completed"] * 6, rows[["status", "error"]]
