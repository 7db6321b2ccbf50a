"""The store: what goes in comes out, all of it or none, and readers never wait."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpsearch.errors import StoreError
from hpsearch.space.execution import Execution, ExecutionResult, Snapshot, Status
from hpsearch.space.space import Config
from hpsearch.store.store import Store, as_json, from_json

CURVE = ({"loss": 0.5, "val_accuracy": 1 / 3}, {"loss": 0.25, "val_accuracy": 2 / 3})
EXECUTIONS = [
    Execution(
        1, 1, Config({"units": [200, 100], "optimizer": {"name": "sgd", "momentum": 0.9}}), 0
    ),
    Execution(2, 2, Config({"units": 7, "mine": "é\n'); DROP TABLE trials;--"}), 1),
    Execution(4, 4, Config({"units": 7.5, "flag": True, "none": None}), 2**32 - 1),
]
RESULTS = [
    ExecutionResult(
        number=1, status=Status.COMPLETED, score=2 / 3, curve=CURVE, scored_epoch=2, best_epoch=2,
        best_score=2 / 3, seconds=1.5, trainer="graph", weights=10,
    ),
    ExecutionResult(
        number=2, status=Status.FAILED, error="it\nbroke", traceback="Traceback\n  ..."
    ),
    ExecutionResult(number=4, status=Status.COMPLETED, score=0.1, curve=CURVE[:1], shared_with=1),
]  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sweep.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store(path) as store:
        yield store


def test_what_goes_in_comes_out_of_another_store(path: Path) -> None:
    with Store(path) as store:
        store.set_meta({"sweep": "name: s\n", "identity": "{}"})
        store.set_meta({"identity": '{"a": 1}'})
        store.add_executions(EXECUTIONS)
        store.add_results(RESULTS)
    for read_only in (False, True):
        with Store(path, read_only=read_only) as store:
            assert store.facts().meta == {"sweep": "name: s\n", "identity": '{"a": 1}'}
            assert store.executions() == EXECUTIONS
            assert [each.config.id for each in store.executions()] == [
                each.config.id for each in EXECUTIONS
            ]
            assert store.results() == {result.number: result for result in RESULTS}


def test_nan_and_infinities_survive(store: Store) -> None:
    odd = ({"loss": math.nan, "mae": math.inf}, {"loss": -math.inf, "mae": -0.0})
    store.add_executions(EXECUTIONS)
    store.add_results([replace(RESULTS[0], status=Status.DIVERGED, score=None, curve=odd)])
    curve = store.results()[1].curve
    assert math.isnan(curve[0]["loss"])
    assert (curve[0]["mae"], curve[1]["loss"]) == (math.inf, -math.inf)
    assert math.copysign(1, curve[1]["mae"]) == -1


def test_weights_come_back_to_the_bit(store: Store) -> None:
    state = (
        np.array([[1 / 3, np.nan], [-np.inf, 0]], np.float32),
        np.zeros((0, 5), np.float16),
        np.array(7, np.int64),
        np.random.default_rng(0).normal(size=(40, 30)),
    )
    store.add_executions(EXECUTIONS)
    store.add_results([replace(RESULTS[0], state=state), RESULTS[1]])
    again = store.weights(1)
    assert again is not None
    assert [(a.dtype, a.shape, a.tobytes()) for a in again] == [
        (a.dtype, a.shape, a.tobytes()) for a in state
    ]
    assert store.weights(2) is None
    # Those of an earlier result would be of another epoch.
    store.add_results([RESULTS[0]])
    assert store.weights(1) is None
    assert store.results()[1].state is None


def test_snapshots_come_back_to_the_bit_and_go_with_their_result(store: Store) -> None:
    state = (np.array([1 / 3, np.nan], np.float32), np.array(7, np.int64))
    best = (np.zeros((2, 0), np.float16),)
    store.add_executions(EXECUTIONS)
    store.add_results(
        [
            replace(RESULTS[0], snapshot=Snapshot(3, state, best)),
            replace(RESULTS[1], snapshot=Snapshot(9, state)),
        ]
    )
    first, second = store.snapshot(1), store.snapshot(2)
    assert first is not None
    assert second is not None
    assert (first.epoch, second.epoch, second.best) == (3, 9, None)
    assert first.best is not None
    for one, other in zip((*first.state, *first.best), (*state, *best), strict=True):
        assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
    sizes = {number: (epoch, size) for number, epoch, size in store.snapshots()}
    assert sizes.keys() == {1, 2}
    assert sizes[2][0] == 9
    store.add_results([RESULTS[0]])
    assert store.snapshot(1) is None
    assert [number for number, *_ in store.snapshots()] == [2]
    assert store.results()[1].snapshot is None


def test_no_weights_are_weights_of_a_model_without_any(store: Store) -> None:
    store.add_results([replace(RESULTS[0], state=())])
    assert store.weights(1) == ()


def test_a_reader_leaves_nothing_beside_the_store(path: Path) -> None:
    with Store(path) as store:
        store.add_executions(EXECUTIONS)
    before = path.read_bytes()
    with Store(path, read_only=True) as store:
        assert store.executions() == EXECUTIONS
        with pytest.raises(StoreError, match="readonly"):
            store.set_meta({"a": "b"})
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_nothing_is_pickled(store: Store) -> None:
    with pytest.raises(ValueError, match="allow_pickle"):
        store.add_results([replace(RESULTS[0], state=(np.array([{}], object),))])
    assert store.results() == {}


def test_executions_are_added_all_or_none(store: Store) -> None:
    store.add_executions(EXECUTIONS[:1])
    same_number = Execution(1, 1, Config({"units": 9}), 0)
    same_key = Execution(9, 9, EXECUTIONS[0].config, EXECUTIONS[0].seed)
    for clash in (same_number, same_key):
        with pytest.raises(StoreError, match="UNIQUE"):
            store.add_executions([EXECUTIONS[1], clash])
        assert store.executions() == EXECUTIONS[:1]
    store.add_executions(EXECUTIONS[1:])
    assert store.executions() == EXECUTIONS


@pytest.mark.parametrize("bad", [object(), float])
def test_results_are_added_all_or_none(store: Store, bad: Any) -> None:
    store.add_executions(EXECUTIONS)
    state = (np.ones(3),)
    with pytest.raises(TypeError):
        store.add_results([replace(RESULTS[0], state=state), replace(RESULTS[1], score=bad)])
    assert store.results() == {}
    assert store.weights(1) is None
    store.add_results(RESULTS)
    assert len(store.results()) == 3


WRITER = """
import sys
from pathlib import Path
from hpsearch.space.execution import Execution, ExecutionResult, Status
from hpsearch.space.space import Config
from hpsearch.store.store import as_json
from hpsearch.store.store import Store
path, rounds = Path(sys.argv[1]), int(sys.argv[2])
number = 0
for _ in range(rounds):
    with Store(path) as store:
        for _ in range(25):
            number += 1
            store.add_executions([Execution(number, number, Config({"units": number}), 0)])
            result = ExecutionResult(number, Status.COMPLETED, float(number))
            store.add_results([result, ExecutionResult(-number, Status.COMPLETED, float(number))])
            print(number, flush=True)
