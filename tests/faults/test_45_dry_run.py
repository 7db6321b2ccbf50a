"""FAULTS 45: looking at a program's repository runs nothing that the repository names."""

import os

import pytest
from commands import git, hpsearch

_SWEEP = "program: mine.py\nmetric: {name: loss, goal: minimize}\nparameters: {x: [1]}\n"


@pytest.mark.parametrize(("command", "key"), [("plan", "clean"), ("run", "process")])
def test_no_filter_and_no_monitor_of_the_repository_runs(tmp_path, command, key):
    (tmp_path / "mine.py").write_text("import hpsearch\nhpsearch.report({'loss': 1.0})\n")
    (tmp_path / "s.yaml").write_text(_SWEEP)
    (tmp_path / ".gitattributes").write_text("*.py filter=a=b\n*.py filter=evil\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "all")
    for name in ("evil", "a=b"):
        git(tmp_path, "config", f"filter.{name}.required", "true")
    git(tmp_path, "config", f"filter.evil.{key}", "touch ran; cat")
    git(tmp_path, "config", "core.fsmonitor", "touch watched")
    os.utime(tmp_path / "mine.py", (1, 1))
    hpsearch(command, "s.yaml", "--out", "out", cwd=tmp_path)
    assert not {"ran", "watched"} & {path.name for path in tmp_path.iterdir()}
