"""Known results: what others measured, from which a method learns before its first trial."""

from __future__ import annotations

import math
import os
from bisect import bisect
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from hpsearch.errors import InputError
from hpsearch.models.problem import Recipe
from hpsearch.search.strategy import Outcome
from hpsearch.space.space import Config, Drawn, Parameter, Range, Space
from hpsearch.spec.parameters import HYPERPARAMETERS
from hpsearch.store.columns import value_of
from hpsearch.store.tables import (
    column_of,
    hyperparameter_columns,
    hyperparameter_of,
    metric_parts,
    read_cells,
)
from hpsearch.wording import counted, is_number, listing, number, show

#: Columns that only tables of hpsearch have all of.
_OURS = frozenset({"trial", "config", "status", "score"})


def read_known(source: Any, space: Space, recipe: Recipe) -> tuple[list[Outcome], str]:
    """Read the rows of a table as results of a space.

    Args:
        source: A CSV file, a results directory, `Results` or a pandas frame: a column for each
            hyperparameter that varies, and one of the metric's name or `score`.

    Returns:
        Each config once, with the mean of its rows' scores. And a line on how many there are, and
        which rows are left out and why.

    Raises:
        InputError: A column is missing, the scores are of another metric, or no row is of the
            space.
    """
    table, name = _table(source)
    if not any(parameter.varies for parameter in space.parameters):
        raise InputError("known: no hyperparameter varies, so there is nothing to learn")
    rows = (_OwnRows if {*table.columns} >= _OURS else _Rows)(table, name, space, recipe)
    scores: dict[str, tuple[Config, list[float]]] = {}
    left_out: list[str] = []
    for index, row in enumerate(table.to_dict("records"), start=1):
        try:
            config, score = rows.config(row), rows.score(row)
        except (ValueError, OverflowError) as error:
            left_out.append(f"row {index}: {error}")
            continue
        scores.setdefault(config.id, (config, []))[1].append(score)
    if not scores:
        reason = left_out[0] if left_out else "it has no rows"
        raise InputError(f"known: no row of {name} is a result of this space ({reason})")
    means = {identity: fmean(each) for identity, (_, each) in scores.items()}
    best = number((max if recipe.goal == "maximize" else min)(means.values()))
    line = f"{counted(len(means), 'config')} of {name}, the best {recipe.metric} {best}"
    if left_out:
        line += f"; {counted(len(left_out), 'row')} left out, the first is {left_out[0]}"
    return [Outcome(scores[identity][0], mean) for identity, mean in means.items()], line


def _table(source: Any) -> tuple[Any, str]:
    """Return the frame of a source, and the source's name in messages."""
    import pandas as pd  # slow to import

    if isinstance(source, pd.DataFrame):
        table, name = source, "the table"
    elif hasattr(source, "directory"):
        # Only the table is left of a search that kept nothing.
        table, name = source.table, source.directory.name
    else:
        path = source
        if not isinstance(path, str | os.PathLike):
            raise InputError(
                "known: must be a pandas frame, a CSV file or a results directory, not "
                f"{type(source).__name__}"
            )
        path = Path(path).expanduser()
        table, name = read_cells(path), path.name
    twice = table.columns[table.columns.duplicated()]
    if len(twice):
        raise InputError(f"known: {name} has two columns {twice[0]}")
    return table, name


_OTHERS = "it has other hyperparameters than this space"


class _Rows:
    """Reads the rows of any program's table as results of a space."""

    def __init__(self, table: Any, name: str, space: Space, recipe: Recipe) -> None:
        self._space = space
        columns = list(table.columns)
        self._columns: dict[str, str | None] = {}
        for parameter in space.parameters:
            names = (column_of(parameter.name), parameter.name)
            self._columns[parameter.name] = next((c for c in names if c in columns), None)
        varied = (parameter.name for parameter in space.parameters if parameter.varies)
        if lacking := [each for each in varied if self._columns[each] is None]:
            shown = ", ".join(map(str, columns[:12]))
            raise InputError(
                f"known: {name} has no column {listing(lacking, 'and')}; it has {shown}"
            )
        score = next((column for column in (recipe.metric, "score") if column in columns), None)
        if score is None:
            raise InputError(
                f"known: {name} has no column {recipe.metric} or score with the scores"
            )
        if score in self._columns.values():
            raise InputError(f"known: the column {score} of {name} is a hyperparameter's")
        self._score = score
        #: Hyperparameters of MLPs that this space lacks.
        self._further = [
            name
            for name in HYPERPARAMETERS
            if space.kind.is_predefined and name in columns and name not in self._columns
        ]

    def config(self, row: Mapping[Any, Any]) -> Config:
        """Return a row's config; raise ValueError, which says why, if the space lacks it."""
        values: dict[str, Any] = {}
        reasons: dict[str, str] = {}
        for parameter in self._space.parameters:
            name, column = parameter.name, self._columns[parameter.name]
            if column is None:
                values[name] = parameter.at(0.0)
            elif _is_empty(row[column]):
                reasons[name] = f"{name} is empty"
            else:
                try:
                    values[name] = _value(parameter, row[column])
                except ValueError as error:
                    reasons[name] = str(error)
        filled = {p.name: p.at(0.0) for p in self._space.parameters if p.name in reasons}
        active = self._space.active(filled | values)
        if reason := next((reasons[name] for name in reasons if name in active), None):
            raise ValueError(reason)
        config = self._space.config(values)
        if config is None:
            raise ValueError("it breaks a constraint")
        further = {n: _decoded(row[n]) for n in self._further if not _is_empty(row[n])}
        whole = {**config.values, **further}  # noqa: PD011 - a mapping
        if Config(whole, config.kind).id != config.id:
            raise ValueError(_OTHERS)
        return config

    def score(self, row: Mapping[Any, Any]) -> float:
        """Return a row's score; raise ValueError without one."""
        return _finite(row[self._score])


