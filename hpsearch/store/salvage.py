"""What can still be read of a damaged results directory, and a new directory made of it."""

from __future__ import annotations

import json
import math
import shutil
import sqlite3
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.data.dataset import Task
from hpsearch.data.loading import load_dataset
from hpsearch.errors import InputError, LockedError, RefusedError
from hpsearch.space.seeds import seed_and_fold
from hpsearch.space.space import Config, Kind
from hpsearch.space.trial import Curve, Status, Trial, TrialResult
from hpsearch.spec.sweep import sweep_from_text
from hpsearch.store.derived import Tables
from hpsearch.store.directory import ResultsDirectory, holder
from hpsearch.store.provenance import Identity, identify, make_recipe
from hpsearch.store.records import (
    COLUMNS,
    UNREADABLE,
    checksum_of,
    from_json,
    from_npz,
    kind_in,
    mapping,
    schema_faults,
    snapshot_of,
)
from hpsearch.store.store import Store
from hpsearch.store.tables import (
    HEAD,
    hyperparameter_columns,
    hyperparameter_of,
    read_cells,
    write_atomically,
    write_csv,
)

if TYPE_CHECKING:
    import pandas as pd

_SQLITE = (sqlite3.Error, UnicodeDecodeError, OverflowError)
#: Where the last row cannot be found, this many are looked for one by one.
_MOST_TRIALS = 100_000
#: Whole numbers of a table are below: larger ones nothing wrote.
_LARGEST = 2**53
#: How a log of SQLite's begins.
_LOG_BEGINS = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")


@dataclass
class SalvagedStore:
    """What was read, and what was not.

    Attributes:
        results: Without weights and snapshots.
        damage: A line for each thing that cannot be read.
        copy: The copy that was read instead of the store, as long as it is there.
    """

    meta: dict[str, str] = field(default_factory=dict)
    trials: dict[int, Trial] = field(default_factory=dict)
    results: dict[int, TrialResult] = field(default_factory=dict)
    damage: list[str] = field(default_factory=list)
    copy: Path | None = None
    _db: sqlite3.Connection | None = None

    def with_arrays(self, number: int) -> TrialResult:
        """A result with its weights and its snapshot, as far as they can be read."""
        result = self.results[number]
        arrays = {} if self._db is None else _arrays(self._db, number, self.damage)
        return TrialResult(**{**vars(result), **arrays})


@contextmanager
def of_store(store: Path) -> Iterator[SalvagedStore]:
    """What a store holds, whatever is wrong with it; its arrays as long as the context lasts."""
    with tempfile.TemporaryDirectory(prefix="hpsearch-") as scratch:
        copy = Path(scratch) / "sweep.db"
        try:
            damage = _copied(store, copy)
        except OSError as error:
            yield SalvagedStore(damage=[f"cannot be read: {error.strerror or error}"])
            return
        with closing(sqlite3.connect(copy)) as db:
            yield _read(db, SalvagedStore(damage=damage, copy=copy, _db=db))


def _copied(store: Path, copy: Path) -> list[str]:
    """Copy a store and its log; what is wrong with the latter."""
    shutil.copyfile(store, copy)
    log = store.with_name(store.name + "-wal")
    if not log.exists():
        return []
    shutil.copyfile(log, copy.with_name(copy.name + "-wal"))
    with log.open("rb") as file:
        begins = file.read(4)
    if not begins or begins in _LOG_BEGINS:
        return []
    return [f"its log, {log.name}, is none that can be read: what only stood there is lost"]


def _read(db: sqlite3.Connection, remains: SalvagedStore) -> SalvagedStore:
    damage = remains.damage
    for key, value, checksum in _rows(db, "meta", "key", damage):
        if checksum_of(key, value) == checksum:
            remains.meta[key] = value
        else:
            damage.append(f"meta {key!r} does not match its checksum")
    kind = _kind(remains)
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
    # What is wrong with the other tables is told by reading them.
    with suppress(*_SQLITE):
        faults = schema_faults(db)
        damage += [faults[table] for table in ("weights", "snapshots") if table in faults]
    return remains


