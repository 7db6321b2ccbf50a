"""`hpsearch log` and `run --log` reach TensorBoard and MLflow."""

from __future__ import annotations

import pytest
from commands import hpsearch

pytestmark = pytest.mark.slow


def test_a_run_logs_as_it_goes(finished, tmp_path):
    change = ["--set", "parameters.hidden_layers=[0]"]
    half = [*change, "--set", "parameters.epochs=[1]"]
    hpsearch("run", finished / "sweep.yaml", *half, "--out", "out", cwd=tmp_path)
    logs = ["--log", "tensorboard:first", "--log", "tensorboard:second"]
    hpsearch("run", finished / "sweep.yaml", *change, "--out", "out", *logs, cwd=tmp_path)
    for place in ("first", "second"):
        events = (tmp_path / place).glob("*/trial-*/events*")
        # Those of the run before, too.
        assert sorted(path.parent.name for path in events) == [f"trial-{n}" for n in range(1, 5)]
