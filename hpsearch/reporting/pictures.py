"""Single figures, for notebooks and papers."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.errors import InputError
from hpsearch.reporting.drawing import THEMES, Spec, template, with_theme
from hpsearch.reporting.importance_figures import contour_figure, effect_figure, shares_figure
from hpsearch.reporting.page import write_page
from hpsearch.reporting.source import with_hover
from hpsearch.reporting.trial_figures import (
    curves_figure,
    distribution_figure,
    parallel_figure,
    progress_figure,
    work_figure,
)

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from hpsearch.reporting.importance import Importance
    from hpsearch.reporting.source import ReportSource

FORMATS = ("svg", "png", "pdf")
_WIDTH, _HEIGHT = 900, 500
#: Pixels of a PNG per pixel of a screen.
_SCALE = 2


def as_figure(spec: Spec, source: ReportSource, theme: str = "light") -> Figure:
    """A `plotly.graph_objects.Figure` with the colours of a theme, `light` or `dark`.

    Raises:
        InputError: There is no such theme.
    """
    # Slow to import.
    from plotly.graph_objects import Figure
    from plotly.graph_objects import layout as layouts

    if theme not in THEMES:
        raise InputError(f"theme: must be light or dark, not {theme!r}")
    figure = Figure(with_theme(with_hover(spec, source), theme))
    figure.update_layout(template=layouts.Template(layout=template(theme)))
    return figure


def every_figure(source: ReportSource) -> Iterator[tuple[str, Spec]]:
    """Each figure of the report, with a name that is valid as a file's."""
    yield "progress", progress_figure(source)
    yield "progress-by-time", progress_figure(source, by="seconds")
    if len(source.ranked):
        yield "distribution", distribution_figure(source)
    for metric in source.metrics:
        yield f"curves-{metric}", curves_figure(source, metric)
    if len(source.ranked):
        yield "parallel", parallel_figure(source)
    found = source.importance
    if not found.reason:
        yield "importance", shares_figure(found)
        for index, name in enumerate(found.effects, start=1):
            safe = re.sub(r"[^\w-]", "_", name)
            yield f"effect-{index}-{safe}", effect_figure(source, name)
        if len(found.paired) > 1:
            yield "contour", contour_figure(source, *found.paired[:2])
    yield "work", work_figure([source])


def save_figures(source: ReportSource, directory: Path, kind: str = "svg") -> list[Path]:
    """Write each figure of the report to a file; see `Pictures.save_figures`."""
    if kind not in FORMATS:
        raise InputError(f"format: must be one of {', '.join(FORMATS)}, not {kind!r}")
    drawn = [(name, as_figure(spec, source)) for name, spec in every_figure(source)]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        paths = [directory / f"{name}.{kind}" for name, _ in drawn]
        _write_images([figure for _, figure in drawn], paths)
    except OSError as error:
        raise InputError(f"{directory}: cannot be written: {error.strerror or error}") from None
    return paths


def _write_images(drawn: list[Figure], paths: list[Path]) -> None:
    # An optional package.
    try:
        import kaleido
        from choreographer.errors import ChromeNotFoundError
    except ImportError:
        raise InputError(
            "writing figures to files needs Kaleido: pip install 'hpsearch[images]'"
        ) from None
    written: list[dict[str, Any]] = [
        {
            "fig": figure,
            "path": path,
            "opts": {
                "width": _WIDTH,
                "height": figure.layout.height or _HEIGHT,
                "scale": _SCALE,
                "format": path.suffix[1:],
            },
        }
        for figure, path in zip(drawn, paths, strict=True)
    ]
    try:
        kaleido.write_fig_from_object_sync(written)
    except ChromeNotFoundError:
        raise InputError(
            "writing figures to files needs Chrome or Chromium, and neither is found: apt-get "
            "install chromium, or set the variable BROWSER_PATH; the camera above each figure of "
            "the page saves it, too"
        ) from None


class Pictures:
    """Methods for importance, the report and its figures, for a class with a `_source`.

    Each figure is a `plotly.graph_objects.Figure`: a notebook shows it, and
    `figure.write_image("figure.svg")` saves it. `theme` is `light` or `dark`.
    """

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
        """
        try:
            write_page([self._source], Path(path))
        except OSError as error:
            raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None
        return Path(path)

    def plot_progress(self, *, by: str = "trial", theme: str = "light") -> Figure:
        """Plot every score and the best so far, by `trial`, `seconds` or `epochs` of training."""
        return self._drawn(progress_figure(self._source, by=by), theme)

    def plot_curves(self, metric: str | None = None, *, theme: str = "light") -> Figure:
        """Plot the learning curves of a metric, a column of `curves`; None for the scored one.

        Raises:
            InputError: There is no such metric.
        """
        known = self._source.metrics
        if metric is not None and metric not in known:
            raise InputError(f"metric: must be one of {', '.join(known)}, not {metric!r}")
        return self._drawn(curves_figure(self._source, metric), theme)

    def plot_parallel(self, *, theme: str = "light") -> Figure:
        """Plot each trial as a line through its hyperparameters to its score."""
        return self._drawn(parallel_figure(self._source), theme)

    def plot_importance(self, *, theme: str = "light") -> Figure:
        """Plot the shares of the score's variance with their intervals."""
        return self._drawn(shares_figure(self._known()), theme)

    def plot_effect(self, hyperparameter: str, *, theme: str = "light") -> Figure:
        """Plot the mean score at each value of a hyperparameter, with its interval.

        Raises:
            InputError: The hyperparameter does not vary.
        """
        found = self._known()
        if hyperparameter not in found.effects:
            known = ", ".join(found.effects)
            raise InputError(f"hyperparameter: must be one of {known}, not {hyperparameter!r}")
        return self._drawn(effect_figure(self._source, hyperparameter), theme)

    def plot_contour(
        self, x: str | None = None, y: str | None = None, *, theme: str = "light"
    ) -> Figure:
        """Plot the mean score over two hyperparameters; None for the most important one left.

        Raises:
            InputError: The joint effect of the two is not known.
        """
        chosen = [x, y]
        others = (name for name in self._known().paired if name not in chosen)
        first, second = (next(others, "") if name is None else name for name in chosen)
        return self._drawn(contour_figure(self._source, first, second), theme)

    def plot_distribution(self, *, theme: str = "light") -> Figure:
        """Plot the empirical distribution of the trials' scores."""
        return self._drawn(distribution_figure(self._source), theme)

    def plot_work(self, *, theme: str = "light") -> Figure:
        """Plot the epochs that were trained, answered by a shared training, or not needed."""
        return self._drawn(work_figure([self._source]), theme)

    def save_figures(
        self, directory: str | os.PathLike[str] = "figures", kind: str = "svg"
    ) -> list[Path]:
        """Write each figure of the report to a file and return the files.

        Args:
            directory: The directory for the files; created if missing.
            kind: The format: `svg`, `png` or `pdf`.

        Raises:
            InputError: The format is unknown, Kaleido or a browser is missing, or the directory
                cannot be written.
        """
        return save_figures(self._source, Path(directory), kind)

    def _drawn(self, spec: Spec, theme: str) -> Figure:
        return as_figure(spec, self._source, theme)

    def _known(self) -> Importance:
        found = self.importance()
        if found.reason:
            raise InputError(f"{self._source.name}: importance is not known: {found.reason}")
        return found
