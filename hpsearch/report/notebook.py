"""Figures as Plotly for Python's own, for notebooks and papers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.errors import InputError
from hpsearch.report import figures
from hpsearch.report.figures.parts import with_hover
from hpsearch.report.theme import Spec, resolved, template

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from hpsearch.report.source import Source

__all__ = ["as_figure", "every_figure", "save_figures"]

FORMATS = ("svg", "png", "pdf")
_WIDTH, _HEIGHT = 900, 500
#: Pixels of a PNG per pixel of a screen.
_SCALE = 2


def as_figure(spec: Spec, source: Source, theme: str = "light") -> Figure:
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
    figure = Figure(resolved(with_hover(spec, source), theme))
    figure.update_layout(template=layouts.Template(layout=template(theme)))
    return figure


def every_figure(source: Source) -> Iterator[tuple[str, Spec]]:
    """Each figure of the report, by a name that can be a file's."""
    yield "progress", figures.progress(source)
    yield "progress-by-time", figures.progress(source, by="seconds")
    for metric in source.metrics:
        yield f"curves-{metric}", figures.curves(source, metric)
    if len(source.ranked):
        yield "parallel", figures.parallel(source)
    found = source.importance
    if not found.reason:
        yield "importance", figures.shares(found)
        for index, name in enumerate(found.effects, start=1):
            # A hyperparameter may bear any name, a file not.
            yield (
                f"effect-{index}-{''.join(c if c.isalnum() or c in '_-' else '_' for c in name)}",
                figures.effect(found, name, source.metric),
            )
        if len(found.paired) > 1:
            yield "contour", figures.contour(source, *found.paired[:2])
    yield "work", figures.work([source])


def save_figures(source: Source, directory: Path, kind: str = "svg") -> list[Path]:
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
