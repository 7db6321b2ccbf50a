"""FAULTS 15: one byte of the data changed, and a run is refused, with both fingerprints."""

import re

import pandas as pd
import pytest
from commands import hpsearch
from outcomes import OF_A_RUN, contents
from small_sweeps import run_on_table

_SWEEP = """\
data: {csv: table.csv, target: y, validation: 0.25}
parameters: {units: [4], epochs: [2]}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return run_on_table(tmp_path_factory.mktemp("pinned"), _SWEEP)


@pytest.mark.parametrize(
    ("old", "new"), [(b"1.000", b"1.001"), (b",u,", b",v,"), (b",yes", b",yet"), (b"yes", b"no")]
)
def test_a_changed_byte_is_refused_with_both_fingerprints(place, old, new):
    before = contents(place / "out", OF_A_RUN)
    (fingerprint,) = set(pd.read_csv(place / "out" / "results.csv")["data"])
    data = (place / "table.csv").read_bytes()
    assert old in data
    # A class of one row would be refused for that: all of them change.
    (place / "table.csv").write_bytes(data.replace(old, new, -1 if b"ye" in new else 1))
    said = hpsearch("run", "sweep.yaml", "--out", "out", cwd=place, code=3)
    was, now = re.findall(r'data: was "(d[0-9a-f]{11})", is "(d[0-9a-f]{11})"', said.stderr)[0]
    assert was == fingerprint != now
    assert "--fresh" in said.stderr
    assert contents(place / "out", OF_A_RUN) == before
    (place / "table.csv").write_bytes(data)


def test_other_bytes_with_the_same_values_are_the_same_data(place):
    """As another program may write them; and what was refused is as it was."""
    text = (place / "table.csv").read_text()
    (place / "table.csv").write_text(text.replace("0.000,", "0,").replace("\n", "\r\n"))
    assert "0 trained now" in hpsearch("run", "sweep.yaml", "--out", "out", cwd=place).stdout
