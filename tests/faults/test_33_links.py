"""FAULTS 33: a link, FIFO or device in the place of a file is refused at once."""

from __future__ import annotations

import os
import shutil
import tracemalloc

import pytest
from commands import hpsearch, sweep

from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.doctor import examine

_SWEEP = "data: {dataset: digits}\nparameters: {units: [4, 8], epochs: 1}\n"


@pytest.fixture
def home(tmp_path):
    (tmp_path / "sweep.yaml").write_text(_SWEEP)
    (tmp_path / "out").mkdir()
    return tmp_path


def test_a_run_follows_no_link(home):
    (home / "target").write_text("mine")
    (home / "out" / "results.csv").symlink_to(home / "target")
    done = hpsearch("run", "sweep.yaml", "--out", "out", cwd=home, code=3)
    assert "out/results.csv: is a symbolic link" in done.stderr
    assert (home / "target").read_text() == "mine"


def test_nor_a_link_to_nothing(home):
    (home / "out" / "run.log").symlink_to(home / "target")
    hpsearch("run", "sweep.yaml", "--out", "out", cwd=home, code=3)
    assert not (home / "target").exists()


def test_a_run_waits_at_no_fifo(home):
    os.mkfifo(home / "out" / "run.log")
    done = hpsearch("run", "sweep.yaml", "--out", "out", cwd=home, code=3)
    assert "out/run.log: is a FIFO" in done.stderr


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    home = tmp_path_factory.mktemp("swept")
    sweep(home, _SWEEP, out="run")
    return home


def of_commands():
    for command in ("show", "doctor"):
        for name in ("results.csv", "curves.csv", "sweep.db", ".store", "sweep.yaml", "best.keras"):
            marks = () if command == "show" else (pytest.mark.slow,)
            yield pytest.param(command, name, marks=marks)


@pytest.mark.parametrize(("command", "name"), list(of_commands()))
def test_reading_waits_at_no_fifo(swept, tmp_path, command, name):
    shutil.copytree(swept / "run", tmp_path / "run")
    (tmp_path / "run" / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / "run" / name)
    hpsearch(command, "run", cwd=tmp_path, code=None)


def test_files_of_a_command_line(home):
    os.mkfifo(home / "fifo")
    assert "fifo:1: cannot be read: a FIFO" in hpsearch("run", "fifo", cwd=home, code=2).stderr
    assert "a FIFO" in hpsearch("show", "fifo", cwd=home, code=2).stderr
    assert "a device" in hpsearch("show", "/dev/zero", cwd=home, code=2).stderr
    (home / "rows.yaml").write_text(
        "data: {csv: fifo, target: y}\nparameters: {units: [4], epochs: 1}\n"
    )
    said = hpsearch("run", "rows.yaml", "--out", "rows", cwd=home, code=2).stderr
    assert "not a regular file" in said


@pytest.mark.parametrize("name", [".lock", "run.log", "sweep.db"])
def test_another_name_of_a_file_is_refused(home, name):
    """A hard link: what is written here is written there."""
    (home / "target").write_text("123")
    os.link(home / "target", home / "out" / name)
    done = hpsearch("run", "sweep.yaml", "--out", "out", cwd=home, code=3)
    assert f"out/{name}: is a file that has another name elsewhere (a hard link)" in done.stderr
    assert (home / "target").read_text() == "123"


@pytest.mark.parametrize("name", ["sweep.db", "sweep.db-wal", ".store"])
def test_doctor_copies_nothing_without_end(swept, tmp_path, name):
    out = tmp_path / "run"
    shutil.copytree(swept / "run", out)
    (out / name).unlink(missing_ok=True)
    if name == ".store":
        (out / name).write_text("/dev/zero\n")
    else:
        (out / name).symlink_to("/dev/zero")
    done = hpsearch("doctor", out, cwd=tmp_path, code=3)
    assert "is a device" in done.stdout + done.stderr


@pytest.mark.parametrize("name", [".store", "sweep.yaml"])
def test_a_huge_file_is_not_read_whole(swept, tmp_path, name):
    out = tmp_path / "run"
    shutil.copytree(swept / "run", out)
    with (out / name).open("wb") as file:
        file.truncate(1 << 33)
    tracemalloc.start()
    ResultsDirectory(out).store  # noqa: B018
    examine(out)
    assert tracemalloc.get_traced_memory()[1] < 1 << 30
    tracemalloc.stop()
