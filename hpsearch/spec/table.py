"""The default search for a table, of which only the column to predict is given."""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

from hpsearch.errors import DataError, InputError, SweepFileError
from hpsearch.machine import odd_kind
from hpsearch.opening import open_table
from hpsearch.spec.command import expanded
from hpsearch.spec.rules import clean_name
from hpsearch.spec.sweep import AnySweep, apply_overrides, sweep_from_mapping
from hpsearch.spec.yaml import Document, read_yaml

_SEARCH: Final = Path(__file__).with_name("table.yaml")
#: Rows times epochs of a training of more than the least number of epochs, so that a search of
#: minutes has several trainings.
_MOST_ROWS: Final = 2_000_000
#: The number of best executions whose weights are kept, for an ensemble.
KEPT: Final = 24
_LEAST_EPOCHS: Final = 5
_LEAST_PATIENCE: Final = 3
#: Parts of a budget that end a search.
_ENDS: Final = {"trials", "time", "patience"}
_LINE: Final = 1 << 20


def with_default_search(given: Mapping[str, Any], rows: int) -> dict[str, Any]:
    """Return the keys of a sweep file, with how to search so many rows where `given` lacks it."""
    search: dict[str, Any] = read_yaml(_SEARCH.read_bytes()).data
    parameters, stopping = search["parameters"], search["early_stopping"]
    whole = parameters["epochs"]
    epochs = min(whole, max(_LEAST_EPOCHS, _MOST_ROWS // max(rows, 1)))
    if epochs < whole:
        parameters["epochs"] = epochs
        stopping["patience"] = max(_LEAST_PATIENCE, stopping["patience"] * epochs // whole)
        # An epoch of fewer, larger steps takes less time.
        parameters["batch_size"] = [4 * size for size in parameters["batch_size"]]
    budget = dict(given.get("budget", {}))
    if _ENDS.isdisjoint(budget):
        budget = search["budget"] | budget
    return _of_best_epoch({**search, **given, "budget": budget})


def _of_best_epoch(search: dict[str, Any]) -> dict[str, Any]:
    """Score the best epoch unless another is named: early stopping ends some epochs after it."""
    metric = search["metric"]
    if isinstance(metric, str):
        metric = {"name": metric}
    return search | {"metric": {"epoch": "best"} | metric if isinstance(metric, dict) else metric}


def table_sweep(
    table: Path, target: str, overrides: Sequence[str] = (), time: str | None = None
) -> AnySweep:
    """Return the default sweep over a CSV file, named after the file.

    Args:
        target: The name of the column to predict.
        overrides: As for `load_sweep`.
        time: `budget.time`, in place of the number of trials.
    """
    data = {"csv": str(table), "target": target}
    raw = with_default_search({"data": data}, _count_rows(expanded(str(table))))
    if time is not None:
        raw["budget"], overrides = {}, [*overrides, f"budget.time={time}"]
    document = Document(data={"name": clean_name(table.stem), **raw})
    apply_overrides(document, overrides)
    problems: Sequence[Any] = document.problems
    if not problems:
        try:
            return sweep_from_mapping(_of_best_epoch(document.data), Path.cwd())
        except SweepFileError as error:
            problems = error.problems
    # Line numbers would lead nowhere: the user has written no sweep file.
    lines = [f"{problem.path}: {problem.message}".removeprefix(": ") for problem in problems]
    raise InputError("\n".join(lines))


def _count_rows(path: Path) -> int:
    """Count a file's records below its header, up to a few more than make a difference.

    0 for a file that cannot be read: reading it for the run says why.
    """
    if odd_kind(path):
        return 0
    try:
        with io.TextIOWrapper(open_table(path), encoding="latin-1", newline="") as text:
            records = csv.reader(iter(lambda: text.readline(_LINE), ""))
            most = _MOST_ROWS // _LEAST_EPOCHS + 1
            return sum(1 for _ in islice(filter(None, records), 1, most))
    except (DataError, EOFError, OSError, csv.Error, zlib.error):
        return 0
