"""FAULTS 14: no silent edit: what may change trains what is missing, the rest is refused."""

import shutil

import pandas as pd
import pytest
from commands import hpsearch, sweep
from outcomes import OF_A_RUN, acknowledged, contents, table
from pandas.testing import assert_frame_equal
from small_sweeps import DIGITS


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    home = tmp_path_factory.mktemp("finished")
    said = sweep(home, DIGITS)
    assert "20 trials, 20 completed, 20 trained now" in said.stdout
    return home


def test_fewer_epochs_are_in_the_curves_already(tmp_path):
    def run(epochs):
        text = f"data: {{dataset: digits}}\nparameters: {{units: [4, 8], epochs: {epochs}}}\n"
        return sweep(tmp_path, text)

    run([4])
    edit = ("--set", "parameters.epochs=[2, 4]")
    planned = hpsearch("plan", "sweep.yaml", "--out", "out", *edit, cwd=tmp_path).stdout
    assert "trainings  0" in planned
    assert "time       nothing to train" in planned
    said = run([2, 4])
    assert "to train" not in said.stderr
    assert "4 trials, 4 completed" in said.stdout
    rows = pd.read_csv(tmp_path / "out" / "results.csv").query("epochs == 2")
    assert rows["seconds"].tolist() == [0, 0]
    assert rows["shared_with"].tolist() == [1, 2]
    said = run([2, 4, 6])
    assert "2 trials to train in 2 trainings of 12 epochs (0 saved)" in said.stderr


@pytest.mark.slow
def test_edits_train_only_what_is_new(finished, tmp_path):
    home = shutil.copytree(finished, tmp_path / "home")
    before, out = table(home / "out"), home / "out"
    # A value more in a list; it stands before the old one.
    said = sweep(home, "", "--set", "parameters.units=[8, 16]")
    assert "36 trials, 36 completed, 16 trained now" in said.stdout
    wider = table(out)
    assert_frame_equal(wider[:20], before, check_dtype=False)
    assert set(wider["units"][20:]) == {8}
    # Epochs and seeds more, values fewer: the rows of an abandoned value stay.
    said = sweep(home, "", "--set", "parameters.epochs=[1, 2, 3]", "--set", "seeds=2")
    # Each of the 30 configs has a second seed now, and 10 of them are new.
    assert "30 trials, 30 completed, 30 trained now" in said.stdout
    longer = table(out)
    assert list(longer["trial"].drop_duplicates()) == list(range(1, 47))
    old = longer.merge(wider[["trial", "seed"]])
    assert_frame_equal(old, wider, check_dtype=False)
    assert not longer.duplicated(["config", "seed"]).any()
    assert (longer.groupby("trial")["config"].nunique() == 1).all()
    assert longer["seed"].value_counts().to_dict() == {0: 46, 1: 30}
    assert len(acknowledged(out)) == 76


@pytest.mark.parametrize(
    ("change", "difference"),
    [("data.dataset=wine", 'data: was "d'), ("data.seed=43", "split.seed: was 42, is 43")],
)
def test_what_decides_a_score_may_not_change(finished, change, difference):
    """Each part of a sweep is in tests/store/test_provenance.py."""
    before = contents(finished / "out", OF_A_RUN)
    said = sweep(finished, "", "--set", change, code=3)
    assert difference in said.stderr
    assert "--fresh" in said.stderr
    assert contents(finished / "out", OF_A_RUN) == before
