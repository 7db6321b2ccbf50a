"""FAULTS 21: the ten-thousandth trial costs no more than the first, nor does memory grow."""

import json
from itertools import pairwise

import pandas as pd
import pytest
from commands import python

import hpsearch

_TRIALS = 10_000
#: Of every 250: when they began, and the memory of the process then.
_SCRIPT = r"""\
import json, re, time
from pathlib import Path
import hpsearch
# A write of the tables during the run, as there is one on a slow machine, imports it.
import pandas

snapshots = []

def objective(config):
    calls[0] += 1
    if calls[0] % 250 == 1 or calls[0] == 10_000:
        # Not what is mapped from files, which the system may take back at any time.
        status = Path("/proc/self/status").read_text()
        kilobytes = int(re.search(r"RssAnon:\s+(\d+)", status)[1])
        snapshots.append((time.process_time(), 1024 * kilobytes))
    return float(config["x"])

calls = [0]
results = hpsearch.optimize(
    objective, {"x": {"min": 1, "max": 10_000, "step": 1, "type": "int"}}, method="grid",
    goal="minimize", out="out",
)
print(json.dumps(snapshots))
"""


def searched(home):
    """Search in a process of its own, and return how the costs of trials grew, and the memory."""
    times, memory = zip(*json.loads(python(_SCRIPT, cwd=home).splitlines()[-1]), strict=True)
    # In the process' own time, which other programs do not lengthen.
    seconds = [later - earlier for earlier, later in pairwise(times)]
    assert len(seconds) == 40
    # The first thousand has what is done once.
    return min(seconds[-12:]) / min(seconds[4:16]), memory


@pytest.mark.slow
def test_the_last_of_ten_thousand_trials_costs_what_the_first_did(tmp_path):
    # A shared processor is slow for seconds at a time, so the least of several searches counts.
    for place in ("first", "second", "third"):
        home = tmp_path / place
        home.mkdir()
        growth, memory = searched(home)
        if growth <= 1.5:
            break
    assert growth <= 1.5
    assert memory[-1] - memory[0] < 50e6
    assert len(pd.read_csv(home / "out" / "results.csv")) == _TRIALS


@pytest.mark.slow
def test_five_hundred_hyperparameters_have_a_report(tmp_path):
    """Any warning is an error here, such as that the report is not written."""
    parameters = {f"h{number}": {"min": 0.0, "max": 1.0} for number in range(500)}
    hpsearch.optimize(
        lambda config: config["h7"], parameters, "random", trials=20, out=tmp_path / "out"
    )
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Of at most 20 hyperparameters, the most important ones. " in page
    assert len(page.encode()) < 6_000_000
    assert len(hpsearch.load(tmp_path / "out").table.columns) > 500
