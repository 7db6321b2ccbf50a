"""Results tables of hpsearch and of other programs, as comparisons need them."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hpsearch.errors import InputError
from hpsearch.space.keras_names import METRICS
from hpsearch.space.trial import Status
from hpsearch.store.tables import hyperparameter_columns, read_cells, typed_table

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Metric:
    """What a score is: its name, `maximize` or `minimize`, and the epoch, empty if not known."""

    name: str
    goal: str
    epoch: str = ""

    def __str__(self) -> str:
        return ":".join(filter(None, (self.name, self.goal, self.epoch)))


@dataclass(frozen=True, eq=False)
class Table:
    """One table, whoever wrote it.

    Attributes:
        label: Its name, unlike that of any other table of the comparison.
        directory: Where its sweep.yaml lies; None for a bare CSV.
        trials: One row a trial in their order: `config`, `seed` (None where unknown), `draw` (the
            seed, or the number of the repetition), `score` (NaN where none counts), `stopped` (the
            epoch at which the method halted it, else 0), `training` (equal where trials shared
            one), `epochs` and `seconds` (NaN where unknown).
        settings: The hyperparameters' cells, one row a trial, the index of `trials`.
        metric: What the scores are.
        provenance: Column -> the different values in it, for the columns that say what a score
            came from; empty for a table of another program.
    """

    label: str
    path: Path
    directory: Path | None
    trials: pd.DataFrame
    settings: pd.DataFrame
    metric: Metric
    provenance: Mapping[str, tuple[str, ...]]

    @property
    def foreign(self) -> bool:
        """Whether another program wrote it."""
        return not self.provenance

    @property
    def sign(self) -> int:
        """1 where larger scores are better, else -1."""
        return -1 if self.metric.goal == "minimize" else 1

    @cached_property
    def scored(self) -> pd.DataFrame:
        """`config`, `draw`, `seed`, `score`, `stopped`: what has a score, each draw once."""
        rows = self.trials[self.trials["score"].notna()]
        groups = rows.groupby(["config", "draw"], sort=False)
        return groups.agg(
            seed=("seed", "first"), score=("score", "mean"), stopped=("stopped", "max")
        ).reset_index()

    @cached_property
    def means(self) -> pd.DataFrame:
        """Each config with a score: `mean`, `sd`, `seeds`, `stopped`, in order of appearance."""
        import pandas as pd

        configs = self.scored.groupby("config", sort=False)
        scores = configs["score"]
        named = {"mean": scores.mean(), "sd": scores.std(), "seeds": scores.size()}
        named["stopped"] = configs["stopped"].max()
        return pd.DataFrame(named)

    @cached_property
    def eligible(self) -> pd.DataFrame:
        """`means` of the configs with as many seeds as the one with the most.

        A mean of fewer draws is lucky more easily: only these can be the best.
        """
        means = self.means
        full: pd.DataFrame = means[means["seeds"] == means["seeds"].max()]
        return full

    @cached_property
    def best(self) -> str | None:
        """The config with the best mean; of equal ones the first; None where none has a score."""
        means = self.sign * self.eligible["mean"]
        return None if means.empty else str(means.idxmax())

    def draws(self, configs: pd.Index[Any], most: int, first: frozenset[str]) -> Floats:
        """The scores of `configs`, `most` a config: those of the draws in `first` first.

        Returns:
            `(n_configs, most)`, in the order of `configs`.
        """
        rows = self.scored[self.scored["config"].isin(configs)]
        rows = rows.assign(later=~rows["draw"].isin(first))
        rows = rows.sort_values(["later", "draw"], kind="stable")
        rank = rows.groupby("config").cumcount()
        kept = rows.assign(rank=rank)[rank < most]
        wide = kept.pivot_table(index="config", columns="rank", values="score")
        return wide.loc[configs].to_numpy(dtype=np.float64)

    def values(self, config: str) -> dict[str, Any]:
        """The hyperparameters' cells of a config."""
        return {str(name): cells[config] for name, cells in self.firsts.items()}

    @cached_property
    def firsts(self) -> pd.DataFrame:
        """The hyperparameters' cells of each config, by config."""
        first = self.trials.loc[~self.trials["config"].duplicated(), "config"]
        return self.settings.loc[first.index].set_axis(first)


def training_units(tables: Mapping[str, Table], configs: pd.Index[Any]) -> npt.NDArray[np.intp]:
    """A number for each config, equal for those that shared a training in any table.

    Trials that differ only in epochs are one training with several stops, so their noise is one.
    """
    import pandas as pd
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    parts = []
    for label, table in tables.items():
        rows = table.trials[table.trials["config"].isin(configs)]
        parts.append(pd.DataFrame({"config": rows["config"], "training": rows["training"]}))
        parts[-1]["training"] = label + ":" + parts[-1]["training"].astype(str)
    edges = pd.concat(parts)
    codes = configs.get_indexer(pd.Index(edges["config"]))
    trainings = pd.factorize(edges["training"])[0]
    size = len(configs) + (trainings.max() + 1 if len(trainings) else 0)
    graph = coo_array(
        (np.ones(len(codes), dtype=np.int8), (codes, trainings + len(configs))), shape=(size, size)
    )
    return np.asarray(connected_components(graph, directed=False)[1][: len(configs)])


def labels(paths: Sequence[Path]) -> list[str]:
    """A name of its own for each table: its directory's, or its file's where it has another name.

    Parents are put before names that are met twice, numbers behind paths that are.
    """
    places = [_place(path) for path in paths]
    names = [_unique(place, places) for place in places]
    met: Counter[str] = Counter()
    numbered = []
    for name in names:
        met[name] += 1
        numbered.append(name if met[name] == 1 else f"{name} ({met[name]})")
    return numbered


def _place(path: Path) -> Path:
    absolute = path.absolute().resolve()
    if absolute.is_dir():
        return absolute
    return absolute.parent if absolute.name == "results.csv" else absolute.with_suffix("")


def _unique(place: Path, places: Sequence[Path]) -> str:
    others = {other for other in places if other != place}
    for length in range(1, len(place.parts)):
        tail = place.parts[-length:]
        if all(other.parts[-length:] != tail for other in others):
            return _printable("/".join(tail))
    return _printable(str(place))


def _printable(name: str) -> str:
    """A directory's name may hold anything, a terminal's commands too."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name) or "/"


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
    cells = read_cells(path)
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
    frame = typed_table(cells, path) if ours else cells
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
    names = list(columns.params) or hyperparameter_columns(frame)
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
