"""Loss and metric of each row: their means are what a trainer reports of its validation split."""

import numpy as np
import pytest

from hpsearch.training.mlps import REGULARISATION
from hpsearch.training.subjects import TrainedModel
from hpsearch.workers.calls import evaluate_rows

VALUES = {"units": 8, "l2": 0.01, "optimizer": "adam"}


def evaluated(problem, values=VALUES):
    """Return the trainer's numbers after an epoch, and those of each row."""
    trainer = problem.trainer(values, 0)
    said = trainer.run_epoch()
    arrays = problem.arrays
    trained = TrainedModel(problem.subject, problem.problem, values, 0, trainer.weights())
    # Raw rows: the fixtures' features are scaled already.
    scale = np.float32(problem.input_spec.scale[0] if problem.input_spec.scale else 1)
    return said, evaluate_rows(trained, arrays.x_val / scale, arrays.y_val)


@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", "kl_divergence"])
def test_classes(digits, loss):
    said, rows = evaluated(digits.replace(loss=loss))
    assert rows["loss"].shape == rows["accuracy"].shape == (167,)
    assert set(np.unique(rows["accuracy"])) <= {0.0, 1.0}
    assert rows["accuracy"].mean() == pytest.approx(said["val_accuracy"], rel=1e-6)
    assert rows[REGULARISATION] > 0
    whole = rows["loss"].mean() + rows[REGULARISATION]
    assert whole == pytest.approx(said["val_loss"], rel=1e-5)


@pytest.mark.parametrize("loss", ["mean_squared_error", "huber"])
def test_targets_in_their_own_units(diabetes, loss):
    said, rows = evaluated(diabetes.replace(loss=loss))
    assert rows["mae"].mean() == pytest.approx(said["val_mae"], rel=1e-5)
    whole = rows["loss"].mean() + rows[REGULARISATION]
    assert whole == pytest.approx(said["val_loss"], rel=1e-5)


def test_a_loss_that_no_row_has_of_its_own(digits):
    _, rows = evaluated(digits.replace(loss="dice"))
    assert rows["loss"].shape == ()
    assert rows["accuracy"].shape == (167,)


@pytest.mark.parametrize(
    ("name", "model", "metrics"),
    [("digits", "compiled", {"accuracy", "top"}), ("diabetes", "plain", {"mae"})],
)
def test_a_model_of_one_s_own_has_its_own_metrics(name, model, metrics, request):
    own = request.getfixturevalue(name).replace(model=f"odd_models:{model}")
    said, rows = evaluated(own, {"units": 8})
    assert set(rows) == {"loss", *metrics}
    rel = 1e-5 if name == "digits" else 1e-4
    for metric, value in rows.items():
        assert value.shape == ()
        assert value == pytest.approx(said[f"val_{metric}"], rel=rel)
