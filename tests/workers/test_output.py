"""The log of what workers print: beyond a size its middle goes, and the size is said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from hpsearch.workers import output


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[IO[str]]:
    monkeypatch.setattr(output, "_MOST_BYTES", 1000)
    monkeypatch.setattr(output, "_FIRST_BYTES", 100)
    monkeypatch.setattr(output, "_LAST_BYTES", 200)
    with (tmp_path / "run.log").open("a+") as file:
        yield file


def printed(log: IO[str], numbers: range) -> str:
    log.writelines(f"line {number:04}\n" for number in numbers)
    log.flush()
    output.cut_middle(log)
    return Path(log.name).read_text()


def lines(numbers: range) -> str:
    return "".join(f"line {number:04}\n" for number in numbers)


def test_a_short_log_stays(log: IO[str]) -> None:
    assert printed(log, range(100)) == lines(range(100))


def test_the_middle_goes_as_whole_lines(log: IO[str]) -> None:
    # Ten bytes a line: ten stay at the beginning, and of the last 200 bytes those after a line end.
    kept = lines(range(10)), lines(range(181, 200))
    assert printed(log, range(200)) == f"{kept[0]}\n[1710 bytes were cut here]\n{kept[1]}"


def test_cuts_add_up(log: IO[str]) -> None:
    printed(log, range(200))
    again = printed(log, range(200, 400))
    assert again == f"{lines(range(10))}\n[3710 bytes were cut here]\n{lines(range(381, 400))}"
    assert printed(log, range(400, 401)) == again + lines(range(400, 401))


def test_a_log_that_cannot_be_read_stays(log: IO[str]) -> None:
    with Path(log.name).open("a") as blind:
        blind.write(lines(range(200)))
        blind.flush()
        output.cut_middle(blind)
    output.cut_middle(blind)
    assert Path(log.name).read_text() == lines(range(200))
