"""`hpsearch.tune`: cross-validation, and splits that leave groups whole."""

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.model_selection import KFold, LeavePOut, TimeSeriesSplit

import hpsearch
from hpsearch.errors import DataError, InputError, RefusedError

SMALL = {"units": [4, 8], "epochs": 2}


@pytest.fixture(scope="module")
def folded(wine, tmp_path_factory):
    """Two configs, two seeds, three folds."""
    out = tmp_path_factory.mktemp("folds") / "wine"
    return hpsearch.tune(*wine, parameters=SMALL, cv=3, seeds=2, test=0.1, out=out)


def test_each_fold_is_a_row_and_their_mean_the_trial_s_score(folded):
    table = folded.table
    assert table["fold"].tolist() == [1, 2, 3] * 4
    assert table["seed"].tolist() == [0, 0, 0, 1, 1, 1] * 2
    assert table["trial"].tolist() == [1] * 6 + [2] * 6
    means = table.groupby("config")["score"].mean()
    assert folded.best["config"] == means.idxmax()
    assert folded.best["score"] == pytest.approx(means.max())
    assert folded.trials[["trial", "executions"]].to_numpy().tolist() == [[1, 6], [2, 6]]
    assert folded.trials["score"].tolist() == pytest.approx(
        table.groupby("trial")["score"].mean().tolist()
    )
    assert len(set(table["data"])) == 1


@pytest.mark.slow
def test_a_fold_is_the_sweep_over_its_own_split(folded):
    """Scaling included: what is fitted is fitted on the fold's training rows."""
    dataset = folded.rows(folded.sweep.data)
    assert [len(fold.validation) for fold in dataset.folds] == [54, 53, 53]
    for fold in dataset.folds:
        np.testing.assert_allclose(fold.input.mean, fold.train.x.mean(axis=0), rtol=1e-5)
    train, validation = fold.train, fold.validation
    alone = hpsearch.tune(
        train.x, train.y, validation_data=(validation.x, validation.y), parameters=SMALL
    )
    rows = folded.table[(folded.table["fold"] == 3) & (folded.table["seed"] == 0)]
    for column in ("score", "loss", "val_loss"):
        assert rows[column].tolist() == alone.table[column].tolist()


def test_a_fold_is_evaluated_on_its_own_rows(folded):
    rows = folded.table.set_index(["trial", "seed", "fold"])
    found = folded.evaluate("validation", trial=1, seed=0, fold=3)
    assert found.metrics["accuracy"].value == pytest.approx(rows.loc[(1, 0, 3), "score"])
    assert found.metrics["loss"].value == pytest.approx(rows.loc[(1, 0, 3), "val_loss"], rel=1e-4)


@pytest.mark.slow
def test_rows_of_folds_can_be_gone_back_to(folded, tmp_path):
    told = folded.reproduce(1, seed=1, fold=2)
    assert told.equal
    assert told.execution.label == "trial 1, seed 1, fold 2"
    folded.export(tmp_path / "fifth.keras", trial=1, seed=1, fold=2)
    assert folded.model().input_shape == (None, 13)
    # Without a seed and a fold, the trial's best execution.
    best = int(folded.best["trial"])
    found, rows = folded.evaluate("validation"), folded.table
    assert found.trial == best
    assert found.metrics["accuracy"].value == pytest.approx(
        rows.loc[rows["trial"] == best, "score"].max()
    )
    look = folded.evaluate("test", trial=best, seed=0, fold=3)
    assert look.rows == 18
    assert folded.evaluations[-1] == look


def test_folds_are_gone_on_with_and_others_refused(folded, wine):
    out = folded.directory
    before = folded.table.copy()
    more = hpsearch.tune(
        *wine, parameters=SMALL | {"units": [4, 8, 16]}, cv=3, seeds=2, test=0.1, out=out
    )
    assert len(more.table) == 18
    assert more.table["score"][:12].tolist() == before["score"].tolist()
    with pytest.raises(RefusedError, match=r"(?s)split\.cv: was 3, is 4.*out="):
        hpsearch.tune(*wine, parameters=SMALL, cv=4, seeds=2, test=0.1, out=out)


def test_methods_that_learn_learn_the_mean_and_trials_are_counted_whatever_their_folds(wine):
    results = hpsearch.tune(
        *wine, parameters={"units": [4, 8, 16], "epochs": 3}, method="asha", trials=3, cv=2
    )
    assert len(results.table) == 6
    assert len(results.trials) == results.table["config"].nunique() == 3
    assert set(results.trials["executions"]) == {2}
    assert results.best["score"] == results.trials["score"].max()
    top = results.top(2)
    assert list(top) == ["trial", "units", "score", "std", "executions"]
    first = [name for name in results.best.index if name in {*top, "keras"}]
    assert first == [*top, "keras"]
    assert len(top) == 2
    assert top.iloc[0]["trial"] == results.best["trial"]
    counts = results.table.groupby(["config", "fold"]).size()
    assert set(counts) == {1}
    by_config = results.table.groupby("config")["epochs_trained"].nunique()
    assert (by_config == 1).all()


