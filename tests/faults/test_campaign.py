"""The campaign of interruptions runs by its command, finds its losses, and says so."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from commands import hpsearch

_ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.slow
def test_a_short_campaign_loses_nothing(tmp_path):
    command = (sys.executable, "experiments/interruptions.py")
    options = ("--minutes", 5, "--interruptions", 1, "--seed", 1, "--out", tmp_path)
    said = hpsearch(*options, cwd=_ROOT, program=command)
    told = re.findall(r"^\d+: \w+, [12] workers, \w+: ", said.stdout, re.MULTILINE)
    lines = (tmp_path / "interruptions.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line]
    total = dict(zip(rows[0], rows[-1], strict=True))
    # Which sweeps end before they can be interrupted is chance.
    assert len(told) == int(total["interruptions"]) >= 1
    for column in ("results lost", "results changed", "trials twice", "wrong ends"):
        assert total[column] == "0"
