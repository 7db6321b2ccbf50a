"""A comparison as text, Markdown, JSON or HTML."""

from __future__ import annotations

import html
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hpsearch.comparison.document import Grid, Section, document, question_text, stamp, verdict
from hpsearch.comparison.findings import Best, Findings
from hpsearch.comparison.questions import LEVEL, Estimate
from hpsearch.comparison.verdict import Change, Dependence, Move, Pair
from hpsearch.errors import HpsearchError, InputError
from hpsearch.machine import version_of
from hpsearch.store.tables import write_atomically
from hpsearch.wording import css_variables

TITLE = "Comparison of sweeps"
_COLOURS = f"""
:root {{ color-scheme: light dark; {css_variables("light")} }}
@media (prefers-color-scheme: dark) {{ :root {{ {css_variables("dark")} }} }}"""
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


def as_html(comparison: Findings) -> str:
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


#: What Markdown would take for more than text.
_MARKUP = re.compile(r"([\\`*_\[\]#|~$])")


def as_dict(comparison: Findings) -> dict[str, Any]:
    """Everything, as JSON knows it: what has no value is None."""
    leading = comparison.decisive
    return {
        "hpsearch": version_of("hpsearch"),
        "comparable": comparison.comparable,
        "stamp": stamp(comparison) or None,
        "differences": list(comparison.differences),
        "assumed": list(comparison.assumed),
        "notes": list(comparison.notes),
        "labels": list(comparison.labels),
        "metric": comparison.metric,
        "level": LEVEL,
        **_pair(leading, several=len(comparison.pairs) > 1),
        "winner": comparison.winner,
        "tables": [_best(best) for best in comparison.bests],
        "pairs": [_pair(pair, several=len(comparison.pairs) > 1) for pair in comparison.pairs],
        "budgets": [asdict(each) for each in comparison.budgets],
    }


def _best(best: Best) -> dict[str, Any]:
    return {key: _known(value) for key, value in asdict(best).items()}


def _pair(pair: Pair, *, several: bool) -> dict[str, Any]:
    answer = pair.answer
    return {
        "first": pair.first,
        "second": pair.second,
        "question": str(answer.question),
        "asked": question_text(pair),
        "verdict": verdict(pair, adjusted=several),
        "winner": pair.winner,
        "reason": pair.reason or None,
        **_estimate(pair.estimate),
        "p_value": _known(pair.p_value),
        "p_value_alone": _known(pair.estimate.p_value),
        "n_pairs": answer.n_pairs,
        "n_configs": list(answer.n_configs),
        "n_units": list(answer.n_units),
        "n_seeds": answer.n_seeds,
        "n_lost": answer.n_lost,
        "corrected": _known(answer.corrected),
        "hyperparameters": [
            *(_effect(effect) for effect in pair.effects),
            *(_change(change) for change in pair.changes),
        ],
        "moved": [_move(move) for move in pair.moves],
    }


def _estimate(estimate: Estimate) -> dict[str, Any]:
    return {
        "difference": _known(estimate.difference),
        "interval": [_known(estimate.low), _known(estimate.high)],
        "p_value": _known(estimate.p_value),
    }


def _effect(effect: Dependence) -> dict[str, Any]:
    return {
        "hyperparameter": effect.name,
        "share": effect.share,
        "p_value": _known(effect.p_value),
        "by_value": [
            {"value": value, **_estimate(estimate), "n_configs": count}
            for value, (estimate, count) in effect.by_value.items()
        ],
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "hyperparameter": change.name,
        "first_value": change.first,
        "second_value": change.second,
        **_estimate(change.estimate),
        "n_configs": list(change.counts),
    }


def _move(move: Move) -> dict[str, Any]:
    return {**asdict(move), "ranks": list(move.ranks)}


def _known(value: Any) -> Any:
    """JSON has neither NaN nor infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_json(comparison: Findings) -> str:
    """`as_dict` as text."""
    return json.dumps(as_dict(comparison), indent=2, allow_nan=False) + "\n"


def as_markdown(comparison: Findings) -> str:
    """A page of Markdown; names are text, whatever they hold."""
    parts = [f"# {TITLE}"]
    if not comparison.comparable:
        parts.append(f"**{_markdown(stamp(comparison))}**")
    for section in document(comparison):
        parts.append(f"## {section.title}")
        parts += [
            _markdown_grid(part) if isinstance(part, Grid) else _markdown(part)
            for part in section.parts
        ]
    return "\n\n".join(parts) + "\n"


def _markdown(text: str) -> str:
    escaped = html.escape(one_line(text), quote=False)
    return _MARKUP.sub(r"\\\1", escaped)


def _markdown_grid(grid: Grid) -> str:
    def row(cells: Iterable[str]) -> str:
        return "| " + " | ".join(map(_markdown, cells)) + " |"

    return "\n".join(
        [row(grid.header), "|" + "---:|" * len(grid.header), *(row(cells) for cells in grid.rows)]
    )


_WRITERS: Mapping[str, Callable[[Findings], str]] = {
    ".md": as_markdown,
    ".json": as_json,
    ".html": as_html,
}
SUFFIXES = tuple(_WRITERS)


def require_suffix(path: str | os.PathLike[str]) -> None:
    """Check that a comparison can be written there, before it is made.

    Raises:
        InputError: The suffix is none that is known.
    """
    if Path(path).suffix.lower() not in _WRITERS:
        raise InputError(
            f"{path}: a comparison is written as {', '.join(SUFFIXES)}, by the file's suffix"
        )


def write_comparison(comparison: Findings, path: str | os.PathLike[str]) -> None:
    """Write a comparison as Markdown, JSON or HTML, by the file's suffix.

    Raises:
        InputError: The suffix is none that is known.
        HpsearchError: The file cannot be written.
    """
    require_suffix(path)
    target = Path(path)
    try:
        write_atomically(target, _WRITERS[target.suffix.lower()](comparison))
    except OSError as error:
        raise HpsearchError(f"{path}: cannot be written: {error.strerror or error}") from None
