"""report.html, one self-contained page; the thread that writes it; single figures."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import distribution
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from hpsearch.errors import InputError
from hpsearch.files import file_digest, write_atomically
from hpsearch.machine import version_of
from hpsearch.reporting import words
from hpsearch.reporting.drawing import (
    MOST_EFFECTS,
    THEMES,
    Spec,
    colour_names,
    in_colours,
    template,
    training_time,
)
from hpsearch.reporting.figures import (
    MOST_CURVES,
    MOST_POINTS,
    curves_figure,
    distribution_figure,
    effect_figure,
    overview_figure,
    predictions_figure,
    progress_figure,
    shares_figure,
)
from hpsearch.reporting.importance import Importance
from hpsearch.reporting.source import ReportSource, with_distinct_names
from hpsearch.spec.dump import dump_sweep
from hpsearch.spec.sweep import AnySweep
from hpsearch.store.columns import Record
from hpsearch.store.derived import Tables
from hpsearch.store.directory import ResultsDirectory, require_free
from hpsearch.store.facts import Evaluation
from hpsearch.store.store import evaluations_of
from hpsearch.wording import number, printable

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


@dataclass(frozen=True)
class PageLimits:
    """The most that the page holds of one sweep.

    Attributes:
        rows: Rows of the table, which are lines of the parallel coordinates.
        points: Trials in the figure of progress.
        curves: Trials in a figure of learning curves.
    """

    rows: int
    points: int
    curves: int


@dataclass(frozen=True)
class Compared:
    """The section on tables with these labels; its HTML has a `plot` element for each figure."""

    labels: tuple[str, ...]
    html: str
    figures: tuple[Spec, ...]


def payload_of(
    sources: Sequence[ReportSource],
    limits: PageLimits,
    *,
    compared: Compared | None = None,
    reload_seconds: float = 0.0,
) -> dict[str, Any]:
    """The JSON object that the page's script reads."""
    # A page that does not reload itself depends only on its inputs.
    live = {"seconds": reload_seconds, "written": time.strftime("%H:%M:%S")}
    return {
        "live": live if reload_seconds else None,
        "footer": f"Written by hpsearch {version_of('hpsearch')}. This file holds "
        "everything on this page: it opens offline and loads nothing from a server.",
        "themes": {
            name: {"colours": colour_names(name), "template": template(name)}
            for name in sorted(THEMES)
        },
        "comparison": compared.figures if compared else (),
        "overview": {
            "figure": overview_figure(sources),
            "note": words.overview_note(compared=compared is not None),
        }
        if len(sources) > 1
        else None,
        "sweeps": [_sweep(source, limits) for source in sources],
    }


def _sweep(source: ReportSource, limits: PageLimits) -> dict[str, Any]:
    best, anova = source.best, source.importance
    shares = [[[*s.names], *(round(v, 4) for v in (s.share, s.low, s.high))] for s in anova.shares]
    remarks = [line[2:] for line in source.facts.sweep.splitlines() if line.startswith("# ")]
    return {
        "name": source.name,
        "description": (source.sweep and source.sweep.description) or "",
        "metric": source.metric,
        "scale": source.scale,
        "answer": words.answer_of(source),
        "tiles": words.tiles(source),
        "summary": [
            source.metric,
            "-" if best is None else number(float(best["score"])),
            "-" if best is None else int(best["trial"]),
            f"{len(source.trials):,}",
            f"{len(source.ranked):,}",
            training_time(source.seconds),
        ],
        "total": len(source.trials),
        "scored": len(source.ranked),
        "columns": words.columns_of(source, limits.rows),
        "constants": words.constants_of(source),
        "executions": words.executions_of(source, limits.rows),
        "figures": _figures(source, limits),
        "importance": {
            "reason": anova.reason,
            "explained": round(anova.explained, 4),
            "shares": shares,
        },
        "failures": words.failures(source),
        "evaluations": words.evaluations(source),
        "predictions": [],
        "facts": words.facts(source),
        "file": "" if source.sweep is None else dump_sweep(source.sweep, remarks),
        "notes": words.notes(source, limits.points, limits.curves),
    }


