"""Signals, and two drivers for one directory."""

from __future__ import annotations

import signal
import time
from functools import partial

import pandas as pd
import pytest
from commands import hpsearch, in_sessions, start, wait_for, within
from pandas.testing import assert_frame_equal

from hpsearch.lock import DirectoryLock

_LONG = ["--set", "parameters.epochs=[5, 150]"]
_ENDLESS = ["--set", "parameters.epochs=[1, 1000000]"]


@pytest.fixture
def place(tmp_path, digits):
    (tmp_path / "sweep.yaml").write_text(digits)
    return tmp_path


def test_an_interrupted_run_keeps_its_rows_and_continues(place, table):
    interruptions = [
        (signal.SIGINT, 130, "interrupted; results so far are in out"),
        (signal.SIGTERM, 143, "terminated; results so far are in out"),
    ]
    for number, code, words in interruptions:
        before = 0 if number is signal.SIGINT else len(table(place / "out"))
        driver = start("sweep.yaml", *_LONG, "--workers", 2, cwd=place, out="out")
        driver.wait_for_results(before + 1)
        servers = driver.servers()
        seconds, err = driver.send(number)
        assert driver.process.returncode == code, err
        assert seconds < 5
        assert words in err
        assert "Traceback" not in err
        rows = table(place / "out")
        assert before < len(rows) == driver.results() < 20
        assert set(rows["status"]) == {"completed"}
        wait_for(lambda s=servers: not in_sessions(s), seconds=2, what="children to end")
    hpsearch("run", "sweep.yaml", *_LONG, "--out", "out", cwd=place)
    hpsearch("run", "sweep.yaml", *_LONG, "--out", "undisturbed", cwd=place)
    for name in ("results.csv", "curves.csv"):
        assert_frame_equal(table(place / "out", name), table(place / "undisturbed", name))


def test_a_hanging_training_does_not_delay_the_end(place):
    (place / "mine.py").write_text(
        "import time, signal\n"
        "def hanging(x, units, activation):\n"
        "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "    time.sleep(1000)\n"
    )
    options = ["--set", 'parameters.layer_type=["mine:hanging"]', "--workers", 1]
    driver = start("sweep.yaml", *options, cwd=place, out="out")
    wait_for(driver.workers, every=0.1, what="the training that hangs")
    time.sleep(1)
    servers = driver.servers()
    seconds, _ = driver.send(signal.SIGINT)
    assert driver.process.returncode == 130
    assert seconds < 5
    wait_for(lambda: not in_sessions(servers), seconds=2, what="children to end")
    assert len(pd.read_csv(place / "out" / "results.csv")) == 0


def test_one_driver_a_directory(place):
    driver = start("sweep.yaml", *_ENDLESS, cwd=place, out="out")
    try:
        driver.wait_for_results(1)
        for options in ([], ["--fresh"]):
            arguments = ["run", "sweep.yaml", "--out", "out", *options]
            said = within(2, partial(hpsearch, *arguments, cwd=place, code=3))
            assert f"process {driver.pid}" in said.stderr
            assert sorted(p.name for p in place.iterdir()) == ["out", "sweep.yaml"]
        assert driver.process.poll() is None
        # Readers are not kept out.
        assert "trials: " in hpsearch("show", "out", cwd=place).stdout
        assert "have results already" in hpsearch(
            "plan", "sweep.yaml", *_ENDLESS, "--out", "out", cwd=place
        ).stdout  # fmt: skip
    finally:
        driver.process.kill()
        driver.process.communicate()
    # The lock is free at once, whatever the file says.
    assert str(driver.pid) in (place / "out" / ".lock").read_text()
    DirectoryLock(place / "out").release()


def test_a_signal_before_the_work_begins_is_obeyed(place):
    driver = start("sweep.yaml", cwd=place, out="out")
    wait_for((place / "out" / "run.log").exists, what="the run to be set up")
    seconds, err = driver.send(signal.SIGINT)
    assert driver.process.returncode == 130, err
    assert "Traceback" not in err
    assert seconds < 10
