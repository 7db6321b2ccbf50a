"""report.html: one file that needs nothing else, and its writer beside a running sweep."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import logging
import math
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path
from typing import Any

from hpsearch.errors import InputError
from hpsearch.machine import version_of
from hpsearch.report import words
from hpsearch.report.drawing import THEMES, Spec, colour_words, duration, inert, number, template
from hpsearch.report.importance_figures import contour_figure, effect_figure, shares_figure
from hpsearch.report.source import ReportSource, told_apart
from hpsearch.report.trial_figures import (
    MOST_CURVES,
    MOST_LINES,
    MOST_POINTS,
    curves_figure,
    overview_figure,
    parallel_figure,
    progress_figure,
    work_figure,
)
from hpsearch.report.words import columns_of, constants_of
from hpsearch.spec.sweep import Sweep
from hpsearch.store.derived import Tables
from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.facts import Evaluation
from hpsearch.store.store import evaluations_of
from hpsearch.store.tables import Record, write_atomically
from hpsearch.wording import COLOURS, css_variables

REFRESH_SECONDS = 5


@dataclass(frozen=True)
class PageLimits:
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

    def times(self, share: float, rows: float) -> PageLimits:
        """Less of everything, or of the figures first."""
        return PageLimits(
            rows=max(50, int(self.rows * rows)),
            points=max(100, int(self.points * share)),
            lines=max(100, int(self.lines * share)),
            curves=max(10, int(self.curves * share)),
            pairs=max(3, int(self.pairs * math.sqrt(share))),
        )


def payload_of(
    sources: Sequence[ReportSource], limits: PageLimits, *, live: bool
) -> dict[str, Any]:
    """All that the page's script reads."""
    written = time.strftime("%Y-%m-%d %H:%M:%S")
    return {
        "written": written,
        "live": live,
        "refresh_seconds": REFRESH_SECONDS,
        "footer": f"Written {written} by hpsearch {version_of('hpsearch')}. Everything on this "
        "page is in this file: it opens offline and asks no server for anything.",
        "themes": {
            name: {"words": colour_words(name), "template": template(name)}
            for name in sorted(THEMES)
        },
        "overview": _overview(sources) if len(sources) > 1 else None,
        "sweeps": [_sweep(source, limits) for source in sources],
    }


def _overview(sources: Sequence[ReportSource]) -> dict[str, Any]:
    first = (sources[0].metric, sources[0].goal)
    others = [inert(s.name) for s in sources if (s.metric, s.goal) != first]
    return {
        "figure": overview_figure(sources),
        "note": words.overview_note(sources[0], others),
    }


def _sweep(source: ReportSource, limits: PageLimits) -> dict[str, Any]:
    found = source.importance
    best = source.best
    return {
        "name": source.name,
        "description": (source.sweep and source.sweep.description) or "",
        "tiles": words.tiles(source),
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
        "failures": words.failures(source),
        "evaluations": words.evaluations(source),
        "work": words.work(source),
        "facts": words.facts(source),
        "file": words.file_of(source),
        "notes": words.notes(source, limits.points, limits.lines, limits.curves),
    }


def _figures(source: ReportSource, limits: PageLimits) -> dict[str, Any]:
    found = source.importance
    return {
        "progress": {
            by: progress_figure(source, by=by, most=limits.points) for by in ("trial", "seconds")
        },
        "curves": {
            metric: curves_figure(source, metric, most=limits.curves) for metric in source.metrics
        },
        "parallel": parallel_figure(source, most=limits.lines) if len(source.ranked) else None,
        "shares": shares_figure(found),
        "effects": {name: effect_figure(found, name, source.metric) for name in found.effects},
        "contours": _contours(source, limits.pairs),
        "work": work_figure([source]),
    }


def _contours(source: ReportSource, most: int) -> dict[str, Any]:
    """Each pair once, by the indices of its names: the page turns it where it is asked to."""
    found = source.importance
    important = found.paired[:most]
    names = [name for name in found.effects if name in important]
    specs: dict[str, Spec] = {
        f"{i}|{j}": contour_figure(source, names[i], names[j])
        for i, j in combinations(range(len(names)), 2)
    }
    return {
        "names": names,
        "specs": specs,
        "first": [names.index(name) for name in important[:2]],
    }


