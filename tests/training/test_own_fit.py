"""`model.fit` within a hypermodel's own `fit`: trained by the engine, with Keras' results."""

import copy

import cloudpickle
import digit_models
import keras
import keras_tuner
import numpy as np
import pandas as pd
import pytest
from keras import callbacks as kc
from keras_curve import rows_for
from marks import slow_but
from trainings import assert_equal_arrays, trained

SEED, EPOCHS = 1, 8


def learning(build):
    """One step an epoch, so that the order of rows does not matter; the model learns in it."""

    def faster(hp):
        model = build(hp)
        model.optimizer.learning_rate = 0.05
        return model

    return faster


MODELS = {kind: learning(build) for kind, build in digit_models.MODELS.items()}


class Fitting(keras_tuner.HyperModel):
    """Calls `model.fit` once for each of the arguments, and keeps what is left of the model."""

    def __init__(self, build, *calls):
        super().__init__()
        self.build_one, self.calls = build, calls

    def build(self, hp):
        return self.build_one(hp)

    def fit(self, hp, model, x, y, *, validation_data, callbacks, **kwargs):
        del hp
        everything = {"batch_size": len(x), "verbose": 0, "validation_data": validation_data}
        for call in self.calls:
            more = copy.deepcopy({**everything, **call})
            mine = [*callbacks, *more.pop("callbacks", [])]
            history = model.fit(x, y, callbacks=mine, **more, **kwargs)
        self.left = {
            "weights": model.get_weights(),
            "rate": float(model.optimizer.learning_rate),
            "iterations": int(model.optimizer.iterations),
            "history": model.history is history,
            "predictions": model.predict(x[:5], verbose=0),
        }
        return history


def by_engine(digits, hypermodel):
    """The curve by the engine, what is left of the model, and what trained it."""
    problem = digits.replace(
        model="one:own", code=cloudpickle.dumps(hypermodel), metric="val_loss", goal="minimize"
    )
    trainer = problem.trainer({}, SEED)
    return pd.DataFrame(trained(trainer)), trainer._hypermodel.left, trainer.kind


def by_keras(digits, hypermodel):
    """The same by `fit` on the same first weights."""
    code = cloudpickle.dumps(hypermodel)
    made = cloudpickle.loads(code)
    model = digits.replace(model="one:own", code=code).model({}, SEED)
    x, y, validation_data = rows_for(model, digits.arrays)
    history = made.fit(None, model, x, y, validation_data=validation_data, callbacks=[])
    return pd.DataFrame(history.history), made.left


CALLS = {
    "plain": {},
    "restoring": {
        "callbacks": [
            kc.EarlyStopping(
                "val_loss", patience=2, min_delta=0.3, restore_best_weights=True, mode="min"
            )
        ]
    },
    "plateau": {"callbacks": [kc.ReduceLROnPlateau("val_loss", patience=1, min_delta=0.3)]},
    "weights": {"sample_weight": np.linspace(0.1, 2.0, 333)},
    "classes": {"class_weight": {1: 4.0, 7: 0.5}},
    "no validation": {"validation_data": None, "callbacks": [kc.EarlyStopping("loss", 0.2)]},
    "a part": {"validation_data": None, "validation_split": 0.25},
    "in order": {"shuffle": False, "batch_size": 64},
}


def pairs(names, *of_graph):
    """Each name with the native trainer, whose state is outside the model; some with both."""
    return [*((name, "native") for name in names), *((name, "graph") for name in of_graph)]


@pytest.mark.parametrize(
    ("name", "kind"),
    slow_but([("restoring", "native"), ("classes", "graph")], pairs(CALLS, "restoring", "classes")),
)
def test_it_gives_what_keras_gives(digits, kind, name):
    hypermodel = Fitting(MODELS[kind], {"epochs": EPOCHS, **CALLS[name]})
    ours, left, trained_by = by_engine(digits, hypermodel)
    theirs, expected = by_keras(digits, hypermodel)
    assert trained_by == kind
    assert len(ours) == len(theirs)
    assert set(ours) == set(theirs)
    columns = list(theirs)
    np.testing.assert_allclose(ours[columns], theirs[columns], atol=2e-3)
    for one, other in zip(left["weights"], expected["weights"], strict=True):
        np.testing.assert_allclose(one, other, atol=5e-3)
    assert left["rate"] == pytest.approx(expected["rate"])
    assert left["history"]
    np.testing.assert_allclose(left["predictions"], expected["predictions"], atol=5e-3)


