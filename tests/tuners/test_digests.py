"""What makes the data of a search others, and what does not."""

from __future__ import annotations

from pathlib import Path

import keras_tuner
import numpy as np
import pytest

import hpsearch.tuners as kt
from hpsearch.errors import RefusedError
from hpsearch.store.store import Store
from hpsearch.tuners import requests
from hpsearch.tuners.digests import digest_of, former_digest


def digest(value):
    return digest_of([value], {})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([1, 11], [11, 1]),
        (np.array([1, 23], object), np.array([12, 3], object)),
        ([[1], 2], [[1, 2]]),
        (["a", "b"], ["a'b"]),
    ],
)
def test_other_lists_are_other_data(one, other):
    assert digest(one) != digest(other)
    assert digest(one) == digest(one.copy())


def test_names_of_arguments_are_data_but_not_their_order():
    both = digest_of([], {"a": 1, "b": 2})
    assert digest_of([], {"b": 2, "a": 1}) == both
    assert digest_of([], {"b": 1, "a": 2}) != both
    assert digest_of([], {"b": 2, "a": 1, "verbose": 1, "epochs": 3}) == both


class Function(kt.RandomSearch):
    def run_trial(self, trial, rows, epochs, **kwargs):
        return trial.hyperparameters.Float("x", 0.0, 1.0) * rows[0] * epochs


def search(trials, rows, **given):
    hp = keras_tuner.HyperParameters()
    hp.Float("x", 0.0, 1.0)
    tuner = Function(
        max_trials=trials, hyperparameters=hp, seed=2, directory="d", project_name="p", workers=1
    )
    tuner.search(rows=rows, **given)
    return len(tuner.oracle.trials)


def test_a_search_goes_on_with_the_same_data_only(place):
    assert search(2, [1, 11], epochs=2, verbose=0) == 2
    assert search(3, [1, 11], verbose=1, epochs=3) == 3
    with pytest.raises(RefusedError, match="data: was"):
        search(4, [11, 1], verbose=0, epochs=2)


def former(args, given):
    return former_digest([*args, *given.values()])


def test_a_directory_of_the_first_release_goes_on(place, monkeypatch):
    with monkeypatch.context() as before:
        before.setattr(requests, "digest_of", former)
        assert search(2, [1, 12], epochs=2, verbose=0) == 2
    with Store(Path("d/p/sweep.db"), read_only=True) as stored:
        data = stored.facts().identity.data
    assert search(3, [1, 12], epochs=2, verbose=0) == 3
    with Store(Path("d/p/sweep.db"), read_only=True) as stored:
        assert stored.facts().identity.data == data
    with pytest.raises(RefusedError, match="data: was"):
        search(4, [1, 13], epochs=2, verbose=0)
