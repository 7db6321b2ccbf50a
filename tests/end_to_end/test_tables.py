"""The tables of a sweep: whole, the same whoever computed them, and grown by edits."""

import pandas as pd
from commands import hpsearch
from outcomes import contents, table
from pandas.testing import assert_frame_equal


def test_one_worker_and_two_give_the_same_tables(finished):
    for name in ("results.csv", "curves.csv"):
        assert_frame_equal(table(finished / "one", name), table(finished / "two", name))


def test_the_files_are_as_documented(finished):
    out = finished / "one"
    rows = pd.read_csv(out / "results.csv")
    assert list(rows["trial"]) == list(range(1, 21))
    assert set(rows["status"]) == {"completed"}
    assert (rows["score"] == rows["val_accuracy"]).all()
    assert (rows["metric"] == "val_accuracy:maximize:last").all()
    assert (rows["epochs_trained"] == rows["epochs"]).all()
    assert rows["config"].is_unique
    for column, letter in (("config", "c"), ("data", "d"), ("recipe", "r")):
        assert rows[column].str.fullmatch(letter + "[0-9a-f]{11}").all()
    flat = rows[rows["hidden_layers"] == 0]
    assert flat[["units", "activation", "layer_type"]].isna().all(axis=None)
    assert (flat["weights"] == 65 * 10).all()
    curves = pd.read_csv(out / "curves.csv")
    assert list(curves.columns) == [
        "trial", "epoch", "loss", "accuracy", "val_loss", "val_accuracy", "seed", "fold",
    ]  # fmt: skip
    last = curves.groupby("trial").last()
    assert (last["val_accuracy"].to_numpy() == rows["val_accuracy"].to_numpy()).all()
    assert sorted(p.name for p in out.iterdir()) == sorted(
        [
            *(".lock", "best.keras", "curves.csv", "report.html", "results.csv", "run.log"),
            *("sweep.db", "sweep.yaml"),
        ]
    )


def test_a_second_run_trains_nothing(home):
    before = contents(home / "out")
    said = hpsearch("run", "sweep.yaml", "--out", "out", cwd=home)
    assert "20 trials done already" in said.stderr
    assert "20 trials, 20 completed, 0 trained now" in said.stdout
    after = contents(home / "out")
    for name in ("results.csv", "curves.csv", "sweep.yaml", "best.keras"):
        assert after[name] == before[name], name


def test_a_shared_training_equals_each_trained_alone(finished, tmp_path):
    together = table(finished / "one").set_index("config")
    hpsearch(
        "run", finished / "sweep.yaml", "--set", "parameters.epochs=[1]", "--set", "name=alone",
        cwd=tmp_path,
    )  # fmt: skip
    # Without --out, results go below the working directory.
    alone = table(tmp_path / "experiments" / "alone").set_index("config")
    assert set(alone["sweep"]) == {"alone"}
    assert alone["shared_with"].isna().all()
    short = together[together["epochs"] == 1]
    assert short["shared_with"].notna().all()
    assert len(alone) == 10
    ignored = ["trial", "shared_with", "sweep"]
    assert_frame_equal(alone.drop(columns=ignored), short.drop(columns=ignored).loc[alone.index])
