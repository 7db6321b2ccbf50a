"""Figures of a comparison as SVG, without a script: intervals, shared configs, distributions."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hpsearch.wording import SERIES, printable

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

#: Units of the view; the page scales a figure to its column.
_WIDTH, _HEIGHT = 380, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 12, 44
#: Height of a row of intervals.
_ROW = 38
#: Most configs drawn as points, and most steps of a distribution.
_MOST_POINTS, _MOST_STEPS = 1_000, 300
_LONGEST, _LONGEST_LABEL = 46, 18
#: Least number of intervals between the ticks of an axis.
_TICKS = 3

#: Dashes of the tables' lines; with 7 colours, they distinguish 21 tables.
_DASHES = ("", "8 4", "2 3")
STYLE = """
.figures { display: grid; gap: 1.1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(300px, 100%), 1fr)); }
figure { margin: 0; background: var(--panel); border: 1px solid var(--grid); border-radius: 12px;
  padding: .9rem 1rem; break-inside: avoid; }
figcaption { font-weight: 600; font-size: .92rem; margin-bottom: .3rem; }
figure svg { width: 100%; max-width: 520px; height: auto; display: block; }
figure text { font-size: 13px; fill: var(--text); paint-order: stroke; stroke: var(--panel);
  stroke-width: 3px; stroke-linejoin: round; } figure .muted { fill: var(--muted); }
