"""The compiled trainer does what Keras does, given the same weights and batches."""

import dataclasses
import itertools

import keras
import numpy as np
import pytest
from keras_curve import keras_curve as curve_of
from keras_curve import one_hot
from marks import slow, slow_but
from trainings import assert_agree, assert_equal_arrays, trained

from hpsearch.data.specs import Task
from hpsearch.space import keras_names
from hpsearch.space.mlp import LAYER_TYPES
from hpsearch.training.compiled import as_tensors
from hpsearch.training.trainer import choose
from hpsearch.training.update import Update, is_fused

EPOCHS = 3
SEED = 1
OPTIMIZERS = ("sgd", "nesterov", "rmsprop", "adam")


def keras_curve(values, problem, *, jit_compile=False, metrics=None):
    recipe, target = problem.recipe, problem.target
    model = problem.model(values, SEED)
    model.compile(
        optimizer=model.optimizer,
        loss=keras.losses.get(recipe.loss) if isinstance(recipe.loss, str) else recipe.loss,
        metrics=metrics or ["mae" if target.task is Task.REGRESSION else "accuracy"],
        jit_compile=jit_compile,
    )
    # As `fit` does: where `train_on_batch` builds it in its graph, ScheduleFreeAdamW's first
    # assignment is part of every step.
    model.optimizer.build(model.trainable_variables)

    def targets(y):
        return one_hot(y, target.outputs) if recipe.loss == "categorical_crossentropy" else y

    size = values.get("batch_size", 32)
    return curve_of(model, problem, SEED, epochs=EPOCHS, size=size, targets=targets)


def trainer_curve(values, problem, kind):
    trainer = problem.trainer(values, SEED, kind=kind)
    assert trainer.kind == kind
    return trained(trainer, EPOCHS)


def assert_as_keras(values, problem, kind="graph"):
    theirs = keras_curve(values, problem, jit_compile=kind == "xla")
    assert_agree(trainer_curve(values, problem, kind), theirs)


def small(layer_type="dense", optimizer="adam", **more):
    values = {"hidden_layers": 2, "units": 32, "layer_type": layer_type, "optimizer": optimizer}
    return values | more


def named(values):
    return "-".join(f"{value}" for value in values.values())[:60]


def cross(layer_types, optimizers):
    """Each layer type with adam, and each optimizer with dense."""
    pairs = itertools.product(layer_types, optimizers)
    return [pair for pair in pairs if "adam" in pair or "dense" in pair]


@pytest.mark.parametrize(
    ("layer_type", "optimizer"), slow_but([("batch_norm", "adam")], cross(LAYER_TYPES, OPTIMIZERS))
)
def test_graph_equals_keras(digits, layer_type, optimizer):
    """The native trainer is held to the graph in test_native.py."""
    assert_as_keras(small(layer_type, optimizer), digits)


@pytest.mark.slow
@pytest.mark.parametrize(
    "values",
    [small("batch_norm", "nesterov"), small("residual", "adamw", weight_decay=0.01, l2=0.01)],
    ids=named,
)
def test_xla_equals_keras_under_xla(digits, values):
    assert_as_keras(values, digits, "xla")


@pytest.mark.slow
def test_dropout_under_xla_agrees_in_distribution(digits):
    values = {"units": 32, "layer_type": "dropout", "optimizer": "adam", "dropout": 0.3}

    def final(kind, seed):
        return trained(digits.trainer(values, seed, kind=kind), EPOCHS)[-1]["loss"]

    graph = np.array([final("graph", seed) for seed in range(4)])
    xla = np.array([final("xla", seed) for seed in range(4)])
    assert np.all(graph != xla), "the two draw different masks"
    difference = graph - xla
    assert abs(difference.mean()) < 5 * difference.std(ddof=1) / np.sqrt(len(difference))
    assert abs(difference.mean()) < 0.05 * graph.mean()


#: Those that the grids above have not.
OTHERS = sorted(keras_names.OPTIMIZERS.keys() - {*OPTIMIZERS, "momentum"})
SCHEDULE = {"name": "cosine_decay", "initial_learning_rate": 0.01, "decay_steps": 30}


@pytest.mark.slow
@pytest.mark.parametrize(
    "values",
    [
        *(small(optimizer=optimizer, activation="tanh") for optimizer in OTHERS),
        small(optimizer="adamw", weight_decay=0.01),
        small(optimizer={"name": "adam", "learning_rate": SCHEDULE}),
        small(optimizer={"name": "adam", "amsgrad": True}),
        small(optimizer={"name": "sgd", "learning_rate": 0.5, "clipnorm": 0.1}),
        small(optimizer={"name": "rmsprop", "momentum": 0.9, "global_clipnorm": 0.5}),
        small(optimizer={"name": "adam", "use_ema": True, "ema_overwrite_frequency": 5}),
        small(
            optimizer={"name": "adam", "gradient_accumulation_steps": 3, "loss_scale_factor": 8.0}
        ),
        small("residual", l2=0.01, kernel_initializer={"name": "normal", "stddev": 0.1}),
        small("batch_norm", batch_size=333),
        {"units": [16, 8], "activation": "softmax", "batch_size": 1000},
        {"hidden_layers": 0},
    ],
    ids=named,
)
def test_graph_equals_keras_with(digits, values):
    assert_as_keras(values, digits)


