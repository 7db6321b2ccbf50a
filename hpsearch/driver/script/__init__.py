"""A row of the table as a Keras program of its own, which needs no hpsearch."""

from __future__ import annotations

from pathlib import Path

from hpsearch.driver.revisit import visit
from hpsearch.driver.script.program import program

__all__ = ["program", "write"]


def write(directory: Path, number: int) -> str:
    """The program of a trial.

    Raises:
        InputError: No such trial, no score, or no program can be had for it.
        RefusedError: The data is another now.
    """
    visited = visit(directory)
    return program(visited, *visited.scored(number))