class _OwnRows:
    """Reads the rows of a results table of hpsearch, whose columns say all that was trained."""

    def __init__(self, table: Any, name: str, space: Space, recipe: Recipe) -> None:
        self._space = space
        self._cells = hyperparameter_columns(table)
        cells = table["metric"].dropna().unique() if "metric" in table.columns else ()
        metrics = {metric_parts(str(cell)) for cell in cells}
        if others := metrics - {(recipe.metric, recipe.goal, recipe.epoch)}:
            shown = listing((":".join(parts) for parts in sorted(others)), "and")
            raise InputError(
                f"known: the scores of {name} are {shown}, and this sweep's are "
                f"{recipe.metric}:{recipe.goal}:{recipe.epoch}"
            )
        # `Results.trials` does not name its metric.
        if not metrics and recipe.metric in table:
            scored = table[table["score"].notna()]
            if not np.allclose(scored["score"].astype(float), scored[recipe.metric].astype(float)):
                raise InputError(f"known: the scores of {name} are not its {recipe.metric}")

    def config(self, row: Mapping[Any, Any]) -> Config:
        """Return a row's config; raise ValueError if none of the space trains equally."""
        cells = [column for column in self._cells if not _is_empty(row[column])]
        values = {hyperparameter_of(column): _decoded(row[column]) for column in cells}
        reason = _OTHERS
        for parameter in self._space.parameters:
            if (name := parameter.name) in values:
                try:
                    values[name] = _value(parameter, values[name])
                except ValueError as error:
                    if parameter.choices is None:
                        raise
                    # Another of its choices may train equally.
                    reason = str(error)
        config = Config(values, self._space.kind)
        # A model may ask for further hyperparameters, which its config does not have.
        least = Config({n: v for n, v in values.items() if n in self._space.names}, config.kind)
        for each in (config, least) if least.id == row["config"] else (config,):
            if (assignment := self._space.assignment(each)) is not None:
                return self._space.config(assignment) or each
        raise ValueError(reason)

    def score(self, row: Mapping[Any, Any]) -> float:
        """Return a row's score; raise ValueError without one, or if the training was halted."""
        if str(row["status"]) == "stopped":
            raise ValueError("it was halted before its last epoch")
        return _finite(row["score"])


def _finite(cell: Any) -> float:
    try:
        score = float(cell)
    except (TypeError, ValueError):
        score = math.nan
    if not math.isfinite(score):
        raise ValueError("it has no score")
    return score


def _is_empty(cell: Any) -> bool:
    import pandas as pd  # slow to import

    return not isinstance(cell, list | tuple | dict) and bool(pd.isna(cell))


def _decoded(cell: Any) -> Any:
    with suppress(ValueError):
        return value_of(cell)
    # Text that only begins as JSON.
    return cell


def _value(parameter: Parameter, cell: Any) -> Any:
    """Return the value of the space that a cell stands for; raise ValueError without one."""
    decoded = _decoded(list(cell) if isinstance(cell, tuple) else cell)
    choices = parameter.choices or ()
    if isinstance(parameter.domain, Range) and is_number(decoded):
        # There may be 100,000 of them, in order.
        place = bisect(choices, decoded)
        choices = choices[max(0, place - 1) : place + 1]
    for choice in choices:
        # A text may look like JSON.
        if _is_same(choice, cell) or _is_same(choice, decoded):
            return choice
    domain = parameter.domain
    if parameter.choices is None and is_number(decoded) and parameter.contains(decoded):
        whole = isinstance(domain, Range) and domain.integer
        # The distributions with a whole step yield whole numbers.
        whole = whole or (isinstance(domain, Drawn) and isinstance(domain.given.get("q"), int))
        return round(decoded) if whole else float(decoded)
    raise ValueError(f"{parameter.name} is {show(decoded)}, which is not in the space")


def _is_same(choice: Any, cell: Any) -> bool:
    """Check if a cell stands for a choice: rounded, or as text."""
    if isinstance(choice, bool) and isinstance(cell, str):
        return str(choice).lower() == cell.lower()
    if isinstance(choice, str) or isinstance(cell, str):
        return str(choice) == str(cell)
    if is_number(choice) and is_number(cell):
        return math.isclose(choice, cell, rel_tol=1e-9, abs_tol=1e-12)
    return isinstance(choice, bool) == isinstance(cell, bool) and choice == cell