"""


def writer(path: Path, rounds: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(rounds)], stdout=subprocess.PIPE, text=True
    )


def test_readers_disturb_nobody_and_see_whole_transactions(path: Path) -> None:
    """Also while writers open and close the store, when its log appears and goes."""
    Store(path).close()
    process = writer(path, rounds=10)
    polls, last = 0, 0
    while process.poll() is None:
        with Store(path, read_only=True) as store:
            found = store.results()
            assert len(store.executions()) >= len(found) // 2
        assert {-number for number in found} == found.keys()
        assert len(found) >= last
        polls, last = polls + 1, len(found)
    output = process.communicate()[0]
    assert process.returncode == 0
    assert output.split()[-1] == "250"
    assert polls > 10
    with Store(path) as store:
        assert len(store.results()) == 500


def test_spans_of_an_earlier_version_are_skipped() -> None:
    record = as_json(RESULTS[0])
    assert from_json(record.replace("[]", "[[12.5, 2, 0.25, 3.0]]", 1)) == from_json(record)


def test_a_store_is_made_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while it is made, it is not there; a half-made one or a stale log does not disturb."""
    with monkeypatch.context() as patch:

        def killed(*_: Any, **__: Any) -> None:
            raise KeyboardInterrupt

        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            Store(path)
    assert not path.exists()
    path.with_name(".sweep.db.new").write_bytes(b"half")
    path.with_name("sweep.db-wal").write_bytes(b"stale" * 100)
    with Store(path) as store:
        store.add_executions(EXECUTIONS)
    assert list(path.parent.iterdir()) == [path]
    with Store(path) as store:
        assert store.executions() == EXECUTIONS


