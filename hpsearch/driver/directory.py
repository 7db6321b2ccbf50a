"""A results directory: its file names, and taking hold of it."""

from __future__ import annotations

import glob
import itertools
import os
import shutil
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from hpsearch.errors import HpsearchError, LockedError, RefusedError
from hpsearch.lock import DirectoryLock

__all__ = ["ResultsDirectory"]


@dataclass(frozen=True)
class ResultsDirectory:
    """Where a sweep's files lie; the one place that names them."""

    path: Path

    @property
    def results(self) -> Path:
        """One row a trial."""
        return self.path / "results.csv"

    @property
    def curves(self) -> Path:
        """One row an epoch."""
        return self.path / "curves.csv"

    @property
    def sweep(self) -> Path:
        """The resolved sweep."""
        return self.path / "sweep.yaml"

    @property
    def store(self) -> Path:
        """The truth; elsewhere where a run was told `--store`."""
        return self.store_elsewhere or self.path / "sweep.db"

    @property
    def pointer(self) -> Path:
        """Says where the store is, if not here."""
        return self.path / ".store"

    @property
    def store_elsewhere(self) -> Path | None:
        """What the pointer says; None where that names no file."""
        try:
            place = self.pointer.read_text(encoding="utf-8").rstrip("\n")
        except (OSError, UnicodeDecodeError):
            return None
        return Path(place) if Path(place).name and "\0" not in place else None

    @property
    def lock(self) -> Path:
        """What a driver locks; beside the store, whose file system is to have locks."""
        store = self.store_elsewhere
        return self.path / ".lock" if store is None else store.with_name(f".{store.name}.lock")

    def hold(self) -> DirectoryLock:
        """Keep all other drivers out.

        Raises:
            RefusedError: Another one is in, or nobody could be kept out.
        """
        try:
            return DirectoryLock(self.path, self.lock)
        except OSError as error:
            raise HpsearchError(f"{self.lock}: cannot be written: {error.strerror}") from None

    @property
    def model(self) -> Path:
        """The best trial's model."""
        return self.path / "best.keras"

    @property
    def report(self) -> Path:
        """One page of pictures."""
        return self.path / "report.html"

    @property
    def log(self) -> Path:
        """What driver and workers said."""
        return self.path / "run.log"

    def leftovers(self) -> list[Path]:
        """What a run that was killed was writing; each is moved to its place when it is whole."""
        files = (self.results, self.curves, self.sweep, self.report)
        patterns = (
            *(f".{file.name}.*.tmp" for file in files),
            f".{self.model.stem}-*",
            f".{glob.escape(self.store.name)}.new*",
        )
        return sorted(path for pattern in patterns for path in self.path.glob(pattern))

    def clear(self) -> None:
        """Remove what is left over, for whoever holds the directory; what cannot be stays."""
        for path in self.leftovers():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with suppress(OSError):
                    path.unlink()

    def prepare(self, *, fresh: bool) -> None:
        """Make the directory; with `fresh`, move an existing one aside first.

        Raises:
            HpsearchError: It cannot be made or written.
            RefusedError: It holds results without a store, or another run holds it.
        """
        try:
            if fresh and self.path.is_dir():
                with self.hold():
                    self._move_aside()
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise HpsearchError(
                f"{self.path}: the results directory cannot be made: {error.strerror}"
            ) from None
        if not os.access(self.path, os.W_OK):
            raise HpsearchError(f"{self.path}: the results directory cannot be written")
        if self.store_elsewhere is not None and not self.store.exists():
            raise RefusedError(
                f"{self.path}: its store is not where {self.pointer.name} says, at {self.store}; "
                "bring it back, or use --fresh"
            )
        if self.results.exists() and not self.store.exists():
            raise RefusedError(
                f"{self.path}: there is a results.csv without its sweep.db, which this run would "
                "overwrite; give this run another directory with --out, or use --fresh"
            )

    def _move_aside(self) -> None:
        """A store elsewhere gets another name, too, or the next run would find it."""
        store, aside = self.store_elsewhere, self._free_name()
        if store is not None and store.exists():
            moved = store.with_name(f"{store.name}{aside.name.removeprefix(self.path.name)}")
            store.rename(moved)
            self.pointer.write_text(f"{moved}\n", encoding="utf-8")
        self.path.rename(aside)

    def keep_store_at(self, place: Path) -> None:
        """Have the store at another place; one that is here already is moved there.

        Raises:
            RefusedError: It is at a third place, or there is another store.
            HpsearchError: The place cannot be written.
        """
        from hpsearch.store import Store, copy_store

        wanted, elsewhere = place.absolute(), self.store_elsewhere
        if elsewhere is not None:
            if elsewhere.resolve() != wanted.resolve():
                raise RefusedError(f"{self.path}: its store is at {elsewhere} already, not {place}")
            return
        here = self.store
        try:
            wanted.parent.mkdir(parents=True, exist_ok=True)
            with ExitStack() as stack:
                beside = wanted.with_name(f".{wanted.name}.lock")
                stack.enter_context(DirectoryLock(wanted.parent, beside))
                if here.exists():
                    self._hold_if_possible(stack)
                if wanted.exists() and not _is_new(wanted):
                    raise RefusedError(
                        f"{place}: is there already, and is not the store of {self.path}; "
                        "name another file"
                    )
                if here.exists():
                    copy_store(here, wanted)
                else:
                    Store(wanted).close()
                self.pointer.write_text(f"{wanted}\n", encoding="utf-8")
                here.unlink(missing_ok=True)
        except OSError as error:
            raise HpsearchError(f"{place}: the store cannot be put there: {error}") from None

    def _hold_if_possible(self, stack: ExitStack) -> None:
        """Where the file system has no locks, nobody can be kept out while the store moves."""
        try:
            stack.enter_context(self.hold())
        except LockedError:
            raise
        except RefusedError:
            return

    def _free_name(self) -> Path:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        suffixes = ("" if count == 0 else f"-{count}" for count in itertools.count())
        names = (f"{self.path.name}.{stamp}{suffix}" for suffix in suffixes)
        return next(path for path in map(self.path.with_name, names) if not path.exists())


def _is_new(path: Path) -> bool:
    """Whether a store holds nothing yet: its maker was killed before it said where it is."""
    from hpsearch.store import Store

    with Store(path, read_only=True) as store:
        return not store.meta() and not store.trials()
