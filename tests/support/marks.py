"""Marks cases that the README's command leaves out, because others are much like them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def slow(*values: Any) -> Any:
    """The values of a case's arguments as a case for `-m slow`."""
    return pytest.param(*values, marks=pytest.mark.slow)


def slow_but(kept: Collection[Any], cases: Iterable[Any]) -> list[Any]:
    """The cases, of which all but the kept ones are slow."""
    return [
        case if case in kept else slow(*(case if isinstance(case, tuple) else (case,)))
        for case in cases
    ]
