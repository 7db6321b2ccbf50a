"""FAULTS 50: a store has one directory: a copy of the directory extends and moves no store."""

import shutil

from commands import hpsearch
from outcomes import contents

_SWEEP = "data: {dataset: iris}\nparameters: {units: [2], epochs: 1}\n"
_RUN = ["run", "sweep.yaml", "--set", "parameters.units=[2,3]"]


def test_a_copy_whose_store_is_elsewhere_is_refused(tmp_path):
    (tmp_path / "sweep.yaml").write_text(_SWEEP)
    hpsearch("run", "sweep.yaml", "--out", "out", "--store", "here/sweep.db", cwd=tmp_path)
    shutil.copytree(tmp_path / "out", tmp_path / "copy")
    before = contents(tmp_path, but=[".lock"])
    for fresh in ([], ["--fresh"]):
        said = hpsearch(*_RUN, *fresh, "--out", "copy", cwd=tmp_path, code=3).stderr
        assert f"copy: is a copy of {tmp_path / 'out'}" in said
        assert contents(tmp_path, but=[".lock"]) == before
    # A directory that was moved, and the first one itself, go on.
    shutil.rmtree(tmp_path / "copy")
    (tmp_path / "out").rename(tmp_path / "moved")
    said = hpsearch(*_RUN, "--out", "moved", cwd=tmp_path).stdout
    assert "2 trials, 2 completed" in said
