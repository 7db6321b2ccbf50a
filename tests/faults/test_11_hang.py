"""FAULTS 11: a training that hangs ends with its time, though it ignores SIGTERM."""

from __future__ import annotations

import shutil

import pandas as pd
from commands import ODD_LAYERS, hpsearch

_LIMIT_SECONDS = 4
_SWEEP = f"""\
data: {{dataset: digits, validation: 0.2, seed: 42}}
configs:
  - {{layer_type: "odd_layers:hanging", units: 16, epochs: 2}}
  - {{units: 16, epochs: 2}}
  - {{units: 24, epochs: 1000000}}
  - {{units: 32, epochs: 2}}
execution: {{workers: 2, timeout: {_LIMIT_SECONDS}}}
"""


def test_trainings_that_hang_or_never_end_are_ended_in_time(tmp_path):
    shutil.copy(ODD_LAYERS, tmp_path)
    (tmp_path / "sweep.yaml").write_text(_SWEEP)
    hpsearch("run", "sweep.yaml", "--out", "out", cwd=tmp_path)
    rows = pd.read_csv(tmp_path / "out" / "results.csv")
    assert rows["status"].tolist() == ["timeout", "completed", "timeout", "completed"]
    late = rows[rows["status"] == "timeout"]
    assert set(late["error"]) == {f"took longer than execution.timeout, {_LIMIT_SECONDS} s"}
    assert late["seconds"].between(_LIMIT_SECONDS, _LIMIT_SECONDS + 5).all()
    assert late["score"].isna().all()