def _kind(remains: SalvagedStore) -> Kind:
    try:
        return kind_in(remains.meta)
    except ValueError:
        said = remains.meta.pop("kind")
        remains.damage.append(f"meta 'kind' is {said!r}, of which this version knows nothing")
        return Kind.MLP


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
        return db.execute(f"SELECT {_listed(table)} FROM {table} ORDER BY {key}").fetchall()  # noqa: S608
    except _SQLITE as error:
        damage.append(f"{table}: {' '.join(str(error).split())}")
    wanted: list[Any] = ["identity", "sweep", "task", "kind", "asked", "best_model", "looks"]
    if table != "meta":
        wanted = list(range(1, _last(db, table, key) + 1))
    found = (_row(db, table, key, each) for each in wanted)
    return [row for row in found if row is not None]


def _listed(table: str) -> str:
    return ", ".join(COLUMNS[table])


def _row(db: sqlite3.Connection, table: str, key: str, value: Any) -> tuple[Any, ...] | None:
    try:
        query = f"SELECT {_listed(table)} FROM {table} WHERE {key} = ?"  # noqa: S608
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


def of_tables(directory: Path, kind: Kind) -> SalvagedStore:
    """What results.csv and curves.csv hold, of which a trial is made up again.

    A row counts where its values give its config's id and its curve is whole.
    """
    remains = SalvagedStore()
    try:
        table = _results_table(directory / "results.csv")
        names = hyperparameter_columns(table)
        curves = _curves(read_cells(directory / "curves.csv"), remains.damage)
    except (InputError, OSError, *UNREADABLE) as error:
        remains.damage.append(" ".join(str(error).split()))
        return remains
    for row in table.to_dict("records"):
        try:
            trial = _trial(row, names, kind)
            if trial.number in remains.trials:
                raise ValueError("stands there more than once")
            result = _result(row, curves.get(trial.number, Curve()))
        except UNREADABLE as error:
            remains.damage.append(f"results.csv: trial {row.get('trial')}: {error}")
            continue
        remains.trials[trial.number], remains.results[trial.number] = trial, result
    return remains


def _results_table(path: Path) -> pd.DataFrame:
    table = read_cells(path)
    if not {*HEAD, "metric", "epochs_trained"} <= set(table.columns):
        raise InputError(f"{path.name} has not the columns of a results table")
    return table


def _curves(table: pd.DataFrame, damage: list[str]) -> dict[int, Curve]:
    """The curves that are whole, by trial."""
    metrics = [name for name in table.columns if name not in ("trial", "epoch")]
    curves: dict[int, list[dict[str, float]]] = {}
    broken = set()
    for row in table.to_dict("records"):
        known = curves.setdefault(row["trial"], [])
        try:
            if row["epoch"] != len(known) + 1:
                raise ValueError(f"epoch {row['epoch']} is out of place")
            known.append({name: _metric(row, name) for name in metrics})
        except UNREADABLE as error:
            if row["trial"] not in broken:
                damage.append(f"curves.csv: trial {row['trial']}: {error}")
            broken.add(row["trial"])
    return {number: Curve(epochs) for number, epochs in curves.items() if number not in broken}


def _metric(row: Mapping[Any, Any], column: str) -> float:
    cell = row[column]
    if cell is not None and not _is_number(cell):
        raise ValueError(f"{column} is {cell!r}, which is no number")
    return math.nan if cell is None else float(cell)


def _is_number(cell: Any) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def _whole(row: Mapping[Any, Any], column: str, least: int) -> int | None:
    """The whole number in a cell, or None where it is empty."""
    cell = row.get(column)
    if cell is not None and (type(cell) is not int or not least <= cell < _LARGEST):
        raise ValueError(f"{column} is {cell!r}, not a whole number from {least} on")
    return cell


def _finite(row: Mapping[Any, Any], column: str) -> float | None:
    """The number in a cell, or None where it is empty."""
    cell = row.get(column)
    if cell is None:
        return None
    if not _is_number(cell) or not math.isfinite(cell):
        raise ValueError(f"{column} is {cell!r}, which is no finite number")
    return float(cell)


def _trial(row: Mapping[Any, Any], names: Sequence[str], kind: Kind) -> Trial:
    number, seed = _whole(row, "trial", 1), _whole(row, "seed", 0)
    if number is None or seed is None:
        raise ValueError("it has no number, or no seed")
    return Trial(number, _config(row, names, kind), seed, _whole(row, "fold", 1))


