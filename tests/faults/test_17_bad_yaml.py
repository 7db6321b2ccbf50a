"""FAULTS 17: a bad sweep file is explained by its line, at once, and trains nothing."""

from __future__ import annotations

import pytest
from bad_sweeps import BAD, DATA, P
from commands import Watched, most_seconds, watched

_MOST_BYTES = 200 * 2**20
#: Of all in `bad_sweeps`, one of each kind, and those that might take long.
_CASES = (
    "empty", "tab", "alias", "python tag", "nested", "huge number", "unknown key", "activation",
    "huge grid", "when in a cycle", "constraint never", "config breaks", "no budget", "memory",
)  # fmt: skip
_SLOW_CASES = (
    "list at top", "two documents", "duplicate key", "duplicate parameter", "anchor",
    "empty value", "empty list", "name climbs", "seed is text", "unknown dataset",
    "quoted rate", "negative rate", "batch 0", "layer type", "optimizer", "optimizer argument",
    "unknown hyperparameter", "duplicate choice", "min above max", "nan bound", "log from 0",
    "step does not divide", "grid without step", "when unknown", "when never",
    "constraint calls", "method", "metric near", "loss",
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


@pytest.mark.parametrize(
    "name", [*_CASES, *(pytest.param(name, marks=pytest.mark.slow) for name in _SLOW_CASES)]
)
def test_a_mistake_is_told_by_its_line(tmp_path, name):
    case = BAD[name]
    said = refused(case.text.encode(), tmp_path)
    (line,) = said.stderr.strip().splitlines()
    path = f"{case.path}: " if case.path else ""
    assert line.startswith(f"bad.yaml:{case.line}: {path}")
    for piece in case.pieces:
        assert piece in line


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


def test_all_mistakes_of_a_file_at_once(tmp_path):
    text = DATA + "paramters: {}\n" + P.removeprefix(DATA) + "  unit: 3\n  epochs: 0\nseeds: 0\n"
    told = refused(text.encode(), tmp_path).stderr.strip().splitlines()
    assert [line.split(": ")[0] for line in told] == [f"bad.yaml:{n}" for n in (2, 4, 5, 6)]
