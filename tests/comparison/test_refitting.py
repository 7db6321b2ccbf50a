"""The best trials trained again with fresh seeds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import hpsearch as command
from commands import sweep
from scipy.stats import ttest_1samp
from sklearn.datasets import load_wine
from sklearn.model_selection import KFold, RepeatedKFold, ShuffleSplit

import hpsearch
from hpsearch.comparison.refitting import score_intervals
from hpsearch.data.loading import Folding, load_dataset, read_memory
from hpsearch.errors import InputError, RefusedError
from hpsearch.spec.sweep import load_sweep

_SWEEP = """\
data: {dataset: digits}
parameters: {units: [4, 16, [8, 4]], epochs: [1, 3], optimizer: [{name: sgd, momentum: 0.9}]}
seeds: 2
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("refit")
    sweep(made, _SWEEP)
    return made


@pytest.fixture(scope="module")
def refit(home: Path) -> hpsearch.Results:
    return hpsearch.load(home / "out").refit(seeds=3, top=2)


def test_the_best_configs_get_fresh_seeds(home: Path, refit: hpsearch.Results) -> None:
    results = hpsearch.load(home / "out")
    assert refit.directory == home / "out" / "refit"
    assert len(refit.table) == 6
    assert set(refit.table["status"]) == {"completed"}
    assert set(refit.table["seed"]) == {2, 3, 4}
    assert set(results.table["seed"]) == {0, 1}
    assert set(refit.table["config"]) == set(results.trials.nlargest(2, "score")["config"])
    for column in ("data", "recipe", "metric"):
        assert set(refit.table[column]) == set(results.table[column])
    assert refit.sweep.name == "sweep-refit"


def test_the_intervals_are_student_s(refit: hpsearch.Results) -> None:
    found = refit.intervals
    assert found.columns.tolist() == ["trial", "config", "mean", "low", "high", "executions"]
    assert found["mean"].is_monotonic_decreasing
    for line in found.itertuples():
        scores = refit.table.loc[refit.table["config"] == line.config, "score"].to_numpy()
        expected = ttest_1samp(scores, 0.0).confidence_interval(0.95)
        assert line.mean == pytest.approx(scores.mean())
        assert (line.low, line.high) == pytest.approx((expected.low, expected.high))
        assert line.executions == 3


def test_one_execution_has_no_interval(tmp_path: Path) -> None:
    results = hpsearch.optimize(lambda c: c["x"] ** 2, {"x": [1, 2]}, method="grid", out=tmp_path)
    assert results.intervals["mean"].tolist() == [1, 4]
    assert results.intervals[["low", "high"]].isna().all(axis=None)
    with pytest.raises(InputError, match="its rows are those of a function"):
        results.refit()


def test_a_final_model_is_trained_on_all_rows_but_those_for_testing(tmp_path: Path) -> None:
    text = "data: {dataset: iris, test: 0.2}\nearly_stopping: {patience: 2}\nseeds: 2\n"
    text += "parameters: {units: [16], epochs: 80, optimizer: adam, learning_rate: 0.05}\n"
    sweep(tmp_path, text)
    results = hpsearch.load(tmp_path / "out")
    epochs = results.table["epochs_trained"].mean()
    final = results.refit(seeds=1, on="train+validation")
    assert final.directory == tmp_path / "out" / "final"
    line = final.table.iloc[0]
    assert line["epochs"] == line["epochs_trained"] == max(1, round(epochs)) < 80
    assert line["loss"] == pytest.approx(line["val_loss"], rel=0.5)
    rows = {split: final.evaluate(split).rows for split in ("train", "validation", "test")}
    assert rows == {"train": 120, "validation": 120, "test": 30}
    assert results.evaluate("test").rows == 30
    # The same rows are for testing: the data are those that the first run left out.
    spec = load_sweep(tmp_path / "out" / "sweep.yaml").data
    first, whole = (load_dataset(s.data) for s in (results.sweep, final.sweep))
    np.testing.assert_array_equal(first.test.x, whole.test.x)
    both = np.concatenate([first.train.x, first.validation.x])
    assert sorted(map(tuple, both.tolist())) == sorted(map(tuple, whole.train.x.tolist()))
    assert spec.train_on == "train"
    told = command("refit", "out", "--seeds", 1, "--on", "train+validation", cwd=tmp_path)
    assert "best.keras, are in out/final" in told.stdout
    told = command("evaluate", "out/final", "--split", "validation", cwd=tmp_path)
    assert "was trained on these rows" in told.stderr
    with pytest.raises(InputError, match="on: must be train or train"):
        results.refit(on="all")


