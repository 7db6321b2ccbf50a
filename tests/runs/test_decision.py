"""Thresholds and calibrated probabilities, which an exported model keeps."""

import keras
import numpy as np
import pandas as pd
import pytest
from commands import hpsearch as command
from here import run_here
from sklearn import metrics

import hpsearch
from hpsearch.data.loading import load_dataset
from hpsearch.errors import InputError
from hpsearch.models.model_file import ModelFile
from hpsearch.runs.decision import THRESHOLD_METRICS, best_threshold
from hpsearch.runs.predicting import predictor_of
from hpsearch.runs.trial import Source, Which

#: scikit-learn's functions of the same names.
_SCORES = {
    "accuracy": metrics.accuracy_score,
    "f1": metrics.f1_score,
    "balanced_accuracy": metrics.balanced_accuracy_score,
    "cohen_kappa": metrics.cohen_kappa_score,
    "mcc": metrics.matthews_corrcoef,
}
_SWEEP = """\
data: {csv: table.csv, target: churn, validation: 0.4}
parameters: {units: 64, hidden_layers: 2, epochs: 60, optimizer: adam, learning_rate: 0.01}
"""


@pytest.mark.parametrize("name", THRESHOLD_METRICS)
def test_no_threshold_scores_better(name):
    draw = np.random.default_rng(1)
    y = (draw.random(200) < 0.2).astype(int)
    chances = np.clip(draw.normal(0.2 + 0.2 * y, 0.15), 0, 1).round(2).astype(np.float32)
    threshold, (before, after) = best_threshold(chances, y, THRESHOLD_METRICS[name])
    every = [_SCORES[name](y, chances > at) for at in np.arange(0.005, 1, 0.01)]
    assert after == pytest.approx(max(every))
    assert after == pytest.approx(_SCORES[name](y, chances > threshold))
    assert before == pytest.approx(_SCORES[name](y, chances > 0.5))


def test_the_threshold_is_the_nearest_to_a_half_and_stays_if_none_is_better():
    accuracy = THRESHOLD_METRICS["accuracy"]
    chances = np.array([0.1, 0.2, 0.8, 0.9])
    assert best_threshold(chances, np.array([0, 0, 1, 1]), accuracy) == (0.5, (1.0, 1.0))
    assert best_threshold(chances, np.array([0, 1, 1, 1]), accuracy)[0] == pytest.approx(0.15)
    # All rows, or none.
    assert best_threshold(np.full(4, 0.3), np.array([0, 1, 1, 1]), accuracy)[0] == 0
    assert best_threshold(np.full(4, 0.7), np.array([0, 0, 0, 1]), accuracy)[0] == 1


