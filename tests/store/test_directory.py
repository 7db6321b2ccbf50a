"""Taking hold of a results directory."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

import pytest

from hpsearch.errors import HpsearchError, RefusedError
from hpsearch.store.directory import ResultsDirectory


def test_what_a_killed_run_left_over_goes_and_nothing_else(tmp_path: Path) -> None:
    where, elsewhere = ResultsDirectory(tmp_path / "digits"), tmp_path / "elsewhere"
    where.prepare(fresh=False)
    mark = "0123456789abcdef"
    kept = {".other", ".best-practices"}
    for folder in (elsewhere, *(where.path / name for name in (".best-ab_12cde.tmp", *kept))):
        folder.mkdir()
        (folder / "best.keras").write_text("half")
    link = ".best-12345678.tmp"
    (where.path / link).symlink_to(elsewhere)
    left = (f".report.html.{mark}.tmp", f".results.csv.{mark}.tmp", ".sweep.db.new")
    left += (".sweep.db.new-wal",)
    mine = (".notes.tmp", "best-1", "results.csv", "sweep.db", ".best-of.txt")
    mine += (".report.html.notes.tmp", ".sweep.db.new-ideas.txt")
    for name in (*left, *mine):
        (where.path / name).touch()
    names = {path.name for path in where.leftovers()}
    assert names == {*left, ".best-ab_12cde.tmp", link}
    where.clear()
    assert {path.name for path in where.path.iterdir()} == {*mine, *kept}
    assert (elsewhere / "best.keras").read_text() == "half"


def test_fresh_moves_the_old_one_aside_every_time(tmp_path: Path) -> None:
    where = ResultsDirectory(tmp_path / "digits")
    where.prepare(fresh=True)
    for content in ("first", "second", "third"):
        where.results.write_text(f"trial,{content}")
        where.prepare(fresh=True)
        assert set(where.path.iterdir()) <= {where.own_lock}
    aside = sorted(path for path in tmp_path.iterdir() if path != where.path)
    assert sorted((path / "results.csv").read_text() for path in aside) == [
        "trial,first", "trial,second", "trial,third",
    ]  # fmt: skip
    assert all(re.fullmatch(r"digits\.\d{8}-\d{6}(-\d+)?", path.name) for path in aside)


def test_fresh_helps_where_the_store_elsewhere_is_gone(tmp_path: Path) -> None:
    where = ResultsDirectory(tmp_path / "digits")
    where.prepare(fresh=False)
    where.pointer.write_text(f"{tmp_path / 'gone.db'}\n")
    with pytest.raises(RefusedError, match=r"where there is no store .* or use --fresh"):
        where.prepare(fresh=False)
    where.prepare(fresh=True)
    assert not where.pointer.exists()


def test_results_without_a_store_are_not_overwritten(tmp_path: Path) -> None:
    where = ResultsDirectory(tmp_path)
    where.results.write_text("trial,config\n")
    with pytest.raises(
        RefusedError, match=r"results\.csv would be overwritten.* --fresh"
    ) as caught:
        where.prepare(fresh=False)
    assert caught.value.exit_code == 3
    where.store.write_text("")
    where.prepare(fresh=False)


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize(
    "name", ["sweep.yaml", "results.csv", "curves.csv", "report.html", "best.keras"]
)
def test_what_no_run_made_is_not_overwritten(tmp_path: Path, name: str, *, fresh: bool) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(RefusedError, match=f"{re.escape(name)} would be overwritten"):
        ResultsDirectory(tmp_path).prepare(fresh=fresh)
    assert (tmp_path / name).read_text() == "mine"


_OWN = (
    ".lock", "run.log", "sweep.db", "sweep.db-wal", ".store", "results.csv", "curves.csv",
    "sweep.yaml", "report.html", "best.keras",
)  # fmt: skip


@pytest.mark.parametrize("name", _OWN)
def test_no_link_is_followed_and_no_fifo_waited_for(tmp_path: Path, name: str) -> None:
    (tmp_path / "target").write_text("mine")
    where = ResultsDirectory(tmp_path / "out")
    where.path.mkdir()
    (where.path / name).symlink_to(tmp_path / "target")
    with pytest.raises(RefusedError, match=f"{re.escape(name)}: is a symbolic link"):
        where.prepare(fresh=False)
    assert (tmp_path / "target").read_text() == "mine"
    (where.path / name).unlink()
    os.mkfifo(where.path / name)
    with pytest.raises(RefusedError, match=f"{re.escape(name)}: is a FIFO"):
        where.prepare(fresh=False)
    with suppress(HpsearchError):
        where.prepare(fresh=True)


def test_a_file_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        for fresh in (False, True):
            with pytest.raises(HpsearchError, match="the results directory cannot be made") as e:
                ResultsDirectory(path).prepare(fresh=fresh)
            assert e.value.exit_code == 2
    assert (tmp_path / "file").read_text() == "mine"


def test_a_directory_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root may write everywhere, so the system's answer is played.
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(HpsearchError, match="the results directory cannot be written"):
        ResultsDirectory(tmp_path).prepare(fresh=False)
