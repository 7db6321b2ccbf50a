"""What all tests share.

Hypothesis has no deadline, since machines may be busy, and the same examples each time in CI.
"""

import os
from pathlib import Path

import pytest
from commands import end_all, ready_servers
from hypothesis import HealthCheck, settings
from made_tables import better_tables, hostile_tables
from zygote import subprocess_with

import hpsearch
from hpsearch.machine import cores
from hpsearch.workers import servers

pytest.register_assert_rewrite("strategy_conformance")
BUSY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("here", BUSY)
settings.register_profile("ci", BUSY, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")

#: Here processes are disturbed or measured, so they start as users' do.
_FRESH = ("faults/", "workers/test_light.py")
#: Of these, those that disturb no process of a search.
_READY = ("faults/test_41", "faults/test_42", "faults/test_47")


def pytest_xdist_auto_num_workers():
    """One more than cores, since tests wait: for other processes, browsers, clusters."""
    return cores() + 1


@pytest.fixture(scope="module", autouse=True)
def _ready(request):
    """Spare searches in this process the imports of their servers, as commands are spared them."""
    path = request.path.relative_to(Path(__file__).parent).as_posix()
    if path.startswith(_FRESH) and not path.startswith(_READY):
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(servers, "subprocess", subprocess_with(ready_servers))
        yield


@pytest.fixture(autouse=True)
def _no_driver_is_left():
    yield
    end_all()


@pytest.fixture
def hostile_comparison(tmp_path):
    """Two tables whose labels and values are markup."""
    return hpsearch.compare(*hostile_tables(tmp_path), anyway=True)


@pytest.fixture
def comparison(tmp_path):
    """Two tables, `first` and `second`, of which the first is better."""
    return hpsearch.compare(*better_tables(tmp_path))
