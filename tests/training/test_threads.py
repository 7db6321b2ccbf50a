"""Threads of the native trainer: any number, or another in each epoch, gives the same bits."""

import itertools
import re
from dataclasses import replace
from pathlib import Path

import pytest
from trainings import assert_equal_arrays, trained

from hpsearch.native import _native
from hpsearch.native.network import describe
from hpsearch.space.mlp import LAYER_TYPES
from hpsearch.spec.execution import MOST_THREADS
from hpsearch.training import trainer
from hpsearch.training.native import NativeTrainer

SOURCES = Path(_native.__file__).parent / "src"
#: Widths and a batch that no number of threads divides, and products that several share.
VALUES = {"units": [601, 257], "activation": "tanh", "l2": 1e-3, "batch_size": 101}


@pytest.mark.parametrize("optimizer", ["adam", "nesterov", "rmsprop"])
@pytest.mark.parametrize("layer_type", LAYER_TYPES)
def test_any_number_of_threads_gives_the_same_bits(digits, layer_type, optimizer):
    values = VALUES | {"layer_type": layer_type, "optimizer": optimizer}
    network = describe(digits.problem, values, 1)

    def bits(*threads):
        numbers = itertools.cycle(threads)
        request = replace(digits.request(values, 1), threads=lambda: next(numbers))
        made = NativeTrainer(network, request, model=lambda: None)
        return trained(made, 3), made.weights()

    numbers, weights = bits(1)
    for threads in ((2,), (3,), (8,), (1, 64, 2)):
        others, other = bits(*threads)
        assert others == numbers
        assert_equal_arrays(other, weights)


def test_numbers_that_python_repeats_are_those_of_c():
    assert _native.MAX_THREADS == MOST_THREADS
    text = (SOURCES / "network.h").read_text()
    (product,) = re.findall(r"#define THREAD_MULTIPLICATIONS (\S+)", text)
    assert float(product) == trainer._THREAD_PRODUCT


@pytest.mark.parametrize("threads", [0, -1, 65, 2**70])
def test_a_number_of_threads_out_of_range_is_refused(digits, threads):
    network = describe(digits.problem, VALUES, 1)
    made = NativeTrainer(network, digits.request(VALUES, 1), model=lambda: None)
    with pytest.raises((ValueError, OverflowError)):
        made._network.threads = threads
    assert made._network.threads == 1
