"""Callbacks around the native and the graph trainer: epoch by epoch what `fit` gives."""

import copy
import math

import cloudpickle
import keras
import numpy as np
import pandas as pd
import pytest
from digit_models import MODELS, convolutional, dense
from keras import callbacks as kc
from keras_curve import rows_for
from keras_tuner.src.engine.hypermodel import get_hypermodel
from marks import slow_but
from trainings import trained

from hpsearch.custom.building import Tailored
from hpsearch.custom.callbacks import within_epochs
from hpsearch.space.seeds import epoch_order

SEED, EPOCHS, SIZE = 1, 6, 32
VALUES = {"batch_size": SIZE, "epochs": EPOCHS}


def tailored(digits, model, callbacks):
    """The problem of a user's model whose trainings have these callbacks."""
    made = Tailored(get_hypermodel(model), custom_fit=False, callbacks=callbacks)
    return digits.replace(model="one:own", code=cloudpickle.dumps(made))


def batches(x, y, sweep_seed):
    """The batches of all epochs, in the engine's order."""
    for epoch in range(1, EPOCHS + 1):
        order = epoch_order(sweep_seed, SEED, epoch, len(x))
        for begin in range(0, len(order), SIZE):
            rows = order[begin : begin + SIZE]
            yield x[rows], y[rows]


def fit_curve(digits, model, callbacks):
    """The history of one call of `fit` with the same first weights and the same batches."""
    problem = digits.replace(model="one:own", code=cloudpickle.dumps(model))
    made = problem.model(VALUES, SEED)
    x, y, validation_data = rows_for(made, problem.arrays)
    history = made.fit(
        batches(x, y, problem.recipe.sweep_seed),
        steps_per_epoch=math.ceil(len(x) / SIZE),
        shuffle=False,
        epochs=EPOCHS,
        verbose=0,
        validation_data=validation_data,
        callbacks=copy.deepcopy(callbacks),
    )
    return pd.DataFrame(history.history)


def engine_curve(problem):
    trainer = problem.trainer(VALUES, SEED, epochs=EPOCHS)
    return pd.DataFrame(trained(trainer)), trainer


EXACT = {
    "stopping": [kc.EarlyStopping("val_loss", patience=1, min_delta=0.1)],
    "stopping with all arguments": [
        kc.EarlyStopping(
            "val_accuracy",
            patience=1,
            min_delta=0.5,
            mode="max",
            baseline=0.1,
            restore_best_weights=True,
            start_from_epoch=2,
        )
    ],
    "plateau": [kc.ReduceLROnPlateau("val_loss", factor=0.2, patience=1, min_delta=0.3)],
    "schedule": [kc.LearningRateScheduler(lambda epoch, rate: rate if epoch < 2 else rate / 2)],
    "both": [
        kc.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=1.0, cooldown=1),
        kc.EarlyStopping("loss", patience=3, min_delta=1.0),
    ],
}


@pytest.mark.parametrize(
    ("name", "kind"),
    slow_but(
        [("both", "native"), ("stopping", "graph")],
        [*((name, "native") for name in EXACT), ("stopping", "graph"), ("plateau", "graph")],
    ),
)
def test_the_numbers_are_those_of_fit(digits, kind, name):
    given = EXACT[name]
    ours, trainer = engine_curve(tailored(digits, MODELS[kind], given))
    assert trainer.kind == kind
    theirs = fit_curve(digits, MODELS[kind], given)
    # They did something: fewer epochs, or another learning rate.
    assert len(theirs) < EPOCHS or theirs["learning_rate"].nunique() > 1
    assert len(ours) == len(theirs)
    assert set(ours) == set(theirs)
    for column in theirs:
        np.testing.assert_allclose(ours[column], theirs[column], rtol=2e-5, err_msg=column)


