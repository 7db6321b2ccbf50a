"""`hpsearch merge` on real sweeps, and tables that were put one below the other."""

import pandas as pd
import pytest
from commands import hpsearch
from here import run_here
from outcomes import contents
from small_sweeps import DIGITS

KEY = ["config", "seed"]
CHANGES = {"ann": ["seeds=[0]", "parameters.hidden_layers=[0]"], "ben": ["seeds=[1]"]}


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """A directory with sweep.yaml, and a results directory for each of CHANGES."""
    home = tmp_path_factory.mktemp("people")
    (home / "sweep.yaml").write_text(DIGITS)
    for out, changes in CHANGES.items():
        run_here(DIGITS, home / out, *changes, model=False)
    return home


def test_two_peoples_results_become_one_sweep(people):
    before = [contents(people / name) for name in ("ann", "ben")]
    said = hpsearch("merge", "ann", "ben", "--out", "both", cwd=people)
    assert [contents(people / name) for name in ("ann", "ben")] == before
    tables = {name: pd.read_csv(people / name / "results.csv") for name in ("ann", "ben", "both")}
    configs = {name: set(table["config"]) for name, table in tables.items()}
    assert said.stdout.splitlines()[0] == (
        f"{len(configs['both'])} trials in both: {len(configs['ann'])} of ann, "
        f"{len(configs['ben'])} of ben"
    )
    assert 0 < len(configs["ann"] & configs["ben"]) < len(configs["both"])
    expected = pd.concat([tables["ann"], tables["ben"]]).set_index(KEY).sort_index()
    found = tables["both"].set_index(KEY).sort_index()
    numbers = ["trial", "shared_with"]
    found, expected = found.drop(columns=numbers), expected.drop(columns=numbers)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    assert "all is sound" in hpsearch("doctor", "both", cwd=people).stdout


def test_a_run_goes_on_in_the_new_directory(people):
    hpsearch("merge", "ben", "ann", "--out", "more", cwd=people)
    again = hpsearch("run", "more/sweep.yaml", "--out", "more", cwd=people)
    assert "20 trials, 20 completed, 0 trained now" in again.stdout
    wider = hpsearch("run", "sweep.yaml", "--out", "more", "--set", "seeds=2", cwd=people)
    assert "20 trials, 20 completed, 16 trained now" in wider.stdout
    said = hpsearch("doctor", "more", cwd=people).stdout
    assert "all is sound" in said
    assert "best.keras   sound" in said


def test_tables_one_below_the_other_are_seen(people):
    ann, ben = (pd.read_csv(people / name / "results.csv") for name in ("ann", "ben"))
    # The second table's trials begin with the last config of the first.
    ben["trial"] = ben["trial"].max() + 1 - ben["trial"]
    pd.concat([ann, ben]).to_csv(people / "table.csv", index=False)
    pd.concat([ann, ann]).to_csv(people / "twice.csv", index=False)
    for command in (
        ["show", "twice.csv"],
        ["compare", "table.csv", "ann"],
        ["report", "table.csv"],
    ):
        error = hpsearch(*command, cwd=people, code=2).stderr
        assert f"{command[1]}: has several configs of a trial, rows of an execution" in error
        assert "hpsearch merge A B --out C" in error
