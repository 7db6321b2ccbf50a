"""`hpsearch report`: the page of sweeps that were run before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import typer

from hpsearch.driver.record import looks_beside
from hpsearch.errors import InputError, RefusedError
from hpsearch.looks import Look
from hpsearch.report.notebook import save_figures
from hpsearch.report.source import load
from hpsearch.report.writing import write

__all__ = ["write_report"]


def _looks(source: Path) -> tuple[Look, ...]:
    """Of a damaged store none: the tables, which are sound, are the report's."""
    try:
        return looks_beside(source)
    except RefusedError as error:
        typer.echo(f"evaluations are not shown: {error}", err=True)
        return ()


def write_report(
    sources: Sequence[Path], out: Path | None, figures: Path | None, kind: str
) -> None:
    """Write the page, and each figure where asked for.

    Raises:
        InputError: There is no such table, or the file cannot be written.
    """
    loaded = [replace(load(path), looks=_looks(path)) for path in sources]
    if out is None and len(sources) > 1:
        raise InputError("several sweeps: name the page's file, as in: --out report.html")
    path = out or (sources[0] if sources[0].is_dir() else sources[0].parent) / "report.html"
    try:
        write(loaded, path)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written: {error.strerror}; name another file with --out"
        ) from None
    typer.echo(f"wrote {path}")
    if figures is not None:
        for written in save_figures(loaded[0], figures, kind):
            typer.echo(f"wrote {written}")
