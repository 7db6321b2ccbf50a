"""Sweeps of seconds, and a table, that several tests run."""

from __future__ import annotations

from pathlib import Path

from commands import sweep

#: 20 trials in 10 trainings.
DIGITS = """\
name: small
data: {dataset: digits, validation: 0.2, seed: 42}
method: grid
metric: {name: val_accuracy, goal: maximize}
parameters:
  hidden_layers: [0, 1]
  units: [16]
  activation: [relu, sigmoid]
  layer_type: [dense, dropout]
  epochs: [1, 3]
  optimizer: [sgd, adam]
"""

_ROWS = [f"{i / 7:.3f},{i % 5}.5,{'uvw'[i % 3]},{'no' if i % 2 else 'yes'}" for i in range(40)]
#: Numbers, text, and two classes in column y.
TABLE = "\n".join(["a,b,t,y", *_ROWS]) + "\n"


def run_on_table(home: Path, text: str) -> Path:
    """Run a sweep over table.csv, by the real command, in `out` of a directory; that directory."""
    (home / "table.csv").write_text(TABLE)
    sweep(home, text)
    return home
