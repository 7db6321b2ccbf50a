"""The driver: one process that asks, plans, hands out, stores and tells."""

from __future__ import annotations

from hpsearch.driver.directory import ResultsDirectory
from hpsearch.driver.outcome import Interrupted, Outcome, Settings
from hpsearch.driver.reporter import AsWarnings, Reporter, Silent, outside
from hpsearch.driver.run import run

__all__ = [
    "AsWarnings",
    "Interrupted",
    "Outcome",
    "Reporter",
    "ResultsDirectory",
    "Settings",
    "Silent",
    "outside",
    "run",
]
