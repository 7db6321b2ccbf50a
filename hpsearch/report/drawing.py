"""Colours, fonts, axes and number formats that the figures share."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch.wording import COLOURS

Spec = dict[str, Any]

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
#: cividis at eleven even steps (Nunez, Anderton and Renslow, PLOS ONE 2018).
_CIVIDIS = (
    *("#00224e", "#083370", "#35456c", "#4f576c", "#666970", "#7d7c78"),
    *("#948e77", "#aea371", "#c8b866", "#e5cf52", "#fee838"),
)
#: Lines need contrast with the background: the scale without its palest end on white, without
#: its darkest end on black.
_LIGHT_LINES = (
    *("#e0c54f", "#cfb853", "#bcaa59", "#a89b62", "#938d6a", "#7e7f70"),
    *("#6a7073", "#546174", "#3c5178", "#21427b", "#00336f"),
)
_DARK_LINES = (
    *("#4a5a7d", "#5a6679", "#6a7276", "#7b7f77", "#8c8d78", "#9d9b76"),
    *("#afa972", "#c2b86b", "#d5c761", "#e9d752", "#fee838"),
)

THEMES: dict[str, dict[str, Any]] = {
    "light": {
        **COLOURS["light"],
        "series": ["#0072b2", "#b34d00", "#00795a", "#a64d79", "#7a6a00", "#3d7ea6", "#333333"],
        "lines": _LIGHT_LINES,
    },
    "dark": {
        **COLOURS["dark"],
        "series": ["#56b4e9", "#f0a030", "#35c79a", "#e69ac4", "#f0e442", "#8fd0f5", "#d0d0d0"],
        "lines": _DARK_LINES,
    },
}
_COLOUR_KEYS = frozenset({"color", "colorscale", "fillcolor", "bgcolor", "bordercolor", "colorway"})


def line_colour(share: float) -> str:
    """The colour name of a line at `share` (0 worst, 1 best) of a ranking."""
    return f"@line{round(share * (len(_CIVIDIS) - 1))}"


def colour_names(theme: str) -> dict[str, Any]:
    """Each name that a figure may use for a colour or a scale, such as `@accent`, and its value."""
    plain = dict(THEMES[theme])
    series, lines = plain.pop("series"), plain.pop("lines")
    return {
        **{f"@{name}": colour for name, colour in plain.items()},
        **{f"@line{index}": colour for index, colour in enumerate(lines)},
        **{f"@series{index}": colour for index, colour in enumerate(series)},
        "@lines": _scale(lines),
        "@field": _scale(_CIVIDIS),
    }


def _scale(colours: tuple[str, ...]) -> list[list[Any]]:
    return [[index / (len(colours) - 1), colour] for index, colour in enumerate(colours)]


def template(theme: str) -> Spec:
    """The layout that all figures of a theme share, for a Plotly template."""
    colours = THEMES[theme]
    axis = {
        "gridcolor": colours["grid"],
        "linecolor": colours["grid"],
        "zeroline": False,
        "automargin": True,
        "title": {"standoff": 8},
    }
    return {
        "font": {"family": _FONT, "size": 13, "color": colours["text"]},
        "paper_bgcolor": colours["background"],
        "plot_bgcolor": colours["background"],
        "colorway": colours["series"],
        "margin": {"l": 56, "r": 20, "t": 24, "b": 48},
        "xaxis": axis,
        "yaxis": axis,
        "hoverlabel": {
            "bgcolor": colours["panel"],
            "bordercolor": colours["grid"],
            "font": {"color": colours["text"], "family": _FONT, "size": 13},
            "align": "left",
        },
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "xanchor": "left"},
        "hovermode": "closest",
    }


def with_theme(spec: Spec, theme: str) -> Spec:
    """A figure with a theme's colours in place of their names."""
    return dict(_replaced(spec, colour_names(theme)))


def _replaced(part: Any, colours: Mapping[str, Any]) -> Any:
    if isinstance(part, dict):
        return {
            key: _coloured(value, colours) if key in _COLOUR_KEYS else _replaced(value, colours)
            for key, value in part.items()
        }
    if isinstance(part, list):
        return [_replaced(item, colours) for item in part]
    return part


def _coloured(value: Any, colours: Mapping[str, Any]) -> Any:
    if isinstance(value, str):
        return colours.get(value, value)
    if isinstance(value, list):
        return [_coloured(item, colours) for item in value]
    return _replaced(value, colours)


#: Share of the trials drawn as learning curves that are the best.
BEST_CURVES = 0.3
#: Most epochs drawn in a learning curve, spread evenly over the training.
MOST_EPOCHS = 60
_LONGEST = 60
_DIGITS = 6


def inert(text: Any, longest: int = _LONGEST) -> str:
    """Text with HTML escaped, which Plotly would read as tags and links; cut to `longest`."""
    plain = str(text)
    plain = plain if len(plain) <= longest else plain[: longest - 1] + "…"
    return html.escape(plain, quote=False)


def rounded(value: Any) -> float | int | None:
    """A number to six digits, an int if it is whole; None if it is missing or not finite."""
    if value is None or not math.isfinite(value):
        return None
    short = float(f"{value:.{_DIGITS}g}")
    return int(short) if short.is_integer() and abs(short) < 10**_DIGITS else short


def number(value: float) -> str:
    """A score or a loss with four decimals, or four digits if it is very large or small."""
    small = value != 0 and abs(value) < 1e-3
    return f"{value:.4g}" if small or abs(value) >= 1000 else f"{value:.4f}"


def duration(seconds: float) -> str:
    """Seconds for people: 0.3 s, 42 s, 3:20 min or 1:03:20 h."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, left = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{left:02d} h" if hours else f"{minutes}:{left:02d} min"


#: An axis is cut if values lie beyond the middle 90% by this many times their range.
_FAR = 4.0


def number_axis(title: str, values: npt.ArrayLike = ()) -> dict[str, Any]:
    """An axis of numbers, cut if a few values lie far from all others."""
    limits = robust_range(values)
    return {"title": {"text": inert(title)}} | ({} if limits is None else {"range": limits})


def robust_range(values: npt.ArrayLike) -> list[float] | None:
    """The ends of an axis that a few far values would flatten; None if all values fit."""
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    if len(finite) < 8:
        return None
    low, high = np.quantile(finite, [0.05, 0.95])
    width = (high - low) or abs(high) or 1.0
    bottom, top = finite.min(), finite.max()
    cut_bottom, cut_top = low - bottom > _FAR * width, top - high > _FAR * width
    if not cut_bottom and not cut_top:
        return None
    bottom = low - width if cut_bottom else bottom - 0.05 * width
    top = high + width if cut_top else top + 0.05 * width
    return [float(bottom), float(top)]


def spread(count: int, most: int) -> list[int]:
    """At most `most` of the indices below `count`, evenly spread, including both ends."""
    if count <= most:
        return list(range(count))
    return sorted({round(i * (count - 1) / (most - 1)) for i in range(most)})
