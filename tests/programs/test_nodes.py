"""Whether a machine may run a program's trials: it has to see the driver's files."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from hpsearch.programs.command import UserProgram
from hpsearch.programs.fingerprint import fingerprint_of
from hpsearch.programs.nodes import MARK, why_unfit
from hpsearch.store.directory import ResultsDirectory


@pytest.fixture
def program(tmp_path):
    where = ResultsDirectory(tmp_path / "out")
    where.path.mkdir()
    where.prepare_trials()
    file = tmp_path / "train.py"
    file.write_text("pass")
    return UserProgram(
        command=("${program}",),
        program=str(file),
        metric="loss",
        directory=str(tmp_path),
        trials=str(where.trials),
        mark=where.mark_of_trials.read_text(),
    )


def test_a_machine_with_the_same_files_is_fit(program):
    assert not why_unfit(program, fingerprint_of(program))


def test_each_directory_has_a_mark_of_its_own_and_keeps_it(program, tmp_path):
    where = ResultsDirectory(tmp_path / "out")
    where.prepare_trials()
    assert where.mark_of_trials.read_text() == program.mark
    other = ResultsDirectory(tmp_path / "other")
    other.path.mkdir()
    other.prepare_trials()
    assert other.mark_of_trials.read_text() != program.mark


def test_what_is_missing_is_named(program, tmp_path):
    known = fingerprint_of(program)
    elsewhere = str(tmp_path / "elsewhere")
    said = {
        "does not have": replace(program, trials=elsewhere),
        "has another directory": replace(program, mark="0"),
        f"does not have {elsewhere}": replace(program, directory=elsewhere),
        f"does not have {elsewhere}:": replace(program, program=elsewhere),
    }
    for text, unfit in said.items():
        assert text in why_unfit(unfit, known)
        assert "on a file system that they share" in why_unfit(unfit, known)
    Path(program.program).write_text("edited")
    assert f"has another {program.program}" in why_unfit(program, known)


def test_a_directory_that_cannot_be_written_is_told(program, monkeypatch):
    # Root may write anywhere.
    monkeypatch.setattr(os, "access", lambda path, _: path != Path(program.trials))
    assert "may not write" in why_unfit(program, fingerprint_of(program))


def test_without_a_mark_nothing_is_looked_at(program):
    (Path(program.trials) / MARK).unlink()
    assert not why_unfit(replace(program, mark=""), "d0")
