"""Systems without what Linux alone has, as far as that can be had here: it is taken away."""

from pathlib import Path

import commands
import pytest
from made_tables import Made, Row, write

ROOT = Path(__file__).parent.parent
SWEEP = "data: {dataset: digits}\nparameters: {units: [4, 8], epochs: 1}\n"
#: Python runs it at the start of each process.
WITHOUT = """\
import os, sys


class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}")


sys.meta_path.insert(0, Absent())
for name in NAMES:
    delattr(os, name)
for name in MODULES:
    sys.modules.pop(name, None)
"""
ON_LINUX = ("sched_getaffinity", "memfd_create")
ON_UNIX = (*ON_LINUX, "fork", "register_at_fork")


@pytest.fixture
def without(tmp_path, monkeypatch):
    """Makes a directory in which commands lack some names of `os`, and some modules."""

    def make(names, modules=()):
        (tmp_path / "sitecustomize.py").write_text(
            f"NAMES, MODULES = {names}, {modules}\n{WITHOUT}"
        )
        monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
        (tmp_path / "s.yaml").write_text(SWEEP)
        return tmp_path

    return make


@pytest.mark.slow
def test_a_run_needs_nothing_of_linux_alone(without):
    home = without(ON_LINUX)
    done = commands.hpsearch("run", "s.yaml", "--out", "out", cwd=home)
    assert "2 trials, 2 completed" in done.stdout


@pytest.mark.slow
def test_without_fork_all_but_training_works(without):
    home = without(ON_UNIX, ("fcntl", "resource"))
    assert "trials     2" in commands.hpsearch("plan", "s.yaml", cwd=home).stdout
    refused = commands.hpsearch("run", "s.yaml", "--out", "out", cwd=home, code=2)
    assert "On Windows, run it in WSL" in refused.stderr
    for name, gain in (("a", 0.0), ("b", 0.1)):
        rows = [Row({"units": 2**n}, 0.5 + n / 100 + gain) for n in range(6)]
        write(home / name, Made(rows, name=name))
    assert "best trials" in commands.hpsearch("show", "a", cwd=home).stdout
    assert "Which is better?" in commands.hpsearch("compare", "a", "b", cwd=home).stdout
    assert (
        "results.csv can still be read" in commands.hpsearch("doctor", "a", cwd=home, code=3).stdout
    )
    commands.hpsearch("report", "a", cwd=home)
    assert (home / "a" / "report.html").exists()
    assert "residual" in commands.hpsearch("list", "layer-types", cwd=home).stdout
