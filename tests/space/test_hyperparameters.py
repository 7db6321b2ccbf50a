"""Active hyperparameters, arguments of optimizers, and equality of configs."""

from __future__ import annotations

from typing import Any

import pytest

from hpsearch.space.mlp import DEFAULTS, MLPConfig


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, (100,)),
        ({"hidden_layers": 0, "units": 7}, ()),
        ({"hidden_layers": 3, "units": 7}, (7, 7, 7)),
        ({"units": [200, 100]}, (200, 100)),
        ({"hidden_layers": 5, "units": [200, 100]}, (200, 100)),
        ({"hidden_layers": 0, "units": [200, 100]}, ()),
        ({"hidden_layers": 3, "units": 7, "units_2": 50}, (7, 50, 7)),
        ({"hidden_layers": 2, "units": 7, "units_3": 50}, (7, 7)),
        ({"units": [200, 100], "units_1": 9, "units_3": 50}, (9, 100)),
    ],
)
def test_widths(values: dict[str, Any], expected: tuple[int, ...]) -> None:
    assert MLPConfig(values).widths == expected


@pytest.mark.parametrize(
    ("values", "inactive"),
    [
        ({"hidden_layers": 1, "units": 5, "activation": "relu", "dropout": 0.1},
         {"dropout"}),
        ({"hidden_layers": 1, "layer_type": "dropout", "dropout": 0.1}, set()),
        ({"hidden_layers": 1, "layer_type": "my.module:block", "dropout": 0.1}, set()),
        ({"hidden_layers": 0, "units": 5, "activation": "relu", "layer_type": "dropout",
          "dropout": 0.1, "units_1": 3, "l2": 0.1, "batch_size": 8},
         {"units", "activation", "layer_type", "dropout", "units_1"}),
        ({"hidden_layers": 2, "units": 5, "units_2": 3, "units_3": 9}, {"units_3"}),
        # Every layer sets its width, so `units` is inactive.
        ({"hidden_layers": 2, "units": 5, "units_1": 3, "units_2": 9}, {"units"}),
        # A list also says how many layers there are.
        ({"units": [5, 5], "units_1": 3, "units_2": 9}, set()),
        ({"optimizer": "adam", "learning_rate": 0.1, "momentum": 0.9}, {"momentum"}),
        ({"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9}, set()),
        ({"optimizer": {"name": "sgd", "learning_rate": 0.2}, "learning_rate": 0.1,
          "momentum": 0.9}, {"learning_rate"}),
        ({"optimizer": "nesterov", "momentum": 0.5}, set()),
        ({"optimizer": {"name": "momentum", "momentum": 0.8}, "momentum": 0.5}, {"momentum"}),
        ({"optimizer": "lion", "weight_decay": 0.1}, set()),
    ],
)  # fmt: skip
def test_inactive(values: dict[str, Any], inactive: set[str]) -> None:
    assert MLPConfig(values).inactive == inactive


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, ("rmsprop", {})),
        ({"optimizer": "momentum"}, ("sgd", {"momentum": 0.9})),
        ({"optimizer": "nesterov"}, ("sgd", {"momentum": 0.9, "nesterov": True})),
        ({"optimizer": "nesterov", "momentum": 0.5},
         ("sgd", {"momentum": 0.5, "nesterov": True})),
        ({"optimizer": {"name": "nesterov", "momentum": 0.7}, "momentum": 0.5},
         ("sgd", {"momentum": 0.7, "nesterov": True})),
        ({"optimizer": "adam", "momentum": 0.5, "learning_rate": 0.2},
         ("adam", {"learning_rate": 0.2})),
        ({"optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.95},
          "learning_rate": 0.2, "weight_decay": 0.01},
         ("sgd", {"learning_rate": 0.1, "momentum": 0.95, "weight_decay": 0.01})),
        ({"optimizer": "adamw", "weight_decay": None}, ("adamw", {})),
    ],
)  # fmt: skip
def test_optimizer_settings(values: dict[str, Any], expected: Any) -> None:
    assert MLPConfig(values).optimizer == expected


