"""Results tables of hpsearch and of other programs, as comparisons need them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch import results
from hpsearch.comparison.labels import labels
from hpsearch.comparison.table import Metric, Table
from hpsearch.errors import InputError
from hpsearch.keras_names import METRICS
from hpsearch.trial import Status

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Columns", "read_tables"]

#: What a table of hpsearch has, whatever else.
_OURS = ("trial", "config", "seed", "status", "score", "metric", "data")
#: What decides a score or tells who computed it.
_PROVENANCE = ("data", "metric", "recipe", "version", "tensorflow", "keras")
_GOALS = ("maximize", "minimize")
#: Where other programs' tables say how long a trial trained; the last is W&B's.
_EPOCHS = ("epochs_trained", "epochs")
_SECONDS = ("seconds", "Runtime")
#: Of a table without rows, which does not say what its scores would be.
_UNKNOWN = Metric("score", "maximize")
_SCORED = tuple(str(status) for status in Status if status.scored)


@dataclass(frozen=True)
class Columns:
    """Where a table of another program has what.

    Attributes:
        score: The column to compare by; None for hpsearch's own.
        params: The hyperparameters' columns, which tell configs apart.
        goal: `maximize` or `minimize`; known for the usual metrics' names.
    """

    score: str | None = None
    params: tuple[str, ...] = ()
    goal: str | None = None


def read_tables(
    paths: Sequence[str | os.PathLike[str]], columns: Columns | None = None
) -> list[Table]:
    """Read the tables of a comparison.

    Args:
        paths: Results directories or CSV files, two or more.
        columns: For tables of other programs.

    Raises:
        InputError: Too few tables; one that is missing or none; a column that it lacks.
    """
    columns = columns or Columns()
    if columns.goal is not None and columns.goal not in _GOALS:
        raise InputError(f"goal: must be maximize or minimize, not {columns.goal!r}")
    places = [Path(path) for path in paths]
    if len(places) < 2:
        raise InputError(f"a comparison takes two tables or more, not {len(places)}")
    tables = [
        _read(path, label, columns) for path, label in zip(places, labels(places), strict=True)
    ]
    known = next((table.metric for table in tables if table.metric != _UNKNOWN), _UNKNOWN)
    return [replace(table, metric=known) if table.metric == _UNKNOWN else table for table in tables]


def _read(path: Path, label: str, columns: Columns) -> Table:
    cells = results.read_cells(path)
    ours = all(name in cells.columns for name in _OURS)
    if not ours:
        _require_mapping(path, cells, columns)
    wanted = [*columns.params, *([columns.score] if columns.score else [])]
    missing = [name for name in wanted if name not in cells.columns]
    if missing:
        raise InputError(
            f"{path}: has no column {', '.join(map(repr, missing))}; "
            f"there are {', '.join(cells.columns[:20])}"
        )
    frame = results.from_cells(cells, path) if ours else cells
    provenance = _provenance(frame) if ours else {}
    settings = _settings(frame, columns)
    return Table(
        label=label,
        path=path,
        directory=path if path.is_dir() else None,
        trials=_trials(path, frame, settings, columns, ours=ours),
        settings=settings,
        metric=_metric(path, columns, provenance.get("metric", ())),
        provenance=provenance,
    )


def _require_mapping(path: Path, cells: pd.DataFrame, columns: Columns) -> None:
    if columns.score is None:
        lacking = [name for name in _OURS if name not in cells.columns]
        raise InputError(
            f"{path}: not a results table of hpsearch: it has no column {', '.join(lacking)}; for "
            "a table of another program say where what is: --score COLUMN --params a,b,c; there "
            f"are {', '.join(cells.columns[:20])}"
        )
    if not columns.params:
        raise InputError(
            f"{path}: not a results table of hpsearch: name the columns of its hyperparameters, "
            "too, which tell configs apart: --params a,b,c"
        )


def _provenance(frame: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    present = [name for name in _PROVENANCE if name in frame.columns]
    return {name: tuple(map(str, frame[name].dropna().unique())) for name in present}


def _metric(path: Path, columns: Columns, told: tuple[str, ...]) -> Metric:
    """As the table says, or as the columns do."""
    own = Metric(*told[0].rsplit(":", 2)) if told and told[0].count(":") > 1 else _UNKNOWN
    if own.goal not in _GOALS:
        raise InputError(f"{path}: metric: must be NAME:maximize|minimize:EPOCH, not {told[0]!r}")
    if columns.score in (None, "score") and (own != _UNKNOWN or columns.score is None):
        if own != _UNKNOWN and columns.goal not in (None, own.goal):
            raise InputError(f"{path}: goal: its metric says {own.goal}, not {columns.goal}")
        return own
    assert columns.score is not None
    goal = columns.goal or METRICS.get(columns.score)
    if goal is None:
        raise InputError(
            f"{path}: whether {columns.score!r} is to be large or small is not known; "
            "give --goal maximize or --goal minimize"
        )
    return Metric(columns.score, goal, own.epoch)


def _settings(frame: pd.DataFrame, columns: Columns) -> pd.DataFrame:
    names = list(columns.params) or results.hyperparameter_columns(frame)
    return frame[names].infer_objects()


def _trials(
    path: Path, frame: pd.DataFrame, settings: pd.DataFrame, columns: Columns, *, ours: bool
) -> pd.DataFrame:
    import pandas as pd

    trials = pd.DataFrame(index=frame.index)
    known = ours and not columns.params
    trials["config"] = frame["config"].astype(object) if known else _configs(settings)
    if trials["config"].isna().any():
        row = int(np.flatnonzero(trials["config"].isna())[0]) + 2
        raise InputError(f"{path}:{row}: not a results table of hpsearch: a row without a config")
    trials["seed"] = _seeds(frame)
    repetition = trials.groupby("config").cumcount().astype(str)
    seeded = trials["seed"].notna()
    draws = trials["seed"].astype(str)
    if "fold" in frame.columns and frame["fold"].notna().any():
        draws += " fold " + frame["fold"].astype(str)
    trials["draw"] = draws.where(seeded, "#" + repetition)
    trials["score"] = _scores(path, frame, columns.score or "score")
    if ours:
        trials.loc[~frame["status"].isin(_SCORED).to_numpy(dtype=np.bool_), "score"] = np.nan
    trials["training"] = _trainings(frame) if ours else np.arange(len(frame))
    for name, candidates in (("epochs", _EPOCHS), ("seconds", _SECONDS)):
        trials[name] = _numbers(frame, candidates)
    trials["stopped"] = 0.0
    if ours:
        halted = frame["status"].eq(str(Status.STOPPED)).to_numpy(dtype=np.bool_, na_value=False)
        trials.loc[halted, "stopped"] = trials.loc[halted, "epochs"].fillna(0.0)
    return _in_order(trials, frame)


def _configs(settings: pd.DataFrame) -> list[str]:
    """`p` and 11 hex digits of the hyperparameters' cells; equal numbers are written alike."""
    rows = settings.itertuples(index=False)
    return [_digest([_plain(cell) for cell in row]) for row in rows]


