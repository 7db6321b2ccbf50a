"""Single figures, for notebooks and papers."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from hpsearch.errors import InputError
from hpsearch.reporting.drawing import THEMES, Spec, template, with_theme
from hpsearch.reporting.importance_figures import effect_figure, shares_figure
from hpsearch.reporting.page import write_page
from hpsearch.reporting.source import ReportSource, with_hover
from hpsearch.reporting.trial_figures import (
    curves_figure,
    distribution_figure,
    progress_figure,
)

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from hpsearch.reporting.importance import Importance


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
        """
        try:
            write_page([self._source], Path(path))
        except OSError as error:
            raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None
        return Path(path)

    def figure(self, kind: str, of: str | None = None, *, theme: str = "light") -> Figure:
        """Draw a figure of the report for a notebook; `figure.write_image("f.svg")` saves it.

        Args:
            kind: `progress`, `distribution`, `curves`, `importance` or `effect`.
            of: The metric of `curves`, by default the scored one; the hyperparameter of `effect`,
                by default the most important one.
            theme: `light` or `dark`.

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
        return as_figure(_KINDS[kind](source, of), source, theme)
