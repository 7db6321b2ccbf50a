"""A comparison as Markdown and JSON, and any of its forms as a file."""

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

from hpsearch.comparison.comparing import Best, Comparison
from hpsearch.comparison.document import Grid, document, question_text, stamp, verdict
from hpsearch.comparison.estimate import LEVEL, Estimate
from hpsearch.comparison.explanation import Change, Effect, Move
from hpsearch.comparison.page import TITLE, as_html, one_line
from hpsearch.comparison.verdict import Pair
from hpsearch.errors import HpsearchError, InputError
from hpsearch.results import write_atomically
from hpsearch.versions import version_of

__all__ = ["SUFFIXES", "as_dict", "as_html", "as_json", "as_markdown", "require_suffix", "write"]

#: What Markdown would take for more than text.
_MARKUP = re.compile(r"([\\`*_\[\]#|~$])")


def as_dict(comparison: Comparison) -> dict[str, Any]:
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


def _effect(effect: Effect) -> dict[str, Any]:
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


def as_json(comparison: Comparison) -> str:
    """`as_dict` as text."""
    return json.dumps(as_dict(comparison), indent=2, allow_nan=False) + "\n"


def as_markdown(comparison: Comparison) -> str:
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


_WRITERS: Mapping[str, Callable[[Comparison], str]] = {
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


def write(comparison: Comparison, path: str | os.PathLike[str]) -> None:
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
