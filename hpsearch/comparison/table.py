"""Read results tables of hpsearch and of other programs into one form."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hpsearch.comparison.estimates import Floats
from hpsearch.errors import HpsearchError, InputError
from hpsearch.space.execution import Status
from hpsearch.space.keras_names import METRICS
from hpsearch.spec.sweep import Sweep, load_sweep, model_sweep
from hpsearch.store.columns import mapped
from hpsearch.store.tables import adaptive_methods, hyperparameter_columns, read_cells
from hpsearch.store.trials import ranked
from hpsearch.wording import cell_text, is_number, printable

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Metric:
    """A metric's name, its goal (`maximize` or `minimize`), and the epoch, empty if unknown."""

    name: str
    goal: str
    epoch: str = ""

    def __str__(self) -> str:
        return ":".join(filter(None, (self.name, self.goal, self.epoch)))


@dataclass(frozen=True, eq=False)
class Table:
    """A results table of any program.

    Attributes:
        label: Its unique name in the comparison.
        directory: The directory with its sweep.yaml; None for a CSV file.
        executions: A row for each execution, by trial: `trial` (None in a table of another
            program), `config`, `seed` (None if unknown), `fold` (None without folds), `draw` (the
            seed and fold, or the number of the repetition), `score` (NaN if none counts), `stopped`
            (the epoch at which the method stopped it, else 0), `training` (equal for executions
            that shared one), `epochs` and `seconds` (NaN if unknown).
        settings: The hyperparameters' cells, with the rows and the index of `executions`.
        provenance: Column -> its distinct values, for the columns with the origin of a score; empty
            for a table of another program.
        learned: The methods that chose its configs by other configs' scores, so that they crowd
            around good ones; empty if no method did.
        independent: Whether each row was trained with different random numbers, as the user states
            for a table of another program. A seed of hpsearch gives all configs the same ones.
    """

    label: str
    path: Path
    directory: Path | None
    executions: pd.DataFrame
    settings: pd.DataFrame
    metric: Metric
    provenance: Mapping[str, tuple[str, ...]]
    learned: tuple[str, ...] = ()
    independent: bool = False

    @property
    def sign(self) -> int:
        """1 if larger scores are better, else -1."""
        return -1 if self.metric.goal == "minimize" else 1

    @cached_property
    def sweep(self) -> Sweep | None:
        """The sweep of MLPs or Keras models beside the table; else None."""
        if self.directory is None or "program" in self.provenance:
            return None
        return sweep_in(self.directory)

    @property
    def sweep_seed(self) -> int | None:
        """The seed of the sweep, from which those of executions derive; None if unknown."""
        return None if self.sweep is None else self.sweep.seed

    @property
    def retrainable(self) -> bool:
        """True if a command can train its configs again."""
        sweep = self.sweep
        return sweep is not None and sweep.data.memory is None and not sweep.kind.is_model

    @cached_property
    def scored(self) -> pd.DataFrame:
        """`config`, `draw`, `score`, `stopped` of each draw with a score."""
        rows = self.executions[self.executions["score"].notna()]
        groups = rows.groupby(["config", "draw"], sort=False)
        return groups.agg(score=("score", "mean"), stopped=("stopped", "max")).reset_index()

    @cached_property
    def means(self) -> pd.DataFrame:
        """`mean`, `sd`, `seeds`, `stopped` of each config with a score, in order of appearance."""
        means: pd.DataFrame = self.scored.groupby("config", sort=False).agg(
            mean=("score", "mean"),
            sd=("score", "std"),
            seeds=("score", "size"),
            stopped=("stopped", "max"),
        )
        return means.set_axis(plain_index(means.index))

    @cached_property
    def eligible(self) -> pd.DataFrame:
        """`means` of the configs with as many scores as the one with the most.

        Only these can be the best: a mean of fewer scores is more often good by luck.
        """
        means = self.means
        full: pd.DataFrame = means[means["seeds"] == means["seeds"].max()]
        return full

    @cached_property
    def best(self) -> str | None:
        """The best config (see `ranked`), or None without scores."""
        scores = self.scored.groupby("config", sort=False)["score"].agg(list)
        order = ranked(dict(enumerate(scores)), self.metric.goal)
        return str(scores.index[order[0]]) if order else None

    @cached_property
    def overlap(self) -> float:
        """Ratio of a fold's validation rows to its training rows; 0 without folds."""
        return overlap_in(self.executions, self.sweep)

    @cached_property
    def scores(self) -> pd.DataFrame:
        """The scores by config and draw, each draw a column; NaN for a missing one."""
        scores = self.scored.pivot_table("score", "config", "draw")
        return scores.set_axis(plain_index(scores.index))

    def matrix(self, configs: Sequence[str]) -> Floats:
        """Return the scores of configs by draw: `(n_configs, n_draws)`, NaN for a missing score."""
        return self.scores.reindex(plain_index(configs)).to_numpy(np.float64)

    def values(self, config: str) -> dict[str, Any]:
        """Return the hyperparameters' cells of a config."""
        return {str(name): cells[config] for name, cells in self.firsts.items()}

    def trial(self, config: str) -> int | None:
        """Return the trial of a config; None in a table of another program."""
        rows = self.executions
        number = rows.loc[rows["config"] == config, "trial"].iloc[0]
        return None if number is None else int(number)

    @cached_property
    def firsts(self) -> pd.DataFrame:
        """The hyperparameters' cells of each config, from its first row."""
        first = self.executions.loc[~self.executions["config"].duplicated(), "config"]
        return self.settings.loc[first.index].set_axis(plain_index(first))


