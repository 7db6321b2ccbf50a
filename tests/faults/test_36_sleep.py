"""FAULTS 36: time in which all processes were suspended counts for nothing."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
from commands import Running, environment, wait_for

_SUPPORT = Path(__file__).parent.parent / "support"
_TICKS = """\
import time
from hpsearch.machine import now

while True:
    print(time.monotonic() - now(), flush=True)
    time.sleep(0.1)
"""
_BUSY = """\
import time
from hpsearch.machine import now

began = now(), time.process_time()
while time.process_time() - began[1] < 1.5:
    # A long call of C that keeps the interpreter's lock, so no thread looks at the time.
    sum(range(2 * 10**8))
print(now() - began[0])
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
        [sys.executable, "-c", program],
        cwd=cwd,
        env=environment() | {"PYTHONPATH": str(_SUPPORT)},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_time_in_which_a_process_was_stopped_does_not_count(tmp_path):
    process = started(_TICKS, tmp_path)
    try:
        # However slow this machine is, a tick is short.
        assert float(process.stdout.readline()) < 1.0
        process.send_signal(signal.SIGSTOP)
        wait_for(lambda: psutil.Process(process.pid).status() == "stopped")
        time.sleep(2)
        process.send_signal(signal.SIGCONT)
        skipped = [float(process.stdout.readline()) for _ in range(10)][-1]
    finally:
        process.kill()
        process.communicate()
    assert skipped > 1.0


def test_time_in_which_a_process_computes_counts(tmp_path):
    assert float(started(_BUSY, tmp_path).communicate()[0]) > 1.2


@pytest.mark.slow
def test_a_search_that_is_suspended_for_longer_than_its_limits_goes_on(tmp_path):
    process = started(_SEARCH, tmp_path)
    try:
        running = Running(process, tmp_path / "out")
        wait_for(lambda: len(running.workers()) == 2, what="two workers")
        driver = psutil.Process(process.pid)
        members = [driver, *driver.children(recursive=True)]
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
