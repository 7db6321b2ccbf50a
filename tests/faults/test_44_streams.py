"""FAULTS 44: standard streams may be closed or full, or absent in Python."""

import json
import subprocess

import pandas as pd
import pytest
from commands import PROGRAM, environment, python
from marks import slow

_SWEEP = {"data": {"dataset": "iris"}, "parameters": {"units": 4, "epochs": 1}}


@pytest.mark.parametrize(
    "closed", ["<&- >&- 2>&-", *map(slow, ["2>/dev/full", "<&-", ">&-", "2>&-"])]
)
def test_a_sweep_runs_with_closed_or_full_streams(tmp_path, closed):
    (tmp_path / "sweep.yaml").write_text(json.dumps(_SWEEP))
    command = " ".join([*PROGRAM, "run", "sweep.yaml", "--out", "out", closed])
    ended = subprocess.run(["/bin/sh", "-c", command], cwd=tmp_path, env=environment(), check=False)
    assert ended.returncode == 0
    assert len(pd.read_csv(tmp_path / "out" / "results.csv")) == 1


def test_a_program_with_absent_or_full_streams_searches(tmp_path):
    python(
        "import hpsearch, sys\n"
        "for out, stream in (('0', None), ('1', None), ('2', open('/dev/full', 'w'))):\n"
        "    sys.stdout = sys.stderr = stream\n"
        "    given = {'out': out, 'verbose': min(int(out), 1)}\n"
        "    hpsearch.optimize(lambda c: c['x'], {'x': [1]}, 'grid', **given)",
        cwd=tmp_path,
    )
    assert [len(pd.read_csv(tmp_path / out / "results.csv")) for out in "012"] == [1] * 3
