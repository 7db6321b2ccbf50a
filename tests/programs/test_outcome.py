"""The result of a trial, decided without a process."""

import pytest

from hpsearch.models.problem import Recipe
from hpsearch.programs.metrics import Ending, Known
from hpsearch.programs.trial import outcome
from hpsearch.space.execution import Training
from hpsearch.space.space import ENDLESS

NAN = float("nan")
RECIPE = Recipe(0, "", "", "loss", "minimize", alone=True)
THREE = (9.0, 8.0, 7.0)


def epochs(*scores):
    return [{"loss": score} for score in scores]


def decided(known, first, told, code, halted, *, goal=ENDLESS, base=1):
    """The status, the scores and the trainer; None if the program begins anew."""
    training = Training({}, 0, ((goal, 1),), whole=ENDLESS if goal < ENDLESS else None)
    numbers = [None if first is None else first + n for n in range(len(told))]
    ending = Ending(epochs(*told), numbers, {}, code, halted)
    result = outcome(ending, Known(epochs(*known), base), training, RECIPE)
    if result is None:
        return None
    return result.status.value, [epoch["loss"] for epoch in result.curve], result.trainer


ANEW = None
BEGAN, WENT_ON = "program", "program+checkpoint"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        # From its beginning.
        (((), 1, (5, 4), 0, False, ENDLESS), ("completed", [5, 4], BEGAN)),
        (((), None, (5, 4), 1, False, ENDLESS), ("failed", [5, 4], BEGAN)),
        (((), 1, (), 0, False, ENDLESS), ("failed", [], BEGAN)),
        (((), 1, (), 1, False, ENDLESS), ("failed", [], BEGAN)),
        # Halted, or too late for it: what its exit code is does not matter.
        (((), 1, (5, 4, 3), -15, True, 2), ("stopped", [5, 4], BEGAN)),
        (((), 1, (5, 4, 3), 3, False, 2), ("stopped", [5, 4], BEGAN)),
        (((), 1, (5, 4), 3, False, 3), ("failed", [5, 4], BEGAN)),
        (((), 1, (5, 4, 3), 0, False, 2), ("completed", [5, 4, 3], BEGAN)),
        # It was halted by what a source told that comes later.
        (((), 1, (5,), -15, True, 2), ("stopped", [5], BEGAN)),
        # From a checkpoint.
        ((THREE, 4, (6, 5), 0, False, ENDLESS), ("completed", [9, 8, 7, 6, 5], WENT_ON)),
        ((THREE, 3, (70, 6), -15, True, 4), ("stopped", [9, 8, 70, 6], WENT_ON)),
        ((THREE, 1, (5,), 0, False, ENDLESS), ("completed", [5], BEGAN)),
        ((THREE, 4, (6,), 1, False, 9), ("failed", [9, 8, 7, 6], WENT_ON)),
        # With nothing left to do.
        ((THREE, 4, (), 0, False, ENDLESS), ("completed", [9, 8, 7], WENT_ON)),
        # A torn checkpoint, one of an epoch that was never told, and epochs without numbers.
        ((THREE, 4, (), 1, False, ENDLESS), ANEW),
        ((THREE, 5, (5,), 0, False, ENDLESS), ANEW),
        ((THREE, 5, (5,), -9, True, ENDLESS), ANEW),
        ((THREE, None, (5,), 0, False, ENDLESS), ANEW),
    ],
)
def test_from_epochs_exit_code_and_halting_to_curve_and_status(given, expected):
    known, first, told, code, halted, goal = given
    assert decided(known, first, told, code, halted, goal=goal) == expected


@pytest.mark.parametrize("code", [0, 1, -15])
@pytest.mark.parametrize("halted", [True, False])
def test_a_score_that_is_not_finite_is_diverged_always(code, halted):
    status, scores, _ = decided((), 1, (5, NAN), code, halted, goal=4)
    assert (status, len(scores)) == ("diverged", 2)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ((5, NAN, 4), ("completed", 3)),
        ((NAN, 4), ("completed", 2)),
        ((5, NAN), ("diverged", 2)),
        ((5, NAN, NAN, 4), ("diverged", 3)),
    ],
)
def test_one_score_that_is_not_finite_among_others_is_no_divergence(told, expected):
    status, scores, _ = decided((), 1, told, 0, halted=False)
    assert (status, len(scores)) == expected


_CALLS = (
    'Traceback (most recent call last):\n  File "a.py", line 1, in <module>\n    f()\n    ^^^\n'
)


@pytest.mark.parametrize(
    ("stderr", "shown"),
    [
        (_CALLS + "ValueError: odd\n", "ValueError: odd"),
        (
            f"Error executing job with overrides: ['+x=1']\n{_CALLS}ValueError: odd\n\nSet the "
            "environment variable HYDRA_FULL_ERROR=1 for a complete stack trace.\n",
            "ValueError: odd",
        ),
        (
            _CALLS + "pydantic_core._pydantic_core.ValidationError: 1 validation error for C\nx\n"
            "  Input should be a valid integer\n    For further information visit https://e\n",
            "pydantic_core._pydantic_core.ValidationError: 1 validation error for C",
        ),
        (
            "Could not override 'y'.\nKey 'y' is not in struct\n    full_key: y\n    "
            "object_type=dict\n\nSet the environment variable HYDRA_FULL_ERROR=1 for a trace.\n",
            "Key 'y' is not in struct",
        ),
        (f"{_CALLS}A: 1\n\nDuring another:\n\n{_CALLS}my.B\nwandb: run at https://w\n", "my.B"),
        ("a\n  b\n", "a"),
        ("  b\n", "b"),
    ],
)
def test_the_error_shown_is_the_exception(stderr, shown):
    assert Ending(code=1, stderr=stderr).exit_error == f"the program ended (exit status 1): {shown}"
    assert Ending(code=1).exit_error == "the program ended (exit status 1)"


def test_numbers_may_begin_anywhere():
    assert Known(epochs(*THREE), 0).before([3]) == epochs(*THREE)
    assert Known(epochs(*THREE), 0).before([1, 2]) == epochs(9.0)
    assert Known(epochs(*THREE), 0).before([4]) is None
    assert Known().before([7]) == ()
    assert decided(THREE, 3, (6,), 0, False, base=0)[1] == [9, 8, 7, 6]
