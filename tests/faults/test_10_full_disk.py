"""FAULTS 10: a full disk loses nothing: acknowledged is stored, and with room the run goes on."""

import re

import pandas as pd
import pytest
from commands import hpsearch, sweep
from disks import small_disk
from outcomes import acknowledged, assert_same

_SWEEP = """\
data: {dataset: digits, validation: 0.2, seed: 42}
parameters:
  units: [100, 110, 120, 130, 140, 150, 160, 170, 180, 190, 200, 210]
  epochs: [1, 2]
execution: {workers: 1}
keep: all
"""
_TRIALS = 24


@pytest.mark.slow
def test_a_disk_that_is_full_ends_the_run_in_words_and_with_room_it_goes_on(tmp_path):
    sweep(tmp_path, _SWEEP, out="undisturbed")
    with small_disk(tmp_path / "disk", 2**20) as disk:
        out = disk.path / "out"
        command = ("run", "sweep.yaml", "--out", out)
        said = hpsearch(*command, cwd=tmp_path, code=None, program=disk.program)
        assert said.returncode in (2, 3), said.stderr
        last = said.stderr.strip().splitlines()[-1]
        assert "disk" in last or "space" in last or "too large" in last, said.stderr
        told = set(map(int, re.findall(r"trial (\d+) completed", said.stderr)))
        stored = acknowledged(out)
        assert told
        # Not each is told: of many a second, some.
        assert told <= set(stored)
        assert len(stored) < _TRIALS
        # It stays full, and says so again; nothing is lost by that.
        again = hpsearch(*command, cwd=tmp_path, code=None, program=disk.program)
        assert again.returncode in (2, 3), again.stderr
        assert acknowledged(out).items() >= stored.items()
        disk.make_room()
        hpsearch(*command, cwd=tmp_path)
        assert_same(out, tmp_path / "undisturbed", _TRIALS)
        assert (out / "best.keras").exists()


@pytest.mark.slow
def test_a_report_or_model_that_cannot_be_written_is_a_warning(tmp_path):
    """The page has megabytes; the store has room for the weights once, and there is no more."""
    (tmp_path / "sweep.yaml").write_text(
        "data: {dataset: digits}\nparameters: {hidden_layers: 2, units: 340, epochs: 1}\n"
    )
    with small_disk(tmp_path / "disk", 2**20) as disk:
        command = ("run", "sweep.yaml", "--out", disk.path / "out")
        said = hpsearch(*command, cwd=tmp_path, program=disk.program)
        assert "1 trial, 1 completed, 1 trained now" in said.stdout
        for name, words in (("report.html", "is not written"), ("best.keras", "cannot be written")):
            assert f"warning: {disk.path / 'out' / name} {words}: " in said.stderr
            assert not (disk.path / "out" / name).exists()
        assert len(pd.read_csv(disk.path / "out" / "results.csv")) == 1
        disk.make_room()
        said = hpsearch(*command, cwd=tmp_path)
        assert "0 trained now" in said.stdout
        assert "warning" not in said.stderr
        assert {"report.html", "best.keras"} <= {p.name for p in (disk.path / "out").iterdir()}