EQUAL: list[list[dict[str, Any]]] = [
    [{}, dict(DEFAULTS), {"hidden_layers": 1, "epochs": 10}, {"units": [100]},
     {"optimizer": {"name": "rmsprop"}}, {"optimizer": {"name": "rmsprop", "rho": 0.9}},
     {"learning_rate": 0.001}, {"momentum": 0.0}, {"l2": 0}, {"units_1": 100},
     {"kernel_initializer": "glorot_uniform"}, {"kernel_initializer": {"name": "glorot_uniform"}}],
    [{"hidden_layers": 2, "units": 50}, {"units": [50, 50]},
     {"hidden_layers": 2, "units": [50, 50]},
     {"hidden_layers": 2, "units": 9, "units_1": 50, "units_2": 50},
     {"hidden_layers": 2, "units": 50.0}],
    [{"units": [50, 20]}, {"hidden_layers": 2, "units": 50, "units_2": 20},
     {"hidden_layers": 2, "units_1": 50, "units_2": 20}],
    [{"optimizer": "momentum"}, {"optimizer": {"name": "sgd", "momentum": 0.9}},
     {"optimizer": "sgd", "momentum": 0.9}, {"optimizer": "momentum", "learning_rate": 0.01},
     {"optimizer": {"momentum": 0.9, "name": "sgd", "nesterov": False}}],
    [{"optimizer": "nesterov"}, {"optimizer": {"name": "sgd", "momentum": 0.9, "nesterov": True}}],
    [{"optimizer": "sgd", "learning_rate": 1}, {"optimizer": "sgd", "learning_rate": 1.0},
     {"optimizer": {"name": "sgd", "learning_rate": 1.0}}],
    [{"hidden_layers": 0}, {"hidden_layers": 0, "batch_size": 32}],
    [{"activation": "swish"}, {"activation": "silu"}],
    [{"activation": "hard_swish"}, {"activation": "hard_silu"}],
    [{"kernel_initializer": "zeros"}, {"kernel_initializer": {"name": "zeros"}}],
    [{"optimizer": {"name": "sgd", "learning_rate":
                    {"name": "cosine_decay", "initial_learning_rate": 0.1, "decay_steps": 9}}},
     {"optimizer": {"name": "sgd", "learning_rate":
                    {"name": "cosine_decay", "decay_steps": 9.0, "initial_learning_rate": 0.1,
                     "alpha": 0.0, "warmup_target": None}}}],
    [{"mine": 1}, {"mine": 1.0}],
    [{"mine": True}],
    [{"mine": "1"}],
    [{"optimizer": "sgd"}],
    [{"optimizer": "adam"}],
    [{"optimizer": "adam", "learning_rate": 0.01}],
    [{"kernel_initializer": {"name": "constant", "value": 0.5}}],
    [{"epochs": 11}], [{"batch_size": 33}], [{"activation": "sigmoid"}],
    [{"layer_type": "dropout"}],
    [{"layer_type": "dropout", "dropout": 0.4}], [{"l2": 0.1}], [{"units": [20, 50]}],
    [{"hidden_layers": 0, "epochs": 11}],
]  # fmt: skip


@pytest.mark.parametrize("group", EQUAL)
def test_equal_trainings_have_one_id(group: list[dict[str, Any]]) -> None:
    assert {MLPConfig(values).id: values for values in group}.keys() == {MLPConfig(group[0]).id}


def test_other_trainings_have_other_ids() -> None:
    ids = [MLPConfig(group[0]).id for group in EQUAL]
    assert len(set(ids)) == len(ids)


def test_ids_stay_what_they_are() -> None:
    """Tables of other days are joined by them: a changed literal here is a changed contract."""
    assert MLPConfig({}).id == "c44136fa355b"
    config = MLPConfig({"units": [200, 100], "optimizer": "nesterov", "epochs": 20.0})
    optimizer = {"momentum": 0.9, "name": "sgd", "nesterov": True}
    expected = {"epochs": 20, "hidden_layers": 2, "optimizer": optimizer, "units": [200, 100]}
    assert config.canonical() == expected
    assert config.id == "c1fdd7e746c8"
