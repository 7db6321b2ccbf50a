"""A comparison of tables as a section of the page, in a notebook, and as a file."""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np

from hpsearch.comparison.estimates import Estimate
from hpsearch.comparison.findings import Findings
from hpsearch.comparison.writing import (
    Grid,
    as_dict,
    as_json,
    as_markdown,
    document,
    headline,
    require_suffix,
    stamp,
)
from hpsearch.errors import HpsearchError
from hpsearch.files import write_atomically
from hpsearch.reporting.drawing import Spec, error_bars, guide, inert, number_axis, trace
from hpsearch.reporting.figures import distributions_figure
from hpsearch.reporting.page import Compared, render
from hpsearch.wording import number, printable

#: Intervals that are drawn.
_MOST_ROWS = 10


class Comparison(Findings):
    """The result of comparing two or more tables, which can be printed and written."""

    @classmethod
    def of(cls, findings: Findings) -> Self:
        """Return a comparison with these findings."""
        return cls(**vars(findings))

    def to_dict(self) -> dict[str, Any]:
        """Return everything that the JSON file holds."""
        return as_dict(self)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the comparison as Markdown, JSON or HTML, by the file's suffix.

        Raises:
            InputError: The suffix is not .md, .json or .html.
            HpsearchError: The file cannot be written.
        """
        require_suffix(path)
        target = Path(path)
        writers: dict[str, Callable[[Findings], str]] = {
            ".md": as_markdown,
            ".json": as_json,
            ".html": lambda findings: render([], compared=section_of(findings)),
        }
        try:
            write_atomically(target, writers[target.suffix.lower()](self))
        except OSError as error:
            raise HpsearchError(f"{path}: cannot be written: {error.strerror or error}") from None

    def __str__(self) -> str:
        return as_markdown(self)

    def _repr_html_(self) -> str:
        return "\n".join([*_verdict(self), *_cards(self)])


def section_of(findings: Findings) -> Compared:
    """Return the page's section: the verdict, the figures, and the questions; names are text."""
    figures = list(_figures(findings))
    panels = [
        f'<div class="panel">\n<h2>{_escaped(title)}</h2>\n<div class="plot" role="figure" '
        f'aria-label="{_escaped(title)}"></div>\n</div>'
        for title, _ in figures
    ]
    parts = [*_verdict(findings), '<div class="panels">', *panels, "</div>", *_cards(findings)]
    body = "\n".join(parts)
    section = f'<section id="comparison" aria-label="Comparison">\n{body}\n</section>'
    return Compared(findings.labels, section, tuple(figure for _, figure in figures))


def _escaped(text: str) -> str:
    return html.escape(printable(text))


def _verdict(findings: Findings) -> Iterator[str]:
    yield f"<h1>{_escaped(headline(findings))}</h1>"
    if not findings.comparable:
        yield f'<p class="stamp">{_escaped(stamp(findings))}</p>'


def _cards(findings: Findings) -> Iterator[str]:
    """The questions; the first two begin with their answer."""
    for position, section in enumerate(document(findings)):
        yield f'<section class="card">\n<h2>{html.escape(section.title)}</h2>'
        for index, part in enumerate(section.parts):
            if isinstance(part, Grid):
                yield _table(part, html.escape(f"{section.title} Table {index}"))
            else:
                style = "lead" if position < 2 and not index else "note"
                yield f'<p class="{style}">{_escaped(part)}</p>'
        yield "</section>"


def _table(grid: Grid, title: str) -> str:
    textual = [_is_text(column) for column in zip(*grid.rows, strict=True)]
    styles = [' class="words"' if text else "" for text in textual] or [""] * len(grid.header)

    def row(cells: Iterable[str], tag: str) -> str:
        pairs = zip(cells, styles, strict=True)
        made = (f"<{tag}{style}>{_escaped(cell)}</{tag}>" for cell, style in pairs)
        return "<tr>" + "".join(made) + "</tr>"

    rows = "\n".join(row(cells, "td") for cells in grid.rows)
    # A wide table scrolls by itself, also by keyboard.
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{title}">\n<table>\n'
        f"<thead>{row(grid.header, 'th')}</thead>\n<tbody>\n{rows}\n</tbody>\n</table>\n</div>"
    )


def _is_text(column: Iterable[str]) -> bool:
    """Return whether a column, aligned to the left then, holds anything but numbers."""
    return not all(cell[:1].isdigit() or cell[:1] in "-+.<" for cell in column if cell)


def _figures(findings: Findings) -> Iterator[tuple[str, Spec]]:
    """The title and figure of whatever there are data for."""
    if gains := [gain for gain in _gains(findings) if gain[1].difference is not None]:
        yield "The gain and its interval", gains_figure(gains[:_MOST_ROWS])
    scores = {best.label: best.scores for best in findings.bests if best.scores}
    if scores:
        metric = findings.metric.partition(":")[0]
        title = "The share of configs that score at most so much"
        yield title, distributions_figure(metric, scores, "configs")


def _gains(findings: Findings) -> Iterator[tuple[str, Estimate]]:
    """Each pair's gain; of two tables, also that at each value of what explains it best."""
    for pair in findings.pairs:
        yield f"{pair.first} over {pair.second}", pair.estimate
    if len(findings.pairs) > 1:
        return
    for effect in findings.decisive.effects[:1]:
        for value, (estimate, _) in effect.by_value.items():
            yield f"where {effect.name} is {'inactive' if value == '-' else value}", estimate


def gains_figure(gains: list[tuple[str, Estimate]]) -> Spec:
    """Gains with their intervals, a line for each; an unbounded end is that of the axis.

    Args:
        gains: A text and an estimate that has a difference.
    """
    ends = np.array([[e.difference, e.low, e.high] for _, e in gains], np.float64)
    values = np.append(ends[np.isfinite(ends)], 0.0)
    room = 0.05 * float(np.ptp(values)) or 1.0
    start, end = float(values.min()) - room, float(values.max()) + room
    middle, low, high = np.clip(ends, start, end).T
    bounded = np.array([e.bounded for _, e in gains])
    rows = list(range(len(gains)))
    bars = error_bars((middle - low) * bounded, (high - middle) * bounded)
    points = trace(
        *("markers", middle, rows),
        marker={"color": "@accent", "size": 9},
        error_x=bars | {"color": "@accent", "thickness": 2, "width": 0},
        hoverinfo="text",
        hovertext=[f"{number(e.low)} to {number(e.high)}" for _, e in gains],
    )
    look = {"x": start, "xanchor": "left", "showarrow": False, "bgcolor": "@panel"}
    texts = [inert(text, 46) + ("" if e.bounded else ": no interval") for text, e in gains]
    bottom = len(rows) - 0.5
    layout = {
        "xaxis": number_axis("gain, with its 95% interval", values) | {"range": [start, end]},
        "yaxis": {"range": [bottom, -0.8], "showticklabels": False, "showgrid": False},
        "margin": {"l": 16},
        "annotations": [look | {"y": row - 0.4, "text": texts[row]} for row in rows],
        "showlegend": False,
        "height": max(300, 90 + 40 * len(rows)),
    }
    return {"data": [guide([0, 0], [-0.8, bottom]), points], "layout": layout}
