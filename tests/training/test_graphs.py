"""A program that is used again trains, and goes on, to the bit as a new one does."""

import math

import numpy as np
import pytest
from marks import slow, slow_but
from trainings import assert_continues, assert_equal_arrays, trained

from hpsearch.data.specs import TrainingData
from hpsearch.space.execution import Training
from hpsearch.space.keras_names import INITIALIZERS, OPTIMIZERS, SCHEDULES
from hpsearch.space.mlp import LAYER_TYPES
from hpsearch.training.keras_trainers import graph_key
from hpsearch.training.mlps import Graphs, MLPs
from hpsearch.training.subjects import Job

EPOCHS, HALTS = 4, (0, 1, 3)
#: Its state begins with the weights, which no restart gives it.
UNKEPT = {"schedulefreeadamw"}
NUMBERS = {"learning_rate": (0.01, 0.0025), "weight_decay": (0.01, 0.003), "momentum": (0.9, 0.5)}


def traces(graphs):
    """The number of traces of all graphs that are kept."""
    return sum(kept._run.experimental_get_tracing_count() for kept in graphs._kept.values())


def settings(name, which, **more):
    """An optimizer with the first or second number for each of its arguments."""
    numbers = {
        key: pair[which] for key, pair in NUMBERS.items() if key in OPTIMIZERS[name].defaults
    }
    return {"name": name, **numbers, **more}


def values(optimizer, layer_type="dense", **more):
    # No relu: where a unit is dead, adafactor divides nothing by nothing.
    values = {"units": [16, 12], "activation": "tanh"}
    return values | {"layer_type": layer_type, "optimizer": optimizer, **more}


def assert_reused(problem, first, second, *, kind="graph"):
    """Trains `first`, then `second` by the same program, left alone and halted, and by a new one.

    Returns:
        The curves of both.
    """
    graphs = Graphs()
    used = problem.trainer(first, 1, kind=kind, graphs=graphs)
    before = trained(used, EPOCHS)
    assert problem.trainer(second, 2, kind=kind, graphs=graphs) is used
    again, state = trained(used, EPOCHS), used.state()
    new = problem.trainer(second, 2, kind=kind)
    curve, states = assert_continues(used, new, halts=HALTS, epochs=EPOCHS)
    assert again == curve
    assert_equal_arrays(state, states[EPOCHS])
    assert (len(graphs), traces(graphs)) == (1, 1)
    return before, again


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [n for n, each in OPTIMIZERS.items() if not each.implied and n not in UNKEPT]
)
def test_every_optimizer(digits, name):
    first, second = (values(settings(name, n), "dropout") for n in (0, 1))
    before, again = assert_reused(digits, first, second)
    assert before != again


@pytest.mark.slow
@pytest.mark.parametrize(("layer_type", "optimizer"), [("dropout", "sgd"), ("batch_norm", "lion")])
def test_under_xla(digits, layer_type, optimizer):
    """What is compiled is the graph, with the same arguments."""
    first, second = (
        values(settings(optimizer, n), layer_type, l2=l2) for n, l2 in enumerate((0.001, 0.02))
    )
    assert_reused(digits, first, second, kind="xla")


@pytest.mark.parametrize("layer_type", slow_but(["dense", "batch_norm"], LAYER_TYPES))
def test_every_layer_type(digits, layer_type):
    first, second = (
        values(settings("lion", n), layer_type, l2=l2) for n, l2 in enumerate((0.001, 0.02))
    )
    assert_reused(digits, first, second)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("sgd", {"nesterov": True}),
        ("sgd", {"momentum": 0.0, "clipnorm": 0.5}),
        ("rmsprop", {"momentum": 0.0}),
        ("rmsprop", {"centered": True}),
        ("rmsprop", {"momentum": 0.0, "centered": True, "global_clipnorm": 1.0}),
        ("adam", {"amsgrad": True, "clipvalue": 0.1}),
        ("adam", {"use_ema": True, "ema_overwrite_frequency": 4}),
        ("adam", {"gradient_accumulation_steps": 3, "loss_scale_factor": 8.0}),
        ("muon", {"adam_weight_decay": None, "nesterov": False}),
    ],
    ids=str,
)
def test_arguments_that_shape_the_graph(digits, name, arguments):
    first, second = (values(settings(name, n, **arguments)) for n in (0, 1))
    assert_reused(digits, first, second)