def test_neighbouring_numbers_are_told_apart_and_a_rare_class_counts():
    f1 = THRESHOLD_METRICS["f1"]
    most = np.float32(1)
    chances = np.array([np.nextafter(most, np.float32(0)), most])
    threshold, (_, score) = best_threshold(chances, np.array([0, 1]), f1)
    assert (score, (chances > threshold).tolist()) == (1.0, [False, True])
    chances = np.linspace(0, 0.4, 100_000, dtype=np.float32)
    rare = np.arange(100_000) >= 99_970
    assert best_threshold(chances, rare.astype(int), f1)[1] == (0.0, 1.0)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A model that is too sure of noisy labels, of which a quarter are `yes`."""
    made = tmp_path_factory.mktemp("churn")
    draw = np.random.default_rng(0)
    x = draw.normal(size=(400, 3)).round(4)
    yes = x[:, 0] + draw.normal(0, 1.0, 400) > 0.9
    table = pd.DataFrame(x, columns=["a", "b", "c"]).assign(churn=np.where(yes, "yes", "no"))
    table.to_csv(made / "table.csv", index=False)
    run_here(_SWEEP.replace("table.csv", str(made / "table.csv")), made / "out")
    return made


def test_an_exported_model_keeps_both(home, tmp_path):
    results = hpsearch.load(home / "out")
    path = tmp_path / "churn.keras"
    decision = results.export(path, threshold="f1", calibrate=True)
    validation = load_dataset(results.sweep.data).validation
    x = pd.DataFrame(np.asarray(validation.x), columns=["a", "b", "c"])
    truth = validation.y.ravel().astype(int)
    predictor = predictor_of(Source(path), Which())
    before, after = results.predict_proba(x), predictor.probabilities(x)
    assert decision.temperature > 1.2
    assert decision.rows == len(truth)
    losses = [metrics.log_loss(truth, chances) for chances in (before, after)]
    assert decision.scores["crossentropy"] == pytest.approx(losses, rel=1e-4)
    assert losses[1] < losses[0]
    odds = [np.log(chances[:, 1] / chances[:, 0]) for chances in (before, after)]
    sure = np.abs(odds[0]) < 10
    np.testing.assert_allclose(odds[0][sure] / decision.temperature, odds[1][sure], rtol=1e-3)
    labels = predictor.labels(x) == "yes"
    np.testing.assert_array_equal(labels, after[:, 1] > decision.threshold)
    assert decision.scores["f1"][1] == pytest.approx(metrics.f1_score(truth, labels))
    assert decision.scores["f1"][1] > decision.scores["f1"][0]
    # Keras alone gives the same probabilities.
    alone = keras.models.load_model(path).predict(np.asarray(x, np.float32), verbose=0)
    np.testing.assert_allclose(alone[:, 0], after[:, 1], rtol=1e-6)
    assert ModelFile.read(path).threshold == decision.threshold


def test_the_command_says_what_it_chose_and_predicts_by_it(home, tmp_path):
    out = home / "out"
    options = ("--out", "m.keras", "--threshold", "balanced_accuracy", "--calibrate")
    said = command("export", out, *options, cwd=tmp_path).stdout
    assert "temperature " in said
    assert "which is too good: these 160 validation rows chose it" in said
    assert "threshold 0." in said
    table = home / "table.csv"
    command("predict", "m.keras", table, "--proba", "--out", "p.csv", cwd=tmp_path)
    rows = pd.read_csv(tmp_path / "p.csv")
    threshold = ModelFile.read(tmp_path / "m.keras").threshold
    expected = np.where(rows["probability yes"] > threshold, "yes", "no")
    assert (rows["prediction"] == expected).all()
    assert rows["prediction"].nunique() == 2
    plain = command("export", out, "--out", "plain.keras", cwd=tmp_path).stdout
    assert plain.count("\n") == 1
    assert ModelFile.read(tmp_path / "plain.keras").threshold == 0.5


def sweep_of(data, **keys):
    return {"data": data, "parameters": {"units": 8, "epochs": 3}, **keys}


def test_probabilities_of_several_classes_are_calibrated(tmp_path):
    results = hpsearch.run(sweep_of({"dataset": "digits"}), out=tmp_path / "out")
    decision = results.export(tmp_path / "m.keras", calibrate=True)
    assert decision.scores["crossentropy"][1] < decision.scores["crossentropy"][0]
    rows = load_dataset(results.sweep.data).validation
    chances = predictor_of(Source(tmp_path / "m.keras"), Which()).probabilities(rows.x)
    np.testing.assert_allclose(chances.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(chances.argmax(axis=1), results.predict_proba(rows.x).argmax(1))
    with pytest.raises(InputError, match="is for two classes; of 10 the most probable is chosen"):
        results.export(tmp_path / "m.keras", threshold="f1")


@pytest.mark.parametrize(
    ("sweep", "asked", "said"),
    [
        (sweep_of({"dataset": "diabetes"}), {"calibrate": True}, "no classes to decide on"),
        (sweep_of({"dataset": "breast_cancer"}), {"threshold": "auc"}, "must be one of accuracy"),
        (
            sweep_of({"dataset": "breast_cancer", "train_on": "train+validation"}),
            {"threshold": "f1"},
            "were trained on the validation rows",
        ),
        (
            sweep_of({"dataset": "breast_cancer"}, model={"class_weight": "balanced"}),
            {"calibrate": True},
            "model.class_weight, which moves the probabilities",
        ),
        (
            sweep_of({"dataset": "breast_cancer"}, model={"output_activation": "linear"}),
            {"calibrate": True},
            "output_activation: must be sigmoid to decide on, not linear",
        ),
    ],
)
def test_where_there_is_nothing_to_choose_it_is_said(sweep, asked, said, tmp_path):
    results = hpsearch.run(sweep, out=tmp_path / "out")
    with pytest.raises(InputError, match=said):
        results.export(tmp_path / "m.keras", **asked)
    assert not (tmp_path / "m.keras").exists()