@pytest.mark.slow
def test_splitters_and_row_numbers(wine):
    x, y = wine
    order = np.random.default_rng(0).permutation(len(y))
    x, y = x[order], y[order]
    time = hpsearch.tune(x, y, parameters={"epochs": 1}, cv=TimeSeriesSplit(3))
    assert time.sweep.data.memory["folds"].startswith("TimeSeriesSplit(")
    assert [len(f.train) for f in time.rows(time.sweep.data).folds] == [46, 90, 134]
    pairs = list(KFold(3, shuffle=True).split(x))
    given = hpsearch.tune(x, y, parameters={"epochs": 1}, cv=iter(pairs))
    assert given.table["fold"].tolist() == [1, 2, 3]
    # Without a seed of its own it would make other folds when the rows are loaded again.
    unseeded = hpsearch.tune(x, y, parameters={"epochs": 1}, cv=KFold(2, shuffle=True))
    assert unseeded.reproduce(1, fold=2).equal


@pytest.mark.slow
def test_one_pair_is_a_validation_split(wine):
    x, y = wine
    later = np.arange(len(y)) % 3 == 0
    pair = (np.flatnonzero(~later), np.flatnonzero(later))
    results = hpsearch.tune(x, y, parameters=SMALL, cv=[pair])
    alone = hpsearch.tune(
        x[~later], y[~later], parameters=SMALL, validation_data=(x[later], y[later])
    )
    assert results.table["score"].tolist() == alone.table["score"].tolist()
    assert results.table["fold"].isna().all()
    assert results.table["data"].tolist() == alone.table["data"].tolist()
    assert results.reproduce(1).equal


@pytest.mark.slow
def test_groups_are_on_one_side(wine):
    x, y = wine
    groups = np.arange(len(y)) % 11
    folds = hpsearch.tune(x, y, parameters={"epochs": 1}, cv=3, groups=groups)
    single = hpsearch.tune(x, y, parameters={"epochs": 1}, groups=groups, validation_split=0.3)
    known = {row.tobytes(): group for row, group in zip(x.astype(np.float32), groups, strict=True)}
    dataset = single.rows(single.sweep.data)
    assert not dataset.folds
    for part in (dataset, *folds.rows(folds.sweep.data).folds):
        sides = [{known[row.tobytes()] for row in each.x} for each in (part.train, part.validation)]
        assert not sides[0] & sides[1]
        assert len(sides[0] | sides[1]) == 11
    assert single.table["fold"].isna().all()
    assert single.sweep.data.memory["groups"] == "(178,) int64"


def test_a_regression_is_standardised_in_each_fold_and_scored_by_its_loss():
    x, y = load_diabetes(return_X_y=True)
    results = hpsearch.tune(x, y, parameters={"epochs": 2}, cv=2, task="regression")
    folds = results.rows(results.sweep.data).folds
    assert folds[0].target.mean != folds[1].target.mean
    assert results.table["val_loss"].between(100, 100_000).all()
    assert results.best["metric"] == "val_loss:minimize:last"
    assert {"mae", "val_mae"} <= set(results.table)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cv": 1}, r"^cv: must be how many folds \(2 to 1000\), or"),
        ({"cv": 49}, r"cv: a class has 48 rows, fewer than the 49 folds"),
        ({"cv": "five"}, r"cv: must be how many folds, a scikit-learn splitter"),
        ({"cv": LeavePOut(4)}, r"^cv: must be how many folds \(2 to 1000\), or"),
        ({"cv": []}, r"cv: expected 1 folds, got 0"),
        ({"cv": [([], range(178))] * 2}, r"cv: the training part of fold 1 must be row numbers"),
        ({"cv": [([0], [[1], [2, 3]]), ([0], [1])]}, r"cv: list: .*inhomogeneous"),
        ({"cv": [([0, 1], [1, 2]), ([0], [1])]}, r"row 1 is in both parts of fold 1"),
        ({"cv": [([0, 1], [200]), ([0], [1])]}, r"part of fold 1 must be row numbers from 0 to 17"),
        ({"cv": [([0, 1], [])]}, r"the validation part of fold 1 must be row numbers"),
        ({"cv": 3, "groups": [1, 2]}, r"groups: has shape \(2,\)"),
        ({"cv": 3, "groups": np.arange(178) % 2}, r"cv: Stratified.*n_splits=3 greater"),
        ({"groups": np.arange(178), "test": 0.2}, r"test: a share of rows would tear groups"),
        ({"cv": 3, "validation_data": ([[1.0] * 13], [1])}, r"cv: is for splits of x"),
        ({"cv": 3, "seeds": {"min": 1, "max": 2}}, r"a race of seeds does not go with"),
    ],
)
def test_what_cannot_be_split_so_is_told(wine, arguments, message):
    with pytest.raises((InputError, DataError), match=message):
        hpsearch.tune(*wine, parameters=SMALL, **arguments)
