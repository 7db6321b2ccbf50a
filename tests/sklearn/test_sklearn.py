"""The estimators keep scikit-learn's promises, and hpsearch's."""

import pickle
import warnings

import made_tables
import numpy as np
import pandas as pd
import pytest
from commands import python
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_diabetes, load_wine
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import f1_score, log_loss
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    TunedThresholdClassifierCV,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import hpsearch
from hpsearch.data.loading import InMemoryRows
from hpsearch.errors import Interrupted
from hpsearch.sklearn import SweepClassifier, SweepRegressor, estimators
from hpsearch.sklearn.estimators import cv_results, holdout
from hpsearch.store.tables import read_table

SMALL = {"units": 8, "epochs": 30, "optimizer": "adam", "learning_rate": 0.02}
TWO = {"units": [2, 16], "epochs": 20, "optimizer": "adam"}
#: Checks that do not apply, with the reason.
NOT_APPLICABLE = {
    "check_array_api_input": "it runs only where SCIPY_ARRAY_API is set; NumPy arrays are taken",
    "check_sample_weight_equivalence_on_dense_data": (
        "a row that stands twice has two places in the order of the batches, a weight of 2 has one"
    ),
}


@pytest.fixture(scope="module")
def wine():
    return load_wine(return_X_y=True)


@pytest.fixture(scope="module")
def fitted(wine):
    return SweepClassifier(TWO).fit(*wine)


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [SweepClassifier, SweepRegressor])
def test_scikit_learn_s_own_checks(estimator):
    with warnings.catch_warnings():
        # The checks' data has constant columns, and labels in a column.
        warnings.simplefilter("ignore")
        found = check_estimator(
            estimator(SMALL), on_skip=None, on_fail="raise", expected_failed_checks=NOT_APPLICABLE
        )
    assert len(found) > 50
    assert {each["check_name"] for each in found if each["status"] != "passed"} <= {*NOT_APPLICABLE}


def test_what_was_found_is_told(fitted, wine):
    assert fitted.cv_results_.columns.tolist() == [
        "mean_fit_time",
        *(f"param_{name}" for name in ("hidden_layers", "units", "activation", "layer_type")),
        *(f"param_{name}" for name in ("batch_size", "epochs", "optimizer")),
        *("params", "mean_test_score", "std_test_score", "rank_test_score", "status"),
    ]
    best = fitted.cv_results_.set_index("rank_test_score").loc[1]
    assert best["param_units"] == fitted.best_params_["units"] == 16
    assert fitted.best_params_ == {"units": 16, "epochs": 20, "optimizer": "adam"}
    assert best["mean_test_score"] == fitted.best_score_
    listed = SweepClassifier(configs=[{"units": 4, "epochs": 1}]).fit(*wine)
    assert listed.best_params_ == {"units": 4, "epochs": 1}
    assert fitted.score(*wine) > 0.9
    assert fitted.classes_.tolist() == [0, 1, 2]


def test_a_trial_with_fewer_scores_does_not_come_first(tmp_path):
    """The best has as many as any other, as everywhere."""
    scores = {1: [0.5, 0.6], 2: [0.9], 3: [0.7, 0.4], 4: [0.8, None], 5: [0.7]}
    rows = [
        made_tables.Row({"units": units}, score, seed)
        for units, found in scores.items()
        for seed, score in enumerate(found)
    ]
    table = read_table(made_tables.write(tmp_path / "made", made_tables.Made(rows)))
    found = cv_results(table)
    assert found["rank_test_score"].tolist() == [1, 3, 1, 4, 5]
    assert found["mean_test_score"].tolist()[:3] == pytest.approx([0.55, 0.9, 0.55])


@pytest.mark.parametrize(("number", "ends"), [(2, KeyboardInterrupt), (15, SystemExit)])
def test_a_signal_ends_more_than_a_fold(wine, monkeypatch, number, ends):
    """scikit-learn would count an Exception as a failed fit, and go on with the next one."""
    calls = []

    def interrupted(*arguments, **_):
        calls.append(arguments)
        raise Interrupted(number, arguments[1].out)

    monkeypatch.setattr(estimators, "run_sweep", interrupted)
    with pytest.raises(ends) as raised:
        cross_val_score(SweepClassifier(SMALL), *wine, cv=3)
    assert len(calls) == 1
    assert "results so far" not in str(raised.value)


def test_lists_are_values_as_in_the_best_params(tmp_path):
    rows = [made_tables.Row({"units": units}, 0.5) for units in ([20, 10], 8)]
    table = read_table(made_tables.write(tmp_path / "made", made_tables.Made(rows)))
    found = cv_results(table)
    assert [params["units"] for params in found["params"]] == [[20, 10], 8]
    assert found["param_units"].tolist() == [[20, 10], 8]