def plain_index(texts: Any) -> pd.Index[Any]:
    """Return an index of texts as objects; pandas' own type has lookups many times as slow."""
    import pandas as pd  # slow to import

    index: pd.Index[Any] = pd.Index(texts, dtype=object)
    return index


def training_units(
    executions: Sequence[pd.DataFrame], configs: Sequence[pd.Index[Any]]
) -> npt.NDArray[np.intp]:
    """Return a number for each config, equal for configs that shared a training in any table.

    Configs that differ only in epochs can share a training, and so its noise.

    Args:
        executions: `config` and `training` of each table's rows.
        configs: Each table's ids of the same configs, in the same order.
    """
    import pandas as pd  # slow to import
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    codes, trainings, count = [], [], 0
    for rows, names in zip(executions, configs, strict=True):
        codes.append(names.get_indexer(plain_index(rows["config"])))
        numbers, distinct = pd.factorize(rows["training"])
        trainings.append(numbers + count)
        count += len(distinct)
    edges = pd.DataFrame({"code": np.concatenate(codes), "training": np.concatenate(trainings)})
    edges = edges[edges["code"] >= 0].drop_duplicates()
    size = len(configs[0])
    ends = (edges["code"].to_numpy(), edges["training"].to_numpy() + size)
    graph = coo_array((np.ones(len(edges), dtype=np.int8), ends), shape=(size + count,) * 2)
    return np.asarray(connected_components(graph, directed=False)[1][:size])


def labels(paths: Sequence[Path]) -> list[str]:
    """Return a unique name for each table: its directory's, or its file's unless it is results.csv.

    Directories of one name get the path from what all have in common, and equal paths a number.
    """
    places = [_place(path) for path in paths]
    names = [place.name or str(place) for place in places]
    if len({*names}) < len({*places}):
        common = os.path.commonpath(places)
        names = [os.path.relpath(place, common) for place in places]
    # A directory's name may contain control codes of a terminal.
    names = [printable(name, "\N{REPLACEMENT CHARACTER}") for name in names]
    return [
        name if name not in names[:at] else f"{name} ({names[:at].count(name) + 1})"
        for at, name in enumerate(names)
    ]


def _place(path: Path) -> Path:
    absolute = path.absolute().resolve()
    if absolute.is_dir():
        return absolute
    return absolute.parent if absolute.name == "results.csv" else absolute.with_suffix("")


#: First character of the draw of a row without a seed.
UNSEEDED = "#"
#: Columns of every table of hpsearch.
_OURS = ("trial", "config", "seed", "status", "score", "metric", "data")
#: Columns with the origin of a score.
_PROVENANCE = ("data", "metric", "recipe", "version", "tensorflow", "keras")
#: A column that only tables of programs have.
_OF_PROGRAM = "program_commit"
#: The methods of a table of another program.
_UNTOLD = ("another program",)
_GOALS = ("maximize", "minimize")
_SCORED = tuple(str(status) for status in Status if status.scored)


@dataclass(frozen=True)
class Columns:
    """The columns to use in tables of other programs.

    Attributes:
        score: The column to compare by; None for the score of hpsearch's own tables.
        params: The hyperparameters' columns, which distinguish configs.
        goal: `maximize` or `minimize`; not needed if `score` is a known metric.
        random: Whether the configs are random draws, each row trained with different random
            numbers.
    """

    score: str | None = None
    params: tuple[str, ...] = ()
    goal: str | None = None
    random: bool = False


