"""A user's program passes mypy --strict, and one with mistakes does not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SOUND = """
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

import hpsearch

x, y = np.zeros((8, 2)), np.arange(8) % 2


def objective(config: dict[str, Any]) -> Iterator[float]:
    yield float(config["x"])


results: hpsearch.Results = hpsearch.tune(
    x,
    y,
    parameters={"units": [4, 8]},
    validation_data=(x, y),
    method={"name": "tpe"},
    trials=3,
    class_weight={0: 1.0},
    seeds=[1, 2],
    early_stopping={"patience": 3},
)
table: pd.DataFrame = results.table
score = float(results.best["score"])
model = results.model()
found: hpsearch.Results = hpsearch.optimize(objective, {"x": [1, 2]}, "grid", goal="maximize")
again: hpsearch.Results = hpsearch.run("sweep.yaml", out="out", workers=2)
comparison: hpsearch.Comparison = hpsearch.compare(hpsearch.load("out"), "b.csv")
winner: str | None = comparison.winner
sweep: hpsearch.Sweep = again.sweep
equal: bool = again.reproduce(1).equal
try:
    hpsearch.run({"name": "s"})
except hpsearch.Interrupted as error:
    print(error.exit_code, error.results)
"""
#: Each line, and the kind of the mistake in it.
MISTAKEN = {
    "hpsearch.tune()": "call-arg",
    "hpsearch.tune([[1.0]], [1], parameters={}, trials='many')": "arg-type",
    "hpsearch.tune([[1.0]], [1], parameters={}, method=3)": "arg-type",
    "hpsearch.load(3)": "arg-type",
    "x: int = hpsearch.load('out').table": "assignment",
    "hpsearch.tunes": "attr-defined",
}


@pytest.mark.slow
def test_a_sound_program_passes_and_mistakes_are_found(tmp_path):
    (tmp_path / "sound.py").write_text(SOUND, encoding="utf-8")
    lines = ["import hpsearch", *MISTAKEN]
    (tmp_path / "mistaken.py").write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent"]
    done = subprocess.run(
        [*command, "sound.py", "mistaken.py"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
        env=os.environ | {"MYPYPATH": str(Path(__file__).resolve().parents[2])},
    )
    assert done.returncode == 1, done.stdout + done.stderr
    *told, _ = done.stdout.splitlines()
    assert all(line.startswith("mistaken.py") for line in told), done.stdout
    for number, kind in enumerate(MISTAKEN.values(), start=2):
        found = any(f":{number}: error" in line and f"[{kind}]" in line for line in told)
        assert found, done.stdout