class Recorder(keras.callbacks.Callback):
    """Notes what a callback of the user's own sees, and stops."""

    seen: list = []  # noqa: RUF012 - shared by the copies

    def on_train_begin(self, logs=None):
        self.seen.clear()
        self.seen.append(dict(self.params))

    def on_epoch_end(self, epoch, logs=None):
        x, y = self.rows
        shape = self.model.input_shape[1:]
        loss = self.model.evaluate(x.reshape(-1, *shape), y, verbose=0)[0]
        steps = int(self.model.optimizer.iterations)
        self.seen.append((epoch, logs["val_loss"], loss, steps))
        if epoch == 2:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        self.seen.append("end")


def test_a_callback_of_ones_own_sees_the_model_of_each_epoch(digits, monkeypatch):
    recorder = Recorder()
    monkeypatch.setattr(Recorder, "rows", (digits.arrays.x_val, digits.arrays.y_val), raising=False)
    curve, trainer = engine_curve(tailored(digits, dense, [recorder]))
    # It may look at weights, so that the model itself has to be trained.
    assert trainer.kind == "graph"
    params, *epochs, end = Recorder.seen
    steps = math.ceil(333 / SIZE)
    assert params == {"epochs": EPOCHS, "steps": steps, "verbose": 0}
    assert end == "end"
    assert [each[0] for each in epochs] == [0, 1, 2]
    assert [each[3] for each in epochs] == [steps, 2 * steps, 3 * steps]
    for (_, logged, evaluated, _), told in zip(epochs, curve["val_loss"], strict=True):
        assert logged == told
        assert evaluated == pytest.approx(told, rel=1e-5)


def test_the_weights_are_those_of_the_last_epoch_though_a_callback_restores_others(digits):
    given = [kc.EarlyStopping("val_loss", patience=1, min_delta=100, restore_best_weights=True)]
    curve, trainer = engine_curve(tailored(digits, convolutional, given))
    model = trainer.model
    model.set_weights(trainer.weights())
    x = digits.arrays.x_val.reshape(-1, *model.input_shape[1:])
    loss = model.evaluate(x, digits.arrays.y_val, verbose=0)[0]
    assert len(curve) == 2
    assert loss == pytest.approx(curve["val_loss"].iloc[-1], rel=1e-5)


def test_a_diverging_training_ends_with_its_epoch(digits):
    def rate(epoch, _):
        return 1e30 if epoch == 1 else 0.01

    given = [kc.LearningRateScheduler(rate), kc.TerminateOnNaN()]
    curve, _ = engine_curve(tailored(digits, dense, given))
    assert len(curve) == 2
    assert not np.isfinite(curve["loss"].iloc[-1])


class Sometimes(keras.callbacks.Callback):
    """Reports a number in the first epoch alone, and a text."""

    def on_epoch_end(self, epoch, logs=None):
        logs["note"] = "hello"
        if epoch == 0:
            logs["val_f1"] = np.float32(0.5)


def test_an_epoch_has_what_callbacks_report_in_it(digits):
    curve, _ = engine_curve(tailored(digits, dense, [Sometimes()]))
    assert curve["val_f1"].notna().tolist() == [True] + [False] * (EPOCHS - 1)
    assert "note" not in curve


class OnBatches(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        pass


def test_only_callbacks_that_act_on_batches_need_fit():
    freq = kc.ModelCheckpoint("m.keras", save_freq=10)
    lambdas = [kc.LambdaCallback(on_epoch_end=print), kc.LambdaCallback(on_train_batch_end=print)]
    assert within_epochs([OnBatches(), freq, *lambdas, Recorder()]) == [
        "OnBatches",
        "ModelCheckpoint",
        "LambdaCallback",
    ]
    assert within_epochs([kc.TerminateOnNaN(), kc.EarlyStopping(), kc.CSVLogger("x")]) == []
    assert within_epochs([kc.TerminateOnNaN(raise_error=True), object()]) == [
        "TerminateOnNaN",
        "object",
    ]