def _figures(source: ReportSource, limits: PageLimits) -> dict[str, Any]:
    anova = source.importance
    return {
        "progress": progress_figure(source, most=limits.points),
        "curves": {
            metric: curves_figure(source, metric, most=limits.curves)
            for metric in source.metrics
            # A function that returns one score has no curve.
            if source.curves["epoch"].max() > 1
        },
        "distribution": distribution_figure(source) if len(source.ranked) > 2 else None,
        "effects": {name: effect_figure(source, name) for name in anova.singles[:MOST_EFFECTS]},
    }


def _predictions(source: ReportSource) -> list[dict[str, Any]]:
    """The predictions of the best model, and the last of a trial and an ensemble on each split."""
    judged = [entry for entry in source.evaluations if entry.confusion or entry.pairs]
    last = {(entry.split, not entry.trial): entry for entry in judged}
    # An evaluation of the same model on the same rows would repeat the predictions.
    best = [source.predicted] if source.predicted is not None else []
    shown = {(entry.split, entry.execution): entry for entry in (*best, *last.values())}
    figures: list[dict[str, Any]] = []
    for entry in shown.values():
        title = f"{entry.split} split, {entry.rows:,} rows, {entry.model}"
        if entry.pairs:
            figures.append({"title": title, "figure": predictions_figure(entry.pairs)})
            continue
        count = len(entry.confusion)
        named = source.facts.classes
        classes = named if len(named) == count else tuple(map(str, range(count)))
        figures.append({"title": title, "classes": [*classes], "confusion": entry.confusion})
    return figures


#: Limit of the whole page; the table and the figures are thinned until it fits.
_MOST_BYTES, _MOST_ROWS = 6_000_000, 10_000
_SCRIPTS = (
    *("basics", "model", "figures", "sections", "answer", "table", "parallel", "live", "main"),
)
#: Factors for the limits of the figures and of the table, tried in this order.
_SHARES = (
    *((1.0, 1.0), (0.6, 1.0), (0.35, 1.0), (0.25, 0.7), (0.2, 0.45), (0.15, 0.3), (0.1, 0.2)),
    *((0.06, 0.1), (0.03, 0.05), (0.02, 0.02)),
)


def render(
    sources: Sequence[ReportSource],
    *,
    inputs: str = "",
    compared: Compared | None = None,
    wait: Callable[[], Any] = lambda: None,
    reload_seconds: float = 0.0,
) -> str:
    """The HTML of a page, marked with a digest of its inputs; see `write_page`."""
    sources = with_distinct_names(sources)
    plotly = _plotly()
    code = "\n".join(_asset(f"{name}.js") for name in _SCRIPTS)
    script = f'(function () {{\n"use strict";\n{code}}})();\n'
    themes = [
        f':root[data-theme="{name}"]{{'
        + "".join(f"--{key}:{value};" for key, value in theme.items() if isinstance(value, str))
        + "}"
        for name, theme in THEMES.items()
    ]
    names = [source.name for source in sources] or (compared.labels if compared else [])
    fixed = {
        "policy": _policy(plotly, script),
        "version": html.escape(version_of("hpsearch")),
        "inputs": html.escape(inputs),
        "comparison": compared.html if compared else "",
        "title": html.escape(printable(", ".join(names[:3])) + " - hpsearch"),
        "style": "\n".join([*themes, _asset("page.css")]),
        "plotly": plotly,
        "script": script,
    }
    page = _asset("page.html")
    # The words about many tables cannot be thinned, and do not count.
    parts = [part for name, part in fixed.items() if name != "comparison"]
    room = _MOST_BYTES - len(page) - sum(len(part.encode()) for part in parts)
    for figures, rows in _SHARES:
        several = max(1, len(sources))
        limits = PageLimits(
            rows=max(50, int(_MOST_ROWS * (rows / several))),
            points=max(100, int(MOST_POINTS * (figures / several))),
            curves=max(10, int(MOST_CURVES * (figures / several))),
        )
        payload = payload_of(sources, limits, compared=compared, reload_seconds=reload_seconds)
        wait()
        for sweep, source in zip(payload["sweeps"], sources, strict=True):
            sweep["predictions"] = _predictions(source)
        data = _json(payload)
        if len(data.encode()) <= room:
            return Template(page).substitute(fixed, payload=data)
    raise InputError(
        f"{len(sources)} sweeps do not fit in one page of {_MOST_BYTES / 1e6:.0f} MB; "
        "report on fewer"
    )


