"""The rule of the best: a trial's mean, the number of its scores, its number."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.store.trials import Leader, mean, ranked

GOALS = ("maximize", "minimize")


@pytest.mark.parametrize(
    ("goal", "order"), [("maximize", [3, 1, 4, 2]), ("minimize", [2, 4, 1, 3])]
)
def test_the_best_mean_comes_first(goal: str, order: list[int]) -> None:
    scores = {1: [0.5, 0.7], 2: [0.1, 0.2], 3: [0.6, 0.9], 4: [0.5, 0.5]}
    assert ranked(scores, goal) == order


@pytest.mark.parametrize("goal", GOALS)
def test_of_equal_means_the_lower_number_comes_first(goal: str) -> None:
    assert ranked({7: [0.25, 0.75], 2: [0.75, 0.25], 5: [0.5, 0.5]}, goal) == [2, 5, 7]


def test_a_mean_does_not_depend_on_the_order_of_its_scores() -> None:
    scores = [0.1, 0.2, 0.3, 1e-9, 1e9]
    assert mean(scores) == mean(scores[::-1]) == math.fsum(scores) / 5
    assert ranked({2: [0.1, 0.2, 0.3], 1: [0.3, 0.2, 0.1]}, "maximize") == [1, 2]


@pytest.mark.parametrize("goal", GOALS)
def test_fewer_scores_come_after_the_most(goal: str) -> None:
    scores = {1: [0.9], 2: [0.5, 0.6], 3: [0.1], 4: [0.4, 0.3]}
    found = ranked(scores, goal)
    assert set(found[:2]) == {2, 4}
    # Among those with fewer, their number does not count.
    scores = {1: [0.9], 2: [0.5, 0.6], 3: [0.5] * 3}
    assert ranked(scores, goal) == ([3, 1, 2] if goal == "maximize" else [3, 2, 1])


@pytest.mark.parametrize("goal", GOALS)
def test_a_trial_without_a_score_has_no_place(goal: str) -> None:
    assert ranked({1: [], 2: [0.5], 3: []}, goal) == [2]
    assert ranked({1: []}, goal) == ranked({}, goal) == []


def test_infinite_scores_have_a_place() -> None:
    assert ranked({1: [math.inf], 2: [0.5], 3: [-math.inf]}, "minimize") == [3, 2, 1]


#: Trial, execution within it, and a score, None if it is taken back; few values, so that there
#: are ties and replacements.
NOTES = st.lists(
    st.tuples(
        st.integers(1, 4),
        st.integers(1, 3),
        st.none() | st.integers(-2, 2).map(lambda halves: halves / 2),
    ),
    max_size=25,
)


def known(notes: Sequence[tuple[int, int, float | None]]) -> dict[int, list[float]]:
    last: dict[int, dict[int, float | None]] = {}
    for trial, execution, score in notes:
        last.setdefault(trial, {})[execution] = score
    return {
        trial: [score for score in found.values() if score is not None]
        for trial, found in last.items()
    }


@given(NOTES, st.sampled_from(GOALS))
def test_the_leader_is_the_first_of_the_ranking(
    notes: list[tuple[int, int, float | None]], goal: str
) -> None:
    leader = Leader(goal)
    assert leader.trial is None
    assert list(leader.scores) == []
    for count, (trial, execution, score) in enumerate(notes, start=1):
        leader.note(trial, 10 * trial + execution, score)
        scores = known(notes[:count])
        first = next(iter(ranked(scores, goal)), None)
        assert leader.trial == first
        assert sorted(leader.scores) == sorted(scores[first] if first else [])
