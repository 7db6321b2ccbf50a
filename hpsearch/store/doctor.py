"""`hpsearch doctor`: check that a results directory is sound and that its files agree."""

from __future__ import annotations

import math
import shutil
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.data.loading import load_dataset
from hpsearch.errors import DataError, HpsearchError, InputError, LockedError, StoreError
from hpsearch.machine import odd_kind, shortage
from hpsearch.space.execution import Execution, ExecutionResult, label
from hpsearch.store.columns import KEY
from hpsearch.store.derived import tables_of
from hpsearch.store.directory import WAL_BEGINS, ResultsDirectory, logs_of_store
from hpsearch.store.facts import Facts
from hpsearch.store.lock import holder
from hpsearch.store.provenance import stored_sweep
from hpsearch.store.records import PACKAGES, file_digest
from hpsearch.store.store import Store
from hpsearch.store.tables import read_cells, write_csv
from hpsearch.wording import cell_text, counted

if TYPE_CHECKING:
    import pandas as pd

_MOST_LINES = 10


class Severity(StrEnum):
    """The severity of a finding."""

    SOUND = "sound"
    NOTE = "note"
    WRONG = "WRONG"


@dataclass(frozen=True)
class Finding:
    """A finding about one file of a directory, or about its data."""

    part: str
    level: Severity
    text: str


@dataclass
class _Contents:
    """The readable contents of the store; `damage` has a line for each unreadable part."""

    facts: Facts = field(default_factory=lambda: Facts({}))
    executions: list[Execution] = field(default_factory=list)
    results: dict[int, ExecutionResult] = field(default_factory=dict)
    damage: list[str] = field(default_factory=list)


def examine(directory: Path) -> list[Finding]:
    """Examine the files of a results directory; changes nothing.

    Raises:
        InputError: There is no such directory.
        LockedError: A run is at work in it.
    """
    where = ResultsDirectory(directory)
    if not where.path.is_dir():
        raise InputError(f"{where.path}: there is no such directory")
    if process := holder(where.lock):
        raise LockedError(
            f"{where.path}: a run is at work here (process {process}), so its files need not "
            "agree; ask again when it is over"
        )
    if not where.store.exists():
        text = "there is none, of which all else is derived; results.csv can still be read"
        return [Finding(where.store.name, Severity.WRONG, text)]
    contents = _contents(where.store)
    return [
        *_store(where, contents),
        *_tables(where, contents),
        *_versions(contents),
        *_sweep(where, contents),
        *_data(where, contents),
        *_model(where, contents),
        *_leftovers(where),
    ]


def _contents(store: Path) -> _Contents:
    contents = _Contents()
    with tempfile.TemporaryDirectory(prefix="hpsearch-") as scratch:
        # Open a copy, because opening a store may change its log.
        copy = Path(scratch) / store.name
        log = logs_of_store(store)[0]
        for path in (store, log):
            _require_room(path, Path(scratch))
        try:
            for path in (store, log):
                if path.exists():
                    shutil.copyfile(path, copy.with_name(path.name))
            if log.exists() and not _is_log(log):
                contents.damage.append(
                    f"its log, {log.name}, cannot be read: what only the log held is lost"
                )
            with Store(copy, read_only=True) as opened:
                _read_all(opened, contents)
        except OSError as error:
            if advice := shortage(error):
                raise StoreError(f"{store}: cannot be examined: {error}; {advice}") from error
            contents.damage.append(f"cannot be read: {error.strerror or error}")
        except StoreError as error:
            _require_read(error)
            contents.damage.append(str(error))
        contents.damage = [line.removeprefix(f"{copy}: ") for line in contents.damage]
    return contents


def _require_room(path: Path, scratch: Path) -> None:
    """Refuse to copy a file that is not a regular one or does not fit on the disk."""
    if kind := odd_kind(path):
        raise StoreError(f"{path}: is {kind}, not a store")
    size = path.stat().st_size if path.exists() else 0
    if size > shutil.disk_usage(scratch).free:
        raise StoreError(
            f"{path}: cannot be examined: its copy takes {size / 2**30:.1f} GB, for which there is "
            f"no room in {scratch.parent}; TMPDIR sets another place"
        )