def test_a_writer_follows_no_link(path: Path) -> None:
    elsewhere = path.with_name("elsewhere.db")
    Store(elsewhere).close()
    before = elsewhere.read_bytes()
    path.symlink_to(elsewhere)
    with pytest.raises(StoreError, match=r"sweep\.db: is a symbolic link, not a store"):
        Store(path)
    with Store(path, read_only=True) as store:
        assert store.executions() == []
    assert elsewhere.read_bytes() == before


def test_a_deleted_stores_log_is_not_the_new_ones(path: Path) -> None:
    process = writer(path, rounds=1000)
    assert process.stdout is not None
    for _ in range(5):
        process.stdout.readline()
    process.kill()
    process.communicate()
    path.unlink()
    assert path.with_name("sweep.db-wal").stat().st_size > 0
    with Store(path) as store:
        assert store.executions() == []


def test_the_disk_is_full(path: Path) -> None:
    """SQLite's own limit stands for the disk's."""
    with Store(path) as store:
        store.add_executions(EXECUTIONS)
        store._db.execute("PRAGMA max_page_count=1")
        big = replace(RESULTS[1], traceback="x" * 200_000)
        with pytest.raises(StoreError, match="the store failed: database or disk is full") as e:
            store.add_results([RESULTS[0], big])
        assert e.value.exit_code == 3
        assert store.results() == {}
        store._db.execute("PRAGMA max_page_count=100000")
        store.add_results([RESULTS[0], big])
        assert store.results() == {1: RESULTS[0], 2: big}


def test_a_missing_store_is_made_only_for_a_writer(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no such store"):
        Store(tmp_path / "sweep.db", read_only=True)
    assert not list(tmp_path.iterdir())
    with pytest.raises(StoreError, match="the store failed"):
        Store(tmp_path / "missing" / "sweep.db")


def test_a_copy_that_cannot_be_written_leaves_the_store_alone(tmp_path: Path) -> None:
    with Store(tmp_path / "sweep.db") as store:
        store.add_executions(EXECUTIONS)
        place = str(tmp_path / "missing" / "copy.db")
        with pytest.raises(StoreError, match=f"cannot be copied to {place}: .*untouched"):
            store.copy_to(Path(place))
        assert store.executions() == EXECUTIONS


def test_a_read_only_directory_can_be_read() -> None:
    """As somebody who may not write there: root may everywhere."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        path = directory / "sweep.db"
        with Store(path) as store:
            store.add_executions(EXECUTIONS)
            store.add_results(RESULTS)
        path.chmod(0o444)
        directory.chmod(0o555)
        try:
            if os.geteuid() == 0:
                os.seteuid(65534)
            with Store(path, read_only=True) as store:
                assert store.executions() == EXECUTIONS
                assert len(store.results()) == 3
            with pytest.raises(StoreError, match="the store failed"):
                Store(path).add_executions(EXECUTIONS)
            assert [p.name for p in directory.iterdir()] == ["sweep.db"]
        finally:
            if os.getuid() == 0:
                os.seteuid(0)
            directory.chmod(0o755)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two other users")
def test_a_reader_who_may_not_write_the_store_leaves_no_log() -> None:
    """Which would be the reader's, and keep the owner from writing."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        path = Path(name) / "sweep.db"
        try:
            os.seteuid(65533)
            with Store(path) as store:
                store.add_executions(EXECUTIONS)
            os.seteuid(0)
            os.seteuid(65534)
            with Store(path, read_only=True) as store:
                assert store.executions() == EXECUTIONS
            assert list(Path(name).iterdir()) == [path]
            os.seteuid(0)
            os.seteuid(65533)
            with Store(path) as store:
                store.add_results(RESULTS)
        finally:
            os.seteuid(0)
