"""A results directory on a file system without locks: refused, or its store kept elsewhere."""

import signal

import pytest
from commands import hpsearch, preload, start
from outcomes import assert_same, table


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A place with a sweep, a directory `share` without locks, and an undisturbed run."""
    home = tmp_path_factory.mktemp("home")
    (home / "share").mkdir()
    text = "data: {dataset: digits, validation: 0.2, seed: 42}\nexecution: {workers: 1}\n"
    text += "parameters: {hidden_layers: [1, 2], units: [8, 16], epochs: [20, 60]}\n"
    (home / "sweep.yaml").write_text(text)
    hpsearch("run", "sweep.yaml", "--out", "undisturbed", cwd=home)
    return home


@pytest.fixture
def lockless(home, tmp_path):
    return preload("lockless", tmp_path) | {"LOCKLESS": str(home / "share")}


@pytest.mark.slow
@pytest.mark.parametrize("more", [{}, {"REFUSED": "1"}], ids=["lie", "refuse"])
def test_locks_that_do_not_work_are_refused_with_the_reason(home, lockless, more):
    out = f"share/refused-{len(more)}"
    said = hpsearch("run", "sweep.yaml", "--out", out, cwd=home, env=lockless | more, code=3)
    why = "No locks available" if more else "a lock keeps nobody out"
    assert f"{out}: its file system has no working locks ({why})" in said.stderr
    assert "--store PATH" in said.stderr
    assert not (home / out / "results.csv").exists()


@pytest.mark.slow
def test_with_its_store_elsewhere_it_runs_is_killed_and_goes_on(home, lockless):
    store = home / "local" / "mine.db"
    options = ("sweep.yaml", "--store", "local/mine.db")
    driver = start(*options, cwd=home, out="share/moved", env=lockless)
    # Its results are counted in the store, which is elsewhere.
    driver.directory = home / "watched"
    driver.directory.mkdir()
    (driver.directory / "sweep.db").symlink_to(store)
    driver.wait_for_results(2)
    second = hpsearch("run", *options, "--out", "share/moved", cwd=home, env=lockless, code=3)
    assert f"(process {driver.pid})" in second.stderr
    driver.send(signal.SIGKILL)
    out = home / "share" / "moved"
    assert not (out / "sweep.db").exists()
    # The directory knows where it is.
    said = hpsearch("run", "sweep.yaml", "--out", "share/moved", cwd=home, env=lockless)
    assert "8 trials, 8 completed" in said.stdout
    (out / "sweep.db").symlink_to(store)
    assert_same(out, home / "undisturbed", 8)
    (out / "sweep.db").unlink()
    for command in (("show",), ("report",), ("doctor",), ("reproduce", "--trial", 1)):
        hpsearch(command[0], "share/moved", *command[1:], cwd=home, env=lockless)
    said = hpsearch(
        "run", "sweep.yaml", "--out", "share/moved", "--store", "other.db", cwd=home,
        env=lockless, code=3,
    )  # fmt: skip
    assert f"its store is at {store} already" in said.stderr


@pytest.mark.slow
def test_a_store_that_is_there_is_moved(home):
    out = home / "later"
    half = ["--set", "parameters.hidden_layers=[1]"]
    hpsearch("run", "sweep.yaml", *half, "--out", "later", cwd=home)
    said = hpsearch("run", "sweep.yaml", "--out", "later", "--store", "l/later.db", cwd=home)
    assert "8 trials, 8 completed, 4 trained now" in said.stdout
    assert not (out / "sweep.db").exists()
    # Another directory's store is nobody else's.
    said = hpsearch("run", "sweep.yaml", "--out", "x", "--store", "l/later.db", cwd=home, code=3)
    assert "is there already, and is not the store of x" in said.stderr
    # A fresh start leaves the old one with its old directory.
    hpsearch("run", "sweep.yaml", *half, "--out", "later", "--fresh", cwd=home)
    assert len(table(out)) == 4
    (aside,) = (path for path in home.iterdir() if path.name.startswith("later."))
    assert len(table(aside)) == 8
    assert "all is sound" in hpsearch("doctor", aside, cwd=home).stdout
