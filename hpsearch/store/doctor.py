"""`hpsearch doctor`: whether a results directory is sound and its parts agree."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.data.loading import load_dataset
from hpsearch.errors import DataError, HpsearchError, InputError, StoreError
from hpsearch.spec.sweep import sweep_from_text
from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.provenance import Identity
from hpsearch.store.records import UNREADABLE
from hpsearch.store.salvage import SalvagedStore, is_whole, of_store, require_idle, tables_of
from hpsearch.store.store import Store
from hpsearch.store.tables import read_cells, write_csv

if TYPE_CHECKING:
    import pandas as pd

#: A row made by other versions is no difference.
_OF_NO_ACCOUNT = frozenset({"version", "tensorflow", "keras"})
_MOST_TOLD = 10


class Severity(StrEnum):
    """How bad it is."""

    SOUND = "sound"
    NOTE = "note"
    WRONG = "WRONG"


@dataclass(frozen=True)
class Finding:
    """What was found out about one part of a directory."""

    part: str
    level: Severity
    text: str


def examine(directory: Path) -> list[Finding]:
    """What can be said of the parts of a results directory; changes nothing.

    Raises:
        InputError: There is no such directory.
        LockedError: A run is at work in it.
    """
    where = ResultsDirectory(directory)
    require_idle(where)
    if not where.store.exists():
        text = "there is none, of which all else is derived; --salvage makes one of the tables"
        return [Finding(where.store.name, Severity.WRONG, text)]
    with ExitStack() as stack:
        remains = stack.enter_context(of_store(where.store))
        return [
            *_store(where, remains),
            *_tables(where, remains),
            *_sweep(where, remains),
            *_data(where, remains),
            *_model(where, remains),
            *_leftovers(where),
        ]


def _store(where: ResultsDirectory, remains: SalvagedStore) -> Iterator[Finding]:
    name = where.store.name
    said = ""
    try:
        # The copy: to open a store may change what lies beside it.
        if remains.copy is not None:
            Store(remains.copy, read_only=True).close()
    except StoreError as error:
        said = str(error).removeprefix(f"{remains.copy}: ")
        yield Finding(name, Severity.WRONG, said)
    for number in remains.results:
        remains.with_arrays(number)
    for line in remains.damage[:_MOST_TOLD]:
        yield Finding(name, Severity.WRONG, line)
    if len(remains.damage) > _MOST_TOLD:
        yield Finding(name, Severity.WRONG, f"and {len(remains.damage) - _MOST_TOLD} more")
    counts = f"{len(remains.trials)} trials, {len(remains.results)} results"
    if said or remains.damage:
        yield Finding(name, Severity.NOTE, f"{counts} can be read; --salvage saves them")
    else:
        yield Finding(name, Severity.SOUND, f"{counts}, each as it was written")


def _tables(where: ResultsDirectory, remains: SalvagedStore) -> Iterator[Finding]:
    try:
        expected = tables_of(where, remains)
    except (KeyError, ValueError, TypeError, HpsearchError):
        for path in (where.results, where.curves):
            text = "cannot be compared with the store, which does not say what was run"
            yield Finding(path.name, Severity.WRONG, text)
        return
    files = (where.results, where.curves)
    for path, table, keys in zip(files, expected, (["trial"], ["trial", "epoch"]), strict=True):
        if not path.exists():
            text = "there is none; the next run writes it from the store"
            yield Finding(path.name, Severity.NOTE, text)
            continue
        try:
            cells = read_cells(path)
            found = _rows(cells, keys)
        except (InputError, KeyError, TypeError) as error:
            text = f"cannot be read: {error}; the next run writes it again from the store"
            yield Finding(path.name, Severity.WRONG, text)
            continue
        if len(cells) > len(found):
            text = f"{len(cells) - len(found)} rows stand there more than once"
            yield Finding(path.name, Severity.WRONG, text)
        yield from _differences(path.name, found, _as_written(table, keys))


Rows = Mapping[tuple[Any, ...], Mapping[Any, Any]]


def _rows(table: pd.DataFrame, keys: list[str]) -> Rows:
    return {tuple(row[key] for key in keys): row for row in table.to_dict("records")}


def _as_written(table: pd.DataFrame, keys: list[str]) -> Rows:
    with tempfile.TemporaryDirectory(prefix="hpsearch-") as scratch:
        path = Path(scratch) / "table.csv"
        write_csv(table, path)
        return _rows(read_cells(path), keys)


def _differences(name: str, found: Rows, expected: Rows) -> Iterator[Finding]:
    missing = expected.keys() - found.keys()
    if missing:
        what = "trials" if name == "results.csv" else "epochs"
        text = f"lacks {len(missing)} {what} that the store has; the next run adds them"
        yield Finding(name, Severity.NOTE, text)
    unknown = sorted(found.keys() - expected.keys(), key=str)
    lines = [f"{_place(key)} is not in the store" for key in unknown]
    for key in sorted(found.keys() & expected.keys()):
        lines += _cells(key, found[key], expected[key])
    for line in lines[:_MOST_TOLD]:
        yield Finding(name, Severity.WRONG, line)
    if len(lines) > _MOST_TOLD:
        yield Finding(name, Severity.WRONG, f"and {len(lines) - _MOST_TOLD} more differences")
    if not missing and not lines:
        yield Finding(name, Severity.SOUND, f"{len(found)} rows, as in the store")


def _place(key: tuple[Any, ...]) -> str:
    return f"trial {key[0]}" + (f", epoch {key[1]}" if len(key) > 1 else "")


def _cells(
    key: tuple[Any, ...], found: Mapping[Any, Any], expected: Mapping[Any, Any]
) -> Iterator[str]:
    for column in dict.fromkeys([*expected, *found]):
        was, now = expected.get(column), found.get(column)
        if column in _OF_NO_ACCOUNT or was == now or (_is_nan(was) and _is_nan(now)):
            continue
        yield f"{_place(key)}: {column} is {now!r}, in the store {was!r}"


def _is_nan(cell: Any) -> bool:
    return isinstance(cell, float) and math.isnan(cell)


def _sweep(where: ResultsDirectory, remains: SalvagedStore) -> Iterator[Finding]:
    text = remains.meta.get("sweep")
    if text is None:
        return
    name = where.sweep.name
    try:
        same = where.sweep.read_text(encoding="utf-8") == text
    except (OSError, UnicodeDecodeError):
        same = False
    if same:
        yield Finding(name, Severity.SOUND, "the sweep that the store has")
    else:
        again = "is missing, or another than the store has; the next run writes it again"
        yield Finding(name, Severity.NOTE, again)


def _data(where: ResultsDirectory, remains: SalvagedStore) -> Iterator[Finding]:
    if "sweep" not in remains.meta or "identity" not in remains.meta:
        return
    try:
        before = Identity.from_json(remains.meta["identity"]).data
    except UNREADABLE:
        yield Finding(
            "data", Severity.WRONG, "the store does not say which it was: identity is none"
        )
        return
    try:
        sweep = sweep_from_text(remains.meta["sweep"], str(where.sweep))
        now = load_dataset(sweep.data).fingerprint
    except DataError as error:
        yield Finding("data", Severity.NOTE, f"cannot be compared: {error}")
        return
    except HpsearchError as error:
        yield Finding("data", Severity.WRONG, f"the sweep in the store cannot be read: {error}")
        return
    if now == before:
        yield Finding("data", Severity.SOUND, f"{now}, as when the rows were made")
    else:
        text = f"its fingerprint is {now}, the rows were made with {before}; put the old data back"
        yield Finding("data", Severity.WRONG, text)


def _model(where: ResultsDirectory, remains: SalvagedStore) -> Iterator[Finding]:
    name = where.model.name
    if not where.model.exists():
        if remains.meta.get("best_model"):
            yield Finding(name, Severity.NOTE, "there is none; the next run writes it again")
        return
    if is_whole(where.model):
        yield Finding(name, Severity.SOUND, "a whole archive")
    else:
        text = "is damaged; remove it, and the next run writes it again"
        yield Finding(name, Severity.WRONG, text)


def _leftovers(where: ResultsDirectory) -> Iterator[Finding]:
    if names := [path.name for path in where.leftovers()]:
        text = f"{', '.join(names)}: left by a run that was killed; the next run removes it"
        yield Finding("leftovers", Severity.NOTE, text)