def _json(data: Any) -> str:
    """JSON that can neither end nor begin a script element."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"), ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _policy(*scripts: str) -> str:
    """The content security policy: no requests, and no scripts but these."""
    hashes = (base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return (
        # Plotly writes style elements.
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'"
    )


def _asset(name: str) -> str:
    return (files("hpsearch.reporting") / "assets" / name).read_text(encoding="utf-8")


def _plotly() -> str:
    """Plotly.js from the Python package, which is not imported because that is slow."""
    path = distribution("plotly").locate_file("plotly/package_data/plotly.min.js")
    text = Path(str(path)).read_text(encoding="utf-8")
    # Either of these inside a script would change where the script element ends.
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")


_FILES = ("results.csv", "curves.csv", "sweep.yaml")
_DIGEST = re.compile(r'<meta name="hpsearch-inputs" content="([0-9a-f]*)">')
#: The part of the file that contains the digest.
_HEAD_BYTES = 4_096


def write_page(
    sources: Sequence[ReportSource],
    path: Path,
    *,
    write: Callable[[Path, str], None] = write_atomically,
    compared: Compared | None = None,
    wait: Callable[[], Any] = lambda: None,
    reload_seconds: float = 0.0,
) -> None:
    """Write a page about sweeps, a comparison or both, atomically.

    Args:
        write: Writes text to a file, such as the `write` of a held directory.
        compared: The section on a comparison, which comes first.
        wait: Called when all is drawn but the predictions of the best model; returns when the
            store has them.
        reload_seconds: Time after which an open page loads the file again; 0 for never.

    Raises:
        OSError: The file cannot be written.
    """
    require_free(path)
    is_last = all(source.most_rows for source in sources) and not reload_seconds
    inputs = [(s.directory, s.evaluations) for s in sources if s.directory]
    page = render(
        sources,
        inputs=_digest(inputs) if is_last else "",
        compared=compared,
        wait=wait,
        reload_seconds=reload_seconds,
    )
    write(path, page)


def is_current(path: Path, directory: Path, evaluations: tuple[Evaluation, ...]) -> bool:
    """Check if this version wrote the page from the directory's tables and these evaluations."""
    if not path.is_file():
        return False
    try:
        with path.open(encoding="utf-8") as file:
            match = _DIGEST.search(file.read(_HEAD_BYTES))
    except (OSError, UnicodeDecodeError):
        return False
    return match is not None and match[1] == _digest([(directory, evaluations)])


def _digest(inputs: Sequence[tuple[Path, tuple[Evaluation, ...]]]) -> str:
    digest = hashlib.sha256(version_of("hpsearch").encode())
    for directory, evaluations in inputs:
        digest.update(repr(evaluations).encode())
        for file in (directory / name for name in _FILES):
            content = ""
            with suppress(OSError):
                content = file_digest(file) if file.is_file() else ""
            digest.update(f"{content};".encode())
    return digest.hexdigest()


_LOG = logging.getLogger("hpsearch.reporting")
#: Most rows from which to learn importance during a run; `hpsearch report` uses more.
_MOST_LEARNED = 1_000
#: Longest wait for a page when a signal has interrupted the run.
_PATIENCE_SECONDS = 2.0


