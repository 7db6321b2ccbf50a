"""FAULTS 9: a driver that is killed leaves no process, whatever its workers are at."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import odd_functions
import psutil
import pytest
from commands import ODD_LAYERS, environment, in_sessions, session_of, start, wait_for
from marks import slow

import hpsearch

#: One in a worker without TensorFlow, one, which ignores SIGTERM, in one with it.
_SWEEP = """\
data: {dataset: digits, validation: 0.2, seed: 42}
configs:
  - {layer_type: "odd_layers:hanging", units: 16, epochs: 1}
  - {units: 16, epochs: 1000000}
execution: {workers: 2}
"""


def test_no_process_outlives_a_killed_driver(tmp_path):
    shutil.copy(ODD_LAYERS, tmp_path)
    (tmp_path / "sweep.yaml").write_text(_SWEEP)
    driver = start("sweep.yaml", cwd=tmp_path, out="out")

    wait_for(lambda: len(driver.workers()) == 2, every=0.1, what="two workers")
    servers = driver.servers()
    # And whatever else it may have started.
    family = [child.pid for child in psutil.Process(driver.pid).children(recursive=True)]
    assert len(family) >= 4
    driver.kill()
    wait_for(lambda: not in_sessions(servers) and not any(map(session_of, family)), seconds=5)


_SLEEPER = "import time; time.sleep(1000)"
_HUNGRY = """\
import os, sys, time
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
block = b"x" * 2**29
time.sleep(1000)
"""
_SEARCH = """\
import sys
import hpsearch, odd_functions

hpsearch.optimize(
    odd_functions.family,
    {"code": [sys.argv[1]], "place": ["pids"], "seconds": [1000]}, "grid", workers=2,
)
"""


def processes_of(place):
    wait_for(place.exists, what="the trial's processes")
    pids = [int(pid) for pid in place.read_text().split()]
    assert len(pids) == 2
    return pids


def require_end(pids):
    wait_for(lambda: not any(map(session_of, pids)), seconds=5, what="a trial's processes to end")


@pytest.mark.parametrize(
    ("status", "code", "limits"),
    [
        ("completed", _SLEEPER, {}),
        slow("timeout", _SLEEPER, {"timeout_seconds": 5}),
        ("killed", _HUNGRY, {"execution": {"memory": "600MiB"}}),
    ],
)
def test_what_a_trial_starts_counts_for_it_and_ends_with_it(
    tmp_path, monkeypatch, status, code, limits
):
    seconds = 0.0 if status == "completed" else 1000.0
    places = [tmp_path / "one", tmp_path / "two"]
    parameters = {"place": [*map(str, places)], "seconds": [seconds], "code": [code]}
    # What ends only with the search ends too late.
    seen = []
    close = hpsearch.workers.servers.Servers.close

    def closing(servers):
        seen.extend(pid for place in places for pid in processes_of(place))
        require_end(seen)
        close(servers)

    monkeypatch.setattr("hpsearch.workers.servers.Servers.close", closing)
    results = hpsearch.optimize(odd_functions.family, parameters, "grid", workers=2, **limits)
    assert results.table["status"].tolist() == [status] * 2, results.table["error"].tolist()
    assert len(set(seen)) == 4


def test_what_a_trial_starts_ends_with_a_killed_driver(tmp_path):
    support = Path(odd_functions.__file__).parent
    driver = subprocess.Popen(
        [sys.executable, "-c", _SEARCH, _SLEEPER],
        cwd=tmp_path,
        env=environment() | {"PYTHONPATH": str(support)},
    )
    try:
        pids = processes_of(tmp_path / "pids")
        assert all(os.getsid(pid) == pid for pid in pids)
    finally:
        driver.kill()
        driver.wait()
    require_end(pids)
