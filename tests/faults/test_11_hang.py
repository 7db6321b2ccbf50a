"""FAULTS 11: a training that hangs ends with its time, though it ignores SIGTERM."""

import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest
from commands import ODD_LAYERS, session_of, start, wait_for

_LIMIT_SECONDS = 4
_SWEEP = f"""\
data: {{dataset: digits, validation: 0.2, seed: 42}}
configs:
  - {{layer_type: "odd_layers:hanging", units: 16, epochs: 2}}
  - {{units: 16, epochs: 2}}
  - {{units: 24, epochs: 1000000}}
  - {{units: 32, epochs: 2}}
execution: {{workers: 2, timeout: {_LIMIT_SECONDS}}}
"""


def lifetime(driver, trial):
    """Seconds that a trial's worker lived with it, by a clock of our own."""
    worker = wait_for(lambda: driver.worker_of(trial), what=f"a worker on trial {trial}")
    began = time.monotonic()
    wait_for(lambda: session_of(worker) is None, what="its end")
    return time.monotonic() - began


@pytest.mark.slow
def test_trainings_that_hang_or_never_end_are_ended_in_time(tmp_path):
    shutil.copy(ODD_LAYERS, tmp_path)
    (tmp_path / "sweep.yaml").write_text(_SWEEP)
    driver = start("sweep.yaml", cwd=tmp_path, out="out")
    with ThreadPoolExecutor() as threads:
        lived = list(threads.map(lambda trial: lifetime(driver, trial), (1, 3)))
    _, err = driver.process.communicate()
    assert driver.process.returncode == 0, err
    # Seen some time after they began, so they may seem shorter than they were.
    assert all(_LIMIT_SECONDS - 2 < seconds < _LIMIT_SECONDS + 5 for seconds in lived)
    rows = pd.read_csv(tmp_path / "out" / "results.csv")
    assert rows["status"].tolist() == ["timeout", "completed", "timeout", "completed"]
    late = rows[rows["status"] == "timeout"]
    assert set(late["error"]) == {f"took longer than execution.timeout, {_LIMIT_SECONDS} s"}
    assert late["seconds"].between(_LIMIT_SECONDS, _LIMIT_SECONDS + 5).all()
    assert late["score"].isna().all()
