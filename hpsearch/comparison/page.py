"""A comparison as a page of HTML that needs nothing else."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import TYPE_CHECKING

from hpsearch.colours import variables
from hpsearch.comparison.document import Grid, Section, document, stamp

if TYPE_CHECKING:
    from hpsearch.comparison.comparing import Comparison

__all__ = ["TITLE", "as_html", "one_line"]

TITLE = "Comparison of sweeps"
_COLOURS = f"""
:root {{ color-scheme: light dark; {variables("light")} }}
@media (prefers-color-scheme: dark) {{ :root {{ {variables("dark")} }} }}"""
_STYLE = """
*, *::before { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); overflow-wrap: anywhere;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  font-variant-numeric: tabular-nums; }
main { max-width: 1240px; margin: 0 auto; padding: 1.6rem 1.25rem 3rem; display: grid; gap: 1.1rem;
  grid-template-columns: minmax(0, 1fr); }
h1, h2, p { margin: 0; }
h1 { font-size: 1.7rem; line-height: 1.2; letter-spacing: -.015em; }
h2 { font-size: 1.15rem; }
section { background: var(--panel); border: 1px solid var(--grid); border-radius: 12px;
  padding: 1.05rem 1.2rem 1.2rem; display: grid; gap: .7rem;
  grid-template-columns: minmax(0, 1fr); }
section p { max-width: 90ch; color: var(--muted); }
section p.lead { color: var(--text); font-size: 1.08rem; font-weight: 600; }
.scroll { overflow-x: auto; }
.scroll:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
table { border-collapse: collapse; font-size: .88rem; }
th, td { padding: .36rem .7rem; border-bottom: 1px solid var(--grid); text-align: right;
  white-space: nowrap; }
th { color: var(--muted); font-weight: 600; border-bottom-color: var(--edge); }
.words { text-align: left; }
.stamp { border: 2px solid var(--bad); color: var(--bad); padding: .5em 1em; font-weight: bold;
  border-radius: 12px; }
"""


def as_html(comparison: Comparison) -> str:
    """One self-contained page, light or dark as the reader's system is; every name is escaped."""
    parts = [f"<h1>{TITLE}</h1>"]
    if not comparison.comparable:
        parts.append(f'<p class="stamp">{html.escape(stamp(comparison))}</p>')
    comparable, better, *others = document(comparison)
    parts += [_section(section, answered=True) for section in (comparable, better)]
    parts += [_section(section, answered=False) for section in others]
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{TITLE}</title>\n<style>{_COLOURS}{_STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n"
        "</main>\n</body>\n</html>\n"
    )


def one_line(text: str) -> str:
    """`text` without what cannot be printed, which would end the line."""
    return "".join(c if c.isprintable() else " " for c in text)


def _section(section: Section, *, answered: bool) -> str:
    """One question; its first line stands out where it is the answer."""
    title = html.escape(section.title)
    parts = [f"<section>\n<h2>{title}</h2>"]
    for index, part in enumerate(section.parts):
        if isinstance(part, Grid):
            parts.append(_table(part, title))
        else:
            lead = ' class="lead"' if answered and not index else ""
            parts.append(f"<p{lead}>{html.escape(one_line(part))}</p>")
    return "\n".join([*parts, "</section>"])


def _table(grid: Grid, title: str) -> str:
    words = [_is_text(column) for column in zip(*grid.rows, strict=True)] or [False] * len(
        grid.header
    )

    def row(cells: Iterable[str], tag: str) -> str:
        opened = (f'{tag} class="words"' if is_text else tag for is_text in words)
        made = (
            f"<{start}>{html.escape(one_line(cell))}</{tag}>"
            for cell, start in zip(cells, opened, strict=True)
        )
        return "<tr>" + "".join(made) + "</tr>"

    rows = [row(grid.header, "th"), *(row(cells, "td") for cells in grid.rows)]
    # Wide ones scroll by themselves, by keyboard too.
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{title}">\n<table>\n'
        + "\n".join(rows)
        + "\n</table>\n</div>"
    )


def _is_text(column: Iterable[str]) -> bool:
    """Whether a column holds more than numbers, which stand to the right."""
    return not all(cell[:1].isdigit() or cell[:1] in "-+.<" for cell in column if cell)
