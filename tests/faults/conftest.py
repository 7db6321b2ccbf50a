"""Fixtures of the fault tests, whose files have the numbers of the faults."""

from __future__ import annotations

import pytest
from commands import end_all


@pytest.fixture(autouse=True)
def no_driver_is_left():
    yield
    end_all()
