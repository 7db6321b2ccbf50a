"""Which version of a package is installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

__all__ = ["version_of"]


def version_of(package: str) -> str:
    """As its installation says, or `unknown` where there is none."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
