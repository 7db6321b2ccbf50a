"""Files that are written as a whole."""

from __future__ import annotations

from pathlib import Path

import pytest

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
