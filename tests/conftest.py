"""How tests run: Hypothesis without deadlines, and more processes than cores."""

from __future__ import annotations

import os

from hypothesis import settings

# Machines may be busy, and CI takes the same examples each time.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")


def pytest_xdist_auto_num_workers() -> int:
    """Return what `-n auto` means: many tests wait for processes that they started."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return cores + cores // 2
