"""`hpsearch doctor`: check that a results directory is sound and that its files agree."""

from __future__ import annotations

import csv
import io
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from hpsearch.data.loading import load_dataset
from hpsearch.errors import DataError, HpsearchError, InputError, LockedError, StoreError
from hpsearch.files import file_digest
from hpsearch.machine import odd_kind, shortage
from hpsearch.space.execution import Execution, ExecutionResult
from hpsearch.store.columns import KEY, PACKAGES
from hpsearch.store.derived import tables_of
from hpsearch.store.directory import ResultsDirectory, is_log, logs_of_store
from hpsearch.store.facts import Facts
from hpsearch.store.provenance import stored_sweep
from hpsearch.store.store import Store
from hpsearch.store.tables import write_csv
from hpsearch.wording import cell_text, counted


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


#: The severity and the text of a finding.
Verdict = tuple[Severity, str]


@dataclass
class _Contents:
    """The readable contents of the store, and the first damage; empty without any."""

    facts: Facts = field(default_factory=lambda: Facts({}))
    executions: list[Execution] = field(default_factory=list)
    results: dict[int, ExecutionResult] = field(default_factory=dict)
    damage: str = ""


def examine(directory: Path) -> list[Finding]:
    """Examine the files of a results directory; changes nothing.

    Raises:
        LockedError: A run is at work in it.
    """
    where = ResultsDirectory(directory)
    if not where.path.is_dir():
        raise InputError(f"{where.path}: there is no such directory")
    if process := where.holder:
        raise LockedError(
            f"{where.path}: a run is at work here (process {process}), so its files need not "
            "agree; ask again when it is over"
        )
    if not where.store.exists():
        text = "there is none, of which all else is derived; results.csv can still be read"
        return [Finding(where.store.name, Severity.WRONG, text)]
    contents = _contents(where.store)
    others = {
        "versions": _versions(contents),
        "data": _data(where, contents.facts),
        where.model.name: _model(where.model, contents.facts),
    }
    return [
        Finding(where.store.name, *_store(contents)),
        *_tables(where, contents),
        *(Finding(part, *verdict) for part, verdict in others.items() if verdict),
    ]


def _contents(store: Path) -> _Contents:
    contents = _Contents()
    with tempfile.TemporaryDirectory(prefix="hpsearch-") as scratch:
        # Open a copy, because opening a store may change its log.
        copy, log = Path(scratch) / store.name, logs_of_store(store)[0]
        if kind := odd_kind(store) or odd_kind(log):
            raise StoreError(f"{store}: it or its log is {kind}, not a store")
        try:
            for path in filter(Path.exists, (store, log)):
                shutil.copyfile(path, copy.with_name(path.name))
            if not is_log(log):
                contents.damage = f"its log, {log.name}, cannot be read: what only it held is lost"
            with Store(copy, read_only=True) as opened:
                contents.facts = opened.facts()
                contents.executions = opened.executions()
                contents.results = opened.results()
                # The rest is read for its checksums.
                opened.events()
                for number in contents.results:
                    opened.weights(number)
                for number, _, _ in opened.snapshots():
                    opened.snapshot(number)
                contents.damage = opened.loss(store) or contents.damage
        except (OSError, StoreError) as error:
            if advice := shortage(error) or shortage(error.__cause__):
                raise StoreError(f"{store}: cannot be examined: {error}; {advice}") from error
            contents.damage = str(error).removeprefix(f"{copy}: ")
            if isinstance(error, OSError):
                contents.damage = f"cannot be read: {error.strerror or error}"
    return contents


def _store(contents: _Contents) -> Verdict:
    if contents.damage:
        return Severity.WRONG, contents.damage
    return Severity.SOUND, f"{counted(len(contents.results), 'result')}, each as it was written"


