"""The store (SQLite): settings, planned executions and results; all else is derived from it."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch.errors import HpsearchError, InputError, RefusedError
from hpsearch.search.strategy import OracleEvent
from hpsearch.space.execution import Curve, Execution, ExecutionResult, Snapshot, Status
from hpsearch.space.space import Config
from hpsearch.store.database import Database
from hpsearch.store.directory import (
    DirectoryLock,
    NoLocksError,
    ResultsDirectory,
    files_beside_store,
    lock_of_store,
    logs_of_store,
    note_result,
    noted_result,
)
from hpsearch.store.facts import Evaluation, Facts
from hpsearch.wording import in_words

#: The errors of decoding a record that another version of hpsearch wrote.
_UNREADABLE = (ValueError, TypeError, LookupError)


class Store(Database):
    """The `sweep.db` of a results directory."""

    # Facts about the sweep

    def facts(self) -> Facts:
        """Return the facts that `set_facts` stored."""
        return Facts(dict(self.rows("meta", "meta {!r}")))

    def set_facts(self, **changes: Any) -> None:
        """Store facts about the sweep, by the names of `Facts`; other facts stay."""
        self.set_meta(Facts.encoded(**changes))

    def set_meta(self, values: Mapping[str, str]) -> None:
        """Store encoded facts; see `set_facts`."""
        with self.transaction():
            for key, value in values.items():
                self.insert("meta", key, value, replace=True)

    # Executions

    def add_executions(
        self, executions: Iterable[Execution], events: Iterable[OracleEvent] = ()
    ) -> None:
        """Store executions, whose numbers are then fixed, and an oracle's events; all or none."""
        with self.transaction():
            for event in events:
                asked = None if event.config is None else dict(event.config.values)
                record = {"values": asked, "epochs": event.epochs, "score": event.score}
                position = 1 + (self.execute("SELECT max(position) FROM events")[0][0] or 0)
                self.insert("events", position, event.trial_id, json.dumps(record))
            for each in executions:
                values = json.dumps(dict(each.config.values))
                row = (each.trial, each.config.id, each.seed, each.fold or 0, each.method, values)
                self.insert("executions", each.number, *row)

    def executions(self) -> list[Execution]:
        """Return every planned execution, by number."""
        kind = self.facts().kind
        return [
            Execution(number, trial, Config(json.loads(text), kind), seed, fold or None, method)
            for number, trial, _, seed, fold, method, text in self.rows(
                "executions", "execution {}"
            )
        ]

    def events(self) -> list[OracleEvent]:
        """Return every event of the user's oracle, in order."""
        kind, events = self.facts().kind, []
        for _, trial_id, text in self.rows("events", "event {}"):
            record = json.loads(text)
            values = record.pop("values")
            config = None if values is None else Config(values, kind)
            events.append(OracleEvent(trial_id, config, **record))
        return events

    # Results

    def add_results(self, results: Sequence[ExecutionResult]) -> None:
        """Store results with their weights and snapshots, all of them or none.

        An execution's earlier result is replaced, and its weights and snapshot with it.
        """
        last = ""
        with self.transaction():
            for result in results:
                number, status = result.number, str(result.status)
                last = self.insert("results", number, status, as_json(result), replace=True)
                for table in ("weights", "snapshots"):
                    self.execute(f"DELETE FROM {table} WHERE execution = ?", number)  # noqa: S608
                if result.state is not None:
                    self.insert("weights", number, _as_npz(result.state))
                if result.snapshot is not None:
                    best = result.snapshot.best or ()
                    blob = _as_npz((*result.snapshot.state, *best))
                    self.insert("snapshots", number, result.snapshot.epoch, len(best), blob)
        if last:
            note_result(self.path, last)

    def loss(self, place: Path) -> str:
        """Return a fault if the store, or its copy, lacks the noted result; else empty."""
        noted = noted_result(lock_of_store(place))
        if not noted or self.execute("SELECT 1 FROM results WHERE checksum = ?", noted):
            return ""
        log = logs_of_store(place)[0].name
        return f"lacks shown results: its log, {log}, was lost or damaged, or the power failed"

    def results(self) -> dict[int, ExecutionResult]:
        """Return every result, by execution; without weights and snapshots."""
        what, results = "the result of execution {}", {}
        for number, _, record in self.rows("results", what):
            try:
                results[number] = from_json(record)
            except _UNREADABLE as error:
                raise self.error(
                    f"{what.format(number)} cannot be read: {in_words(error)}; another version of "
                    "hpsearch may have written it"
                ) from error
        return results

    def count_results(self) -> int:
        """Return the number of executions that have a result."""
        return int(self.execute("SELECT count(*) FROM results")[0][0])

    def weights(self, execution: int) -> tuple[npt.NDArray[Any], ...] | None:
        """Return the kept weights of an execution, in the order of `model.get_weights()`."""
        what = f"the weights of execution {execution}"
        for _, blob in self.rows("weights", what, execution=execution):
            return _from_npz(blob)
        return None

    def snapshot(self, execution: int) -> Snapshot | None:
        """Return the snapshot from which the training of an execution can continue."""
        what = f"the snapshot of execution {execution}"
        for _, *cells in self.rows("snapshots", what, execution=execution):
            epoch, best, blob = cells
            arrays = _from_npz(blob)
            cut = len(arrays) - best
            return Snapshot(epoch, arrays[:cut], arrays[cut:] if best else None)
        return None

    def snapshots(self) -> list[tuple[int, int, int]]:
        """Return execution, epoch and size in bytes of each snapshot."""
        return self.execute("SELECT execution, epoch, length(arrays) FROM snapshots")

    def flush(self) -> None:
        """Flush committed rows to the disk, so that a power cut does not lose them."""
        log = logs_of_store(self.path)[0]
        with suppress(FileNotFoundError), log.open("rb") as file:
            os.fsync(file.fileno())

    def keep_weights(self, executions: Iterable[int]) -> None:
        """Remove the weights of all other executions."""
        stored = {row[0] for row in self.execute("SELECT execution FROM weights")}
        with self.transaction():
            for number in stored - set(executions):
                self.execute("DELETE FROM weights WHERE execution = ?", number)
        self.execute("PRAGMA incremental_vacuum")


