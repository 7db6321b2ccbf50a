"""Files within an open directory: whatever becomes of its path, they are in no other place."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from hpsearch.files import OpenDirectory, write_atomically


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def led_elsewhere(home: Path) -> Path:
    """Move a directory, and let its path be a link to another one, which is returned."""
    elsewhere = home.with_name("elsewhere")
    elsewhere.mkdir()
    home.rename(home.with_name("moved"))
    home.symlink_to(elsewhere)
    return elsewhere


def test_a_file_is_written_in_the_directory_that_was_opened(home: Path) -> None:
    with OpenDirectory(home) as directory:
        elsewhere = led_elsewhere(home)
        directory.write("a", "text")
        os.close(directory.open("b", os.O_WRONLY | os.O_CREAT))
        with directory.scratch(".c-") as scratch:
            os.close(scratch.open("c", os.O_WRONLY | os.O_CREAT))
            directory.take(scratch, "c", "c")
    assert sorted(path.name for path in home.with_name("moved").iterdir()) == ["a", "b", "c"]
    assert list(elsewhere.iterdir()) == []


def test_also_if_the_path_changes_at_the_last_instant(home: Path) -> None:
    with OpenDirectory(home) as directory:
        directory.write("a", "text", check=lambda: led_elsewhere(home) and None)
    assert (home.with_name("moved") / "a").read_text() == "text"
    assert list(home.iterdir()) == []


def test_a_link_is_not_followed(home: Path) -> None:
    target = home.with_name("target")
    target.write_text("mine")
    (home / "a").symlink_to(target)
    (home / "inner").symlink_to(home.parent)
    with OpenDirectory(home) as directory:
        with pytest.raises(OSError, match="symbolic link"):
            directory.open("a", os.O_WRONLY)
        with pytest.raises(OSError, match="irectory"):
            OpenDirectory(home / "inner", directory)
        directory.write("a", "ours")
    assert (home / "a").read_text() == "ours"
    assert not (home / "a").is_symlink()
    assert target.read_text() == "mine"


def test_a_check_that_fails_leaves_the_old_file(home: Path) -> None:
    write_atomically(home / "a", "old")

    def refuse() -> None:
        raise ValueError("gone")

    with OpenDirectory(home) as directory, pytest.raises(ValueError, match="gone"):
        directory.write("a", "new", refuse)
    assert [(path.name, path.read_text()) for path in home.iterdir()] == [("a", "old")]


def test_a_scratch_directory_is_private_and_goes(home: Path) -> None:
    with OpenDirectory(home) as directory:
        with directory.scratch(".s-") as scratch:
            scratch.write("left", "behind")
            assert stat.S_IMODE(scratch.path.stat().st_mode) == 0o700
        assert list(home.iterdir()) == []


def test_a_directory_may_be_one_that_cannot_be_listed(home: Path) -> None:
    home.chmod(0o300)
    try:
        write_atomically(home / "a", "text")
    finally:
        home.chmod(0o700)
    assert (home / "a").read_text() == "text"


def test_closing_twice_closes_once(home: Path) -> None:
    directory = OpenDirectory(home)
    handle = directory.handle
    directory.close()
    other = os.open(home, os.O_RDONLY)
    assert other == handle
    directory.close()
    os.close(other)
    with pytest.raises(OSError, match="Bad file descriptor"):
        directory.write("a", "text")
