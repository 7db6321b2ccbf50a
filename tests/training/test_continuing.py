"""A training that is halted and continued is to the bit the one that was left alone."""

from __future__ import annotations

import io
import json
import pickle
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from hpsearch.space.keras_names import OPTIMIZERS, SCHEDULES
from hpsearch.space.mlp import LAYER_TYPES
from hpsearch.training.graphs import Graphs
from hpsearch.training.mlps import mlp_trainer
from hpsearch.training.trainer import TrainerRequest

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


def make(config, problem, kind, **options):
    made = problem.trainer(config, SEED, kind=kind, **options)
    assert made.kind == kind
    return made


def stored(state):
    """As a file keeps it: no object, only numbers."""
    file = io.BytesIO()
    np.savez(file, *state)
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        return tuple(arrays.values())


def whole(trainer, epochs=EPOCHS):
    """The curve, and the state after each epoch from 0 on."""
    states, curve = [stored(trainer.state())], []
    for _ in range(epochs):
        curve.append(trainer.run_epoch())
        states.append(stored(trainer.state()))
    return curve, states


def assert_equal_arrays(ours, theirs):
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine, other)


def assert_continues(config, problem, kind, halts=(0, 1, 3), epochs=EPOCHS):
    left_alone = make(config, problem, kind)
    curve, states = whole(left_alone, epochs)
    continued = make(config, problem, kind)
    for halt in halts:
        continued.resume(halt, states[halt])
        assert [continued.run_epoch() for _ in range(halt, epochs)] == curve[halt:]
        assert_equal_arrays(continued.weights(), left_alone.weights())
        assert_equal_arrays(continued.state(), left_alone.state())
    return states


@pytest.mark.parametrize("optimizer", NATIVE_OPTIMIZERS, ids=str)
@pytest.mark.parametrize("layer_type", LAYER_TYPES)
def test_native(digits, layer_type, optimizer):
    config = values(optimizer, layer_type, l2=0.001)
    assert_continues(config, digits, "native", halts=range(EPOCHS))


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n, each in OPTIMIZERS.items() if not each.implied])
def test_every_optimizer(digits, name):
    states = assert_continues(values(name), digits, "graph")
    assert any(np.any(before != after) for before, after in zip(*states[1:3], strict=True))


@pytest.mark.parametrize("layer_type", LAYER_TYPES)
def test_every_layer_type(digits, layer_type):
    assert_continues(values("lion", layer_type, l2=0.001), digits, "graph")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layer_type", "optimizer"),
    [("dropout", "adam"), ("batch_norm", "lion"), ("residual", "muon")],
)
def test_under_xla(digits, layer_type, optimizer):
    """The state is the graph's, and so is what takes it up."""
    assert_continues(values(optimizer, layer_type), digits, "xla")


ARGUMENTS = {
    "initial_learning_rate": 0.01,
    "decay_steps": 15,
    "first_decay_steps": 8,
    "decay_rate": 0.5,
    "boundaries": [5, 15],
    "values": [0.01, 0.005, 0.001],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule(digits, name):
    arguments = {key: value for key, value in ARGUMENTS.items() if key in SCHEDULES[name]}
    rate = {"name": name, **arguments}
    assert_continues(values({"name": "adam", "learning_rate": rate}), digits, "graph")


@pytest.mark.slow
@pytest.mark.parametrize(
    "optimizer",
    [
        {"name": "sgd", "momentum": 0.9, "gradient_accumulation_steps": 4},
        {"name": "adam", "use_ema": True, "ema_overwrite_frequency": 5},
        {"name": "adam", "amsgrad": True, "weight_decay": 0.01},
        {"name": "rmsprop", "centered": True, "momentum": 0.5, "clipnorm": 0.5},
        {"name": "schedulefreeadamw", "warmup_steps": 20},
    ],
    ids=str,
)
def test_optimizers_that_keep_more(digits, optimizer):
    """Eleven steps an epoch: accumulation and averages go on across its end."""
    assert_continues(values(optimizer), digits, "graph", halts=(1,), epochs=3)


@pytest.mark.slow
@pytest.mark.parametrize("layer_type", ["dropout", "batch_norm"])
def test_fit(digits, layer_type):
    assert_continues(values("nadam", layer_type), digits, "fit", halts=(2,), epochs=3)


@pytest.mark.parametrize("problem", ["cancer", "diabetes", "images"])
@pytest.mark.parametrize("kind", ["native", "graph"])
def test_every_task_and_input(problem, kind, request):
    assert_continues(values("adam"), request.getfixturevalue(problem), kind, halts=(2,))


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
    assert_continues({"units": 8, "optimizer": "adam"}, problem, kind, halts=(1,), epochs=3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["graph", "xla"])
def test_in_a_program_that_was_used(digits, kind):
    """A worker's earlier trainings make no difference to one that it continues."""
    config = values("lion", learning_rate=0.01)
    curve, states = whole(make(config, digits, kind))
    graphs = Graphs()
    other = make(values("lion", learning_rate=0.1), digits, kind, graphs=graphs)
    other.run_epoch()
    continued = make(config, digits, kind, graphs=graphs)
    assert continued is other
    continued.resume(2, states[2])
    assert [continued.run_epoch() for _ in range(2)] == curve[2:]
    assert_equal_arrays(continued.state(), states[4])


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


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adam", "lion"])
def test_in_another_process(digits, optimizer, tmp_path):
    request = TrainerRequest(digits.problem, values(optimizer), SEED, digits.arrays)
    trainer = mlp_trainer(request)
    curve, states = whole(trainer)
    (tmp_path / "request").write_bytes(pickle.dumps(request))
    np.savez(tmp_path / "before.npz", *states[2])
    support = Path(__file__).parents[1] / "support"
    command = [sys.executable, support / "continue_training.py", tmp_path, "2", str(EPOCHS)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    assert json.loads(done.stdout) == [trainer.kind, curve[2:]]
    with np.load(tmp_path / "after.npz") as after:
        assert_equal_arrays(after.values(), states[EPOCHS])


@pytest.mark.parametrize("kind", ["native", "graph", "fit"])
def test_a_state_of_another_training_is_refused(digits, kind):
    trainer = make(values("adam"), digits, kind)
    state = trainer.state()
    curve = trainer.run_epoch()
    with pytest.raises(
        ValueError, match=r"array 1 of .* float32 \(64, 16\), not float32 \(64, 9\)"
    ):
        trainer.resume(1, (np.zeros((64, 9), np.float32), *state[1:]))
    with pytest.raises(ValueError, match=r"array 1 of .* float32 \(64, 16\), not float64"):
        trainer.resume(1, (state[0].astype(np.float64), *state[1:]))
    with pytest.raises(ValueError, match=f"{len(state)} arrays, not {len(state) - 1}"):
        trainer.resume(1, state[:-1])
    with pytest.raises(ValueError, match="0 or more epochs, not -1"):
        trainer.resume(-1, state)
    other = make(values("sgd"), digits, kind)
    with pytest.raises(ValueError, match="another training's"):
        trainer.resume(1, other.state())
    trainer.resume(0, state)
    assert trainer.run_epoch() == curve, "what is refused changes nothing"


def test_a_state_of_another_kind_is_refused(digits):
    native, graph = (make(values("adam"), digits, kind) for kind in ("native", "graph"))
    for one, other in ((native, graph), (graph, native)):
        with pytest.raises(ValueError, match="another training's"):
            one.resume(0, other.state())
