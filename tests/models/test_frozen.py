"""A model is split where its frozen layers end, if their outputs are the same in every epoch."""

import keras
import keras_tuner
import numpy as np
import pytest
from keras import layers
from user_models import transfer

from hpsearch.models import faster
from hpsearch.models.faster import frozen_base

ROWS = 20


def frozen_dense(units=3, **options):
    return layers.Dense(units, trainable=False, **options)


def head_names(*chain):
    """Names of the classes of the head's layers of a chain over four numbers; None for no base."""
    split = frozen_base(keras.Sequential([keras.Input((4,)), *chain, layers.Dense(2)]), ROWS)
    return split and [type(layer).__name__ for layer in split.head.layers[1:]]


def test_a_nested_base_and_what_comes_before_it():
    model = transfer(keras_tuner.HyperParameters())
    split = frozen_base(model, ROWS)
    x = np.random.default_rng(0).random((5, 8, 8, 1), np.float32)
    assert [type(layer).__name__ for layer in split.head.layers[1:]] == ["Dropout", "Dense"]
    whole = split.head(split.base(x), training=False)
    np.testing.assert_array_equal(whole, model(x, training=False))


def test_a_base_whose_layers_are_those_of_the_model():
    inputs = keras.Input((4,))
    x = frozen_dense()(inputs)
    x = layers.Add()([x, frozen_dense()(x)])
    x = layers.Add()([x, layers.Dense(3)(x)])
    split = frozen_base(keras.Model(inputs, layers.Dense(2)(x)), ROWS)
    assert [type(layer).__name__ for layer in split.base.layers] == [
        "InputLayer",
        "Dense",
        "Dense",
        "Add",
    ]
    assert len(split.head.trainable_variables) == 4


def test_it_ends_before_what_differs_from_epoch_to_epoch():
    still = layers.BatchNormalization(trainable=False)
    assert head_names(frozen_dense(), still, layers.ReLU()) == ["Dense"]
    assert head_names(frozen_dense(), layers.Dropout(0.5), frozen_dense()) == [
        "Dropout",
        "Dense",
        "Dense",
    ]


@pytest.mark.parametrize(
    "first",
    [
        lambda: layers.Dense(3),
        layers.ReLU,
        lambda: layers.GaussianNoise(1.0),
        lambda: frozen_dense(activity_regularizer="l2"),
        lambda: layers.BatchNormalization(center=False, scale=False),
        lambda: layers.SpectralNormalization(frozen_dense()),
        lambda: layers.Lambda(lambda x: x),
        lambda: type("Own", (layers.Dense,), {})(3, trainable=False),
    ],
)
def test_no_base(first):
    assert head_names(first()) is None


def test_no_base_under_several_paths():
    inputs = keras.Input((4,))
    both = layers.Concatenate()([frozen_dense()(inputs), layers.Dense(3)(inputs)])
    assert frozen_base(keras.Model(inputs, layers.Dense(2)(both)), ROWS) is None


def test_no_mask_is_lost():
    chain = [layers.Embedding(5, 3, mask_zero=True, trainable=False), layers.LSTM(2)]
    assert frozen_base(keras.Sequential([keras.Input((4,)), *chain]), ROWS) is None


def test_outputs_larger_than_the_bound_are_not_kept(monkeypatch):
    monkeypatch.setattr(faster, "MOST_BYTES", 4 * 3 * ROWS)
    assert head_names(frozen_dense()) == ["Dense"]
    monkeypatch.setattr(faster, "MOST_BYTES", 4 * 3 * ROWS - 1)
    assert head_names(frozen_dense()) is None
