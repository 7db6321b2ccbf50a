"""FAULTS 17: a bad sweep file is explained by its line, at once, and trains nothing."""

from __future__ import annotations

import pytest
from bad_sweeps import BAD
from commands import Watched, most_seconds, watched

from hpsearch.cli.app import main

_MOST_BYTES = 200 * 2**20
#: Of all in `bad_sweeps`, one of each kind, and those that might take long.
_CASES = (
    "empty", "tab", "alias", "python tag", "nested", "huge number", "unknown key", "activation",
    "huge grid", "when in a cycle", "constraints never together", "config breaks", "no budget",
    "memory",
)  # fmt: skip


def refused(text: bytes, place) -> Watched:
    """Run a sweep file that cannot be: quickly, in little memory, without a trace of a run."""
    (place / "bad.yaml").write_bytes(text)
    for _ in range(3):
        said = watched("run", "bad.yaml", cwd=place, code=2)
        # A loaded machine may be slow, but not each time.
        if said.seconds < most_seconds():
            break
    assert said.seconds < most_seconds()
    assert said.peak_bytes < _MOST_BYTES
    assert sorted(path.name for path in place.iterdir()) == ["bad.yaml"]
    assert not said.stdout
    return said


def require_told(name, said) -> None:
    case = BAD[name]
    (line,) = said.strip().splitlines()
    path = f"{case.path}: " if case.path else ""
    assert line.startswith(f"bad.yaml:{case.line}: {path}")
    for piece in case.pieces:
        assert piece in line


@pytest.mark.parametrize("name", _CASES)
def test_a_mistake_is_told_by_its_line_at_once(tmp_path, name):
    require_told(name, refused(BAD[name].text.encode(), tmp_path).stderr)


@pytest.mark.parametrize("name", [name for name in BAD if name not in _CASES])
def test_every_mistake_is_told_by_its_line(tmp_path, monkeypatch, capsys, name):
    """In this process, since there are many."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yaml").write_bytes(BAD[name].text.encode())
    with pytest.raises(SystemExit) as ended:
        main(["run", "bad.yaml"])
    said = capsys.readouterr()
    assert ended.value.code == 2
    require_told(name, said.err)
    assert not said.out
    assert [path.name for path in tmp_path.iterdir()] == ["bad.yaml"]


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        (b"data: {dataset: digits}\nname: caf\xe9\n", 2, "0xe9 is not UTF-8"),
        ("data: {dataset: digits}\n".encode("utf-16"), 1, "UTF-8"),
        (bytes(range(256)), 2, "UTF-8"),
    ],
)
def test_bytes_that_are_no_text(tmp_path, content, line, words):
    told = refused(content, tmp_path).stderr
    assert told.startswith(f"bad.yaml:{line}: ")
    assert words in told
