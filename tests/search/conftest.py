"""Rewrite the shared suite's asserts, so that failures show the compared values."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("strategy_conformance")