def _require_read(error: StoreError) -> None:
    """Raise the error if the system, not the store, is its cause."""
    if shortage(error.__cause__):
        raise error


def _is_log(path: Path) -> bool:
    with path.open("rb") as file:
        begins = file.read(4)
    return not begins or begins in WAL_BEGINS


def _read_all(store: Store, contents: _Contents) -> None:
    """Read the whole store, arrays included, which checks every checksum."""

    def read(part: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return part(*arguments)
        except StoreError as error:
            _require_read(error)
            contents.damage.append(str(error))
            return None

    contents.facts = read(store.facts) or contents.facts
    contents.executions = read(store.executions) or []
    contents.results = read(store.results) or {}
    read(store.events)
    for number in contents.results:
        read(store.weights, number)
    for number, _, _ in read(store.snapshots) or ():
        read(store.snapshot, number)


def _store(where: ResultsDirectory, contents: _Contents) -> Iterator[Finding]:
    yield from _wrong(where.store.name, contents.damage)
    if not contents.damage:
        trials = counted(len({execution.trial for execution in contents.executions}), "trial")
        counts = f"{trials}, {counted(len(contents.results), 'result')}"
        yield Finding(where.store.name, Severity.SOUND, f"{counts}, each as it was written")


def _wrong(part: str, lines: Sequence[str]) -> Iterator[Finding]:
    for line in lines[:_MOST_LINES]:
        yield Finding(part, Severity.WRONG, line)
    if len(lines) > _MOST_LINES:
        yield Finding(part, Severity.WRONG, f"and {len(lines) - _MOST_LINES} more")


def _tables(where: ResultsDirectory, contents: _Contents) -> Iterator[Finding]:
    files = (where.results, where.curves)
    try:
        tables = tables_of(where, contents.facts)
        records = tables.records(contents.executions, contents.results)
        expected = tables.results(records), tables.curves(records)
    except (KeyError, ValueError, TypeError, HpsearchError):
        for path in files:
            text = "cannot be compared with the store, which does not say what was run"
            yield Finding(path.name, Severity.WRONG, text)
        return
    for path, table, keys in zip(files, expected, (KEY, [*KEY, "epoch"]), strict=True):
        if not path.exists():
            text = "there is none; the next run writes it from the store"
            yield Finding(path.name, Severity.NOTE, text)
            continue
        try:
            cells = read_cells(path)
            rows = _rows(cells, keys)
        except (InputError, KeyError, TypeError) as error:
            text = f"cannot be read: {error}; the next run writes it again from the store"
            yield Finding(path.name, Severity.WRONG, text)
            continue
        if len(cells) > len(rows):
            text = f"{counted(len(cells) - len(rows), 'row')} repeated"
            yield Finding(path.name, Severity.WRONG, text)
        yield from _differences(path.name, rows, _rows(_written(table), keys))


Rows = Mapping[tuple[Any, ...], Mapping[Any, Any]]


def _rows(table: pd.DataFrame, keys: list[str]) -> Rows:
    return {tuple(row[key] for key in keys): row for row in table.to_dict("records")}


def _written(table: pd.DataFrame) -> pd.DataFrame:
    with tempfile.TemporaryDirectory(prefix="hpsearch-") as scratch:
        path = Path(scratch) / "table.csv"
        write_csv(table, path)
        return read_cells(path)


def _differences(name: str, rows: Rows, expected: Rows) -> Iterator[Finding]:
    missing = expected.keys() - rows.keys()
    if missing:
        what = counted(len(missing), "row" if name == "results.csv" else "epoch")
        text = f"lacks {what} that the store has; the next run adds them"
        yield Finding(name, Severity.NOTE, text)
    unknown = sorted(rows.keys() - expected.keys(), key=str)
    lines = [f"{_place(key)} is not in the store" for key in unknown]
    for key in sorted(rows.keys() & expected.keys(), key=str):
        lines += _changed_cells(_place(key), rows[key], expected[key])
    yield from _wrong(name, lines)
    if not missing and not lines:
        yield Finding(name, Severity.SOUND, f"{counted(len(rows), 'row')}, as in the store")


def _place(key: tuple[Any, ...]) -> str:
    trial, seed, fold, *epoch = key
    return label(trial, seed, fold) + (f", epoch {epoch[0]}" if epoch else "")


def _changed_cells(
    where: str, cells: Mapping[Any, Any], expected: Mapping[Any, Any]
) -> Iterable[str]:
    for column in dict.fromkeys([*expected, *cells]):
        was, now = expected.get(column), cells.get(column)
        both_nan = all(isinstance(cell, float) and math.isnan(cell) for cell in (was, now))
        if was != now and not both_nan:
            shown, stored = (cell_text(repr(cell)) for cell in (now, was))
            yield f"{where}: {column} is {shown}, in the store {stored}"


def _versions(contents: _Contents) -> Iterator[Finding]:
    """Yield a note if several versions made the rows."""
    several = []
    for column, package in PACKAGES.items():
        made = Counter(each.versions.get(column, "unknown") for each in contents.results.values())
        if len(made) > 1:
            counts = (f"{version} ({counted(n, 'row')})" for version, n in made.items())
            several.append(f"{package} {', '.join(counts)}")
    if several:
        text = f"the rows were made by several versions: {'; '.join(several)}"
        yield Finding("versions", Severity.NOTE, text)


def _sweep(where: ResultsDirectory, contents: _Contents) -> Iterator[Finding]:
    text = contents.facts.sweep
    if not text:
        return
    expected, same = text.encode(), False
    with suppress(OSError):
        # A file of another size may be huge.
        same = where.sweep.is_file() and where.sweep.stat().st_size == len(expected)
        same = same and where.sweep.read_bytes() == expected
    if same:
        yield Finding(where.sweep.name, Severity.SOUND, "the sweep that the store has")
    else:
        text = "is missing, or another than the store has; the next run writes it again"
        yield Finding(where.sweep.name, Severity.NOTE, text)


def _data(where: ResultsDirectory, contents: _Contents) -> Iterator[Finding]:
    identity = contents.facts.identity
    if identity is None or not contents.facts.sweep:
        return
    try:
        data = stored_sweep(contents.facts, where).data
        if data.python:
            text = f"not compared: {data.python} makes it, and is not run here"
            yield Finding("data", Severity.NOTE, text)
            return
        now = load_dataset(data).fingerprint
    except StoreError as error:
        yield Finding("data", Severity.WRONG, str(error))
        return
    except DataError as error:
        yield Finding("data", Severity.NOTE, f"cannot be compared: {error}")
        return
    if now == identity.data:
        yield Finding("data", Severity.SOUND, f"{now}, as when the rows were made")
    else:
        yield Finding(
            "data",
            Severity.WRONG,
            f"its fingerprint is {now}, the rows were made with {identity.data}; "
            "put the old data back",
        )


def _model(where: ResultsDirectory, contents: _Contents) -> Iterator[Finding]:
    name, recorded = where.model.name, contents.facts.best_digest
    if not where.model.exists():
        if contents.facts.best_model:
            yield Finding(name, Severity.NOTE, "there is none; the next run writes it again")
    elif not _is_whole(where.model):
        text = "is damaged; remove it, and the next run writes it again"
        yield Finding(name, Severity.WRONG, text)
    elif not recorded:
        yield Finding(name, Severity.SOUND, "a whole archive")
    elif file_digest(where.model) == recorded:
        yield Finding(name, Severity.SOUND, "as the run wrote it")
    else:
        text = (
            "is not the file that the run wrote, by its SHA-256; the next run gives it another "
            "name, and writes the best trial's model again"
        )
        yield Finding(name, Severity.WRONG, text)


def _is_whole(path: Path) -> bool:
    """Check the checksum of every member of an archive, without loading any."""
    if not path.is_file():
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError):
        return False


def _leftovers(where: ResultsDirectory) -> Iterator[Finding]:
    if names := [path.name for path in where.leftovers()]:
        text = f"{', '.join(names)}: left by a run that was killed; the next run removes it"
        yield Finding("leftovers", Severity.NOTE, text)
