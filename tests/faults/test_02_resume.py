"""FAULTS 2: killed at any trial and run again, a sweep is the one that was left alone."""

import re
import sys
from pathlib import Path

import pytest
import yaml
from commands import hpsearch
from outcomes import assert_same, trainings_begun

from hpsearch.spec.method import METHODS

_KILL_AT = Path(__file__).parent.parent / "support" / "kill_at.py"
_TRIALS = 6
#: After each result, before the last one, and, where halted trials go on, after further ones.
_MOMENTS = [f"after:{n}" for n in range(1, _TRIALS)] + [f"before:{_TRIALS}"]
_MOMENTS += [f"after:{_TRIALS}"] * 2
_PARAMETERS = {
    "hidden_layers": [1, 2],
    "units": {"min": 16, "max": 64, "scale": "log"},
    "layer_type": ["dense", "dropout", "batch_norm"],
    "dropout": {"values": [0.1, 0.3], "when": {"layer_type": "dropout"}},
    "learning_rate": {"min": 1e-4, "max": 1e-1, "scale": "log"},
    "epochs": [3, 9],
}
_GRID = {"hidden_layers": [1, 2], "units": [16, 32], "epochs": [3, 9]}


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_killed_at_each_trial_it_is_the_run_that_was_left_alone(tmp_path, method):
    sweep = {
        "data": {"dataset": "digits"},
        "method": method,
        "parameters": _GRID if method == "grid" else _PARAMETERS,
        "budget": {"trials": _TRIALS},
        "execution": {"workers": 1},
    }
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(sweep, sort_keys=False))
    program = [sys.executable, str(_KILL_AT)]
    hpsearch("sweep.yaml", "whole", cwd=tmp_path, program=program)
    said = hpsearch("sweep.yaml", "killed", *_MOMENTS, cwd=tmp_path, program=program)
    # Trials that share a training may be answered at once, in one commit.
    (kills,) = map(int, re.findall(r"^(\d+) kills$", said.stdout, re.MULTILINE))
    assert kills >= _TRIALS // 2
    assert_same(tmp_path / "killed", tmp_path / "whole", _TRIALS)
    begun = [trainings_begun(tmp_path / name) for name in ("whole", "killed")]
    assert begun[1] <= begun[0] + kills
