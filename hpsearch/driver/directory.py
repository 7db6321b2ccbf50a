"""A results directory: its file names, and taking hold of it."""

from __future__ import annotations

import itertools
import os
import time
from dataclasses import dataclass
from pathlib import Path

from hpsearch.errors import HpsearchError, RefusedError
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
        """The truth."""
        return self.path / "sweep.db"

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

    def prepare(self, *, fresh: bool) -> None:
        """Make the directory; with `fresh`, move an existing one aside first.

        Raises:
            HpsearchError: It cannot be made or written.
            RefusedError: It holds results without a store, or another run holds it.
        """
        try:
            if fresh and self.path.is_dir():
                with DirectoryLock(self.path):
                    self.path.rename(self._free_name())
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise HpsearchError(
                f"{self.path}: the results directory cannot be made: {error.strerror}"
            ) from None
        if not os.access(self.path, os.W_OK):
            raise HpsearchError(f"{self.path}: the results directory cannot be written")
        if self.results.exists() and not self.store.exists():
            raise RefusedError(
                f"{self.path}: there is a results.csv without its sweep.db, which this run would "
                "overwrite; give this run another directory with --out, or use --fresh"
            )

    def _free_name(self) -> Path:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        suffixes = ("" if count == 0 else f"-{count}" for count in itertools.count())
        names = (f"{self.path.name}.{stamp}{suffix}" for suffix in suffixes)
        return next(path for path in map(self.path.with_name, names) if not path.exists())
