"""The rule of the best: a trial's mean, the number of its scores, its number."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.store.trials import Leader, mean, ranked


@pytest.mark.parametrize(
    ("scores", "largest_first", "smallest_first"),
    [
        ({1: [0.5, 0.7], 2: [0.1, 0.2], 3: [0.6, 0.9], 4: [0.5, 0.5]}, [3, 1, 4, 2], [2, 4, 1, 3]),
        # Of equal means, the lower number comes first.
        ({7: [0.25, 0.75], 2: [0.75, 0.25], 5: [0.5, 0.5]}, [2, 5, 7], [2, 5, 7]),
        # A mean does not depend on the order of its scores.
        ({2: [0.1, 0.2, 0.3], 1: [0.3, 0.2, 0.1]}, [1, 2], [1, 2]),
        # Those with fewer scores than the most come later, however many they have.
        ({1: [0.9], 2: [0.5, 0.6], 3: [0.1], 4: [0.4, 0.3]}, [2, 4, 1, 3], [4, 2, 3, 1]),
        ({1: [0.9], 2: [0.5, 0.6], 3: [0.5] * 3}, [3, 1, 2], [3, 2, 1]),
        # A trial without a score has no place, infinite ones have.
        ({1: [], 2: [0.5], 3: []}, [2], [2]),
        ({1: []}, [], []),
        ({}, [], []),
        ({1: [math.inf], 2: [0.5], 3: [-math.inf]}, [1, 2, 3], [3, 2, 1]),
    ],
)
def test_the_best_mean_comes_first(
    scores: dict[int, list[float]], largest_first: list[int], smallest_first: list[int]
) -> None:
    assert ranked(scores, "maximize") == largest_first
    assert ranked(scores, "minimize") == smallest_first


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


@given(NOTES, st.sampled_from(["maximize", "minimize"]))
def test_the_leader_is_the_first_of_the_ranking(
    notes: list[tuple[int, int, float | None]], goal: str
) -> None:
    leader = Leader(goal)
    assert leader.best is None
    last: dict[int, dict[int, float | None]] = {}
    for trial, execution, score in notes:
        leader.note(trial, 10 * trial + execution, score)
        last.setdefault(trial, {})[execution] = score
        scores = {
            number: [kept for kept in executions.values() if kept is not None]
            for number, executions in last.items()
        }
        first = next(iter(ranked(scores, goal)), None)
        assert leader.best == (None if first is None else (first, mean(scores[first])))
