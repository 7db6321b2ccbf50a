"""FAULTS 5: what a fresh environment gets. .ci/run and .ci/methods train in one."""

import subprocess
import sys
from pathlib import Path

from commands import environment

_ROOT = Path(__file__).resolve().parent.parent.parent


def test_a_wheel_that_was_built_without_a_compiler_is_for_any_platform(tmp_path):
    # As a clone has the files, uncommitted changes included.
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=_ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    for name in filter(None, listed):
        source = _ROOT / name
        if source.is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(source.read_bytes())
    build = "from setuptools.build_meta import build_wheel; print(build_wheel('.'))"
    told = subprocess.run(
        [sys.executable, "-c", build],
        cwd=tmp_path, env=environment() | {"CC": "false"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert told.stdout.splitlines()[-1] == "hpsearch-0.1.0-py3-none-any.whl", told.stderr
