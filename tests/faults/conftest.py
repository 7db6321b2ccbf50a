"""What the tests of shared/FAULTS.md have in common; each file bears the number of its line."""

from __future__ import annotations

import pytest
from commands import end_all


@pytest.fixture(autouse=True)
def no_driver_is_left():
    yield
    end_all()