#: Of the whole page; the figures are thinned until it fits.
MOST_BYTES = 6_000_000
_SCRIPTS = ("basics", "model", "figures", "table", "filters", "sections", "main")
#: What of the figures and of the table is left of a large sweep, tried in this order.
_SHARES = (
    *((1.0, 1.0), (0.6, 1.0), (0.35, 1.0), (0.25, 0.7), (0.2, 0.45), (0.15, 0.3), (0.1, 0.2)),
    *((0.06, 0.1), (0.03, 0.05), (0.02, 0.02)),
)


def render(sources: Sequence[ReportSource], *, live: bool = False, inputs: str = "") -> str:
    """The page of one sweep or several.

    Args:
        sources: The sweeps; the page opens with the first.
        live: Whether the page reads its file again every few seconds.
        inputs: A mark of what it was made from, to tell whether it is up to date.

    Raises:
        InputError: Plotly is not installed, or there are more sweeps than fit a page.
    """
    sources = told_apart(sources)
    plotly, script, style = _plotly(), _script(), _style()
    fixed = {
        "policy": _policy(plotly, script),
        "version": html.escape(version_of("hpsearch")),
        "inputs": html.escape(inputs),
        "title": html.escape(", ".join(source.name for source in sources[:3]) + " - hpsearch"),
        "style": style,
        "plotly": plotly,
        "script": script,
    }
    room = (
        MOST_BYTES - sum(len(part.encode()) for part in fixed.values()) - len(_asset("page.html"))
    )
    for share, rows in _SHARES:
        limits = PageLimits().times(share / len(sources), rows / len(sources))
        data = _json(payload_of(sources, limits, live=live))
        if len(data.encode()) <= room:
            return _filled({**fixed, "payload": data})
    raise InputError(
        f"{len(sources)} sweeps do not fit in one page of {MOST_BYTES // 10**6} MB; report on fewer"
    )


def _filled(parts: dict[str, str]) -> str:
    # Piece by piece, so that nothing that is filled in is searched for further places.
    pieces = _asset("page.html").split("{{")
    filled = [pieces[0]]
    for piece in pieces[1:]:
        name, rest = piece.split("}}", 1)
        filled += [parts[name], rest]
    return "".join(filled)


