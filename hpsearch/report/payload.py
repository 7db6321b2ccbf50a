"""What the page holds of each sweep: rows, figures and words, as JSON knows them."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from hpsearch.report import figures, wording
from hpsearch.report.columns import columns_of, constants_of
from hpsearch.report.figures.curves import MOST_CURVES
from hpsearch.report.figures.parallel import MOST_LINES
from hpsearch.report.figures.progress import MOST_POINTS
from hpsearch.report.text import duration, inert, number
from hpsearch.report.theme import THEMES, Spec, template, words
from hpsearch.versions import version_of

if TYPE_CHECKING:
    from hpsearch.report.source import Source

__all__ = ["REFRESH_SECONDS", "Limits", "payload_of"]

REFRESH_SECONDS = 5


@dataclass(frozen=True)
class Limits:
    """How much of a sweep goes into the page.

    Attributes:
        rows: Of the table, best first, those without a score last.
        points, lines, curves: Of the figures.
        pairs: Hyperparameters of which any two can be looked at together.
    """

    rows: int = 10_000
    points: int = MOST_POINTS
    lines: int = MOST_LINES
    curves: int = MOST_CURVES
    pairs: int = 8

    def times(self, share: float, rows: float) -> Limits:
        """Less of everything, or of the figures first."""
        return Limits(
            rows=max(50, int(self.rows * rows)),
            points=max(100, int(self.points * share)),
            lines=max(100, int(self.lines * share)),
            curves=max(10, int(self.curves * share)),
            pairs=max(3, int(self.pairs * math.sqrt(share))),
        )


def payload_of(sources: Sequence[Source], limits: Limits, *, live: bool) -> dict[str, Any]:
    """All that the page's script reads."""
    written = time.strftime("%Y-%m-%d %H:%M:%S")
    return {
        "written": written,
        "live": live,
        "refresh_seconds": REFRESH_SECONDS,
        "footer": f"Written {written} by hpsearch {version_of('hpsearch')}. Everything on this "
        "page is in this file: it opens offline and asks no server for anything.",
        "themes": {
            name: {"words": words(name), "template": template(name)} for name in sorted(THEMES)
        },
        "overview": _overview(sources) if len(sources) > 1 else None,
        "sweeps": [_sweep(source, limits) for source in sources],
    }


def _overview(sources: Sequence[Source]) -> dict[str, Any]:
    first = (sources[0].metric, sources[0].goal)
    others = [inert(s.name) for s in sources if (s.metric, s.goal) != first]
    return {
        "figure": figures.overview(sources),
        "note": wording.overview_note(sources[0], others),
    }


def _sweep(source: Source, limits: Limits) -> dict[str, Any]:
    found = source.importance
    best = source.best
    return {
        "name": source.name,
        "description": (source.sweep and source.sweep.description) or "",
        "tiles": wording.tiles(source),
        "summary": [
            source.metric,
            "-" if best is None else number(float(best["score"])),
            "-" if best is None else int(best["trial"]),
            f"{len(source.table):,}",
            f"{len(source.ranked):,}",
            duration(float(source.table["seconds"].fillna(0).sum())),
        ],
        "total": len(source.table),
        "scored": len(source.ranked),
        "columns": columns_of(source, limits.rows),
        "constants": constants_of(source),
        "figures": _figures(source, limits),
        "importance": {
            "reason": found.reason,
            "explained": round(found.explained, 4),
            "shares": [
                [list(s.names), round(s.share, 4), round(s.low, 4), round(s.high, 4)]
                for s in found.shares
            ],
        },
        "failures": wording.failures(source),
        "evaluations": wording.evaluations(source),
        "work": wording.work(source),
        "facts": wording.facts(source),
        "file": wording.file_of(source),
        "notes": wording.notes(source, limits.points, limits.lines, limits.curves),
    }


def _figures(source: Source, limits: Limits) -> dict[str, Any]:
    found = source.importance
    return {
        "progress": {
            by: figures.progress(source, by=by, most=limits.points) for by in ("trial", "seconds")
        },
        "curves": {
            metric: figures.curves(source, metric, most=limits.curves) for metric in source.metrics
        },
        "parallel": figures.parallel(source, most=limits.lines) if len(source.ranked) else None,
        "shares": figures.shares(found),
        "effects": {name: figures.effect(found, name, source.metric) for name in found.effects},
        "contours": _contours(source, limits.pairs),
        "work": figures.work([source]),
    }


def _contours(source: Source, most: int) -> dict[str, Any]:
    """Each pair once, by the indices of its names: the page turns it where it is asked to."""
    found = source.importance
    important = found.paired[:most]
    names = [name for name in found.effects if name in important]
    specs: dict[str, Spec] = {
        f"{i}|{j}": figures.contour(source, names[i], names[j])
        for i, j in combinations(range(len(names)), 2)
    }
    return {
        "names": names,
        "specs": specs,
        "first": [names.index(name) for name in important[:2]],
    }
