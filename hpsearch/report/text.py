"""Values as people read them, and text that Plotly shows as it stands."""

from __future__ import annotations

import html
import math
from typing import Any

__all__ = ["duration", "inert", "number", "rounded"]

_LONGEST = 60
_DIGITS = 6


def inert(text: Any, longest: int = _LONGEST) -> str:
    """Text for Plotly, which reads some HTML in labels: no tag, no link, no template.

    Longer text is cut.
    """
    plain = str(text)
    plain = plain if len(plain) <= longest else plain[: longest - 1] + "…"
    return html.escape(plain, quote=False)


def rounded(value: Any) -> float | int | None:
    """A number of six digits, as JSON knows it; None for what is no finite number."""
    import pandas as pd

    if value is None or value is pd.NA or not math.isfinite(value):
        return None
    short = float(f"{value:.{_DIGITS}g}")
    return int(short) if short.is_integer() and abs(short) < 10**_DIGITS else short


def number(value: float) -> str:
    """A score or a loss: four decimals, or four digits where it is large or small."""
    small = value != 0 and abs(value) < 1e-3
    return f"{value:.4g}" if small or abs(value) >= 1000 else f"{value:.4f}"


def duration(seconds: float) -> str:
    """Seconds as people read them: 0.3 s, 42 s, 3:20 min, 1:03:20 h."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, left = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{left:02d} h" if hours else f"{minutes}:{left:02d} min"
