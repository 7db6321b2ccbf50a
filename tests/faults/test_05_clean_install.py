"""FAULTS 5: a fresh environment, the README's command, and a real trial of each method."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from commands import environment
from readme import block

from hpsearch.spec.method import METHODS

_ROOT = Path(__file__).resolve().parent.parent.parent
#: A trial of each method, one after the other: an interpreter for each would take a minute.
_TRIALS = """\
import sys
import hpsearch

for method in sys.argv[1:]:
    results = hpsearch.run(
        {
            "data": {"dataset": "digits"},
            "method": method,
            "parameters": {"units": [8], "optimizer": ["adam"], "epochs": [2]},
            "budget": {"trials": 1},
        },
        out=method,
    )
    # The only rung of hyperband's one trial stops it.
    assert results.table["status"].isin(["completed", "stopped"]).tolist() == [True], method
    assert (results.directory / "best.keras").exists(), method
"""


def checkout(target: Path) -> None:
    """The files of the repository, as a clone has them, uncommitted changes included."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=_ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    for name in filter(None, listed):
        source = _ROOT / name
        if source.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes(source.read_bytes())


def test_a_wheel_that_was_built_without_a_compiler_is_for_any_platform(tmp_path):
    checkout(tmp_path)
    build = "from setuptools.build_meta import build_wheel; print(build_wheel('.'))"
    told = subprocess.run(
        [sys.executable, "-c", build],
        cwd=tmp_path, env=environment() | {"CC": "false"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert told.stdout.splitlines()[-1] == "hpsearch-0.1.0-py3-none-any.whl", told.stderr


@pytest.mark.slow
def test_a_fresh_environment_runs_the_main_job_and_every_method(tmp_path):
    clone = tmp_path / "clone"
    checkout(clone)
    outside = {k: v for k, v in environment().items() if not k.startswith(("PYTHON", "VIRTUAL"))}
    # Of TensorFlow's many modules few are imported, and only these need to be compiled.
    outside["PIP_NO_COMPILE"] = "1"

    def run(*command, cwd):
        done = subprocess.run(
            command, cwd=cwd, env=outside, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    run("bash", "-euo", "pipefail", "-c", block("main job", "sh", clone), cwd=clone)
    rows = pd.read_csv(clone / "experiments" / "digits" / "results.csv")
    assert len(rows) == 102
    assert set(rows["status"]) == {"completed"}
    run(clone / ".venv" / "bin" / "python", "-c", _TRIALS, *METHODS, cwd=tmp_path)
