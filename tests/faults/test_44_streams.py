"""FAULTS 44: standard streams may be closed, or absent in Python."""

from __future__ import annotations

import json
import subprocess

import pandas as pd
import pytest
from commands import PROGRAM, environment, python
from marks import slow

_SWEEP = {"data": {"dataset": "iris"}, "parameters": {"units": 4, "epochs": 1}}


@pytest.mark.parametrize(
    "closed", ["<&- >&- 2>&-", "2>/dev/full", *map(slow, ["<&-", ">&-", "2>&-"])]
)
def test_a_sweep_runs_with_closed_or_full_streams(tmp_path, closed):
    (tmp_path / "sweep.yaml").write_text(json.dumps(_SWEEP))
    command = " ".join([*PROGRAM, "run", "sweep.yaml", "--out", "out", closed])
    ended = subprocess.run(["/bin/sh", "-c", command], cwd=tmp_path, env=environment(), check=False)
    assert ended.returncode == 0
    assert len(pd.read_csv(tmp_path / "out" / "results.csv")) == 1


@pytest.mark.parametrize("verbose", [slow(0), 1])
def test_a_program_without_streams_tunes(tmp_path, verbose):
    python(
        "import hpsearch, sys\n"
        "sys.stdout = sys.stderr = None\n"
        f"hpsearch.run({_SWEEP}, out='out', verbose={verbose})",
        cwd=tmp_path,
    )
    assert len(pd.read_csv(tmp_path / "out" / "results.csv")) == 1
