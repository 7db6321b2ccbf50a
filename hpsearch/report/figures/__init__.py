"""The report's figures as plain mappings, which Plotly.js and Plotly for Python both draw."""

from __future__ import annotations

from hpsearch.report.figures.contour import contour
from hpsearch.report.figures.curves import curves
from hpsearch.report.figures.effects import effect
from hpsearch.report.figures.parallel import parallel
from hpsearch.report.figures.progress import overview, progress
from hpsearch.report.figures.shares import shares
from hpsearch.report.figures.work import work

__all__ = ["contour", "curves", "effect", "overview", "parallel", "progress", "shares", "work"]
