"""Colours, fonts, axes and number formats that the figures share."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch.store.columns import text_of
from hpsearch.wording import duration, plain, printable

Spec = dict[str, Any]

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
#: Theme -> purpose -> colour; `series` are those of several sweeps, in their order. `lines` are the
#: only scale of the page, from worse (blue) to better (orange), in eleven even steps of Oklab.
#: Colour-blind readers can distinguish its hues; each step has a contrast of 3 with its background.
THEMES: dict[str, dict[str, Any]] = {
    "light": {
        "background": "#ffffff",
        "page": "#f5f7fa",
        "edge": "#c3cbd6",
        "text": "#1c2430",
        "muted": "#5b6675",
        "grid": "#e4e8ee",
        "panel": "#ffffff",
        "accent": "#0072b2",
        "soft": "rgba(0,114,178,0.16)",
        "second": "#b34d00",
        "good": "#00795a",
        "bad": "#b5179e",
        "ghost": "rgba(91,102,117,0.35)",
        "series": ["#0072b2", "#b34d00", "#00795a", "#a64d79", "#7a6a00", "#3d7ea6", "#333333"],
        "lines": [
            *("#6f93c6", "#768fbd", "#7d8bb4", "#8387aa", "#8983a1", "#8e7f98"),
            *("#9a7782", "#a56e6b", "#af6453", "#b85837", "#c04a00"),
        ],
    },
    "dark": {
        "background": "#1b212b",
        "page": "#12161d",
        "edge": "#46525f",
        "text": "#e6ebf2",
        "muted": "#9aa7b8",
        "grid": "#2a323e",
        "panel": "#1b212b",
        "accent": "#56b4e9",
        "soft": "rgba(86,180,233,0.20)",
        "second": "#f0a030",
        "good": "#35c79a",
        "bad": "#f286d8",
        "ghost": "rgba(154,167,184,0.35)",
        "series": ["#56b4e9", "#f0a030", "#35c79a", "#e69ac4", "#f0e442", "#8fd0f5", "#d0d0d0"],
        "lines": [
            *("#5779ad", "#677dab", "#7680a8", "#8584a6", "#9387a3", "#a18aa0"),
            *("#b49092", "#c69583", "#d99971", "#ec9d5b", "#ffa03c"),
        ],
    },
}
_COLOUR_KEYS = frozenset({"color", "fillcolor", "bgcolor"})


def line_colour(share: float) -> str:
    """The colour name of a line at `share` (0 worst, 1 best) of a ranking."""
    return f"@line{round(share * (len(THEMES['light']['lines']) - 1))}"


def colour_names(theme: str) -> dict[str, Any]:
    """Each name that a figure may use for a colour or a scale, such as `@accent`, and its value."""
    plain = dict(THEMES[theme])
    series, lines = plain.pop("series"), plain.pop("lines")
    return {
        **{f"@{name}": colour for name, colour in plain.items()},
        **{f"@line{index}": colour for index, colour in enumerate(lines)},
        **{f"@series{index}": colour for index, colour in enumerate(series)},
    }


def template(theme: str) -> Spec:
    """The layout that all figures of a theme share, for a Plotly template."""
    colours = THEMES[theme]
    axis = {
        "gridcolor": colours["grid"],
        "linecolor": colours["grid"],
        "zeroline": False,
        "automargin": True,
        "title": {"standoff": 8},
        "separatethousands": True,
        "exponentformat": "none",
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
        # On the page, whose figures have no background, Plotly would draw a grey box.
        "modebar": {"bgcolor": "rgba(0, 0, 0, 0)"},
    }


def in_colours(spec: Spec) -> Spec:
    """A figure with the light theme's colours in place of their names."""
    colours = colour_names("light")

    def coloured(part: dict[str, Any]) -> dict[str, Any]:
        names = {key: part[key] for key in _COLOUR_KEYS & part.keys()}
        return part | {key: colours.get(name, name) for key, name in names.items()}

    return dict(json.loads(json.dumps(spec), object_hook=coloured))


#: Share of the trials drawn as learning curves that are the best.
BEST_CURVES = 0.3
#: Most epochs drawn in a learning curve, spread evenly over the training.
MOST_EPOCHS = 60
#: Most hyperparameters whose effects the page draws.
MOST_EFFECTS = 20
_LONGEST = 60
_DIGITS = 6


def inert(text: Any, longest: int = _LONGEST) -> str:
    """Escape HTML, which Plotly would read as tags; make printable, and cut to `longest`."""
    return html.escape(printable(shortened(str(text), longest)), quote=False)


