"""Surroundings that no sweep file decides: directories, encodings, limits and full disks."""

import os
import shutil
import sys
from pathlib import Path

import pytest
from commands import PROGRAM, hpsearch, sweep
from disks import small_disk
from marks import slow
from small_sweeps import TABLE

_SWEEP = "data: {dataset: wine}\nparameters: {units: [4, 8], epochs: 1}\n"
_CSV = "data: {csv: rows.csv, target: y}\nname: rows\nparameters: {units: [4, 8], epochs: 1}\n"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    sweep(home, _SWEEP)
    return home


def after(shell):
    """The program, started by a shell after other commands."""
    return ("sh", "-c", f'{shell}; exec "$@"', "sh", *PROGRAM)


def line_of(done):
    """The only line that a failed command has written."""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


_GONE = after("mkdir gone && cd gone && rmdir ../gone")


@pytest.mark.parametrize(
    "command",
    [
        "run HOME/sweep.yaml",
        "run HOME/sweep.yaml --out HOME/other",
        "doctor HOME/out",
        "reproduce HOME/out --trial 1",
    ],
)
def test_a_deleted_working_directory_is_named(home, command):
    words = command.replace("HOME", str(home)).split()
    said = line_of(hpsearch(*words, cwd=home, code=2, program=_GONE))
    assert "the working directory has been deleted" in said


def test_reading_needs_no_working_directory(home):
    assert "units" in hpsearch("show", home / "out", cwd=home, program=_GONE).stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "environ", [{"PYTHONIOENCODING": "ascii"}, {"PYTHONUTF8": "0", "LC_ALL": "C"}]
)
def test_names_beyond_ascii_on_any_stream(home, environ):
    shutil.copytree(home / "out", home / "Größe漢", dirs_exist_ok=True)
    for arguments in (["show", "Größe漢"], ["compare", "Größe漢", "out"], ["show", "fehlt-ü"]):
        done = hpsearch(*arguments, cwd=home, code=None, env=environ)
        assert done.returncode == (2 if "fehlt-ü" in arguments else 0)


@pytest.mark.parametrize("within", [True, slow(False)])
def test_paths_that_are_no_utf_8(tmp_path, within):
    undecodable = tmp_path / os.fsdecode(b"caf\xe9")
    undecodable.mkdir()
    (undecodable / "sweep.yaml").write_text(_CSV)
    (undecodable / "rows.csv").write_text(TABLE)
    place = undecodable if within else tmp_path
    name = "" if within else f"{undecodable.name}/"
    out, store = f"{name}{undecodable.name}", f"{name}stores/my.db"
    run = ("run", f"{name}sweep.yaml", "--out", out, "--store", store)
    for _ in range(2):
        assert "0.0" in hpsearch(*run, cwd=place).stdout
    assert (place / store).exists()
    for name in ("show", "doctor", "report"):
        hpsearch(name, out, cwd=place)
    hpsearch("export", out, "--out", f"{out}/m.keras", cwd=place)


def test_few_open_files(home):
    arguments = ("run", "sweep.yaml", "--out", "files")
    done = hpsearch(*arguments, cwd=home, code=2, program=after("ulimit -n 8"))
    assert "no more than 8 files may be open" in done.stderr.splitlines()[-1]
    hpsearch(*arguments, cwd=home)


def test_few_open_files_are_no_damage(home):
    for most in (6, 7):
        done = hpsearch("doctor", "out", cwd=home, code=None, program=after(f"ulimit -n {most}"))
        assert "WRONG" not in done.stdout
        assert "--fresh" not in done.stdout + done.stderr
        assert done.returncode == 0 or "files may be open" in line_of(done)


_AS_NOBODY = """\
import contextlib, os, resource, sys
from hpsearch.cli.app import main
# What the other user may not be allowed to read is imported before.
with contextlib.suppress(SystemExit):
    main(["run", "sweep.yaml", "--out", "first"])
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
main(sys.argv[1:])
"""


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_few_processes():
    """The limit counts for others than root alone."""
    home = Path("/tmp") / f"hpsearch-test-{os.getpid()}"
    home.mkdir(mode=0o777)
    try:
        home.chmod(0o777)
        done = sweep(home, _SWEEP, code=2, program=(sys.executable, "-c", _AS_NOBODY))
        assert "no more processes may be started" in done.stderr.splitlines()[-1]
    finally:
        shutil.rmtree(home)


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a disk")
def test_a_full_disk_of_temporary_files_is_no_damage(tmp_path):
    parameters = "{units: {min: 1, max: 20, step: 1, type: int}, epochs: 1}"
    (tmp_path / "sweep.yaml").write_text(
        f"data: {{dataset: wine, test: 0.2}}\nseeds: 10\nparameters: {parameters}\n"
    )
    hpsearch("run", "sweep.yaml", "--out", "out", cwd=tmp_path)
    with small_disk(tmp_path / "small", 2**20) as disk:
        small = disk.path
        (small / "other").write_bytes(bytes(2**20 - 2**16))
        for arguments in (
            ["show", "out"],
            ["run", "sweep.yaml", "--out", "out"],
            ["evaluate", "out", "--split", "test"],
            ["doctor", "out"],
        ):
            done = hpsearch(*arguments, cwd=tmp_path, code=None, env={"TMPDIR": str(small)})
            assert "damaged" not in done.stderr
            assert "--fresh" not in done.stderr
            assert done.returncode == 0 or "TMPDIR" in done.stderr, (arguments, done.stderr)
        assert done.returncode == 3
        assert str(small) in line_of(done)
    assert "all is sound" in hpsearch("doctor", "out", cwd=tmp_path).stdout
