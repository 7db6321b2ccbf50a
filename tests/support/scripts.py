"""Runs the scripts of experiments/ and reads the tables that they write."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

EXPERIMENTS = Path(__file__).resolve().parent.parent.parent / "experiments"


def run(script: str, *arguments: object, out: Path) -> str:
    before = {path.name for path in EXPERIMENTS.iterdir()}
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "KERAS"))}
    done = subprocess.run(
        [sys.executable, EXPERIMENTS / script, *map(str, arguments), "--out", out],
        capture_output=True,
        text=True,
        env=environment,
        cwd=out,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.name for path in EXPERIMENTS.iterdir()} - {"__pycache__"} == before - {
        "__pycache__"
    }
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