def shortened(text: str, most: int) -> str:
    """Keep both ends of a text of more than `most` characters: names often differ at the end."""
    half = most // 2
    return f"{text[: most - half]}…{text[len(text) - half + 1 :]}" if len(text) > most else text


def rounded(value: Any) -> float | int | None:
    """A number to six digits, an int if it is whole; None if it is missing or not finite."""
    if value is None or not math.isfinite(value):
        return None
    short = float(f"{value:.{_DIGITS}g}")
    return int(short) if short.is_integer() and abs(short) < 10**_DIGITS else short


def value_text(value: Any) -> str:
    """Format a cell of the results table for display; see `plain` and `text_of`."""
    numeric = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    # Neither NaN nor a whole number that a float may not hold.
    return plain(float(value)) if numeric and abs(value) <= 2**53 else text_of(value)


def training_time(seconds: float) -> str:
    """Format seconds with their unit: 0.3 s, 42 s, 3:20 min or 1:03:20 h."""
    text = f"{seconds:.1f} s" if seconds < 10 else duration(seconds)
    return text + {0: "", 1: " min", 2: " h"}[text.count(":")]


def spread(count: int, most: int) -> list[int]:
    """Return at most `most` of the indices below `count`, evenly spread, including both ends."""
    if count <= most:
        return list(range(count))
    return sorted({round(i * (count - 1) / (most - 1)) for i in range(most)})


def trace(mode: str, x: Iterable[Any], y: Iterable[Any], **look: Any) -> dict[str, Any]:
    """A Plotly trace of points, `markers`, or of the `lines` between them."""
    places = {"x": [*map(rounded, x)], "y": [*map(rounded, y)]}
    return {"type": "scatter", "mode": mode, **places, **look}


def band(x: Iterable[Any], low: Iterable[Any], high: Iterable[Any], **look: Any) -> dict[str, Any]:
    """A filled band between two lines."""
    there, back = list(x), list(low)
    look |= {"fill": "toself", "line": {"width": 0}, "hoverinfo": "skip"}
    return trace("lines", [*there, *there[::-1]], [*high, *back[::-1]], **look)


def guide(x: Sequence[Any], y: Sequence[Any]) -> dict[str, Any]:
    """A dashed line to compare points with."""
    line = {"color": "@muted", "width": 1.5, "dash": "dash"}
    return trace("lines", x, y, line=line, hoverinfo="skip")


def error_bars(below: Iterable[float], above: Iterable[float]) -> Spec:
    """Intervals around points by the distances of their ends."""
    ends = {"arrayminus": [*map(rounded, below)], "array": [*map(rounded, above)]}
    return {"type": "data", "symmetric": False, **ends}


#: An axis is cut if values lie beyond the middle 90% by this many times the range of these.
_FAR = 4.0
#: It is also cut beyond the median by this many times the range of the middle half.
_VERY_FAR = 10.0
#: An axis with smaller or larger numbers has exponents.
_SMALL, _LARGE = 1e-3, 1e7


def number_axis(title: str, values: npt.ArrayLike = ()) -> dict[str, Any]:
    """An axis of numbers, cut if a few values lie far from all others."""
    limits = robust_range(values)
    axis: dict[str, Any] = {"title": {"text": inert(title)}}
    if limits is not None:
        axis["range"] = limits
    shown = np.asarray(values if limits is None else limits, dtype=np.float64)
    if shown.size:
        largest = np.abs(shown[np.isfinite(shown)]).max(initial=0.0)
        axis["exponentformat"] = "e" if largest < _SMALL or largest >= _LARGE else "none"
    return axis


def robust_range(values: npt.ArrayLike) -> list[float] | None:
    """The ends of an axis that a few extreme values would flatten; None if all values fit."""
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    if len(finite) < 8:
        return None
    low, high = np.quantile(finite, [0.05, 0.95])
    width = (high - low) or abs(high) or 1.0
    bottom, top = finite.min(), finite.max()
    cut_bottom, cut_top = low - bottom > _FAR * width, top - high > _FAR * width
    if not cut_bottom and not cut_top:
        first, third = np.quantile(finite, [0.25, 0.75])
        near = finite[np.abs(finite - np.median(finite)) <= _VERY_FAR * (third - first)]
        # Without the cut, the extreme values would hide all others.
        if third > first and len(near) < len(finite):
            room = 0.05 * float(near.max() - near.min())
            return [float(near.min()) - room, float(near.max()) + room]
        return None
    bottom = low - width if cut_bottom else bottom - 0.05 * width
    top = high + width if cut_top else top + 0.05 * width
    return [float(bottom), float(top)]
