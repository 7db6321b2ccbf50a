"""The figures of results, one by one: what a notebook asks for."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from hpsearch.errors import InputError

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from hpsearch.importance import Importance
    from hpsearch.report.source import Source
    from hpsearch.report.theme import Spec

__all__ = ["Pictures"]


class Pictures:
    """Importance, the report and its figures, for a class that has a `_source`.

    Each figure is a `plotly.graph_objects.Figure`: a notebook shows it, and
    `figure.write_image("figure.svg")` saves it. `theme` is `light` or `dark`.
    """

    @cached_property
    def _source(self) -> Source:
        raise NotImplementedError

    def importance(self) -> Importance:
        """How much of the score's variance each hyperparameter and each pair explains."""
        return self._source.importance

    def report(self, path: str | os.PathLike[str] = "report.html") -> Path:
        """Write one page of pictures; it opens offline.

        Raises:
            InputError: It cannot be written.
        """
        from hpsearch.report.writing import write

        try:
            write([self._source], Path(path))
        except OSError as error:
            raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None
        return Path(path)

    def plot_progress(self, *, by: str = "trial", theme: str = "light") -> Figure:
        """Every score and the best so far, by `trial` or by `seconds` of training."""
        from hpsearch.report.figures import progress

        return self._drawn(progress(self._source, by=by), theme)

    def plot_curves(self, metric: str | None = None, *, theme: str = "light") -> Figure:
        """Learning curves of a metric, a column of `curves`; the scored one where None.

        Raises:
            InputError: There is no such metric.
        """
        from hpsearch.report.figures import curves

        known = self._source.metrics
        if metric is not None and metric not in known:
            raise InputError(f"metric: must be one of {', '.join(known)}, not {metric!r}")
        return self._drawn(curves(self._source, metric), theme)

    def plot_parallel(self, *, theme: str = "light") -> Figure:
        """Parallel coordinates: a line a trial through its hyperparameters to its score."""
        from hpsearch.report.figures import parallel

        return self._drawn(parallel(self._source), theme)

    def plot_importance(self, *, theme: str = "light") -> Figure:
        """Shares of the score's variance with their intervals."""
        from hpsearch.report.figures import shares

        return self._drawn(shares(self._known()), theme)

    def plot_effect(self, hyperparameter: str, *, theme: str = "light") -> Figure:
        """The mean score at each value of one hyperparameter, with its band.

        Raises:
            InputError: It does not vary.
        """
        from hpsearch.report.figures import effect

        found = self._known()
        if hyperparameter not in found.effects:
            known = ", ".join(found.effects)
            raise InputError(f"hyperparameter: must be one of {known}, not {hyperparameter!r}")
        return self._drawn(effect(found, hyperparameter, self._source.metric), theme)

    def plot_contour(
        self, x: str | None = None, y: str | None = None, *, theme: str = "light"
    ) -> Figure:
        """The mean score over two hyperparameters; the most important ones where None.

        Raises:
            InputError: The joint effect of the two is not known.
        """
        from hpsearch.report.figures import contour

        asked = [x, y]
        spare = (name for name in self._known().paired if name not in asked)
        first, second = (next(spare, "") if name is None else name for name in asked)
        return self._drawn(contour(self._source, first, second), theme)

    def plot_work(self, *, theme: str = "light") -> Figure:
        """Epochs that were trained, answered by a shared training, or spared."""
        from hpsearch.report.figures import work

        return self._drawn(work([self._source]), theme)

    def save_figures(
        self, directory: str | os.PathLike[str] = "figures", kind: str = "svg"
    ) -> list[Path]:
        """Write every figure as a file: `svg`, `png` or `pdf`; the files.

        Raises:
            InputError: There is no such format, no Kaleido or no browser to draw with, or the
                directory cannot be written.
        """
        from hpsearch.report.notebook import save_figures

        return save_figures(self._source, Path(directory), kind)

    def _drawn(self, spec: Spec, theme: str) -> Figure:
        from hpsearch.report.notebook import as_figure

        return as_figure(spec, self._source, theme)

    def _known(self) -> Importance:
        found = self.importance()
        if found.reason:
            raise InputError(f"{self._source.name}: importance is not known: {found.reason}")
        return found
