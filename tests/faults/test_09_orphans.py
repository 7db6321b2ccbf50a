"""FAULTS 9: a driver that is killed leaves no process, whatever its workers are at."""

from __future__ import annotations

import shutil

import psutil
from commands import ODD_LAYERS, in_sessions, session_of, start, wait_for

#: One in a worker without TensorFlow, one, which ignores SIGTERM, in one with it.
_SWEEP = """\
data: {dataset: digits, validation: 0.2, seed: 42}
configs:
  - {layer_type: "odd_layers:hanging", units: 16, epochs: 1}
  - {units: 16, epochs: 1000000}
execution: {workers: 2}
"""


def test_no_process_outlives_a_killed_driver(tmp_path):
    shutil.copy(ODD_LAYERS, tmp_path)
    (tmp_path / "sweep.yaml").write_text(_SWEEP)
    driver = start("sweep.yaml", cwd=tmp_path, out="out")

    wait_for(lambda: len(driver.workers()) == 2, every=0.1, what="two workers")
    servers = driver.servers()
    # And whatever else it may have started.
    family = psutil.Process(driver.pid).children(recursive=True)
    assert len(family) >= 4
    driver.process.kill()
    driver.process.communicate()
    wait_for(
        lambda: not in_sessions(servers) and not any(session_of(one.pid) for one in family),
        seconds=5,
        what="orphans to end",
    )