def _digest(cells: Sequence[Any]) -> str:
    return "p" + hashlib.sha256(json.dumps(cells).encode()).hexdigest()[:11]


def _plain(cell: Any) -> Any:
    if isinstance(cell, bool | str) or cell is None:
        return cell.strip() if isinstance(cell, str) else cell
    return f"{float(cell):.15g}"


def _seeds(frame: pd.DataFrame) -> list[int | None]:
    if "seed" not in frame.columns:
        return [None] * len(frame)
    return [_whole(cell) for cell in frame["seed"]]


def _whole(cell: Any) -> int | None:
    if isinstance(cell, float) and cell.is_integer():
        return int(cell)
    return int(cell) if isinstance(cell, int | np.integer) else None


def _scores(path: Path, frame: pd.DataFrame, column: str) -> pd.Series[float]:
    """The scores; NaN where there is none, or one that is not finite."""
    import pandas as pd

    cells = frame[column]
    scores = pd.to_numeric(cells, errors="coerce").astype(np.float64)
    text = [index for index, cell in enumerate(cells) if isinstance(cell, str)]
    if text:
        raise InputError(
            f"{path}:{text[0] + 2}: {column}: must be a number or empty, "
            f"not {cells.iloc[text[0]]!r}"
        )
    return scores.where(np.isfinite(scores))


def _trainings(frame: pd.DataFrame) -> pd.Series[Any]:
    if "shared_with" not in frame.columns:
        return frame["trial"]
    return frame["shared_with"].fillna(frame["trial"])


def _numbers(frame: pd.DataFrame, candidates: Sequence[str]) -> Any:
    import pandas as pd

    for name in candidates:
        if name in frame.columns:
            numbers = pd.to_numeric(frame[name], errors="coerce").astype(np.float64)
            if numbers.notna().any():
                return numbers.where(numbers >= 0)
    return np.nan


def _in_order(trials: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """By the trials' numbers, where there are numbers."""
    import pandas as pd

    if "trial" not in frame.columns:
        return trials
    numbers = pd.to_numeric(frame["trial"], errors="coerce")
    return trials.loc[numbers.sort_values(kind="stable").index]
