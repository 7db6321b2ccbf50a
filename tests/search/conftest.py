"""The suite's asserts say what was compared."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("strategy_conformance")
