"""A comparison on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hpsearch.comparison import Comparison, Grid, document

__all__ = ["print_comparison"]


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print what `document` says of it."""
    for index, section in enumerate(document(comparison)):
        if index:
            console.print()
        console.print(Text(section.title, style="bold"))
        for part in section.parts:
            if isinstance(part, Grid):
                console.print(_table(part))
            else:
                console.print(Text(part), soft_wrap=True)


def _table(grid: Grid) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in grid.header:
        table.add_column(Text(name), justify="right", overflow="fold")
    for row in grid.rows:
        table.add_row(*map(Text, row))
    return table