figure .grid { stroke: var(--grid); } figure .zero { stroke: var(--muted); stroke-dasharray: 4 3; }
figure .interval { stroke: var(--text); stroke-width: 2; }
figure .point { fill: var(--text); fill-opacity: .7; }
figure .line { fill: none; stroke-width: 2.5; }
"""
STYLE += "".join(
    f"figure .line-{index} {{ stroke: var(--series{index}); }}\n"
    for index in range(len(SERIES["light"]))
)


@dataclass(frozen=True)
class _Scale:
    """Maps values to positions between `start` and `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return self.start + min(1.0, max(0.0, share)) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Return round numbers, at least two."""
        most = (self.high - self.low) / _TICKS
        unit = 10.0 ** math.floor(math.log10(most))
        step = max(each * unit for each in (1, 2, 5) if each * unit <= most * (1 + 1e-9))
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [float(f"{index * step:.12g}") for index in range(first, last + 1)]


def _scale(values: Sequence[float] | Floats, start: float, end: float) -> _Scale:
    low, high = float(min(values)), float(max(values))
    room = 0.05 * (high - low) or abs(high) * 0.05 or 1.0
    return _Scale(low - room, high + room, start, end)


def _text(x: float, y: float, text: str, anchor: str = "start", kind: str = "") -> str:
    shown = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    written = html.escape(printable(shown))
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{written}</text>'


def _segment(x: float, y: float, to_x: float, to_y: float, kind: str) -> str:
    ends = f'x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}"'
    return f'<line {ends} class="{kind}"></line>'


def _point(x: float, y: float, radius: float) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" class="point"></circle>'


def _figure(caption: str, height: float, parts: Sequence[str]) -> str:
    title = html.escape(printable(caption), quote=True)
    return (
        f"<figure>\n<figcaption>{title}</figcaption>\n"
        f'<svg viewBox="0 0 {_WIDTH} {height:.0f}" role="img" aria-label="{title}">\n'
        + "\n".join(parts)
        + "\n</svg>\n</figure>"
    )


def _tick(value: float) -> str:
    return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:.3g}"


def _across(scale: _Scale, bottom: float, name: str) -> list[str]:
    """A horizontal axis, with grid lines."""
    parts = []
    for tick in scale.ticks():
        x = scale(tick)
        parts += [
            _segment(x, _TOP, x, bottom, "grid"),
            _text(min(x, _WIDTH - 20), bottom + 16, _tick(tick), "middle", "muted"),
        ]
    return [*parts, _text((scale.start + scale.end) / 2, bottom + 34, name, "middle")]


def forest(rows: Sequence[tuple[str, float, float, float]]) -> str:
    """Return the figure of gains with their intervals.

    Args:
        rows: A text, the gain, and the ends of its interval, which may be infinite.
    """
    ends = [end for _, *each in rows for end in each]
    scale = _scale([0.0, *(e for e in ends if math.isfinite(e))], 14, _WIDTH - 14)
    bottom = _TOP + _ROW * len(rows)
    parts = _across(scale, bottom, "gain, with its 95% interval")
    parts.append(_segment(scale(0.0), _TOP, scale(0.0), bottom, "zero"))
    for index, (text, gain, low, high) in enumerate(rows):
        y = _TOP + _ROW * index + 27
        bounded = math.isfinite(low) or math.isfinite(high)
        parts.append(_text(14, y - 10, text if bounded else f"{text}: no interval"))
        if bounded:
            # An unbounded end of an interval is drawn at the end of the axis.
            parts.append(_segment(scale(low), y, scale(high), y, "interval"))
        parts.append(_point(scale(gain), y, 5))
    return _figure("The gain and its interval", bottom + _BOTTOM, parts)


def spread(count: int, most: int) -> list[int]:
    """Return at most `most` of the indices below `count`, evenly spread, including both ends."""
    if count <= most:
        return list(range(count))
    return sorted({round(i * (count - 1) / (most - 1)) for i in range(most)})


def scatter(first: str, second: str, configs: Sequence[tuple[float, float, float]]) -> str:
    """Return the figure of the configs that two tables share.

    Args:
        first, second: The tables' labels.
        configs: The mean score in both tables, and the gain, positive if the first is better.
    """
    shared = np.asarray(configs, dtype=np.float64)
    bottom = _HEIGHT - _BOTTOM
    across = _scale(shared[:, :2].ravel(), _LEFT, _WIDTH - _RIGHT)
    up = _Scale(across.low, across.high, bottom, _TOP)
    parts = _across(across, bottom, second)
    for tick in up.ticks():
        parts.append(_segment(_LEFT, up(tick), _WIDTH - _RIGHT, up(tick), "grid"))
        parts.append(_text(_LEFT - 6, up(tick) + 4, _tick(tick), "end", "muted"))
    parts.append(_segment(_LEFT, bottom, _WIDTH - _RIGHT, _TOP, "zero"))
    parts.append(_text(_LEFT + 6, _TOP + 12, first))
    for one, other, _ in _by_gain(shared)[spread(len(shared), _MOST_POINTS)]:
        parts.append(_point(across(other), up(one), 3.5))
    better, worse = (int((sign * shared[:, 2] > 0).sum()) for sign in (1, -1))
    caption = f"Configs in both: {better:,} of {len(shared):,} are better in {first}"
    if better + worse < len(shared):
        caption += f", {worse:,} in {second}"
    return _figure(caption, _HEIGHT, parts)


def _by_gain(shared: Floats) -> Floats:
    """The rows of shared configs, the smallest gain first."""
    return shared[np.argsort(shared[:, 2], kind="stable")]


def distributions(metric: str, means: Sequence[tuple[str, Sequence[float]]]) -> str:
    """Return the figure of the empirical distributions of each label's mean scores."""
    scores = [(label, np.sort(np.asarray(each, dtype=np.float64))) for label, each in means]
    bottom = _HEIGHT - _BOTTOM
    across = _scale(np.concatenate([each for _, each in scores]), _LEFT, _WIDTH - _RIGHT)
    up = _Scale(0.0, 1.0, bottom, _TOP + 18 * math.ceil(len(scores) / 2))
    parts = _across(across, bottom, metric)
    for share in (0.0, 0.5, 1.0):
        parts.append(_segment(_LEFT, up(share), _WIDTH - _RIGHT, up(share), "grid"))
        parts.append(_text(_LEFT - 6, up(share) + 4, f"{share:.0%}", "end", "muted"))
    for index, (label, each) in enumerate(scores):
        dash = f'stroke-dasharray="{_DASHES[index % len(_DASHES)]}"'
        style = f'class="line line-{index % len(SERIES["light"])}" {dash}'
        steps = [f"{across(across.low):.1f},{bottom:.1f}"]
        for place in spread(len(each), _MOST_STEPS):
            x, before = across(float(each[place])), steps[-1].partition(",")[2]
            steps += [f"{x:.1f},{before}", f"{x:.1f},{up((place + 1) / len(each)):.1f}"]
        steps.append(f"{across(across.high):.1f},{up(1.0):.1f}")
        parts.append(f'<polyline points="{" ".join(steps)}" {style}></polyline>')
        x, y = _LEFT + 160 * (index % 2), _TOP + 6 + 18 * (index // 2)
        shown = label if len(label) <= _LONGEST_LABEL else label[: _LONGEST_LABEL - 1] + "…"
        sample = f'<polyline points="{x},{y} {x + 22},{y}" {style}></polyline>'
        parts += [sample, _text(x + 27, y + 4, shown)]
    return _figure("The share of configs that score at most so much", _HEIGHT, parts)
