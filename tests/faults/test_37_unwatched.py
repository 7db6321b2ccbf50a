"""FAULTS 37: a sweep whose progress nobody reads any more ends as if watched."""

import os
import subprocess

import pandas as pd
import pytest
from commands import PROGRAM, environment, wait_for
from made_tables import Made, units, write

_SWEEP = """\
data: {dataset: digits}
parameters: {units: [4, 6, 8, 10, 12, 14], epochs: 20}
execution: {workers: 1}
"""
_RUN = ("run", "sweep.yaml", "--out", "out")


@pytest.fixture
def home(tmp_path):
    (tmp_path / "sweep.yaml").write_text(_SWEEP)
    return tmp_path


def started(home, *command, stderr=subprocess.STDOUT):
    return subprocess.Popen(
        [*PROGRAM, *command], cwd=home, env=environment(), start_new_session=True,
        stdout=subprocess.PIPE, stderr=stderr,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "code"), [((), 0), (("--set", "parameters.layer_type=[odd:layer]"), 1)]
)
def test_a_reader_of_both_streams_leaves(home, change, code):
    (home / "odd.py").write_text("def layer(x, units, activation):\n    raise ValueError('odd')\n")
    process = started(home, *_RUN, *change)
    assert process.stdout.readline().startswith(b"sweep ")
    process.stdout.close()
    assert process.wait(timeout=120) == code
    # Of six that fail alike the sixth is not trained.
    assert len(pd.read_csv(home / "out" / "results.csv")) == 6 - code


def test_its_terminal_is_closed(home):
    ours, its = os.openpty()
    command = ["setsid", "--ctty", *PROGRAM, *_RUN]
    streams = {"stdin": its, "stdout": its, "stderr": its}
    process = subprocess.Popen(command, cwd=home, env=environment(), **streams)
    os.close(its)
    os.read(ours, 1)
    wait_for((home / "out" / "run.log").exists, what="the run")
    os.close(ours)
    assert process.wait(timeout=120) == 0
    assert len(pd.read_csv(home / "out" / "results.csv")) == 6


def test_a_reader_of_a_table_leaves(home):
    write(home / "out", Made(units([0.5])))
    process = started(home, "show", "out", stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(timeout=60) == 0
    process.stderr.close()
