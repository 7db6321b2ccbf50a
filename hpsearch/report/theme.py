"""Colours and fonts of light and dark, and the names by which figures ask for them.

A figure is a plain mapping, `{"data": [...], "layout": {...}}`, as Plotly.js knows it. Where it
has a colour it has a word such as `@accent`, which the page or `resolved` replaces by the theme's.
Colours: Okabe and Ito's palette, and cividis, which the colour-blind tell apart, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpsearch.colours import COLOURS

__all__ = ["SCALE_STEPS", "THEMES", "Spec", "resolved", "scale_token", "template", "words"]

Spec = dict[str, Any]

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
#: cividis at eleven even steps (Nunez, Anderton and Renslow, PLOS ONE 2018).
_CIVIDIS = (
    *("#00224e", "#083370", "#35456c", "#4f576c", "#666970", "#7d7c78"),
    *("#948e77", "#aea371", "#c8b866", "#e5cf52", "#fee838"),
)
SCALE_STEPS = len(_CIVIDIS)
#: Lines need contrast with what is behind them: the dark end on white, the light end on black.
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


def scale_token(share: float) -> str:
    """The word for the colour of a line that is at `share` (0 worst, 1 best) of a ranking."""
    return f"@line{round(max(0.0, min(1.0, share)) * (SCALE_STEPS - 1))}"


def _words(theme: Mapping[str, Any]) -> dict[str, Any]:
    words = {f"@{name}": value for name, value in theme.items() if name not in ("lines", "series")}
    words |= {f"@line{index}": colour for index, colour in enumerate(theme["lines"])}
    words |= {f"@series{index}": colour for index, colour in enumerate(theme["series"])}
    words["@lines"] = _scale(theme["lines"])
    words["@field"] = _scale(_CIVIDIS)
    return words


def _scale(colours: tuple[str, ...]) -> list[list[Any]]:
    return [[index / (len(colours) - 1), colour] for index, colour in enumerate(colours)]


def template(theme: str) -> Spec:
    """What all figures of a theme have in common, as a Plotly template's layout."""
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


def words(theme: str) -> dict[str, Any]:
    """Every word that a figure may use for a colour, and the theme's."""
    return _words(THEMES[theme])


def resolved(spec: Spec, theme: str = "light") -> Spec:
    """A figure with the colours of a theme in place of their words."""
    return dict(_replaced(spec, words(theme)))


def _replaced(part: Any, known: Mapping[str, Any]) -> Any:
    if isinstance(part, dict):
        return {
            key: _coloured(value, known) if key in _COLOUR_KEYS else _replaced(value, known)
            for key, value in part.items()
        }
    if isinstance(part, list):
        return [_replaced(item, known) for item in part]
    return part


def _coloured(value: Any, known: Mapping[str, Any]) -> Any:
    if isinstance(value, str):
        return known.get(value, value)
    if isinstance(value, list):
        return [_coloured(item, known) for item in value]
    return _replaced(value, known)