class ReportFile:
    """Writes the page of a run in a thread, because the driver mostly waits for workers.

    Args:
        sweep: The sweep; None if the run has no sweep file.
    """

    def __init__(self, where: ResultsDirectory, tables: Tables, sweep: AnySweep | None) -> None:
        self._where, self._tables, self._sweep = where, tables, sweep
        self._thread: threading.Thread | None = None
        self._error = ""
        #: Set when the run has written all that the page shows.
        self._complete = threading.Event()

    def begin(self, records: Sequence[Record], *, interrupted: bool) -> None:
        """Begin the page, without importance if there is no time for that."""
        # A daemon thread does not keep an interrupted process alive.
        self._thread = threading.Thread(
            target=self._write, args=(records, not interrupted), daemon=True
        )
        self._thread.start()

    def finish(self, *, interrupted: bool) -> str:
        """Wait for the page, briefly if interrupted; return why it is not written, or empty."""
        self._complete.set()
        if self._thread is not None:
            self._thread.join(_PATIENCE_SECONDS if interrupted else None)
        return f"{self._where.report} is not written: {self._error}" if self._error else ""

    def _write(self, records: Sequence[Record], importance: bool) -> None:
        try:
            evaluations = evaluations_of(self._where.path)
            if is_current(self._where.report, self._where.path, evaluations):
                return
            source = ReportSource(
                self._tables.results(records),
                self._tables.curves(records),
                self._sweep,
                self._where.path,
                most_rows=_MOST_LEARNED if importance else 0,
                evaluations=evaluations,
            )
            write_page(
                [source], self._where.report, write=self._where.write, wait=self._complete.wait
            )
        # The results do not depend on the report, so no error in it may end the run.
        except Exception as error:  # noqa: BLE001
            self._error = str(error) or type(error).__name__
            _LOG.info("the report failed", exc_info=True)


def as_figure(spec: Spec) -> Figure:
    """A `plotly.graph_objects.Figure` in the page's light colours."""
    # Slow to import.
    from plotly.graph_objects import Figure
    from plotly.graph_objects import layout as layouts

    figure = Figure(in_colours(spec))
    figure.update_layout(template=layouts.Template(layout=template("light")))
    return figure


#: Kind -> draws it of a metric or a hyperparameter.
_KINDS: dict[str, Callable[[ReportSource, str | None], Spec]] = {
    "progress": lambda source, _: progress_figure(source),
    "distribution": lambda source, _: distribution_figure(source),
    "curves": curves_figure,
    "importance": lambda source, _: shares_figure(source.importance),
    "effect": lambda source, of: effect_figure(source, of or source.importance.singles[0]),
}


class Pictures:
    """Methods for importance, the report and its figures, for a class with a `_source`."""

    @cached_property
    def _source(self) -> ReportSource:
        raise NotImplementedError

    def importance(self) -> Importance:
        """Return the share of the score's variance that each hyperparameter and pair explains."""
        return self._source.importance

    def report(self, path: str | os.PathLike[str] = "report.html") -> Path:
        """Write the report, one page that opens offline.

        Raises:
            InputError: The file cannot be written.
            RefusedError: The store is damaged.
        """
        source = self._source
        if source.directory is not None:
            # There may be new ones since the last call.
            source = replace(source, evaluations=evaluations_of(source.directory))
        try:
            write_page([source], Path(path))
        except OSError as error:
            raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None
        return Path(path)

    def figure(self, kind: str, of: str | None = None) -> Figure:
        """Draw a figure of the report for a notebook; `figure.write_image("f.svg")` saves it.

        Args:
            kind: `progress`, `distribution`, `curves`, `importance` or `effect`.
            of: The metric of `curves`, by default the scored one; the hyperparameter of `effect`,
                by default the most important one.

        Raises:
            InputError: There is no such figure, or nothing to draw.
        """
        if kind not in _KINDS:
            raise InputError(f"kind: must be one of {', '.join(_KINDS)}, not {kind!r}")
        source = self._source
        if source.best is None:
            raise InputError(f"{source.name}: no trial has a score")
        learned = kind in ("importance", "effect")
        if learned and (reason := source.importance.reason):
            raise InputError(f"{source.name}: importance is not known: {reason}")
        choices = source.metrics if kind == "curves" else []
        if kind == "effect":
            choices = source.importance.singles
        if of is not None and of not in choices:
            raise InputError(f"of: must be one of {', '.join(choices) or 'none'}, not {of!r}")
        return as_figure(_KINDS[kind](source, of))