def read_tables(
    paths: Sequence[str | os.PathLike[str]], columns: Columns | None = None
) -> list[Table]:
    """Read the tables of a comparison: results directories or CSV files, two or more."""
    columns = columns or Columns()
    if columns.goal is not None and columns.goal not in _GOALS:
        raise InputError(f"goal: must be maximize or minimize, not {columns.goal!r}")
    places = [Path(path) for path in paths]
    if len(places) < 2:
        raise InputError(f"a comparison takes two tables or more, not {len(places)}")
    return [_read(path, label, columns) for path, label in zip(places, labels(places), strict=True)]


def sweep_in(directory: Path) -> Sweep | None:
    """Return the sweep of MLPs or Keras models of a results directory; else None."""
    try:
        return model_sweep(load_sweep(directory / "sweep.yaml"))
    except HpsearchError:
        return None


def overlap_in(executions: pd.DataFrame, sweep: Sweep | None) -> float:
    """Return the ratio of a fold's validation rows to its training rows; 0 without folds."""
    # Without a sweep, the folds are taken for one division of the rows.
    n_folds = executions["fold"].nunique()
    if sweep is not None and sweep.data.cv is not None:
        with suppress(KeyError, ValueError):
            return float((sweep.data.memory or {})["overlap"])
        n_folds = sweep.data.cv.folds
    return 1 / (n_folds - 1) if n_folds > 1 else 0.0


def _read(path: Path, label: str, columns: Columns) -> Table:
    wanted = [*columns.params, *([columns.score] if columns.score else [])]
    frame = read_cells(path, _OURS)
    ours = all(name in frame.columns for name in _OURS)
    if not ours and not (columns.score and columns.params):
        lacking = [name for name in _OURS if name not in frame.columns]
        raise InputError(
            f"{path}: not a results table of hpsearch: it has no column {', '.join(lacking)}; for "
            "a table of another program say where what is: --score COLUMN --params a,b,c; there "
            f"are {', '.join(frame.columns[:20])}"
        )
    missing = [name for name in wanted if name not in frame.columns]
    if missing:
        raise InputError(
            f"{path}: has no column {', '.join(map(repr, missing))}; "
            f"there are {', '.join(frame.columns[:20])}"
        )
    if frame.empty:
        raise InputError(f"{path}: has no rows yet")
    provenance = _provenance(frame) if ours else {}
    settings = frame[list(columns.params) or hyperparameter_columns(frame)].infer_objects()
    return Table(
        label=label,
        path=path,
        directory=path if path.is_dir() else None,
        executions=_executions(path, frame, settings, columns, ours=ours),
        settings=settings,
        metric=_metric(path, columns, provenance.get("metric", ())),
        provenance=provenance,
        learned=adaptive_methods(frame) if ours else () if columns.random else _UNTOLD,
        independent=columns.random and not ours,
    )


