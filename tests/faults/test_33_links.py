"""FAULTS 33: a link, FIFO or device in the place of a file is refused at once."""

import os
import shutil
import tracemalloc

import pytest
from commands import hpsearch, sweep
from marks import slow

from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.doctor import examine

_SWEEP = "data: {dataset: digits}\nparameters: {units: [4, 8], epochs: 1}\n"


@pytest.fixture
def home(tmp_path):
    (tmp_path / "sweep.yaml").write_text(_SWEEP)
    (tmp_path / "out").mkdir()
    return tmp_path


_HARD = "is a file that has another name elsewhere (a hard link)"


@pytest.mark.parametrize(
    ("name", "place", "words"),
    [
        ("results.csv", lambda path, target: path.symlink_to(target), "is a symbolic link"),
        ("run.log", lambda path, _: path.symlink_to("../nothing"), "is a symbolic link"),
        ("run.log", lambda path, _: os.mkfifo(path), "is a FIFO"),
        # What is written here is written there.
        (".lock", lambda path, target: path.hardlink_to(target), _HARD),
        ("run.log", lambda path, target: path.hardlink_to(target), _HARD),
        ("sweep.db", lambda path, target: path.hardlink_to(target), _HARD),
    ],
)
def test_a_run_follows_no_link_and_waits_at_no_fifo(home, name, place, words):
    (home / "target").write_text("123")
    place(home / "out" / name, home / "target")
    done = hpsearch("run", "sweep.yaml", "--out", "out", cwd=home, code=3)
    assert f"out/{name}: {words}" in done.stderr
    assert (home / "target").read_text() == "123"
    assert not (home / "nothing").exists()


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    home = tmp_path_factory.mktemp("swept")
    sweep(home, _SWEEP, out="run")
    return home / "run"


@pytest.fixture
def out(swept, tmp_path):
    return shutil.copytree(swept, tmp_path / "run")


#: Name -> exit codes of `show`, which reads few of them, and of `doctor`.
FIFOS = {
    "results.csv": (2, 3), "curves.csv": (0, 3), "sweep.db": (0, 3), ".store": (0, 0),
    "sweep.yaml": (0, 0), "best.keras": (0, 3),
}  # fmt: skip


@pytest.mark.parametrize("command", ["show", slow("doctor")])
@pytest.mark.parametrize("name", FIFOS)
def test_reading_waits_at_no_fifo(out, command, name):
    (out / name).unlink(missing_ok=True)
    os.mkfifo(out / name)
    hpsearch(command, out, cwd=out.parent, code=FIFOS[name][command == "doctor"])


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


@pytest.mark.parametrize("name", ["sweep.db", "sweep.db-wal", ".store"])
def test_doctor_copies_nothing_without_end(out, name):
    (out / name).unlink(missing_ok=True)
    if name == ".store":
        (out / name).write_text("/dev/zero\n")
    else:
        (out / name).symlink_to("/dev/zero")
    done = hpsearch("doctor", out, cwd=out.parent, code=3)
    assert "is a device" in done.stdout + done.stderr


@pytest.mark.parametrize("name", [".store", "sweep.yaml"])
def test_a_huge_file_is_not_read_whole(out, name):
    with (out / name).open("wb") as file:
        file.truncate(1 << 33)
    tracemalloc.start()
    ResultsDirectory(out).store  # noqa: B018
    examine(out)
    assert tracemalloc.get_traced_memory()[1] < 1 << 30
    tracemalloc.stop()
