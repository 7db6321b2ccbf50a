"""What can still be read of a results directory: of its store, row by row, and of its tables.

Nothing here writes: a store is read from a copy, since opening one may change it.
"""

from __future__ import annotations

import json
import math
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch import results
from hpsearch.draws import seed_and_fold
from hpsearch.errors import InputError
from hpsearch.plan import Trial
from hpsearch.space import Config, Kind
from hpsearch.stored import (
    UNREADABLE,
    checksum_of,
    from_json,
    from_npz,
    kind_in,
    mapping,
    snapshot_of,
)
from hpsearch.trial import Curve, Status, TrialResult

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Remains", "of_store", "of_tables"]

_SQLITE = (sqlite3.Error, UnicodeDecodeError, OverflowError)
#: Where the last row cannot be found, this many are looked for one by one.
_MOST_TRIALS = 100_000


@dataclass
class Remains:
    """What was read, and what was not.

    Attributes:
        results: Without weights and snapshots.
        damage: A line for each thing that cannot be read.
    """

    meta: dict[str, str] = field(default_factory=dict)
    trials: dict[int, Trial] = field(default_factory=dict)
    results: dict[int, TrialResult] = field(default_factory=dict)
    damage: list[str] = field(default_factory=list)
    _db: sqlite3.Connection | None = None

    def with_arrays(self, number: int) -> TrialResult:
        """A result with its weights and its snapshot, as far as they can be read."""
        result = self.results[number]
        arrays = {} if self._db is None else _arrays(self._db, number, self.damage)
        return TrialResult(**{**vars(result), **arrays})


@contextmanager
def of_store(store: Path) -> Iterator[Remains]:
    """What a store holds, whatever is wrong with it; its arrays as long as the context lasts."""
    with tempfile.TemporaryDirectory(prefix="hpsearch-") as scratch:
        copy = Path(scratch) / "sweep.db"
        for suffix in ("", "-wal"):
            source = store.with_name(store.name + suffix)
            if source.exists():
                shutil.copyfile(source, copy.with_name(copy.name + suffix))
        with closing(sqlite3.connect(copy)) as db:
            yield _read(db)


def _read(db: sqlite3.Connection) -> Remains:
    remains = Remains(_db=db)
    damage = remains.damage
    for key, value, checksum in _rows(db, "meta", "key", damage):
        if checksum_of(key, value) == checksum:
            remains.meta[key] = value
        else:
            damage.append(f"meta {key!r} does not match its checksum")
    kind = kind_in(remains.meta)
    for *row, checksum in _rows(db, "trials", "number", damage):
        number, _, draw, values = row
        config = _sound(f"trial {number}", row, checksum, damage, _as_config(values, kind))
        if config is not None:
            remains.trials[number] = Trial(number, config, *seed_and_fold(draw))
    for *row, checksum in _rows(db, "results", "trial", damage):
        number, _, record = row
        what = f"the result of trial {number}"
        result = _sound(what, row, checksum, damage, partial(from_json, record))
        if result is not None:
            remains.results[number] = result
    return remains


def _as_config(values: str, kind: Kind) -> Callable[[], Config]:
    return lambda: Config(mapping(values), kind)


def _sound(
    what: str, row: list[Any], checksum: str, damage: list[str], decode: Callable[[], Any]
) -> Any:
    """What `decode` gives where the row is as it was written; else None, and a line of damage."""
    if checksum_of(*row) != checksum:
        damage.append(f"{what} does not match its checksum")
        return None
    try:
        return decode()
    except UNREADABLE as error:
        damage.append(f"{what} cannot be read: {type(error).__name__}")
        return None


def _rows(db: sqlite3.Connection, table: str, key: str, damage: list[str]) -> list[tuple[Any, ...]]:
    """A table's rows; where a page is damaged, those that can be found beside it."""
    try:
        return db.execute(f"SELECT * FROM {table} ORDER BY {key}").fetchall()  # noqa: S608
    except _SQLITE as error:
        damage.append(f"{table}: {' '.join(str(error).split())}")
    wanted: list[Any] = ["identity", "sweep", "task", "kind", "asked", "best_model", "looks"]
    if table != "meta":
        wanted = list(range(1, _last(db, table, key) + 1))
    found = (_row(db, table, key, each) for each in wanted)
    return [row for row in found if row is not None]


def _row(db: sqlite3.Connection, table: str, key: str, value: Any) -> tuple[Any, ...] | None:
    try:
        query = f"SELECT * FROM {table} WHERE {key} = ?"  # noqa: S608
        row: tuple[Any, ...] | None = db.execute(query, (value,)).fetchone()
    except _SQLITE:
        return None
    return row