def as_json(result: ExecutionResult) -> str:
    """Encode a result without its arrays."""
    # `asdict` would copy every number of the curve.
    record = {**vars(result)}
    del record["state"], record["snapshot"], record["number"]
    curve = result.curve
    # A list for each metric takes a tenth of the space of a mapping for each epoch.
    names = list(curve[0]) if curve else []
    record["curve"] = {name: [epoch[name] for epoch in curve] for name in names}
    # Format 4 has `spans`, which earlier versions read.
    return json.dumps({"spans": [], "execution": result.number, **record})


def from_json(text: str) -> ExecutionResult:
    """Decode the output of `as_json`.

    Raises:
        ValueError, TypeError, LookupError: `text` is not a valid record.
    """
    record = json.loads(text)
    record["number"] = record.pop("execution")
    record["status"] = Status(record["status"])
    names = list(record["curve"])
    record["curve"] = Curve(
        dict(zip(names, values, strict=True))
        for values in zip(*record["curve"].values(), strict=True)
    )
    record.pop("spans", None)
    return ExecutionResult(**record)


def _as_npz(arrays: Sequence[npt.NDArray[Any]]) -> bytes:
    """Encode arrays in their order, without pickle."""
    # Some versions of `np.savez` would store `allow_pickle` as an array of that name.
    if any(array.dtype.hasobject for array in arrays):
        raise ValueError("Object arrays cannot be saved when allow_pickle=False")
    buffer = io.BytesIO()
    np.savez(buffer, *arrays)
    return buffer.getvalue()


def _from_npz(blob: bytes) -> tuple[npt.NDArray[Any], ...]:
    """Decode the output of `_as_npz`; never unpickles."""
    with np.load(io.BytesIO(blob), allow_pickle=False) as archive:
        return tuple(archive[f"arr_{index}"] for index in range(len(archive.files)))


def keep_store_at(where: ResultsDirectory, place: Path) -> None:
    """Keep a directory's store at another place; a store in the directory moves there.

    Raises:
        RefusedError: The store is at a third place, or there is another store at this one.
    """
    wanted, elsewhere = place.absolute(), where.store_elsewhere
    if wanted.resolve() in {path.resolve() for path in files_beside_store(where)}:
        raise InputError(f"{place}: a run writes another file there; name another for its store")
    # SQLite cannot store text with undecodable bytes.
    home = os.fsencode(where.path.absolute()).decode(errors="backslashreplace")
    if elsewhere is not None:
        if elsewhere.resolve() != wanted.resolve():
            raise RefusedError(f"{where.path}: its store is at {elsewhere} already, not {place}")
        return
    here = where.store
    try:
        wanted.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            stack.enter_context(DirectoryLock(wanted.parent, lock_of_store(wanted)))
            # Its file system may lack locks, often the reason for the move.
            with suppress(NoLocksError):
                stack.enter_context(DirectoryLock(where.path, where.lock))
            if where.pointer.exists():
                raise RefusedError(
                    f"{where.pointer}: would be overwritten, and no run made it; move it away"
                )
            if wanted.exists() and not _is_new(wanted, home):
                raise RefusedError(
                    f"{place}: is there already, and is not the store of {where.path}; "
                    "name another file"
                )
            if here.exists():
                with Store(here) as store:
                    store.copy_to(wanted)
            else:
                with Store(wanted) as store:
                    store.set_meta({"home": home})
            where.write(where.pointer, os.fsencode(f"{wanted}\0{where.path.absolute()}\n"))
            here.unlink(missing_ok=True)
    except OSError as error:
        raise HpsearchError(f"{place}: the store cannot be put there: {error}") from None


def _is_new(path: Path, home: str) -> bool:
    """Check if a store is empty and belongs to no other directory.

    A run that was killed before it wrote the pointer leaves such a store.
    """
    with Store(path, read_only=True) as store:
        return store.facts().meta in ({}, {"home": home}) and not store.executions()


def evaluations_of(source: Path) -> tuple[Evaluation, ...]:
    """Return the recorded evaluations of a results directory or a results.csv, in order of time.

    A directory without a store has no evaluations; a damaged store is refused.
    """
    where = ResultsDirectory(source if source.is_dir() else source.parent)
    if not where.store.exists() or source not in (where.path, where.results):
        return ()
    with Store(where.store, read_only=True) as store:
        return store.facts().evaluations


def facts_of(directory: Path, data: Collection[str]) -> Facts:
    """Return a directory's facts, empty if its rows are of other data; refuse a damaged store."""
    store = ResultsDirectory(directory).store
    if not store.exists():
        return Facts({})
    with Store(store, read_only=True) as opened:
        facts = opened.facts()
    same = facts.identity is not None and {*data} == {facts.identity.data}
    return facts if same else Facts({})