def _tables(where: ResultsDirectory, contents: _Contents) -> Iterator[Finding]:
    expected: dict[Path, str] = {}
    try:
        tables = tables_of(where, contents.facts)
        records = tables.records(contents.executions, contents.results)
        write_csv(tables.results(records), where.results, expected.__setitem__)
        write_csv(tables.curves(records), where.curves, expected.__setitem__)
    except (KeyError, ValueError, TypeError, HpsearchError):
        text = "cannot be compared with the store, which does not say what was run"
        yield Finding("tables", Severity.WRONG, text)
        return
    for path, text in expected.items():
        yield Finding(path.name, *_compared(path, text))


def _rows(text: str) -> Counter[tuple[tuple[str, str], ...]]:
    """Return the rows of a table as their filled cells by column, in any order of the columns."""
    rows = csv.DictReader(io.StringIO(text, newline=""))
    return Counter(tuple(sorted(cell for cell in row.items() if cell[1])) for row in rows)


def _key(cells: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [cell for cell in cells if cell[0] in (*KEY, "epoch")]


def _compared(path: Path, stored: str) -> Verdict:
    """Compare a table with the text that a run would write."""
    if not path.exists():
        return Severity.NOTE, "there is none; the next run writes it from the store"
    if kind := odd_kind(path):
        return Severity.WRONG, f"is {kind}"
    try:
        rows, expected = _rows(path.read_bytes().decode()), _rows(stored)
    except (OSError, TypeError, ValueError, csv.Error) as error:
        return Severity.WRONG, f"cannot be read: {error}; the next run writes it again"
    if other := list((rows - expected).elements()):
        row = dict(other[0])
        stored_row = next((cells for cells in expected if _key(cells) == _key(other[0])), ())
        changed = [" ".join(cell) for cell in other[0] if cell not in stored_row]
        first = f"trial {row.get('trial', '-')}: {cell_text(', '.join(changed))}"
        return Severity.WRONG, f"{counted(len(other), 'row')} not as in the store, as {first}"
    if missing := (expected - rows).total():
        text = f"lacks {counted(missing, 'row')} that the store has; the next run adds them"
        return Severity.NOTE, text
    return Severity.SOUND, f"{counted(rows.total(), 'row')}, as in the store"


def _versions(contents: _Contents) -> Verdict | None:
    """Return a note if several versions made the rows."""
    several = []
    for column, package in PACKAGES.items():
        made = Counter(each.versions.get(column, "unknown") for each in contents.results.values())
        if len(made) > 1:
            counts = (f"{version} ({counted(n, 'row')})" for version, n in made.items())
            several.append(f"{package} {', '.join(counts)}")
    if not several:
        return None
    return Severity.NOTE, f"the rows were made by several versions: {'; '.join(several)}"


def _data(where: ResultsDirectory, facts: Facts) -> Verdict | None:
    if facts.identity is None or not facts.sweep:
        return None
    try:
        data = stored_sweep(facts, where).data
        if data.python:
            return Severity.NOTE, f"not compared: {data.python} makes it, and is not run here"
        now, then = load_dataset(data).fingerprint, facts.identity.data
    except StoreError as error:
        return Severity.WRONG, str(error)
    except DataError as error:
        return Severity.NOTE, f"cannot be compared: {error}"
    if now == then:
        return Severity.SOUND, f"{now}, as when the rows were made"
    text = f"its fingerprint is {now}, the rows were made with {then}; put those back"
    return Severity.WRONG, text


def _model(model: Path, facts: Facts) -> Verdict | None:
    if not model.exists():
        gone = Severity.NOTE, "there is none; the next run writes it again"
        return gone if facts.best_model else None
    with suppress(OSError):
        if model.is_file() and not facts.best_digest:
            return Severity.SOUND, "not compared: no digest of it is stored"
        if model.is_file() and file_digest(model) == facts.best_digest:
            return Severity.SOUND, "as the run wrote it"
    return Severity.WRONG, (
        "is damaged, or not the file that the run wrote, by its SHA-256; the next run gives it "
        "another name, and writes the best trial's model again"
    )