@pytest.mark.parametrize("kind", ["graph", slow("fit")])
def test_uint8_images(images, kind):
    assert_as_keras(small(), images, kind)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "loss"),
    [
        ("digits", "categorical_crossentropy"),
        *(("cancer", loss) for loss in ("binary_crossentropy", "hinge", "BinaryFocalCrossentropy")),
    ],
)
def test_losses(name, loss, request):
    assert_as_keras(small(), request.getfixturevalue(name).replace(loss=loss))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["native", "graph"])
@pytest.mark.parametrize("l2", [0.0, 0.01])
def test_regression_reports_the_targets_units(diabetes, kind, l2):
    """The squared error and mae in the target's units; the penalty of l2 as Keras has it."""
    values, std = small(l2=l2), diabetes.target.std[0]
    theirs = [
        {
            f"{split}{name}": number
            for split in ("", "val_")
            for name, number in (
                ("loss", epoch[f"{split}mse"] * (std**2 - 1) + epoch[f"{split}loss"]),
                ("mae", epoch[f"{split}mae"] * std),
            )
        }
        for epoch in keras_curve(values, diabetes, metrics=["mae", "mse"])
    ]
    assert_agree(trainer_curve(values, diabetes, kind), theirs)


@pytest.mark.slow
def test_fit_equals_graph(digits):
    values = small("dropout", {"name": "adam", "use_ema": True}, l2=0.001)
    assert_agree(trainer_curve(values, digits, "fit"), trainer_curve(values, digits, "graph"))


OTHER_FORMULAS = {
    "amsgrad": lambda: keras.optimizers.Adam(amsgrad=True),
    "centered": lambda: keras.optimizers.RMSprop(centered=True),
    "lion": keras.optimizers.Lion,
    "subclass": type("Own", (keras.optimizers.SGD,), {}),
}


@pytest.mark.parametrize("name", OTHER_FORMULAS)
def test_other_formulas_stay_keras(name):
    assert not is_fused(OTHER_FORMULAS[name]())


def test_fused_update_is_one_kernel_a_weight():
    """Keras still calls the method that `Update` replaces; were it renamed, nothing would."""
    optimizer = keras.optimizers.Adam(0.01)
    variable = keras.Variable(np.ones(3, np.float32))
    optimizer.build([variable])
    optimizer.update_step = None
    Update(optimizer)
    optimizer.apply([keras.ops.ones(3)], [variable])
    assert optimizer.iterations.numpy() == 1


DROPPING = {"hidden_layers": 1, "units": 16, "layer_type": "dropout", "optimizer": "adam"}


@pytest.mark.parametrize("kind", ["graph", slow("xla"), slow("fit")])
def test_same_seed_gives_the_same_bits(digits, kind):
    first, second = (digits.trainer(DROPPING, 4, kind=kind) for _ in range(2))
    assert trained(first, 2) == trained(second, 2)
    assert_equal_arrays(first.weights(), second.weights())


def test_choice():
    assert choose((64, 100, 10), 32, 1_437, fused=True) == "graph"
    assert choose((64, 100, 10), 32, 1_437, fused=False) == "graph"
    assert choose((784, 100, 10), 32, 48_000, fused=False) == "xla"
    assert choose((784, 100, 10), 32, 48_000, fused=True) == "graph"
    assert choose((784, 100, 10), 32, 480_000, fused=True) == "xla"
    assert choose((784, 500, 500), 128, 480_000, fused=False) == "graph", "products dominate"
    assert choose((784, 10), 128, 100, fused=True) == "graph"


def test_tensors_share_memory_where_they_can(digits):
    aligned = np.zeros(4096 + 64, np.uint8)
    start = -aligned.ctypes.data % 64
    x = aligned[start : start + 4096].view(np.float32).reshape(16, 64)
    readonly = np.ones((3, 4), np.float32)
    readonly.flags.writeable = False
    arrays = dataclasses.replace(digits.arrays, x_train=x, x_val=readonly)
    tensors = as_tensors(arrays)
    x[0, 0] = 5.0
    assert tensors[0].numpy()[0, 0] == 5.0
    np.testing.assert_array_equal(tensors[2].numpy(), readonly)
    assert as_tensors(arrays) is tensors
    assert as_tensors(dataclasses.replace(arrays)) is not tensors


def test_a_training_step_of_ones_own_is_left_to_fit(digits):
    own = digits.replace(model="user_models:own_step")
    trainer = own.trainer({"units": 8}, 0)
    assert trainer.kind == "fit"
    first, second = trained(trainer, 2)
    assert set(first) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert second["loss"] < first["loss"]
