"""Evaluations on the record: what it holds, and what a damaged one says."""

import pandas as pd
import pytest

from hpsearch.data.specs import Task
from hpsearch.store.facts import Evaluation, Facts, Identity, Measurement
from hpsearch.store.trials import errors_text

LOSS = Measurement(0.4, 0.3, 0.6, "bootstrap")
LOOK = Evaluation(
    time="2026-01-02T03:04:05+00:00",
    trial=7,
    config="c0123456789a",
    seed=1,
    split="test",
    rows=360,
    metric="accuracy",
    metrics={"loss": LOSS, "accuracy": Measurement(0.9, 0.8, 0.95, "wilson")},
)


def test_they_are_kept_in_order():
    assert Facts({"task": "binary"}).evaluations == ()
    second = Evaluation(**{**vars(LOOK), "trial": 8, "metrics": {"accuracy": Measurement(0.5)}})
    assert Facts(Facts.encoded(evaluations=(LOOK, second))).evaluations == (LOOK, second)
    third = Evaluation(**{**vars(LOOK), "confusion": ((3, 1), (0, 2)), "pairs": ((0.5, 0.25),)})
    assert Facts(Facts.encoded(evaluations=(third,))).evaluations == (third,)
    assert LOOK.score == LOOK.metrics["accuracy"]
    assert second.score.low is None


_GUESSES = {"val_mae": 20.0, "val_mse": 400.0}
_MAE, _BOTH = "MAE 10.00", "RMSE 30.00, MAE 10.00"


@pytest.mark.parametrize(
    ("columns", "recipe", "guesses", "text"),
    [
        ({}, {}, _GUESSES, f"{_BOTH}, R\N{SUPERSCRIPT TWO} -1.2500"),
        ({}, {}, {}, _BOTH),
        ({}, {"loss": "huber"}, _GUESSES, _MAE),
        ({}, {"sample_weight": True}, _GUESSES, _MAE),
        # The loss has a penalty.
        ({"l2": 0.1}, {}, _GUESSES, _MAE),
        ({"l2": float("nan")}, {}, {}, _BOTH),
        ({}, {"model": "module:build"}, _GUESSES, ""),
    ],
)
def test_errors_follow_from_what_the_loss_is(columns, recipe, guesses, text):
    common = {"loss": "mean_squared_error", "model": ""}
    identity = Identity("d1", {}, "val_loss:minimize:last", common | recipe)
    facts = Facts.encoded(identity=identity, task=Task.REGRESSION, guesses=guesses)
    trial = pd.Series({"val_loss": 900.0, "val_mae": 10.0} | columns)
    assert errors_text(trial, Facts(facts)) == text
    assert errors_text(trial, Facts(facts | {"task": "binary"})) == ""
