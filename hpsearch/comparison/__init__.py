"""Results tables to verdicts: which is better, by how much, how sure, and why.

`reading` makes tables of files, `sameness` tells whether they are comparable, `questions` asks of
two of them what `paired` and `best` compute, `verdict` names winners, `budget` and `explanation`
add the rest; `document` puts all into words, `writing` on a page.
"""

from __future__ import annotations

from hpsearch.comparison.comparing import Best, Comparison, Rescore, compare
from hpsearch.comparison.document import Grid, Section, document
from hpsearch.comparison.questions import Fresh
from hpsearch.comparison.reading import Columns
from hpsearch.comparison.table import Table
from hpsearch.comparison.writing import (
    as_dict,
    as_html,
    as_json,
    as_markdown,
    require_suffix,
    write,
)

__all__ = [
    "Best",
    "Columns",
    "Comparison",
    "Fresh",
    "Grid",
    "Rescore",
    "Section",
    "Table",
    "as_dict",
    "as_html",
    "as_json",
    "as_markdown",
    "compare",
    "document",
    "require_suffix",
    "write",
]
