"""The command line."""

from __future__ import annotations

from hpsearch.cli.app import main

__all__ = ["main"]