def test_a_final_model_after_cross_validation(tmp_path: Path) -> None:
    folded = {"data": {"dataset": "iris", "cv": 3}, "parameters": {"units": [4, 8], "epochs": 2}}
    results = hpsearch.run(folded, out=tmp_path)
    final = results.refit(seeds=2, on="train+validation")
    assert final.table["fold"].isna().all()
    assert final.table["status"].tolist() == ["completed"] * 2
    assert len(final.intervals) == 1


def test_what_was_refitted_is_not_trained_again(home: Path, refit: hpsearch.Results) -> None:
    before = refit.table[["trial", "seed", "score", "seconds"]]
    again = hpsearch.load(home / "out").refit(seeds=3, top=2)
    pd.testing.assert_frame_equal(again.table[["trial", "seed", "score", "seconds"]], before)


def test_the_command_prints_means_and_intervals(home: Path, refit: hpsearch.Results) -> None:
    said = command("refit", "out", "--top", 2, "--seeds", 3, cwd=home)
    lines = [line.split() for line in said.stdout.splitlines()]
    best = refit.intervals.iloc[0]
    assert lines[0] == ["trial", "config", "mean", "95%", "interval", "executions"]
    assert lines[1][:3] == [str(best["trial"]), best["config"], f"{best['mean']:.4f}"]
    assert f"{best['low']:.4f} to {best['high']:.4f}" in said.stdout
    assert said.stdout.splitlines()[-1].endswith("best.keras, are in out/refit")


def test_numbers_below_one_are_refused(home: Path) -> None:
    for wrong in ({"seeds": 0}, {"top": 0}):
        with pytest.raises(InputError, match=r": must be 1 or more, not 0"):
            hpsearch.load(home / "out").refit(**wrong)


def test_other_results_are_not_mixed_in(home: Path, tmp_path: Path) -> None:
    text = "data: {dataset: digits, validation: 0.3}\nparameters: {units: 4, epochs: 1}\n"
    sweep(tmp_path, text, out="other")
    with pytest.raises(RefusedError, match=r"split\.validation"):
        hpsearch.load(home / "out").refit(out=tmp_path / "other")


@pytest.mark.slow
def test_rows_in_memory_and_models_of_ones_own() -> None:
    import keras

    def build(hp):
        units = hp.Int("units", 2, 8)
        model = keras.Sequential([keras.layers.Dense(units), keras.layers.Dense(3)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss, metrics=["accuracy"])
        return model

    draws = np.random.default_rng(0)
    x, y = draws.normal(size=(60, 4)), draws.integers(0, 3, 60)
    results = hpsearch.tune(x, y, model=build, parameters={"epochs": 2}, trials=3)
    again = results.refit(seeds=2)
    assert again.table["config"].tolist() == [results.best["config"]] * 2
    assert again.model().predict(x[:2], verbose=0).shape == (2, 3)
    del results
    assert len(again.predict(x[:2])) == 2


def test_rows_divided_several_times_weigh_as_one_division(tmp_path: Path) -> None:
    """The correction is by a fold's share of the rows, not by the number of all folds."""
    text = "data: {dataset: wine, cv: {folds: 3, repeats: 2}}\nparameters: {epochs: 1, units: 4}\n"
    sweep(tmp_path, text)
    found = hpsearch.load(tmp_path / "out")
    assert found.table["fold"].tolist() == [1, 2, 3, 4, 5, 6]
    scores = found.table["score"].to_numpy()
    half = 2.5706 * np.sqrt(scores.var(ddof=1) * (1 / 6 + 1 / 2))
    (line,) = found.intervals.itertuples()
    assert line.high - line.low == pytest.approx(min(2 * half, 1.0 - line.low), rel=1e-3)
    path = tmp_path / "out" / "results.csv"
    path.write_text(path.read_text().splitlines()[0] + "\n")
    with pytest.warns(UserWarning, match="lacks 6 results"):
        assert score_intervals(tmp_path / "out").empty
    x, y = load_wine(return_X_y=True)
    for cv, overlap in (
        (RepeatedKFold(n_splits=3, n_repeats=2), 0.5),
        (ShuffleSplit(6, test_size=0.2), 36 / 142),
        (KFold(6), None),
    ):
        folding = Folding.of(cv, None, read_memory(x, y, None, None, None), 0)
        assert folding.overlap == (overlap and pytest.approx(overlap))
