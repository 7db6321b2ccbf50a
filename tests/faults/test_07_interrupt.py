"""FAULTS 7: Ctrl-C keeps results: within 5 s, exit code 130, the table written, no child left."""

import contextlib
import os
import signal
import subprocess
import threading
import time

import pytest
from commands import PROGRAM, Running, environment, hpsearch, in_sessions, python, start, wait_for
from outcomes import table

_SWEEP = """\
data: {dataset: digits, validation: 0.2, seed: 42}
parameters:
  hidden_layers: [0, 1]
  units: [16]
  activation: [relu, sigmoid]
  epochs: [5, 150]
execution: {workers: 2}
"""


@pytest.fixture
def place(tmp_path):
    (tmp_path / "sweep.yaml").write_text(_SWEEP)
    return tmp_path


def test_an_interrupted_run_keeps_its_rows_and_waits_for_no_training_that_hangs(place):
    (place / "mine.py").write_text(
        "import time, signal\n"
        "def hanging(x, units, activation):\n"
        "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "    signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "    open('hangs', 'w').close()\n"
        "    time.sleep(1000)\n"
    )
    two = 'parameters={layer_type: [dense, "mine:hanging"], units: 16, epochs: 5}'
    driver = start("sweep.yaml", "--set", two, cwd=place, out="out")
    wait_for((place / "hangs").exists, what="the training that hangs")
    driver.wait_for_results(1)
    err = driver.ended_by(signal.SIGINT, 5)
    assert "interrupted; results so far are in out, the same command continues" in err
    rows = table(place / "out")
    assert len(rows) == driver.results() == 1
    assert set(rows["status"]) == {"completed"}
    assert set(table(place / "out", "curves.csv")["trial"]) == set(rows["trial"])


def test_a_signal_while_python_ends_does_not_change_the_exit_code():
    """Modules are freed after the handlers of signals."""
    python(
        "import os, signal, sys\n"
        "from hpsearch.__main__ import end_at_once\n"
        "class Last:\n"
        "    def __del__(self, kill=os.kill, pid=os.getpid(), number=signal.SIGTERM):\n"
        "        kill(pid, number)\n"
        "sys.last = Last()\n"
        "end_at_once()\n"
    )


def test_a_second_one_ends_it_at_once(place):
    driver = start("sweep.yaml", cwd=place, out="out")
    driver.wait_for_results(1)
    servers = driver.servers()
    driver.process.send_signal(signal.SIGINT)
    time.sleep(0.02)
    driver.send(signal.SIGINT)
    assert driver.process.returncode == 130
    wait_for(lambda: not in_sessions(servers), seconds=2, what="children to end")
    said = hpsearch("run", "sweep.yaml", "--out", "out", cwd=place)
    assert "6 trials, 6 completed" in said.stdout


def test_the_key_itself_at_a_terminal(place):
    """It reaches every process of the foreground, not the driver alone."""
    terminal, its = os.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", *PROGRAM, "run", "sweep.yaml", "--out", "out"],
        cwd=place, env=environment(), stdin=its, stdout=its, stderr=its,
    )  # fmt: skip
    os.close(its)
    written = bytearray()

    def read():
        # The terminal of a process that has ended cannot be read.
        with contextlib.suppress(OSError):
            while piece := os.read(terminal, 65_536):
                written.extend(piece)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        driver = Running(process, place / "out")
        wait_for(lambda: driver.results() >= 1, what="a result")
        servers = driver.servers()
        began = time.monotonic()
        os.write(terminal, b"\x03")
        assert process.wait(timeout=60) == 130
        assert time.monotonic() - began < 5
        wait_for(
            lambda: not in_sessions([*servers, process.pid]), seconds=2, what="children to end"
        )
        reader.join(timeout=10)
    finally:
        process.kill()
        os.close(terminal)
    text = written.decode()
    assert "interrupted; results so far are in out" in text
    assert "Traceback" not in text
    assert 0 < len(table(place / "out")) == driver.results() < 6
