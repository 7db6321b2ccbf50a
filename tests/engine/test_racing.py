"""Who gets another seed."""

from __future__ import annotations

import random

import pytest

from hpsearch.engine.learning import Race


def test_before_anything_is_known_of_the_noise_everyone_overlaps() -> None:
    race = Race(3, maximize=True)
    assert race.next({}) is None
    assert race.next({"a": [0.5]}) is None
    # The best of those with the fewest seeds.
    assert race.next({"a": [0.5], "b": [0.9]}) == "b"
    assert race.next({"a": [0.5], "b": [0.9, 0.8]}) == "a"


def test_who_is_clearly_worse_gets_no_further_seed() -> None:
    race = Race(9, maximize=True)
    scores = {"a": [0.90, 0.91, 0.89, 0.9], "b": [0.90, 0.92], "c": [0.2, 0.21]}
    assert race.next(scores) == "b"
    assert Race(9, maximize=False).next(scores) is None
    assert Race(9, maximize=False).next({**scores, "d": [0.2]}) == "d"


def test_who_overlaps_the_leader_only_by_its_interval_gets_a_seed() -> None:
    """Means are 0.9 and 0.87, half widths 0.02."""
    scores = {"a": [0.88, 0.9, 0.92, 0.9], "b": [0.85, 0.89, 0.87, 0.87]}
    assert Race(9, maximize=True).next(scores) == "a"
    assert Race(9, maximize=True).next({**scores, "b": [0.83, 0.87, 0.85, 0.85]}) is None


def test_the_most_is_the_most() -> None:
    assert Race(2, maximize=True).next({"a": [0.5, 0.6], "b": [0.5, 0.6]}) is None


@pytest.mark.parametrize("seed", range(5))
def test_a_race_spends_its_seeds_on_leaders(seed: int) -> None:
    draw = random.Random(seed)
    means = {f"c{n}": n / 20 for n in range(20)}
    scores = {c: [draw.gauss(mean, 0.05)] for c, mean in means.items()}
    race = Race(10, maximize=True)
    while (config := race.next(scores)) is not None:
        scores[config].append(draw.gauss(means[config], 0.05))
    leaders = sum(len(scores[f"c{n}"]) for n in range(17, 20))
    rest = sum(len(scores[f"c{n}"]) for n in range(12))
    assert leaders / 3 >= 2
    assert rest / 12 < 1.5
    assert sum(map(len, scores.values())) < 0.5 * 10 * 20