def _config(row: Mapping[Any, Any], columns: Sequence[str], kind: Kind) -> Config:
    """The config of a row, which its id proves."""
    cells = {
        hyperparameter_of(column): row[column] for column in columns if row[column] is not None
    }
    for read in (_value, lambda cell: cell):
        config = Config({name: read(cell) for name, cell in cells.items()}, kind)
        if config.id == row["config"]:
            return config
    raise ValueError(f"its values do not give {row['config']}, but {config.id}")


def _result(row: Mapping[Any, Any], curve: Curve) -> TrialResult:
    if len(curve) != (_whole(row, "epochs_trained", 0) or 0):
        raise ValueError(f"curves.csv has {len(curve)} of its {row['epochs_trained']} epochs")
    status = Status(row["status"])
    metric, _, which = str(row["metric"]).partition(":")
    best_epoch = _whole(row, "best_epoch", 1)
    scored_epoch = best_epoch if which.endswith("best") else len(curve)
    if not status.scored or not curve:
        scored_epoch = None
    _require_alike(curve, metric, scored_epoch, _finite(row, "score"))
    _require_alike(curve, metric, best_epoch, _finite(row, "best_score"))
    return TrialResult(
        trial=int(row["trial"]),
        status=status,
        score=_finite(row, "score"),
        curve=curve,
        scored_epoch=scored_epoch,
        error=row["error"] or "",
        trainer=row["trainer"] or "",
        seconds=_finite(row, "seconds") or 0.0,
        best_epoch=best_epoch,
        best_score=_finite(row, "best_score"),
        shared_with=_whole(row, "shared_with", 1),
        weights=_whole(row, "weights", 0),
    )


def _require_alike(curve: Curve, metric: str, epoch: int | None, score: float | None) -> None:
    """Check that a score is what its curve says, where that has the metric."""
    if epoch is None or score is None:
        return
    if epoch > len(curve):
        raise ValueError(f"epoch {epoch} is beyond its {len(curve)} epochs")
    at_epoch = curve[epoch - 1].get(metric, score)
    if at_epoch != score:
        raise ValueError(f"its score is {score}, in curves.csv {at_epoch}")


def _value(cell: Any) -> Any:
    """A list, a mapping or a text with odd characters from its cell; all else as it is."""
    if isinstance(cell, str) and cell.startswith(("[", "{", '"')):
        try:
            return json.loads(cell)
        except ValueError:
            return cell
    return cell


#: Results whose arrays are in memory at a time.
_AT_ONCE = 64


@dataclass(frozen=True)
class SalvageReport:
    """What came of it.

    Attributes:
        results: How many are in the new directory.
        from_tables: How many of these the store had no longer.
        lost: Trials whose results are nowhere.
        unread: What of the tables could not be used, where the store did not have it.
    """

    results: int
    from_tables: int
    lost: tuple[int, ...]
    unread: tuple[str, ...]


def save_readable(directory: Path, new: Path) -> SalvageReport:
    """Write what can be read into a new directory, with which runs go on; the old one stays.

    Raises:
        InputError: There is nothing to save, or `new` is there already.
        RefusedError: A run is at work; or nothing tells what the rows were made from.
    """
    where, target = ResultsDirectory(directory), ResultsDirectory(new)
    require_idle(where)
    if new.resolve().is_relative_to(directory.resolve()):
        raise InputError(f"{new}: lies in {directory}, which is to stay as it is")
    if new.exists() and (not new.is_dir() or any(new.iterdir())):
        raise InputError(f"{new}: is there already; name a directory that is new, or empty")
    with _remains(where) as remains:
        tables = of_tables(where.path, kind_in(remains.meta))
        added = _merge(remains, tables)
        if not remains.results:
            why = f": {tables.damage[0]}" if tables.damage else ""
            raise InputError(
                f"{directory}: neither the store nor the tables hold a result that can be read{why}"
            )
        _identify(where, remains, tables)
        lost = sorted((remains.trials.keys() | tables.trials.keys()) - remains.results.keys())
        target.prepare(fresh=False)
        with target.hold():
            _write(where, target, remains)
        # A sound store has each result as it was told, whatever the tables say.
        unread = tables.damage if added or remains.damage or lost else []
    return SalvageReport(len(remains.results), added, tuple(lost), tuple(unread))


@contextmanager
def _remains(where: ResultsDirectory) -> Iterator[SalvagedStore]:
    if not where.store.exists():
        yield SalvagedStore(damage=["there is none"])
        return
    with of_store(where.store) as remains:
        yield remains


