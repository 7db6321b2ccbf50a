"""The estimate grows with what there is to do, and is a range."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from hpsearch.space.trial import Training
from hpsearch.tuner.estimate import DataSizes, estimate_cost, step_seconds

SIZES = DataSizes(rows=1000, validation_rows=200, features=64, outputs=10, data_bytes=10**6)


def training(epochs: int = 10, number: int = 1, **values: Any) -> Training:
    return Training({"hidden_layers": 1, "units": 100, **values}, 0, ((epochs, number),))


def tensorflow(each: Training) -> bool:
    return each.values.get("optimizer") == "lion"


def middle(*trainings: Training, workers: int = 1, sizes: DataSizes = SIZES, **more: Any) -> float:
    found = estimate_cost(trainings, sizes, workers, spread=1.0, tensorflow=tensorflow, **more)
    assert found.low_seconds == found.high_seconds
    return found.low_seconds


def test_nothing_to_do_takes_the_start_alone() -> None:
    assert middle() == pytest.approx(3.0)
    assert estimate_cost([], SIZES, 2, tensorflow=tensorflow).memory_bytes > 0


def test_more_work_takes_longer() -> None:
    start = middle()
    one = middle(training())
    assert middle(training(), training()) - start == pytest.approx(2 * (one - start))
    assert middle(training(epochs=20)) > one
    assert middle(training(units=1000)) > one
    assert middle(training(batch_size=8)) > one > middle(training(batch_size=1000))
    assert middle(training(), sizes=dataclasses.replace(SIZES, rows=2000)) > one


def test_workers_share_the_work_but_not_one_training() -> None:
    many = [training(number=number) for number in range(1, 9)]
    start = middle()
    assert middle(*many, workers=4) - start == pytest.approx((middle(*many) - start) / 4)
    assert middle(training(), workers=4) == middle(training())
    # The longest decides.
    assert middle(training(), training(1000), workers=2) == middle(training(1000))


def test_measured_steps_replace_the_formula() -> None:
    slow = middle(training(), step=lambda _: 1.0)
    assert slow == pytest.approx(3 + 10 * 32, rel=1e-3)
    same = middle(training(), step=lambda t: step_seconds(t, SIZES))
    assert same == pytest.approx(middle(training()))


def test_tensorflow_takes_longer_and_more_memory() -> None:
    one, other = training(), training(optimizer="lion")
    assert middle(other) > 2 * middle(one) - middle()
    memory = [
        estimate_cost([each], SIZES, 2, tensorflow=tensorflow).memory_bytes for each in (one, other)
    ]
    assert memory[1] > memory[0] + 10**8


def test_the_range_and_memory() -> None:
    wide = estimate_cost([training()], SIZES, 1, spread=3.0, tensorflow=tensorflow)
    assert wide.low_seconds < middle(training()) < wide.high_seconds
    assert (wide.high_seconds - 3) / (wide.low_seconds - 3) == pytest.approx(9)
    assert (
        estimate_cost([training()] * 2, SIZES, 2, tensorflow=tensorflow).memory_bytes
        > wide.memory_bytes
    )
    # No worker without a training.
    assert (
        estimate_cost([training()], SIZES, 8, tensorflow=tensorflow).memory_bytes
        == wide.memory_bytes
    )


def test_ones_own_layers_have_an_estimate_too() -> None:
    assert step_seconds(training(layer_type="my.module:block"), SIZES) > 0
    assert middle(training(layer_type="my.module:block")) > middle()
