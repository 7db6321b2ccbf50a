"""FAULTS 22: results on a read-only disk can be read; `run` refuses before the first trial."""

import pytest
from commands import hpsearch, sweep
from disks import read_only

_SWEEP = """\
data: {dataset: digits}
parameters: {units: [4, 8], epochs: [1, 2]}
"""


@pytest.mark.slow
def test_reading_works_and_running_is_refused_at_once(tmp_path):
    tmp_path.chmod(0o755)
    sweep(tmp_path, _SWEEP)
    (tmp_path / "other").mkdir()
    hpsearch("run", "sweep.yaml", "--out", "other/out", "--set", "seeds=[7]", cwd=tmp_path)
    out = tmp_path / "out"
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o777)
    elsewhere.chmod(0o777)
    with read_only(out) as disk:
        tell = {"cwd": tmp_path, "program": disk.program}
        assert "4 trials: 4 completed" in hpsearch("show", "out", **tell).stdout
        assert "Are they comparable?" in hpsearch("compare", "out", "other/out", **tell).stdout
        page = elsewhere / "page.html"
        hpsearch("report", "out", "--out", page, **tell)
        assert page.stat().st_size > 10_000
        # Where it would go by default, nothing can be written.
        said = hpsearch("report", "out", code=2, **tell)
        assert "out/report.html" in said.stderr
        model = elsewhere / "model.keras"
        hpsearch("export", "out", "--out", model, **tell)
        assert model.exists()
        assert "sound" in hpsearch("doctor", "out", **tell).stdout
        said = hpsearch("run", "sweep.yaml", "--out", "out", code=2, **tell)
        assert "out: the results directory cannot be written" in said.stderr
        said = hpsearch("run", "sweep.yaml", "--out", "out/new", code=2, **tell)
        assert "the results directory cannot be made" in said.stderr
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
