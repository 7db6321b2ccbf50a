"""`--store FILE`: the store on a disk that has locks, away from the results directory."""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path

from hpsearch.errors import HpsearchError, LockedError, RefusedError
from hpsearch.store.directory import DirectoryLock, ResultsDirectory
from hpsearch.store.store import Store


def keep_store_at(where: ResultsDirectory, place: Path) -> None:
    """Have the store at another place; one that is here already is moved there.

    Raises:
        RefusedError: It is at a third place, or there is another store.
        HpsearchError: The place cannot be written.
    """
    wanted, elsewhere = place.absolute(), where.store_elsewhere
    if elsewhere is not None:
        if elsewhere.resolve() != wanted.resolve():
            raise RefusedError(f"{where.path}: its store is at {elsewhere} already, not {place}")
        return
    here = where.store
    try:
        wanted.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            beside = wanted.with_name(f".{wanted.name}.lock")
            stack.enter_context(DirectoryLock(wanted.parent, beside))
            if here.exists():
                _hold_if_possible(where, stack)
            if wanted.exists() and not _is_new(wanted):
                raise RefusedError(
                    f"{place}: is there already, and is not the store of {where.path}; "
                    "name another file"
                )
            if here.exists():
                copy_store(here, wanted)
            else:
                Store(wanted).close()
            where.pointer.write_text(f"{wanted}\n", encoding="utf-8")
            here.unlink(missing_ok=True)
    except OSError as error:
        raise HpsearchError(f"{place}: the store cannot be put there: {error}") from None


def _hold_if_possible(where: ResultsDirectory, stack: ExitStack) -> None:
    """Where the file system has no locks, nobody can be kept out while the store moves."""
    try:
        stack.enter_context(where.hold())
    except LockedError:
        raise
    except RefusedError:
        return


def _is_new(path: Path) -> bool:
    """Whether a store holds nothing yet: its maker was killed before it said where it is."""
    with Store(path, read_only=True) as store:
        return not store.meta() and not store.trials()


def copy_store(store: Path, target: Path) -> None:
    """Copy a store, what stands in its log included; `target` is whole or not there.

    Raises:
        OSError: It cannot be written.
        StoreError: The store cannot be read.
    """
    temporary = target.with_name(f".{target.name}.new")
    with Store(store) as source, closing(sqlite3.connect(temporary)) as copy:
        source.copy_to(copy)
    temporary.replace(target)
