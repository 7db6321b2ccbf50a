"""FAULTS 7, 8: a signal before the first training is heeded, too, wherever the command is."""

import itertools
import signal
import time
from pathlib import Path

import pytest
from commands import start, wait_for

_SWEEP = """\
data: {python: "rows:read"}
parameters: {units: [4, 8], epochs: 1000000}
execution: {workers: 2}
"""
_ROWS = """\
import time
import numpy as np

def read():
    open("reached", "w").close()
    SLEEP
    x = np.random.default_rng(0).normal(size=(60, 3))
    return x, (x[:, 0] > 0).astype(int)
"""
_LONG = "time.sleep(1000)"
_SWALLOWING = "try:\n        time.sleep(1000)\n    except BaseException:\n        pass"
_STALLED = "import time\nopen({path!r}, 'w').close()\ntime.sleep(1000)\n"
#: A signal -> the first word of the line.
_ENDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


@pytest.fixture
def home(tmp_path):
    (tmp_path / "sweep.yaml").write_text(_SWEEP)
    (tmp_path / "rows.py").write_text(_ROWS.replace("SLEEP", _LONG))
    return tmp_path


def assert_ended(driver, number, *, lines=1):
    """Send the signal: the run must end in time, in one line, with nothing left of it.

    After the first training has begun, there may be lines of progress before.
    """
    said = driver.ended_by(number, 5, left_for=5).splitlines()
    assert said[-1].startswith(_ENDS[number]), said
    assert len(said) <= lines, said


def catches_sigterm(pid):
    """Whether the process has a handler for SIGTERM, which Python itself does not have."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) >> (signal.SIGTERM - 1) & 1)
    return False


@pytest.mark.parametrize(
    ("number", "sleep"),
    [(signal.SIGINT, _LONG), (signal.SIGTERM, _LONG), (signal.SIGTERM, _SWALLOWING)],
)
def test_while_the_users_function_reads_the_data(home, number, sleep):
    """One that catches everything is ended after it."""
    (home / "rows.py").write_text(_ROWS.replace("SLEEP", sleep))
    driver = start("sweep.yaml", cwd=home, out="out", env={})
    wait_for((home / "reached").exists, what="the function")
    assert_ended(driver, number)


@pytest.mark.parametrize(
    ("number", "package"), [(signal.SIGINT, "typer"), (signal.SIGTERM, "pandas")]
)
def test_while_a_package_is_imported(home, number, package):
    """typer by the command line, before anything else; pandas by the run."""
    (home / "packages").mkdir()
    reached = home / "importing"
    stalled = _STALLED.format(path=str(reached))
    (home / "packages" / f"{package}.py").write_text(stalled)
    driver = start("sweep.yaml", cwd=home, out="out", env={"PYTHONPATH": str(home / "packages")})
    wait_for(reached.exists, what="the import")
    assert_ended(driver, number)


@pytest.mark.slow
def test_at_any_time(home):
    """Of either signal, which go the same way."""
    (home / "rows.py").write_text(_ROWS.replace("SLEEP", "time.sleep(0.3)"))
    delays = (0.0, 0.05, 0.2, 0.5, 1.0, 2.0, 4.0)
    for delay, number in zip(delays, itertools.cycle(_ENDS)):
        out = f"out-{delay}"
        driver = start("sweep.yaml", cwd=home, out=out, env={})
        wait_for(lambda pid=driver.pid: catches_sigterm(pid), every=0.001, what="a handler")
        time.sleep(delay)
        assert_ended(driver, number, lines=100)
