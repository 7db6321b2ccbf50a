"""`hpsearch.tune(..., model=build, callbacks=[...])`."""

import threading

import keras
import numpy as np
import pandas as pd
import pytest
import user_models
from keras import callbacks as kc

import hpsearch
from hpsearch.custom.callbacks import described
from hpsearch.errors import ChangedSweepError, InputError


def stopping(**changes):
    return kc.EarlyStopping(**{"patience": 1, "min_delta": 100.0} | changes)


RESTORING = [stopping(restore_best_weights=True)]


@pytest.fixture(scope="module")
def stopped(digits, tmp_path_factory):
    """A training that a callback stops after two epochs, and its log beside the results."""
    out = tmp_path_factory.mktemp("stopped") / "out"
    callbacks = [*RESTORING, kc.CSVLogger(f"{out}.csv")]
    parameters = {"epochs": 30, "units": 8, "f": "relu"}
    return hpsearch.tune(
        *digits, model=user_models.small, callbacks=callbacks, parameters=parameters, out=out
    )


def test_the_best_epoch_counts_where_a_callback_restores_it(stopped):
    (row,) = stopped.table.to_dict("records")
    assert (row["trainer"], row["epochs_trained"]) == ("native", 2)
    assert row["metric"] == "val_loss:minimize:best"
    assert row["score"] == stopped.curves["val_loss"].min()
    # The program's own log is of the one training, not of the builds before it.
    assert pd.read_csv(f"{stopped.directory}.csv")["epoch"].tolist() == [0, 1]
    found = stopped.evaluate("validation").metrics["loss"].value
    assert found == pytest.approx(row["score"], rel=1e-5)
    assert stopped.reproduce(1).equal


def test_the_callbacks_decide_the_scores_so_others_are_another_recipe(digits, tmp_path):
    arguments = {
        "model": user_models.small,
        "parameters": {"epochs": 2, "units": 4, "f": "relu"},
        "out": tmp_path,
    }
    # One may be given without a list.
    hpsearch.tune(*digits, callbacks=kc.LearningRateScheduler(schedule), **arguments)
    again = hpsearch.tune(*digits, callbacks=[kc.LearningRateScheduler(schedule)], **arguments)
    assert again.table["status"].tolist() == ["completed"]
    assert again.curves["learning_rate"].tolist() == pytest.approx([0.001, 0.002])
    with pytest.raises(
        ChangedSweepError,
        match=r'was "LearningRateScheduler\(schedule=schedule\)", is "EarlyStopping\(min',
    ):
        hpsearch.tune(*digits, callbacks=[stopping()], **arguments)


class Rates(keras.callbacks.Callback):
    """Sets the rates that it was given."""

    def __init__(self, rates, rows=None):
        super().__init__()
        self._rates, self.rows = rates, rows

    def on_epoch_begin(self, epoch, logs=None):
        self.model.optimizer.learning_rate = self._rates[epoch]


def test_what_a_callback_of_ones_own_holds_counts(digits):
    x, _ = digits
    callbacks = [[Rates([0.1, 0.2])], [Rates([0.1, 0.3])], [Rates([0.1, 0.2], x[:5])]]
    callbacks += [[kc.ReduceLROnPlateau(factor=np.float32(0.5))], [kc.ReduceLROnPlateau()]]
    assert len({described(each) for each in callbacks}) == len(callbacks)
    assert described(callbacks[0]) == "Rates(rates=[0.1, 0.2], rows=None)"
    assert described(callbacks[2]) == described([Rates((0.1, 0.2), x[:5].copy())])
    assert described([kc.EarlyStopping(patience=3)]) == "EarlyStopping(patience=3)"
    # Objects are equal if their values are, wherever they are in memory.
    texts = [np.array([f"a{each}", None], object) for each in "bbc"]
    told = [described([Rates([0.1], each)]) for each in texts]
    assert told[0] == told[1] != told[2]


@pytest.mark.slow
def test_a_final_model_has_the_epochs_that_the_callbacks_gave(stopped):
    final = stopped.refit(seeds=1, on="train+validation").table
    assert final["epochs_trained"].tolist() == final["epochs"].tolist() == [2]


def schedule(epoch, rate):
    return 0.001 * (1 + epoch)


@pytest.mark.slow
def test_methods_that_halt_trainings(digits):
    results = hpsearch.tune(
        *digits,
        model=user_models.small,
        callbacks=[kc.ReduceLROnPlateau(patience=1)],
        parameters={"epochs": [9]},
        method="asha",
        trials=4,
    )
    assert "stopped" in set(results.table["status"])
    assert set(results.table["epochs_trained"]) == {3, 9}
    assert set(results.table["trainer"]) == {"native"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"callbacks": [kc.EarlyStopping]}, r"callbacks\[0\]: must be.*not <class .*EarlyStopp"),
        ({"callbacks": [stopping(), print]}, r"callbacks\[1\]: must be a keras.callbacks.Callb"),
        (
            {"callbacks": RESTORING, "metric": {"name": "val_loss", "epoch": "last"}},
            "restores the weights of the best epoch, and metric scores the last one",
        ),
        (
            {"callbacks": [stopping(monitor="val_acc", restore_best_weights=True)]},
            "metric.*val_acc.*did you mean 'val_accuracy'",
        ),
        ({"callbacks": [stopping(), Rates(threading.Lock())]}, r"callbacks\[1\]: cannot be sent"),
        ({"model": keras.Sequential()}, r"model: must be a function build.*not a Sequential"),
        (
            {"model": None, "parameters": {"units": 4}, "callbacks": [stopping()]},
            "callbacks: are for custom models.*early_stopping",
        ),
    ],
)
def test_mistakes(digits, arguments, message):
    with pytest.raises(InputError, match=message):
        hpsearch.tune(*digits, **{"model": user_models.small} | arguments)
