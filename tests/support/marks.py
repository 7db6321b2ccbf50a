"""Marks cases that the README's command leaves out, because others are much like them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def slow_but(kept: Collection[Any], cases: Iterable[Any]) -> list[Any]:
    """The cases, of which all but the kept ones are slow."""
    return [case if case in kept else slow(case) for case in cases]


def slow(case: Any) -> Any:
    """The case as one for `-m slow`; a tuple has the values of several arguments."""
    values = case if isinstance(case, tuple) else (case,)
    return pytest.param(*values, marks=pytest.mark.slow)