def test_the_model_is_keras_and_the_score_of_the_rows_that_are_set_aside(fitted, wine):
    x, y = wine
    predicted = fitted.model_.predict(x, verbose=0)
    np.testing.assert_allclose(predicted, fitted.predict_proba(x), atol=1e-6)
    np.testing.assert_allclose(predicted.sum(axis=1), 1, atol=1e-5)
    _, aside = holdout(len(y), 0.2, np.random.RandomState(0), y)
    assert fitted.score(x[aside], y[aside]) == pytest.approx(fitted.best_score_)


def test_several_processes_find_the_same(fitted, wine):
    other = SweepClassifier(TWO, n_jobs=2).fit(*wine)
    np.testing.assert_array_equal(other.predict_proba(wine[0]), fitted.predict_proba(wine[0]))
    columns = ["params", "mean_test_score", "rank_test_score"]
    pd.testing.assert_frame_equal(other.cv_results_[columns], fitted.cv_results_[columns])


def test_it_stands_in_a_pipeline_and_in_other_searches(wine):
    search = SweepClassifier(SMALL | {"units": [4, 8]}, scale="none")
    pipeline = make_pipeline(StandardScaler(), search)
    assert cross_val_score(pipeline, *wine, cv=3).mean() > 0.8
    grid = GridSearchCV(pipeline, {"sweepclassifier__seeds": [1, 2]}, cv=2).fit(*wine)
    assert set(grid.best_params_) == {"sweepclassifier__seeds"}
    assert len(grid.best_estimator_[-1].cv_results_) == 2


def test_scikit_learn_moves_its_threshold_and_calibrates_it(wine):
    x, y = wine[0], wine[1] == 1
    search = SweepClassifier(SMALL | {"epochs": 2}).fit(x, y)
    moved = TunedThresholdClassifierCV(search, scoring="f1", cv="prefit", refit=False).fit(x, y)
    assert f1_score(y, moved.predict(x)) > f1_score(y, search.predict(x))
    above = search.predict_proba(x)[:, 1] >= moved.best_threshold_
    np.testing.assert_array_equal(moved.predict(x), above)
    calibrated = CalibratedClassifierCV(FrozenEstimator(search)).fit(x, y)
    assert log_loss(y, calibrated.predict_proba(x)) < log_loss(y, search.predict_proba(x))


def test_labels_and_names_of_columns_are_the_user_s(wine):
    x, y = load_wine(return_X_y=True, as_frame=True)
    names = np.array(["red", "white", "rose"], object)[y]
    fitted = SweepClassifier(SMALL).fit(x, names)
    assert set(fitted.predict(x)) == {"red", "rose", "white"}
    assert fitted.feature_names_in_.tolist() == x.columns.tolist()
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.predict(x.rename(columns={"alcohol": "ethanol"}))


@pytest.mark.slow
def test_a_copy_by_pickle_predicts_the_same_in_another_process(fitted, wine, tmp_path):
    (tmp_path / "fitted").write_bytes(pickle.dumps(fitted))
    np.save(tmp_path / "x.npy", wine[0])
    program = (
        "import pickle, sys, numpy as np\n"
        "fitted = pickle.load(open('fitted', 'rb'))\n"
        "assert 'tensorflow' not in sys.modules\n"
        "np.save('p.npy', fitted.predict_proba(np.load('x.npy')))\n"
    )
    python(program, cwd=tmp_path)
    expected = fitted.predict_proba(wine[0])
    np.testing.assert_allclose(np.load(tmp_path / "p.npy"), expected, atol=1e-6)


def test_regression_of_one_number_and_of_two():
    x, y = load_diabetes(return_X_y=True)
    search = SweepRegressor(TWO, seeds=2, metric={"name": "val_mae", "goal": "minimize"})
    one = search.fit(x, y)
    assert one.predict(x).shape == y.shape
    assert one.best_score_ == one.cv_results_["mean_test_score"].max() < 0
    two = clone(search).fit(x, np.stack([y, -y], axis=1)).predict(x)
    assert two.shape == (len(y), 2)
    assert np.corrcoef(two[:, 0], two[:, 1])[0, 1] < -0.5


def test_a_results_directory_is_one_of_hpsearch_s(wine, tmp_path):
    out = tmp_path / "results"
    fitted = SweepClassifier({"units": {"min": 2, "max": 32}, "epochs": 5}, trials=6, out=out)
    fitted.fit(*wine)
    table = hpsearch.load(out).table
    assert len(table) == 6 == len(fitted.cv_results_)
    assert clone(fitted).fit(*wine).best_score_ == fitted.best_score_
    assert hpsearch.load(out).table.equals(table)
    with pytest.raises(hpsearch.HpsearchError, match="made with another sweep"):
        clone(fitted).fit(wine[0] + 1, wine[1])


def test_weights_count_in_the_loss(wine):
    x, y = wine
    weights = np.where(y == 2, 0.0, 1.0)
    fitted = SweepClassifier(SMALL).fit(x, y, sample_weight=weights)
    # The third class is not learned, but its rows are still scored.
    assert 2 not in fitted.predict(x)
    assert fitted.score(x, y) < 0.75 < fitted.score(x[y < 2], y[y < 2])
    same = SweepClassifier(SMALL).fit(x, y, np.ones(len(y)))
    plain = SweepClassifier(SMALL).fit(x, y)
    np.testing.assert_allclose(same.predict_proba(x), plain.predict_proba(x), atol=1e-3)


