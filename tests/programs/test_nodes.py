"""Whether a machine may run a program's trials: it has to see the driver's files."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from hpsearch.programs import nodes
from hpsearch.programs.command import UserProgram
from hpsearch.programs.fingerprint import fingerprint_of
from hpsearch.programs.nodes import MARK, why_unfit
from hpsearch.store.directory import ResultsDirectory
from hpsearch.workers.servers import ENVIRONMENT


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


def test_a_copy_of_the_directory_is_another_one_from_the_next_run_on(program, tmp_path):
    where = ResultsDirectory(tmp_path / "out")
    shutil.copytree(where.path, tmp_path / "copy")
    copied = replace(program, trials=str(tmp_path / "copy" / "trials"))
    where.prepare_trials()
    current = where.mark_of_trials.read_text()
    assert not why_unfit(replace(program, mark=current), "")
    assert "has another directory" in why_unfit(replace(copied, mark=current), "")
    # Neither does a task that a killed run has left in a pool run any more.
    assert "has another directory" in why_unfit(program, "")


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


def test_the_variables_that_a_node_does_not_decide_are_documented():
    page = (Path(nodes.__file__).parent / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in page.partition("## On a cluster")[2] for name in ENVIRONMENT)


def test_without_a_mark_nothing_is_looked_at(program):
    (Path(program.trials) / MARK).unlink()
    assert not why_unfit(replace(program, mark=""), "d0")
