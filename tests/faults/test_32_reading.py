"""FAULTS 32: commands run no file of the working directory, nor of the one that they read."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from commands import PROGRAM, hpsearch

_SWEEP = """\
data: {python: "rows:read"}
parameters: {units: [4, 8], epochs: 1}
"""
_ROWS = """\
import numpy as np

def read():
    x = np.random.default_rng(0).normal(size=(60, 3))
    return x, (x[:, 0] > 0).astype(int)
"""
#: Modules that some package imports if they are there, and two that all import.
_NAMES = ["pyarrow", "numexpr", "bottleneck", "lxml", "IPython", "simplejson", "numpy", "yaml"]
_SCRIPT = Path(sys.executable).with_name("hpsearch")


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory):
    home = tmp_path_factory.mktemp("sweeps")
    (home / "sweep.yaml").write_text(_SWEEP)
    (home / "rows.py").write_text(_ROWS)
    for out in ("a", "b"):
        hpsearch("run", "sweep.yaml", "--out", out, cwd=home)
    for place in (home, home / "a"):
        for name in (*_NAMES, "rows"):
            (place / f"{name}.py").write_text("open('RAN', 'a').write(__name__)\n")
    return home


@pytest.mark.parametrize(
    "program",
    [pytest.param(PROGRAM, marks=pytest.mark.slow), (str(_SCRIPT),)],
    ids=["module", "script"],
)
@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "a"],
        ["compare", "a", "b"],
        ["report", "a", "b", "--out", "page.html"],
        ["doctor", "a"],
        ["list", "methods"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_reading_runs_nothing(sweeps, arguments, program):
    hpsearch(*arguments, cwd=sweeps, program=program)
    assert not (sweeps / "RAN").exists()


def test_in_the_directory_itself(sweeps):
    hpsearch("show", ".", cwd=sweeps / "a", program=PROGRAM)
    assert not (sweeps / "a" / "RAN").exists()
