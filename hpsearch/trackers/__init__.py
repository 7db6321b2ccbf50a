"""Rows and curves for other programs to show, through their own libraries.

Each is an extra, imported when it is used: `hpsearch[tensorboard]`, `hpsearch[mlflow]`.
"""

from __future__ import annotations

from hpsearch.trackers.base import Tracker, TrackerError, make_tracker

__all__ = ["Tracker", "TrackerError", "make_tracker"]
