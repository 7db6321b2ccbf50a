"""FAULTS 38: however the driver of a Ray cluster of its own ends, nothing of Ray outlives it."""

import signal
import uuid

import psutil
import pytest
from commands import start, wait_for
from outcomes import table
from ray_cluster import only_cluster

pytestmark = pytest.mark.slow
_SWEEP = """\
data: {dataset: digits}
parameters: {units: [4, 6, 8, 10, 12, 14], epochs: EPOCHS}
execution: {engine: ray, workers: 1}
"""
#: Ray's processes look for their parents every second or so.
_GONE_SECONDS = 20
#: Ray's own start, which a signal waits for, and its end take seconds each.
_END_SECONDS = 15


@pytest.fixture(autouse=True)
def _alone():
    with only_cluster():
        yield


class Marked:
    """A driver whose processes, children's children too, are known by a variable."""

    def __init__(self, home, epochs=1000):
        (home / "sweep.yaml").write_text(_SWEEP.replace("EPOCHS", str(epochs)))
        self._mark = uuid.uuid4().hex
        environ = {"HPSEARCH_TEST_MARK": self._mark, "RAY_USAGE_STATS_ENABLED": "0"}
        self.driver = start("sweep.yaml", cwd=home, out="out", env=environ)

    def left(self):
        """Its processes but for the driver."""
        # None for one that is gone, or another user's.
        environs = ((each, each.info["environ"] or {}) for each in psutil.process_iter(["environ"]))
        return [
            process
            for process, environ in environs
            if environ.get("HPSEARCH_TEST_MARK") == self._mark and process.pid != self.driver.pid
        ]

    def assert_nothing_left(self):
        wait_for(lambda: not self.left(), seconds=_GONE_SECONDS, what=f"the end of {self.left()}")


def test_a_signal_ends_it_as_elsewhere(tmp_path):
    marked = Marked(tmp_path)
    driver = marked.driver
    driver.wait_for_results(1)
    assert any("raylet" in each.name() for each in marked.left())
    seconds, err = driver.send(signal.SIGTERM)
    assert driver.process.returncode == 143, err
    assert seconds < _END_SECONDS
    assert "terminated; results so far are in out, the same command continues" in err
    assert "Traceback" not in err
    assert 0 < len(table(tmp_path / "out")) == driver.results() < 6
    marked.assert_nothing_left()


def test_a_signal_while_the_cluster_starts(tmp_path):
    marked = Marked(tmp_path)
    wait_for(lambda: any("gcs_server" in each.name() for each in marked.left()), what="Ray")
    seconds, err = marked.driver.send(signal.SIGINT)
    assert marked.driver.process.returncode == 130, err
    assert seconds < _END_SECONDS
    assert len(err.splitlines()) == 1, err
    marked.assert_nothing_left()


def test_a_normal_end(tmp_path):
    marked = Marked(tmp_path, 2)
    _, err = marked.driver.process.communicate(timeout=120)
    assert marked.driver.process.returncode == 0, err
    marked.assert_nothing_left()


def test_a_killed_driver(tmp_path):
    marked = Marked(tmp_path)
    marked.driver.wait_for_results(1)
    marked.driver.kill()
    marked.assert_nothing_left()