ARGUMENTS = {
    "decay_steps": 15,
    "first_decay_steps": 8,
    "decay_rate": 0.5,
    "boundaries": [5, 9],
    "values": [0.01, 0.005, 0.001],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule(digits, name):
    arguments = {key: value for key, value in ARGUMENTS.items() if key in SCHEDULES[name]}
    rates = [{"name": name, **arguments} for _ in range(2)]
    if "initial_learning_rate" in SCHEDULES[name]:
        for rate, initial in zip(rates, NUMBERS["learning_rate"], strict=True):
            rate["initial_learning_rate"] = initial
    first, second = (values({"name": "adamax", "learning_rate": rate}) for rate in rates)
    assert_reused(digits, first, second)


@pytest.mark.parametrize("optimizer", ["rmsprop", slow("lion"), slow("adagrad")])
def test_nothing_of_a_diverged_training_is_left(digits, optimizer):
    first = values({"name": optimizer, "learning_rate": 1e30}, "batch_norm", activation="elu")
    second = values({"name": optimizer, "learning_rate": 1e-3}, "batch_norm", activation="elu")
    before, again = assert_reused(digits, first, second)
    assert not math.isfinite(before[-1]["loss"])
    assert math.isfinite(again[-1]["loss"])


@pytest.mark.parametrize("problem", ["diabetes", slow("cancer"), slow("images")])
def test_every_task_and_input(problem, request):
    first, second = (values(settings("lion", n)) for n in (0, 1))
    assert_reused(request.getfixturevalue(problem), first, second)


@pytest.mark.parametrize(
    "initializer", [*INITIALIZERS, {"name": "constant", "value": 0.5}], ids=str
)
def test_every_initializer(digits, initializer):
    config = values("lion", "residual", kernel_initializer=initializer, units=[12, 12, 10])
    graphs = Graphs()
    for seed in (1, 2):
        used = digits.trainer(config, seed, graphs=graphs)
        fresh = digits.trainer(config, seed)
        assert_equal_arrays(used.state(), fresh.state())
    assert len(graphs) == 1


def test_another_length_and_the_same_training_again(digits):
    """Also what ran longer, or was this very training, leaves nothing."""
    graphs = Graphs()
    config = values(settings("adam", 0), "dropout")

    def train(epochs):
        made = digits.trainer(config, 1, kind="graph", graphs=graphs)
        return trained(made, epochs), made.weights()

    long, short = train(4), train(2)
    assert long[0][:2] == short[0]
    np.testing.assert_equal(train(4), long)
    assert traces(graphs) == 1


def test_the_model_tells_the_present_numbers(digits):
    graphs = Graphs()
    for which in (0, 1):
        config = values(settings("sgd", which))
        made = digits.trainer(config, 1, kind="graph", graphs=graphs)
        made.run_epoch()
        told = made.model.optimizer.get_config()
        assert told["momentum"] == NUMBERS["momentum"][which]
        assert told["weight_decay"] == NUMBERS["weight_decay"][which]
        assert told["learning_rate"] == pytest.approx(NUMBERS["learning_rate"][which])


def key(problem, kind="graph", **changed):
    return graph_key(problem.problem, values("lion", l2=0.1) | changed, problem.arrays, kind=kind)


@pytest.mark.parametrize(
    "changed",
    [
        {"units": [16, 13]},
        {"activation": "relu"},
        {"layer_type": "dropout"},
        {"layer_type": "dropout", "dropout": 0.1},
        {"batch_size": 64},
        {"l2": 0.0},
        {"kernel_initializer": "he_normal"},
        {"optimizer": "adamax"},
        {"optimizer": {"name": "lion", "beta_1": 0.8}},
        {"optimizer": {"name": "lion", "clipnorm": 1.0}},
        {"weight_decay": 0.1},
        {"learning_rate": {"name": "cosine_decay", "decay_steps": 9, "initial_learning_rate": 1}},
        {"kind": "xla"},
    ],
    ids=str,
)
def test_what_shapes_the_graph_is_in_the_key(digits, changed):
    assert key(digits) == key(digits)
    assert key(digits, **changed) != key(digits)


def test_momentum_data_and_recipe_are_in_the_key_and_seeds_rates_and_epochs_are_not(digits, images):
    assert key(digits, optimizer="sgd") != key(digits, optimizer="momentum")
    assert key(digits, optimizer="sgd", momentum=0.5) == key(digits, optimizer="momentum")
    assert key(digits, optimizer="nesterov") != key(digits, optimizer="momentum")
    assert key(digits, learning_rate=0.5, l2=0.2, epochs=7) == key(digits)
    assert key(digits.replace(sweep_seed=9)) == key(digits)
    assert key(digits.replace(loss="kl_divergence")) != key(digits)
    assert key(digits.on(x_val=digits.arrays.x_val[:9])) != key(digits)
    assert key(images) != key(digits)


def test_other_data_of_the_same_shape_is_trained_on(digits):
    """The data is an argument of the graph."""
    graphs = Graphs()
    others = digits.on(x_train=digits.arrays.x_train[::-1].copy())
    config = values("lion")
    trained(digits.trainer(config, 1, graphs=graphs), 2)
    again = trained(others.trainer(config, 1, graphs=graphs), 2)
    assert traces(graphs) == 1
    assert again == trained(others.trainer(config, 1), 2)


def test_functions_of_ones_own_and_native_trainings_are_not_kept(digits):
    graphs = Graphs()
    config = values("lion", "odd_layers:plain")
    made = [digits.trainer(config, 1, graphs=graphs) for _ in range(2)]
    assert made[0] is not made[1]
    assert digits.trainer(values("adam"), 1, graphs=graphs).kind == "native"
    assert len(graphs) == 0


def maker(problem, graphs):
    """Makes trainers of so many units."""
    return lambda units: problem.trainer(values("lion", units=units), 1, graphs=graphs)


def test_the_oldest_are_let_go(digits):
    graphs = Graphs(most=2)
    make = maker(digits, graphs)
    first, second = make(4), make(5)
    first.run_epoch()
    assert make(4) is first
    make(6)
    assert len(graphs) == 2
    assert make(4) is first
    assert make(5) is not second
    assert traces(graphs) == 1


def test_large_ones_are_not_kept(digits):
    graphs = Graphs(most_bytes=40_000)
    make = maker(digits, graphs)
    # (64 + 1 + 10) * 30 + 10 weights, their momentum, iteration and learning rate.
    small = make(30)
    assert small.nbytes == 2 * 4 * 2260 + 8 + 4
    assert make(30) is small
    make(31)
    assert len(graphs) == 2
    make(100)
    assert len(graphs) == 0, "it is too large alone"


def test_jobs_of_one_process_share_a_program(digits, monkeypatch):
    graphs = Graphs()
    monkeypatch.setattr("hpsearch.training.mlps._GRAPHS", graphs)
    data = TrainingData(digits.input_spec, digits.target, digits.arrays)
    for number, rate in enumerate((0.01, 0.02), 1):
        training = Training(values("lion", learning_rate=rate), 0, ((1, number),))
        job = Job(training, digits.recipe, MLPs())
        (result,) = MLPs().results(job, data, lambda *_: None, lambda *_: None)
        assert result.trainer == "graph"
    assert (len(graphs), traces(graphs)) == (1, 1)
