"""`hpsearch doctor --salvage`: what can be read of a directory, in a new one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpsearch import data, results, salvage, sweepfile
from hpsearch.driver.directory import ResultsDirectory
from hpsearch.driver.doctor import is_whole, require_idle, tables_of
from hpsearch.driver.recipe import Identity, identify, make_recipe
from hpsearch.errors import InputError, RefusedError
from hpsearch.salvage import Remains
from hpsearch.space import Kind
from hpsearch.store import Store
from hpsearch.stored import UNREADABLE, kind_in
from hpsearch.trial import Task

__all__ = ["Salvaged", "save"]

#: Results whose arrays are in memory at a time.
_AT_ONCE = 64


@dataclass(frozen=True)
class Salvaged:
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


def save(directory: Path, new: Path) -> Salvaged:
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
        tables = salvage.of_tables(where.path, kind_in(remains.meta))
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
    return Salvaged(len(remains.results), added, tuple(lost), tuple(unread))


@contextmanager
def _remains(where: ResultsDirectory) -> Iterator[Remains]:
    if not where.store.exists():
        yield Remains(damage=["there is none"])
        return
    with salvage.of_store(where.store) as remains:
        yield remains


def _merge(remains: Remains, tables: Remains) -> int:
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


def _identify(where: ResultsDirectory, remains: Remains, tables: Remains) -> None:
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
    sweep = sweepfile.loads(meta["sweep"], str(where.sweep))
    dataset = data.load(sweep.data)
    recipe = make_recipe(sweep, dataset.target.task)
    identity = identify(sweep, dataset, recipe)
    row: Any = results.read_cells(where.results).iloc[0] if tables.results else {}
    for column, now in (("data", identity.data), ("recipe", identity.recipe_id)):
        if row.get(column, now) != now:
            raise RefusedError(
                f"{where.path}: sweep.yaml and its data are not those of the rows: {column} is "
                f"{now}, in results.csv {row[column]}"
            )
    meta |= {"identity": identity.to_json(), "task": str(dataset.target.task)}


def _write(where: ResultsDirectory, target: ResultsDirectory, remains: Remains) -> None:
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
    results.write_csv(rows, target.results)
    results.write_csv(curves, target.curves)
    if "sweep" in meta:
        results.write_atomically(target.sweep, meta["sweep"])
