"""Files that are written as a whole, and a log whose beginning goes beyond a size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from hpsearch import files
from hpsearch.files import write_atomically


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("mine")
    (tmp_path / "a").symlink_to(target)
    write_atomically(tmp_path / "a", "ours")
    assert (tmp_path / "a").read_text() == "ours"
    assert not (tmp_path / "a").is_symlink()
    assert target.read_text() == "mine"


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(tmp_path / "a", "\ud800")
    (tmp_path / "b").mkdir()
    with pytest.raises(IsADirectoryError):
        write_atomically(tmp_path / "b", "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
    assert (tmp_path / "a").read_text() == "old"


def test_a_directory_may_be_one_that_cannot_be_listed(tmp_path: Path) -> None:
    tmp_path.chmod(0o300)
    try:
        write_atomically(tmp_path / "a", "text")
    finally:
        tmp_path.chmod(0o700)
    assert (tmp_path / "a").read_text() == "text"


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[IO[str]]:
    monkeypatch.setattr(files, "_MOST_BYTES", 1000)
    monkeypatch.setattr(files, "_LAST_BYTES", 200)
    with (tmp_path / "run.log").open("a+") as file:
        yield file


def printed(log: IO[str], numbers: range) -> str:
    log.writelines(f"line {number:04}\n" for number in numbers)
    log.flush()
    files.cut_beginning(log)
    return Path(log.name).read_text()


def lines(numbers: range) -> str:
    return "".join(f"line {number:04}\n" for number in numbers)


def test_the_beginning_goes_as_whole_lines(log: IO[str]) -> None:
    assert printed(log, range(100)) == lines(range(100))
    # Ten bytes a line: of the last 200 bytes, those after a line end stay.
    log.truncate(0)
    assert printed(log, range(200)) == f"[the beginning was cut]\n{lines(range(181, 200))}"


def test_a_log_that_cannot_be_read_stays(log: IO[str]) -> None:
    with Path(log.name).open("a") as blind:
        blind.write(lines(range(200)))
        blind.flush()
        files.cut_beginning(blind)
    files.cut_beginning(blind)
    assert Path(log.name).read_text() == lines(range(200))
