"""Runs the scripts of experiments/ and reads the tables that they write."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from commands import environment, zygote

EXPERIMENTS = Path(__file__).resolve().parent.parent.parent / "experiments"
_MOST_SECONDS = 600


def run(script: str, *arguments: object, out: Path, fresh: bool = False) -> str:
    """Run a script; `fresh`: in an interpreter of its own, since it measures or runs TensorFlow."""
    before = {path.name for path in EXPERIMENTS.iterdir()}
    words = [str(EXPERIMENTS / script), *map(str, arguments), "--out", str(out)]
    if fresh:
        done = subprocess.run(
            [sys.executable, *words],
            capture_output=True, text=True, env=environment(), cwd=out, check=False,
        )  # fmt: skip
    else:
        done = zygote().run(words, cwd=out, env=environment(), seconds=_MOST_SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    after = {path.name for path in EXPERIMENTS.iterdir()}
    assert after - {"__pycache__"} == before - {"__pycache__"}
    return done.stdout


def rows(name: str, out: Path, *, about: str) -> list[dict[str, Any]]:
    """The rows that were written as JSON, all or some of which the page shows, too."""
    text = (out / f"{name}.md").read_text(encoding="utf-8")
    content = json.loads((out / f"{name}.json").read_text(encoding="utf-8"))
    assert " cores (" in content["about"][0]
    assert any(about in line for line in content["about"]), content["about"]
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert 2 < len(table) <= 2 + len(content["rows"])
    return content["rows"]
