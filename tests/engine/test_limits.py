"""What ends a search: trials, time, patience, a score, or a space without further configs."""

import pytest

import hpsearch
from hpsearch.engine.limits import Limits
from hpsearch.errors import InputError
from hpsearch.reporting.source import load_source
from hpsearch.reporting.words import facts
from hpsearch.search.strategy import Outcome
from hpsearch.space.space import Config
from hpsearch.spec.keys import Budget

NUMBERS = {"x": {"min": 0.0, "max": 1.0}}


def ended(budget, scores, goal="maximize"):
    """The reason, and the trials that were seen when it was given."""
    outcomes = [Outcome(Config({}), score) for score in scores]
    limits = Limits(Budget.parse(budget), goal)
    for count in range(1, len(scores) + 1):
        limits.see(lambda first, count=count: outcomes[first:count])
        if limits.reason:
            return limits.reason, count
    return "", len(scores)


_REACHED = "a trial reached budget.score, 2.0000"


@pytest.mark.parametrize(
    ("budget", "scores", "goal", "reason", "count"),
    [
        ({"patience": 2}, [1, 2, 1, 2, 5], "maximize", "2 trials in a row improved nothing", 4),
        ({"patience": 2}, [3, 2, 1, 2, 5], "minimize", "2 trials in a row improved nothing", 5),
        ({"patience": 2}, [1, None, 2, None, None, 9], "maximize", "2 trials", 5),
        ({"patience": 2, "min_delta": 1}, [1, 2, 1.5], "maximize", "2 trials in a row", 3),
        ({"patience": 1}, [1, 2, 3], "maximize", "", 3),
        ({"trials": 9, "score": 2}, [1, None, 2, 3], "maximize", _REACHED, 3),
        ({"trials": 9, "score": 2}, [3, 2.5, 1.5], "minimize", _REACHED, 3),
    ],
)
def test_trials_count_in_their_order(budget, scores, goal, reason, count):
    assert ended(budget, scores, goal)[1] == count
    assert ended(budget, scores, goal)[0].startswith(reason)
    # All at once, as after an interruption.
    outcomes = [Outcome(Config({}), score) for score in scores]
    limits = Limits(Budget.parse(budget), goal)
    limits.see(lambda first: outcomes[first:])
    assert limits.reason == ended(budget, scores, goal)[0]


@pytest.mark.parametrize("method", ["random", "auto"])
def test_patience_ends_a_search_and_a_larger_one_continues_it(method, tmp_path):
    def search(patience):
        budget, out = {"patience": patience}, tmp_path / "out"
        return hpsearch.optimize(lambda c: c["x"] ** 2, NUMBERS, method, out=out, budget=budget)

    scores = search(6).table["score"].tolist()
    best = min(range(len(scores)), key=scores.__getitem__)
    assert len(scores) == best + 1 + 6
    rows = dict(map(tuple, facts(load_source(tmp_path / "out"))))
    assert rows["ended because"] == "6 trials in a row improved nothing"
    assert search(6).table["score"].tolist() == scores
    more = search(12).table["score"].tolist()
    assert more[: len(scores)] == scores
    assert len(more) >= len(scores) + 6


def test_the_report_says_what_ended_the_search(tmp_path):
    def reason(name, parameters, method, **arguments):
        hpsearch.optimize(
            lambda config: config["x"], parameters, method, out=tmp_path / name, **arguments
        )
        return dict(map(tuple, facts(load_source(tmp_path / name))))["ended because"]

    assert reason("trials", NUMBERS, "random", trials=3) == "budget.trials is spent"
    assert reason("space", {"x": [1, 2]}, "random", trials=9) == "the method has no further config"
    assert reason("time", NUMBERS, "tpe", time_seconds=1.0) == "budget.time is over"


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({"score": 1.0}, "method random needs trials, time_seconds or a patience"),
        ([30], "budget: must be a mapping such as"),
        ({"trials": 3, "min_delta": 0.1}, "min_delta: has a meaning only with patience"),
        ({"patience": 0}, "patience: must be a whole number"),
        ({"patients": 3}, "unknown key"),
    ],
)
def test_mistakes_are_told(budget, message):
    with pytest.raises(InputError, match=message):
        hpsearch.optimize(lambda config: config["x"], NUMBERS, "random", budget=budget, trials=None)


def test_what_counts_whole_trainings_refuses_those_that_are_halted():
    sweep = {
        "data": {"dataset": "wine"},
        "method": "asha",
        "budget": {"patience": 5},
        "parameters": {"units": [4, 8], "epochs": 9},
    }
    with pytest.raises(InputError, match="does not go with asha, which may train a trial further"):
        hpsearch.run(sweep)
