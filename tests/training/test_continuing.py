"""A training that is halted and continued is to the bit the one that was left alone."""

import keras
import numpy as np
import pytest
from trainings import assert_continues, assert_equal_arrays, stored

from hpsearch.space.mlp import LAYER_TYPES

EPOCHS = 4
SEED = 2
NATIVE_OPTIMIZERS = (
    "sgd",
    "momentum",
    "nesterov",
    "adam",
    "adamw",
    "adagrad",
    "rmsprop",
    {"name": "rmsprop", "momentum": 0.9, "weight_decay": 0.01},
)


def values(optimizer, layer_type="dropout", **more):
    # No relu: where a unit is dead, adafactor divides nothing by nothing.
    values = {"units": [16, 12], "activation": "tanh"}
    return values | {"layer_type": layer_type, "optimizer": optimizer, **more}


def make(config, problem, kind):
    made = problem.trainer(config, SEED, kind=kind)
    assert made.kind == kind
    return made


def continues(config, problem, kind, *, halts, epochs=EPOCHS):
    assert_continues(
        make(config, problem, kind), make(config, problem, kind), halts=halts, epochs=epochs
    )


@pytest.mark.parametrize("optimizer", NATIVE_OPTIMIZERS, ids=str)
@pytest.mark.parametrize("layer_type", LAYER_TYPES)
def test_native(digits, layer_type, optimizer):
    config = values(optimizer, layer_type, l2=0.001)
    continues(config, digits, "native", halts=range(EPOCHS))


@pytest.mark.parametrize("problem", ["cancer", "diabetes", "images"])
def test_every_task_and_input(problem, request):
    continues(values("adam"), request.getfixturevalue(problem), "native", halts=(2,))


def own_layers(hp):
    """A model with a layer of each kind of state, and metrics of its own."""
    model = keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.GaussianNoise(0.1),
            keras.layers.Dense(hp.values["units"]),
            keras.layers.BatchNormalization(),
            keras.layers.AlphaDropout(0.2),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    top2 = keras.metrics.SparseTopKCategoricalAccuracy(2, name="top2")
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy", top2])
    return model


class OwnStep(keras.Model):
    """Has no weights before its first batch, and a training step of its own."""

    def __init__(self, units):
        super().__init__()
        self.hidden = keras.layers.Dense(units, activation="relu")
        self.drop = keras.layers.Dropout(0.3, seed=5)
        self.last = keras.layers.Dense(10, activation="softmax")

    def call(self, x, training=False):
        return self.last(self.drop(self.hidden(x), training=training))

    def train_step(self, data):
        return super().train_step(data)


def own_step(hp):
    return OwnStep(hp.values["units"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "kind"), [("own_layers", "graph"), ("own_layers", "fit"), ("own_step", "fit")]
)
def test_models_of_ones_own(digits, function, kind):
    problem = digits.replace(model=f"{__name__}:{function}")
    continues({"units": 8, "optimizer": "adam"}, problem, kind, halts=(1,), epochs=3)


@pytest.mark.slow
def test_a_state_is_a_copy(digits):
    for kind in ("native", "graph", "fit"):
        trainer = make(values("adam"), digits, kind)
        before = trainer.state()
        kept = stored(before)
        trainer.run_epoch()
        assert_equal_arrays(before, kept)
        trainer.resume(0, before)
        trainer.run_epoch()
        assert_equal_arrays(before, kept)


@pytest.mark.parametrize("kind", ["native", "graph", "fit"])
def test_a_state_of_another_training_is_refused(digits, kind):
    trainer = make(values("adam"), digits, kind)
    state = trainer.state()
    curve = trainer.run_epoch()
    nine = np.zeros((64, 9), np.float32)
    others = ((nine, *state[1:]), (state[0].astype(np.float64), *state[1:]), state[:-1])
    for epoch, given in ((-1, state), *((1, given) for given in others)):
        with pytest.raises(ValueError, match="another training's"):
            trainer.resume(epoch, given)
    other_kind = "graph" if kind == "native" else "native"
    for other in (make(values("sgd"), digits, kind), make(values("adam"), digits, other_kind)):
        with pytest.raises(ValueError, match="another training's"):
            trainer.resume(1, other.state())
    trainer.resume(0, state)
    assert trainer.run_epoch() == curve, "what is refused changes nothing"