def _last(db: sqlite3.Connection, table: str, key: str) -> int:
    try:
        last = db.execute(f"SELECT max({key}) FROM {table}").fetchone()[0] or 0  # noqa: S608
        return min(int(last), _MOST_TRIALS)
    except _SQLITE:
        # Where the table has no root, no row is found either.
        return 0 if _row(db, table, key, 1) is None else _MOST_TRIALS


def _arrays(db: sqlite3.Connection, number: int, damage: list[str]) -> dict[str, Any]:
    arrays: dict[str, Any] = {}
    weights = _row(db, "weights", "trial", number)
    if weights is not None:
        *row, checksum = weights
        what = f"the weights of trial {number}"
        arrays["state"] = _sound(what, row, checksum, damage, lambda: from_npz(row[1]))
    snapshot = _row(db, "snapshots", "trial", number)
    if snapshot is not None:
        *cells, checksum = snapshot
        what = f"the snapshot of trial {number}"
        arrays["snapshot"] = _sound(what, cells, checksum, damage, lambda: snapshot_of(*cells[1:]))
    return arrays


def of_tables(directory: Path, kind: Kind) -> Remains:
    """What results.csv and curves.csv hold, of which a trial is made up again.

    A row counts where its values give its config's id and its curve is whole.
    """
    remains = Remains()
    try:
        table = results.read_cells(directory / "results.csv")
        names = results.hyperparameter_columns(table)
        curves = _curves(results.read_cells(directory / "curves.csv"))
    except (InputError, OSError, *UNREADABLE) as error:
        remains.damage.append(" ".join(str(error).split()))
        return remains
    for row in table.to_dict("records"):
        try:
            number, config = int(row["trial"]), _config(row, names, kind)
            trial = Trial(number, config, int(row["seed"]), row.get("fold"))
            result = _result(row, curves.get(trial.number, Curve()))
        except UNREADABLE as error:
            remains.damage.append(f"results.csv: trial {row.get('trial')}: {error}")
            continue
        remains.trials[trial.number], remains.results[trial.number] = trial, result
    return remains


def _curves(table: pd.DataFrame) -> dict[int, Curve]:
    metrics = [name for name in table.columns if name not in ("trial", "epoch")]
    curves: dict[int, list[dict[str, float]]] = {}
    for row in table.to_dict("records"):
        known = curves.setdefault(row["trial"], [])
        if row["epoch"] != len(known) + 1:
            where = f"curves.csv: trial {row['trial']}"
            raise ValueError(f"{where}: epoch {row['epoch']} is out of place")
        known.append({name: _number(row[name]) for name in metrics})
    return {number: Curve(epochs) for number, epochs in curves.items()}


def _number(cell: Any) -> float:
    return math.nan if cell is None else float(cell)


def _config(row: Mapping[Any, Any], columns: Sequence[str], kind: Kind) -> Config:
    """The config of a row, which its id proves."""
    cells = {
        results.hyperparameter_of(column): row[column]
        for column in columns
        if row[column] is not None
    }
    for read in (_value, lambda cell: cell):
        config = Config({name: read(cell) for name, cell in cells.items()}, kind)
        if config.id == row["config"]:
            return config
    raise ValueError(f"its values do not give {row['config']}, but {config.id}")


def _result(row: Mapping[Any, Any], curve: Curve) -> TrialResult:
    if len(curve) != (row["epochs_trained"] or 0):
        raise ValueError(f"curves.csv has {len(curve)} of its {row['epochs_trained']} epochs")
    status = Status(row["status"])
    at_best = str(row["metric"]).endswith(":best")
    scored_epoch = (row["best_epoch"] if at_best else len(curve)) if status.scored else None
    return TrialResult(
        trial=int(row["trial"]),
        status=status,
        score=row["score"],
        curve=curve,
        scored_epoch=scored_epoch or None,
        error=row["error"] or "",
        trainer=row["trainer"] or "",
        seconds=float(row["seconds"] or 0),
        **{name: row[name] for name in ("best_epoch", "best_score", "shared_with", "weights")},
    )


def _value(cell: Any) -> Any:
    """A list, a mapping or a text with odd characters from its cell; all else as it is."""
    if isinstance(cell, str) and cell.startswith(("[", "{", '"')):
        try:
            return json.loads(cell)
        except ValueError:
            return cell
    return cell