def _merge(remains: SalvagedStore, tables: SalvagedStore) -> int:
    """Add what only the tables have; what both have, the store has as it was told."""
    added = 0
    for number, result in tables.results.items():
        remains.trials.setdefault(number, tables.trials[number])
        if number not in remains.results:
            remains.results[number] = result
            added += 1
    for number in [n for n in remains.results if n not in remains.trials]:
        # Nobody knows of which config it is.
        del remains.results[number]
    return added


def _identify(where: ResultsDirectory, remains: SalvagedStore, tables: SalvagedStore) -> None:
    """Have `meta` say what the rows were made from; from the sweep and its data where it does not.

    Raises:
        RefusedError: Nothing says so, or what does is not what the rows say.
    """
    meta = remains.meta
    for key, read in (("identity", Identity.from_json), ("task", Task)):
        try:
            read(meta.get(key, ""))
        except UNREADABLE:
            meta.pop(key, None)
    of_function = kind_in(meta) in (Kind.FUNCTION, Kind.STEPWISE)
    if "identity" in meta and "task" in meta and ("sweep" in meta or of_function):
        return
    if "sweep" not in meta:
        try:
            meta["sweep"] = where.sweep.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise RefusedError(
                f"{where.path}: neither the store nor a sweep.yaml tells what was run; "
                "results.csv can still be read and compared"
            ) from None
    sweep = sweep_from_text(meta["sweep"], str(where.sweep))
    dataset = load_dataset(sweep.data)
    recipe = make_recipe(sweep, dataset.target.task)
    identity = identify(sweep, dataset, recipe)
    row: Any = read_cells(where.results).iloc[0] if tables.results else {}
    for column, now in (("data", identity.data), ("recipe", identity.recipe_id)):
        if row.get(column, now) != now:
            raise RefusedError(
                f"{where.path}: sweep.yaml and its data are not those of the rows: {column} is "
                f"{now}, in results.csv {row[column]}"
            )
    meta |= {"identity": identity.to_json(), "task": str(dataset.target.task)}


def _write(where: ResultsDirectory, target: ResultsDirectory, remains: SalvagedStore) -> None:
    meta = dict(remains.meta)
    if is_whole(where.model) and "best_model" in meta:
        shutil.copyfile(where.model, target.model)
    else:
        meta.pop("best_model", None)
    with Store(target.store) as store:
        store.set_meta(meta)
        store.add_trials(remains.trials[number] for number in sorted(remains.trials))
        numbers = sorted(remains.results)
        for first in range(0, len(numbers), _AT_ONCE):
            batch = numbers[first : first + _AT_ONCE]
            store.add_results([remains.with_arrays(number) for number in batch])
    rows, curves = tables_of(where, remains)
    write_csv(rows, target.results)
    write_csv(curves, target.curves)
    if "sweep" in meta:
        write_atomically(target.sweep, meta["sweep"])


def require_idle(where: ResultsDirectory) -> None:
    """Check that no run is at work in a directory.

    Raises:
        InputError: There is no such directory.
        LockedError: A run is.
    """
    if not where.path.is_dir():
        raise InputError(f"{where.path}: there is no such directory")
    process = holder(where.lock)
    if process:
        raise LockedError(
            f"{where.path}: a run is at work here (process {process}), so its files need not "
            "agree; ask again when it is over"
        )


def tables_of(where: ResultsDirectory, remains: SalvagedStore) -> tuple[pd.DataFrame, pd.DataFrame]:
    """results.csv and curves.csv as the store has them.

    Raises:
        KeyError: The store does not tell enough.
    """
    meta = remains.meta
    task, identity = Task(meta["task"]), Identity.from_json(meta["identity"])
    names: list[str] = []
    name = where.path.name
    if task is not Task.OBJECTIVE:
        sweep = sweep_from_text(meta["sweep"], str(where.sweep))
        name = sweep.name
        names = [*sweep.parameters, *(each for point in sweep.configs for each in point)]
    provenance, kind = identity.provenance(name), kind_in(meta)
    tables = Tables(where, task, list(dict.fromkeys(names)), provenance, kind=kind)
    records = tables.records(remains.trials.values(), remains.results)
    return tables.results(records), tables.curves(records)


def is_whole(path: Path) -> bool:
    """Whether every member of an archive has its checksum; nothing in it is loaded."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError):
        return False
