"""What all tests share.

Hypothesis has no deadline, since machines may be busy, and the same examples each time in CI.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from commands import ready_servers
from hypothesis import settings
from zygote import subprocess_with

from hpsearch.workers import servers

settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")

#: Here processes are disturbed or measured, so they start as users' do.
_FRESH = ("faults/", "workers/test_light.py")


@pytest.fixture(scope="module", autouse=True)
def _ready(request):
    """Spare searches in this process the imports of their servers, as commands are spared them."""
    path = request.path.relative_to(Path(__file__).parent).as_posix()
    if path.startswith(_FRESH):
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(servers, "subprocess", subprocess_with(ready_servers))
        yield