def test_weights_count_in_the_score_that_is_a_loss():
    x, y = load_diabetes(return_X_y=True)
    losses = []
    for weights in (np.ones(len(y)), np.full(len(y), 2.0)):
        for cv in (None, 2):
            search = SweepRegressor({"units": 4, "epochs": 2, "learning_rate": 1e-6}, cv=cv)
            losses.append(search.fit(x, y, sample_weight=weights).best_score_)
    np.testing.assert_allclose(losses[2:], 2 * np.array(losses[:2]), rtol=1e-3)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(3), "sample_weight.shape == "),
        (-np.ones(178), "[Nn]egative values"),
        (np.full(178, np.nan), "NaN"),
        (np.zeros(178), "sample_weight is 0 in every row|zero"),
    ],
)
def test_weights_that_are_none(wine, weights, message):
    with pytest.raises(ValueError, match=message):
        SweepClassifier(SMALL).fit(*wine, sample_weight=weights)


def test_folds_score_in_place_of_rows_that_are_set_aside(wine):
    fitted = SweepClassifier(SMALL | {"units": [2, 8]}, cv=3).fit(*wine)
    assert fitted.cv_results_["mean_test_score"].max() == fitted.best_score_ > 0.8
    assert (fitted.cv_results_["std_test_score"] > 0).all()
    assert fitted.score(*wine) > 0.9
    x, y = load_diabetes(return_X_y=True)
    assert SweepRegressor(SMALL, cv=2).fit(x, 100 * y).score(x, 100 * y) > 0.2


def test_the_seed_decides_all(wine):
    def probabilities(seed):
        return SweepClassifier(SMALL, random_state=seed).fit(*wine).predict_proba(wine[0][:9])

    first = probabilities(3)
    np.testing.assert_array_equal(first, probabilities(3))
    assert np.abs(first - probabilities(4)).max() > 1e-3
    state = np.random.RandomState(5)
    assert np.abs(probabilities(state) - probabilities(state)).max() > 1e-3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"parameters": {"unit": [3]}}, "parameters.unit: unknown hyperparameter"),
        ({"method": "random"}, "method random needs trials, time_seconds or a patience"),
        ({"validation_fraction": 1.5}, "validation_fraction must be between 0 and 1"),
        ({"n_jobs": 0}, "n_jobs must be"),
        ({"metric": "val_acuracy"}, "goal is missing.*did you mean 'val_accuracy'"),
        ({"parameters": {"layer_type": "no_such:layer"}}, "no trial completed: .*no_such"),
    ],
)
def test_mistakes_are_value_errors_in_words(wine, arguments, message):
    search = SweepClassifier(**arguments)
    with pytest.raises(ValueError, match=message):
        search.fit(*wine)
    with pytest.raises(NotFittedError):
        _ = search.model_


def test_a_row_s_prediction_does_not_depend_on_the_others(fitted, wine):
    many = np.tile(wine[0], (4, 1))
    whole = fitted.predict_proba(many)
    for rows in (slice(5, 6), slice(200, 500), slice(None, None, -1)):
        np.testing.assert_array_equal(fitted.predict_proba(many[rows]), whole[rows])


def test_each_class_gives_its_share_and_keeps_a_row():
    classes = np.repeat([0, 1, 2], [10, 20, 70])
    rows, aside = holdout(100, 0.2, np.random.RandomState(1), classes)
    assert np.bincount(classes[aside]).tolist() == [2, 4, 14]
    assert sorted([*rows, *aside]) == list(range(100))
    classes = np.array([0, 1, 1, 1, 2])
    rows, aside = holdout(5, 0.9, np.random.RandomState(1), classes)
    assert set(classes[rows]) == {0, 1, 2}
    assert classes[aside].tolist() == [1, 1]
    with pytest.raises(ValueError, match=r"no row can be set aside.*n_samples=3"):
        holdout(3, 0.5, np.random.RandomState(1), np.arange(3))


def test_regression_sets_aside_at_random():
    rows, aside = holdout(10, 0.25, np.random.RandomState(1))
    assert (len(rows), len(aside)) == (8, 2)
    assert len(holdout(2, 0.01, np.random.RandomState(1))[1]) == 1


def test_random_state_draws_the_folds(wine, monkeypatch):
    made, load = [], InMemoryRows.load

    def loading(*given):
        made.append(load(*given))
        return made[-1]

    monkeypatch.setattr(InMemoryRows, "load", loading)
    for seed in (1, 2):
        SweepClassifier({"units": 2, "epochs": 1}, cv=3, random_state=seed).fit(*wine)
        splitter = StratifiedKFold(3, shuffle=True, random_state=seed)
        for fold, (_, rows) in zip(made[-1].folds, splitter.split(*wine), strict=True):
            np.testing.assert_array_equal(fold.validation.x, wine[0][rows].astype(np.float32))