def _provenance(frame: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    present = [name for name in _PROVENANCE if name in frame.columns]
    values = {name: tuple(map(str, frame[name].dropna().unique())) for name in present}
    if _OF_PROGRAM in frame.columns:
        # A program has no data in hpsearch's sense; the fingerprint is that of its file.
        values["program"] = values.pop("data")
    return values


def _metric(path: Path, columns: Columns, named: tuple[str, ...]) -> Metric:
    """The metric that `columns` or the table's column `metric` names."""
    parts = named[0].rsplit(":", 2) if named else []
    metric = Metric(*parts) if len(parts) == 3 else None
    if columns.score is None or (metric is not None and columns.score == "score"):
        if metric is None or metric.goal not in _GOALS:
            raise InputError(f"{path}: metric: must be NAME:maximize|minimize:EPOCH, not {named}")
        if columns.goal not in (None, metric.goal):
            raise InputError(f"{path}: goal: its metric says {metric.goal}, not {columns.goal}")
        return metric
    own = metric.goal if metric is not None and metric.name == columns.score else None
    goal = columns.goal or own or METRICS.get(columns.score)
    if goal is None:
        raise InputError(
            f"{path}: whether {columns.score!r} is to be large or small is not known; "
            "give --goal maximize or --goal minimize"
        )
    return Metric(columns.score, goal, "" if metric is None else metric.epoch)


def _executions(
    path: Path, frame: pd.DataFrame, settings: pd.DataFrame, columns: Columns, *, ours: bool
) -> pd.DataFrame:
    import pandas as pd  # slow to import

    rows = pd.DataFrame(index=frame.index)
    has_ids = ours and not columns.params
    rows["config"] = frame["config"].astype(object) if has_ids else _configs(settings)
    if rows["config"].isna().any():
        row = int(np.flatnonzero(rows["config"].isna())[0]) + 2
        raise InputError(f"{path}:{row}: not a results table of hpsearch: a row without a config")
    for name in ("seed", "fold"):
        rows[name] = mapped(frame[name], _whole, None) if name in frame.columns else None
    draws = rows["seed"].astype(str)
    if rows["fold"].notna().any():
        draws += " fold " + rows["fold"].astype(str)
    if rows["seed"].isna().any():
        repetition = rows.groupby("config").cumcount().astype(str)
        draws = draws.where(rows["seed"].notna(), UNSEEDED + repetition)
    rows["draw"] = draws
    rows["score"] = _scores(path, frame, columns.score or "score")
    if ours:
        rows.loc[~frame["status"].isin(_SCORED).to_numpy(dtype=np.bool_), "score"] = np.nan
    rows["trial"] = frame["trial"] if ours else None
    rows["training"] = np.arange(len(frame))
    rows["epochs"] = _numbers(frame, "epochs_trained")
    rows["seconds"] = _numbers(frame, "seconds")
    rows["stopped"] = 0.0
    if ours:
        shared = frame.get("shared_with", frame["trial"]).fillna(frame["trial"])
        rows["training"] = shared.astype(str) + " " + rows["draw"]
        stopped = frame["status"].eq(str(Status.STOPPED)).to_numpy(dtype=np.bool_, na_value=False)
        rows.loc[stopped, "stopped"] = rows.loc[stopped, "epochs"].fillna(0.0)
        rows = rows.sort_values("trial", kind="stable")
    return rows


def _configs(settings: pd.DataFrame) -> list[str]:
    """For each row, `p` and 11 hex digits of the hash of its hyperparameters' cells."""
    import pandas as pd  # slow to import

    codes, keys = pd.factorize(joined(exact_texts(settings)))
    ids = ["p" + hashlib.sha256(key.encode()).hexdigest()[:11] for key in keys]
    return [ids[code] for code in codes]


def exact_texts(settings: pd.DataFrame) -> pd.DataFrame:
    """Write cells so that equal values are equal texts; an empty cell is an empty text."""
    import pandas as pd  # slow to import

    return pd.DataFrame(
        {name: mapped(column, _exact, "") for name, column in settings.items()},
        index=settings.index,
        dtype=object,
    )


def _exact(cell: Any) -> str:
    if isinstance(cell, str):
        return json.dumps(cell.strip())
    if isinstance(cell, bool | np.bool_):
        return str(bool(cell))
    whole = isinstance(cell, int | np.integer) or float(cell).is_integer()
    return str(int(cell)) if whole else f"{float(cell):.15g}"


def joined(texts: pd.DataFrame) -> pd.Series[str]:
    """Join the texts of each row."""
    import pandas as pd  # slow to import

    rows = pd.Series("", index=texts.index, dtype=object)
    for name in texts:
        rows = rows + "," + texts[name]
    return rows


def _whole(cell: Any) -> int | None:
    if isinstance(cell, float) and cell.is_integer():
        return int(cell)
    return int(cell) if isinstance(cell, int | np.integer) else None


def _scores(path: Path, frame: pd.DataFrame, column: str) -> npt.NDArray[np.float64]:
    """The scores; NaN for an empty cell or a number that is not finite."""
    cells = frame[column]
    scores = _floats(cells)
    for row in np.flatnonzero(np.isnan(scores) & cells.notna()):
        cell = cell_text(repr(cells.iloc[row]))
        raise InputError(f"{path}:{row + 2}: {column}: must be a number or empty, not {cell}")
    return np.where(np.isfinite(scores), scores, np.nan)


def _numbers(frame: pd.DataFrame, name: str) -> Any:
    """The numbers of a column that are finite and not negative; NaN for any other cell."""
    if name not in frame.columns:
        return np.nan
    numbers = _floats(frame[name])
    return np.where((numbers >= 0) & np.isfinite(numbers), numbers, np.nan)


def _floats(cells: pd.Series[Any]) -> npt.NDArray[np.float64]:
    """The cells as floats; NaN for those that are no numbers, or too large."""

    def number(cell: Any) -> float:
        with suppress(OverflowError):
            return float(cell) if is_number(cell) else np.nan
        return np.nan

    if cells.dtype.kind in "iuf":
        return cells.to_numpy(np.float64, na_value=np.nan)
    return mapped(cells, number, np.nan).astype(np.float64)