def _json(data: Any) -> str:
    """JSON that ends no script element and begins none, whatever it says."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"), ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _policy(*scripts: str) -> str:
    """No request to anywhere, and no script but these."""
    hashes = (base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts)
    allowed = " ".join(f"'sha256-{each}'" for each in hashes)
    return (
        # Plotly compiles the shaders' calls of parallel coordinates, and writes style elements.
        f"default-src 'none'; script-src {allowed} 'unsafe-eval'; style-src 'unsafe-inline'; "
        "img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'"
    )


@cache
def _asset(name: str) -> str:
    return (files("hpsearch.report") / "assets" / name).read_text(encoding="utf-8")


@cache
def _script() -> str:
    parts = "\n".join(_asset(f"{name}.js") for name in _SCRIPTS)
    return f'(function () {{\n"use strict";\n{parts}}})();\n'


@cache
def _style() -> str:
    """The variables of both themes, then the sheet."""
    rules = [f':root[data-theme="{name}"]{{{css_variables(name)}}}' for name in COLOURS]
    return "\n".join([*rules, _asset("page.css")])


@cache
def _plotly() -> str:
    """Plotly.js as Plotly for Python ships it, without importing that."""
    found = find_spec("plotly")
    path = Path(str(found and found.origin)).parent / "package_data" / "plotly.min.js"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{path}: Plotly's script cannot be read ({error.strerror}); pip install plotly"
        ) from None
    # A script element ends at the first of these, wherever it stands.
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")


_FILES = ("results.csv", "curves.csv", "sweep.yaml")
_MARK = re.compile(r'<meta name="hpsearch-inputs" content="([0-9a-f]*)">')
#: The mark stands in the head.
_HEAD_BYTES = 4_096


def write_page(sources: Sequence[ReportSource], path: Path, *, live: bool = False) -> None:
    """Write the page of one sweep or several; a reader sees the old file or the new one, whole.

    Args:
        sources: The sweeps.
        path: Of the file.
        live: Whether the page reads its file again every few seconds.

    Raises:
        InputError: Plotly is missing, or the sweeps do not fit in a page.
        OSError: The file cannot be written.
    """
    whole = all(source.most_rows for source in sources)
    made_of = [(s.directory, s.looks) for s in sources if s.directory]
    mark = _mark(made_of) if whole and not live else ""
    write_atomically(path, render(sources, live=live, inputs=mark))


def is_current(path: Path, directory: Path, looks: tuple[Evaluation, ...]) -> bool:
    """Whether a page is there already, made from these very tables and looks by this version."""
    try:
        with path.open(encoding="utf-8") as file:
            found = _MARK.search(file.read(_HEAD_BYTES))
    except (OSError, UnicodeDecodeError):
        return False
    return found is not None and found[1] == _mark([(directory, looks)])


def _mark(made_of: Sequence[tuple[Path, tuple[Evaluation, ...]]]) -> str:
    digest = hashlib.sha256(version_of("hpsearch").encode())
    for directory, looks in made_of:
        digest.update(repr(looks).encode())
        for name in _FILES:
            try:
                content = (directory / name).read_bytes()
            except OSError:
                content = b""
            digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()


_LOG = logging.getLogger("hpsearch.report")
#: Trials that importance is learnt from at the end of a run; `hpsearch report` takes more.
_MOST_ROWS = 1_000
#: Between the end of one page and the beginning of the next, while a run is on.
_LIVE_SECONDS = 5.0
_LIVE_SHARE = 0.1
#: A run that a signal ends must be over within a few seconds.
_PATIENCE_SECONDS = 2.0


class ReportFile:
    """Writes the page in a thread: the driver mostly waits for workers.

    Args:
        where: The results directory.
        tables: Makes the tables of records.
        sweep: What is run; None where no sweep file says it.
    """

    def __init__(self, where: ResultsDirectory, tables: Tables, sweep: Sweep | None) -> None:
        self._where, self._tables, self._sweep = where, tables, sweep
        self._thread: threading.Thread | None = None
        self._ready_at = time.monotonic() + 1.0
        self._error = ""

    def update(self, records: Sequence[Record]) -> None:
        """Rewrite the page of a run that is on, unless it was done a moment ago."""
        if time.monotonic() >= self._ready_at and not self._busy:
            self._start(records, live=True, whole=True)

    def begin(self, records: Sequence[Record], *, interrupted: bool) -> None:
        """Begin the last page; importance takes a while, which an interrupted run has not."""
        self.finish(interrupted=interrupted)
        self._start(records, live=False, whole=not interrupted)

    def finish(self, *, interrupted: bool) -> str:
        """Wait for it.

        Returns:
            Why there is no page, or empty.
        """
        if self._thread is not None:
            self._thread.join(_PATIENCE_SECONDS if interrupted else None)
        return f"{self._where.report} is not written: {self._error}" if self._error else ""

    @property
    def _busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _start(self, records: Sequence[Record], *, live: bool, whole: bool) -> None:
        # A daemon: should a signal's patience end, it must not hold the process.
        self._thread = threading.Thread(
            target=self._write, args=(records,), kwargs={"live": live, "whole": whole}, daemon=True
        )
        self._thread.start()

    def _write(self, records: Sequence[Record], *, live: bool, whole: bool) -> None:
        began = time.monotonic()
        self._error = ""
        try:
            known = evaluations_of(self._where.path)
            if not live and is_current(self._where.report, self._where.path, known):
                return
            source = ReportSource(
                self._tables.results(records),
                self._tables.curves(records),
                self._sweep,
                self._where.path,
                most_rows=_MOST_ROWS if whole else 0,
                looks=known,
            )
            write_page([source], self._where.report, live=live)
        # Whatever goes wrong here, the results are there: the run goes on, the log knows why.
        except Exception as error:  # noqa: BLE001
            self._error = str(error) or type(error).__name__
            _LOG.info("the report failed", exc_info=True)
        seconds = time.monotonic() - began
        self._ready_at = time.monotonic() + max(_LIVE_SECONDS, seconds / _LIVE_SHARE)
