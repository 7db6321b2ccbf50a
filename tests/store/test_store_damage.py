"""A damaged store is refused in one line, and left as it is."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from store_contents import everything

from hpsearch.errors import StoreError
from hpsearch.space.execution import Execution, ExecutionResult, Snapshot, Status
from hpsearch.space.space import Config
from hpsearch.store.database import checksum_of
from hpsearch.store.store import Store

NUMBERS = range(1, 41)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "sweep.db"
    curve = tuple({"loss": 1 / epoch, "val_accuracy": epoch / 10} for epoch in range(1, 6))
    with Store(path) as store:
        store.set_meta({"identity": '{"data": "d0123456789a"}', "sweep": "name: s\n" * 30})
        store.add_executions(
            Execution(n, n, Config({"units": n, "epochs": 5}), n % 2) for n in NUMBERS
        )
        store.add_results(
            [
                ExecutionResult(
                    n, Status.COMPLETED, n / 100, curve, 5, 5, n / 100, 0.5, trainer="graph",
                    state=(np.full((9, 9), n, np.float32),) if n % 10 == 0 else None,
                    snapshot=Snapshot(5, (np.full(50, n),), (np.ones(9),)) if n % 10 == 5 else None,
                )
                for n in NUMBERS
            ]
        )  # fmt: skip
    return path


@pytest.fixture
def damaged(sound: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copy(sound, tmp_path / "sweep.db"))


def refused(path: Path, *, read_only: bool = True) -> str:
    """The message with which it is refused; nothing may have changed."""
    before = path.read_bytes()
    with pytest.raises(StoreError) as caught:
        everything(path, read_only=read_only)
    assert path.read_bytes() == before
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert len(message.splitlines()) == 1
    assert caught.value.exit_code == 3
    return message


@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda _: b"", "the store is empty"),
        (lambda data: data[:100], "the store failed|not a store|damaged"),
        (lambda data: data[:4096], "the store failed|damaged"),
        (lambda data: data[: len(data) // 2], "the store failed|damaged|truncated"),
        (lambda data: data[:-4096], "the store failed|damaged"),
        (lambda data: data[:-1], "truncated"),
        (lambda _: b"trial,config\n1,c\n" * 500, "file is not a database"),
        (lambda data: b"\0" * len(data), "the store failed|not a store"),
        (lambda data: b"\x93NUMPY" + data[6:], "file is not a database"),
    ],
)
def test_empty_truncated_foreign(
    damaged: Path, damage: Callable[[bytes], bytes], message: str, *, read_only: bool
) -> None:
    damaged.write_bytes(damage(damaged.read_bytes()))
    found = refused(damaged, read_only=read_only)
    assert any(part in found for part in message.split("|")), found


@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize("further", ["", "DROP TABLE trials"], ids=["a table", "empty"])
def test_another_programs_database(tmp_path: Path, further: str, *, read_only: bool) -> None:
    path = tmp_path / "sweep.db"
    change(path, "CREATE TABLE trials(number INTEGER)")
    change(path, further)
    assert "not a store of hpsearch" in refused(path, read_only=read_only)


@pytest.mark.parametrize("other", [3, 7])
@pytest.mark.parametrize("read_only", [True, False])
def test_another_format(damaged: Path, other: int, *, read_only: bool) -> None:
    change(damaged, f"PRAGMA user_version={other}")
    said = refused(damaged, read_only=read_only)
    assert f"the store has format {other}, this version of hpsearch reads 4; move it away" in said


def change(path: Path, statement: str, *values: Any) -> None:
    db = sqlite3.connect(path)
    db.execute(statement, values)
    db.commit()
    db.close()


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE meta SET value='{}' WHERE key='identity'", "meta 'identity'"),
        ("UPDATE meta SET key='identitx' WHERE key='identity'", "meta 'identitx'"),
        ("UPDATE executions SET seed=7 WHERE number=3", "execution 3"),
        ("UPDATE executions SET number=99 WHERE number=3", "execution 99"),
        ("UPDATE executions SET config='c0' WHERE number=3", "execution 3"),
        ("UPDATE executions SET hyperparameters='{}' WHERE number=3", "execution 3"),
        ("UPDATE executions SET checksum='' WHERE number=3", "execution 3"),
        ("UPDATE results SET status='failed' WHERE execution=3", "the result of execution 3"),
        ("UPDATE results SET execution=99 WHERE execution=3", "the result of execution 99"),
        ("UPDATE results SET record=replace(record, '0.03', '0.93') WHERE execution=3",
         "the result of execution 3"),
        ("UPDATE weights SET arrays=x'00' WHERE execution=10", "the weights of execution 10"),
        ("UPDATE weights SET execution=11 WHERE execution=10", "the weights of execution 11"),
        ("UPDATE snapshots SET arrays=x'00' WHERE execution=15", "the snapshot of execution 15"),
        ("UPDATE snapshots SET execution=11 WHERE execution=15", "the snapshot of execution 11"),
        ("UPDATE snapshots SET epoch=4 WHERE execution=15", "the snapshot of execution 15"),
        ("UPDATE snapshots SET best=0 WHERE execution=15", "the snapshot of execution 15"),
    ],
)  # fmt: skip
def test_a_changed_row_is_refused(damaged: Path, statement: str, what: str) -> None:
    change(damaged, statement)
    assert f"{what} does not match its checksum" in refused(damaged)


@pytest.mark.parametrize("column", ["type", "name", "tbl_name"])
def test_a_declaration_that_is_no_text(damaged: Path, column: str) -> None:
    db = sqlite3.connect(damaged)
    db.execute("PRAGMA writable_schema=ON")
    cast = f"UPDATE sqlite_schema SET {column} = CAST({column} AS BLOB) WHERE type = 'index'"
    db.execute(f"{cast} AND rowid = (SELECT max(rowid) FROM sqlite_schema WHERE type = 'index')")
    db.commit()
    db.close()
    assert "damaged" in refused(damaged)


def test_a_result_of_another_version(damaged: Path) -> None:
    record = '{"execution": 3, "status": "failed", "curve": {}, "more": 1}'
    checksum = checksum_of(3, "completed", record)
    change(damaged, "UPDATE results SET record=?, checksum=? WHERE execution=3", record, checksum)
    said = refused(damaged)
    assert "the result of execution 3 cannot be read" in said
    assert "another version of hpsearch may have written it" in said


def test_a_lost_row_is_no_silence(damaged: Path) -> None:
    """One cell less in a page's count: every row that is left has its right checksum."""
    db = sqlite3.connect(damaged)
    root = db.execute("SELECT rootpage FROM sqlite_schema WHERE name='meta'").fetchone()[0]
    db.close()
    data = bytearray(damaged.read_bytes())
    at = (root - 1) * 4096 + 4
    assert data[at] == 2
    data[at] = 1
    damaged.write_bytes(data)
    assert "the store is damaged" in refused(damaged)
