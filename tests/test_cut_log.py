"""The log of what workers print: beyond a size its beginning goes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from hpsearch import files


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


def test_a_short_log_stays(log: IO[str]) -> None:
    assert printed(log, range(100)) == lines(range(100))


def test_the_beginning_goes_as_whole_lines(log: IO[str]) -> None:
    # Ten bytes a line: of the last 200 bytes, those after a line end stay.
    assert printed(log, range(200)) == f"[the beginning was cut]\n{lines(range(181, 200))}"


def test_a_log_that_cannot_be_read_stays(log: IO[str]) -> None:
    with Path(log.name).open("a") as blind:
        blind.write(lines(range(200)))
        blind.flush()
        files.cut_beginning(blind)
    files.cut_beginning(blind)
    assert Path(log.name).read_text() == lines(range(200))
