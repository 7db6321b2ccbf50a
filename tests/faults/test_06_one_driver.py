"""FAULTS 6: one driver a directory: the second is refused at once, a killed one holds nothing."""

import re
import signal

from commands import hpsearch, start, wait_for, watched

from hpsearch.store.directory import DirectoryLock

_SWEEP = """\
data: {dataset: digits, validation: 0.2, seed: 42}
parameters: {units: [8, 16], epochs: [1, 1000000]}
execution: {workers: 2}
"""


def test_one_driver_a_directory(tmp_path):
    (tmp_path / "sweep.yaml").write_text(_SWEEP)
    driver = start("sweep.yaml", cwd=tmp_path, out="out")
    driver.wait_for_results(1)
    for options in ([], ["--fresh"]):
        said = watched("run", "sweep.yaml", "--out", "out", *options, cwd=tmp_path, code=3)
        assert said.seconds < 2
        assert f"process {driver.pid}" in said.stderr
        assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "sweep.yaml"]
    assert driver.process.poll() is None
    wait_for((tmp_path / "out" / "results.csv").exists, what="a table")
    shown = hpsearch("show", "out", cwd=tmp_path).stdout
    under_way = rf"a run is under way \(process {driver.pid}\): \d of 4 executions done"
    assert re.search(under_way, shown)
    said = hpsearch("doctor", "out", cwd=tmp_path, code=3).stderr
    assert f"a run is at work here (process {driver.pid})" in said
    planned = hpsearch("plan", "sweep.yaml", "--out", "out", cwd=tmp_path)
    assert "done already" in planned.stdout
    driver.kill()
    assert "under way" not in hpsearch("show", "out", cwd=tmp_path).stdout
    # The lock is free at once, whatever the file says.
    assert str(driver.pid) in (tmp_path / "out" / ".lock").read_text()
    DirectoryLock(tmp_path / "out").release()
    follower = start("sweep.yaml", cwd=tmp_path, out="out")
    wait_for(lambda: str(follower.pid) in (tmp_path / "out" / ".lock").read_text(), what="a lock")
    follower.send(signal.SIGINT)
    assert follower.process.returncode == 130


def test_of_two_that_are_started_at_once_one_runs(tmp_path):
    """Whichever comes second names the first, which has hardly taken hold."""
    (tmp_path / "sweep.yaml").write_text(_SWEEP)
    for number in range(2):
        out = f"out-{number}"
        drivers = [start("sweep.yaml", cwd=tmp_path, out=out) for _ in range(2)]
        wait_for(lambda d=drivers: any(one.process.poll() is not None for one in d))
        (refused,) = [driver for driver in drivers if driver.process.poll() is not None]
        (runs,) = [driver for driver in drivers if driver is not refused]
        _, err = refused.process.communicate()
        assert refused.process.returncode == 3, err
        assert f"process {runs.pid}" in err
        runs.wait_for_results(1)
        runs.kill()