OPTIMIZERS = {
    "adam": keras.optimizers.Adam(0.05),
    "adamw": keras.optimizers.AdamW(0.05, weight_decay=0.01),
    "rmsprop with momentum": keras.optimizers.RMSprop(0.01, momentum=0.5),
    "adagrad": keras.optimizers.Adagrad(0.1),
}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), pairs(OPTIMIZERS, "adam"))
def test_a_second_call_goes_on_from_the_first(digits, kind, name):
    """With the optimizer's state, and by what was changed in between."""
    config = keras.optimizers.serialize(OPTIMIZERS[name])

    def build(hp):
        model = MODELS[kind](hp)
        optimizer = keras.optimizers.deserialize(config)
        model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    plateau = kc.ReduceLROnPlateau("val_loss", patience=1, min_delta=0.3)
    hypermodel = Fitting(build, {"epochs": 4, "callbacks": [plateau]}, {"epochs": 3})
    ours, left, trained_by = by_engine(digits, hypermodel)
    theirs, expected = by_keras(digits, hypermodel)
    assert trained_by == "fit"
    assert len(ours) == 3
    np.testing.assert_allclose(ours["loss"], theirs["loss"], atol=2e-3)
    for one, other in zip(left["weights"], expected["weights"], strict=True):
        np.testing.assert_allclose(one, other, atol=5e-3)
    assert left["iterations"] == expected["iterations"] == 7


class SettingWeights(kc.Callback):
    """Undoes every epoch."""

    def on_train_begin(self, logs=None):
        self.first = self.model.get_weights()

    def on_epoch_end(self, epoch, logs=None):
        self.model.set_weights(self.first)


def test_callbacks_that_set_weights_are_heeded(digits):
    hypermodel = Fitting(digit_models.dense, {"epochs": 3, "callbacks": [SettingWeights()]})
    ours, left, trained_by = by_engine(digits, hypermodel)
    theirs, expected = by_keras(digits, hypermodel)
    assert trained_by == "graph"
    np.testing.assert_allclose(ours["loss"], theirs["loss"], atol=2e-3)
    np.testing.assert_allclose(left["weights"][0], expected["weights"][0], atol=1e-6)


@pytest.mark.parametrize(
    "call",
    [
        {"callbacks": [kc.LambdaCallback(on_train_batch_end=lambda *_, **__: None)]},
        {"steps_per_epoch": 2, "batch_size": 32},
        {"epochs": 0},
        {"sample_weight": np.ones((333, 1))},
    ],
    ids=["batches", "steps", "nothing", "arrays"],
)
def test_what_only_keras_can_do_it_does(digits, call, capsys):
    hypermodel = Fitting(digit_models.dense, {"epochs": 2, **call})
    ours, _, trained_by = by_engine(digits, hypermodel)
    assert trained_by == "fit"
    why = "by Keras, since sample_weight has shape (333, 1)" if "sample_weight" in call else ""
    assert why in capsys.readouterr().out
    assert len(ours) == call.get("epochs", 2)


def test_a_checkpoint_is_of_the_epoch(digits, tmp_path):
    """A callback that reads weights gets those of its epoch from the extension, too."""
    path = str(tmp_path / "{epoch}.weights.h5")
    saving = kc.ModelCheckpoint(path, save_weights_only=True)
    hypermodel = Fitting(digit_models.dense, {"epochs": 3, "callbacks": [saving]})
    _, left, trained_by = by_engine(digits, hypermodel)
    assert trained_by == "native"
    model = digit_models.dense(None)
    model.load_weights(path.format(epoch=3))
    assert_equal_arrays(model.get_weights(), left["weights"])
    model.load_weights(path.format(epoch=1))
    assert not np.array_equal(model.get_weights()[0], left["weights"][0])
