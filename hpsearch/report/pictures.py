"""The figures one by one, for notebooks and papers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.errors import InputError
from hpsearch.report.drawing import Spec, template, with_theme
from hpsearch.report.importance_figures import contour_figure, effect_figure, shares_figure
from hpsearch.report.page import write_page
from hpsearch.report.source import with_hover
from hpsearch.report.trial_figures import (
    curves_figure,
    parallel_figure,
    progress_figure,
    work_figure,
)

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from hpsearch.report.importance import Importance
    from hpsearch.report.source import ReportSource

FORMATS = ("svg", "png", "pdf")
_WIDTH, _HEIGHT = 900, 500
#: Pixels of a PNG per pixel of a screen.
_SCALE = 2


def as_figure(spec: Spec, source: ReportSource, theme: str = "light") -> Figure:
    """A `plotly.graph_objects.Figure` with the colours of a theme, `light` or `dark`.

    Raises:
        InputError: Plotly is not installed, or there is no such theme.
    """
    if theme not in ("light", "dark"):
        raise InputError(f"theme: must be light or dark, not {theme!r}")
    try:
        from plotly.graph_objects import Figure
        from plotly.graph_objects import layout as layouts
    except ImportError:
        raise InputError("figures need Plotly: pip install plotly") from None
    figure = Figure(with_theme(with_hover(spec, source), theme))
    figure.update_layout(template=layouts.Template(layout=template(theme)))
    return figure


def every_figure(source: ReportSource) -> Iterator[tuple[str, Spec]]:
    """Each figure of the report, by a name that can be a file's."""
    yield "progress", progress_figure(source)
    yield "progress-by-time", progress_figure(source, by="seconds")
    for metric in source.metrics:
        yield f"curves-{metric}", curves_figure(source, metric)
    if len(source.ranked):
        yield "parallel", parallel_figure(source)
    found = source.importance
    if not found.reason:
        yield "importance", shares_figure(found)
        for index, name in enumerate(found.effects, start=1):
            # A hyperparameter may bear any name, a file not.
            yield (
                f"effect-{index}-{''.join(c if c.isalnum() or c in '_-' else '_' for c in name)}",
                effect_figure(found, name, source.metric),
            )
        if len(found.paired) > 1:
            yield "contour", contour_figure(source, *found.paired[:2])
    yield "work", work_figure([source])


def save_figures(source: ReportSource, directory: Path, kind: str = "svg") -> list[Path]:
    """Write every figure of the report as a file of its own.

    Args:
        source: The sweep.
        directory: Where to; made where it is missing.
        kind: `svg`, `png` or `pdf`.

    Returns:
        The files.

    Raises:
        InputError: There is no such format, no Kaleido or no browser to draw with, or the
            directory cannot be written.
    """
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
    try:
        import kaleido
        from choreographer.errors import ChromeNotFoundError
    except ImportError:
        raise InputError("figures as files need Kaleido: pip install 'hpsearch[images]'") from None
    options = [
        {"width": _WIDTH, "height": figure.layout.height or _HEIGHT, "scale": _SCALE}
        for figure in drawn
    ]
    written: list[dict[str, Any]] = [
        {"fig": figure, "path": path, "opts": option | {"format": path.suffix[1:]}}
        for figure, path, option in zip(drawn, paths, options, strict=True)
    ]
    try:
        kaleido.write_fig_from_object_sync(written)
    except ChromeNotFoundError:
        raise InputError(
            "figures as files are drawn by Chrome or Chromium, and none is found: apt-get install "
            "chromium, or name one in the variable BROWSER_PATH; the page itself saves each "
            "figure, too, with the camera above it"
        ) from None


class Pictures:
    """Importance, the report and its figures, for a class that has a `_source`.

    Each figure is a `plotly.graph_objects.Figure`: a notebook shows it, and
    `figure.write_image("figure.svg")` saves it. `theme` is `light` or `dark`.
    """

    @cached_property
    def _source(self) -> ReportSource:
        raise NotImplementedError

    def importance(self) -> Importance:
        """How much of the score's variance each hyperparameter and each pair explains."""
        return self._source.importance

    def report(self, path: str | os.PathLike[str] = "report.html") -> Path:
        """Write one page of pictures; it opens offline.

        Raises:
            InputError: It cannot be written.
        """
        try:
            write_page([self._source], Path(path))
        except OSError as error:
            raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None
        return Path(path)

    def plot_progress(self, *, by: str = "trial", theme: str = "light") -> Figure:
        """Every score and the best so far, by `trial` or by `seconds` of training."""
        return self._drawn(progress_figure(self._source, by=by), theme)

    def plot_curves(self, metric: str | None = None, *, theme: str = "light") -> Figure:
        """Learning curves of a metric, a column of `curves`; the scored one where None.

        Raises:
            InputError: There is no such metric.
        """
        known = self._source.metrics
        if metric is not None and metric not in known:
            raise InputError(f"metric: must be one of {', '.join(known)}, not {metric!r}")
        return self._drawn(curves_figure(self._source, metric), theme)

    def plot_parallel(self, *, theme: str = "light") -> Figure:
        """Parallel coordinates: a line a trial through its hyperparameters to its score."""
        return self._drawn(parallel_figure(self._source), theme)

    def plot_importance(self, *, theme: str = "light") -> Figure:
        """Shares of the score's variance with their intervals."""
        return self._drawn(shares_figure(self._known()), theme)

    def plot_effect(self, hyperparameter: str, *, theme: str = "light") -> Figure:
        """The mean score at each value of one hyperparameter, with its band.

        Raises:
            InputError: It does not vary.
        """
        found = self._known()
        if hyperparameter not in found.effects:
            known = ", ".join(found.effects)
            raise InputError(f"hyperparameter: must be one of {known}, not {hyperparameter!r}")
        return self._drawn(effect_figure(found, hyperparameter, self._source.metric), theme)

    def plot_contour(
        self, x: str | None = None, y: str | None = None, *, theme: str = "light"
    ) -> Figure:
        """The mean score over two hyperparameters; the most important ones where None.

        Raises:
            InputError: The joint effect of the two is not known.
        """
        asked = [x, y]
        spare = (name for name in self._known().paired if name not in asked)
        first, second = (next(spare, "") if name is None else name for name in asked)
        return self._drawn(contour_figure(self._source, first, second), theme)

    def plot_work(self, *, theme: str = "light") -> Figure:
        """Epochs that were trained, answered by a shared training, or spared."""
        return self._drawn(work_figure([self._source]), theme)

    def save_figures(
        self, directory: str | os.PathLike[str] = "figures", kind: str = "svg"
    ) -> list[Path]:
        """Write every figure as a file: `svg`, `png` or `pdf`; the files.

        Raises:
            InputError: There is no such format, no Kaleido or no browser to draw with, or the
                directory cannot be written.
        """
        return save_figures(self._source, Path(directory), kind)

    def _drawn(self, spec: Spec, theme: str) -> Figure:

        return as_figure(spec, self._source, theme)

    def _known(self) -> Importance:
        found = self.importance()
        if found.reason:
            raise InputError(f"{self._source.name}: importance is not known: {found.reason}")
        return found
