"""Who wins, and why nobody does."""

import math

import pytest
from made_tables import Made, seeded, units, write

from hpsearch.comparison.comparing import compare_tables
from hpsearch.comparison.estimates import Estimate
from hpsearch.comparison.findings import Findings, verdicts
from hpsearch.comparison.questions import Answer, Question

CLEAR = Estimate(0.2, 0.1, 0.3, 0.001)


def asked(estimate=CLEAR, count=10, question=Question.PAIRED, **changes):
    return Answer(question, estimate, count, (count, count), (count, count), (2, 2), **changes)


@pytest.mark.parametrize(
    ("answer", "winner", "reason"),
    [
        (asked(), "a", ""),
        (asked(Estimate(-0.2, -0.3, -0.1, 0.001)), "b", ""),
        *((asked(count=5, question=question), "a", "") for question in Question),
        *(
            (asked(count=4, question=question), None, ": 4, and it takes 5")
            for question in Question
        ),
        # The smaller table counts.
        (Answer(Question.BEST, CLEAR, 0, (100, 4), (100, 4), (2, 2)), None, ": 4, and it takes 5"),
        (asked(Estimate(0.2, -0.01, 0.41, 0.06)), None, "the interval includes zero"),
        (asked(Estimate(0.0, 0.0, 0.0, 1.0)), None, "the interval includes zero"),
        # However small p: the interval rules.
        (asked(Estimate(0.2, 0.0, 0.41, 0.001)), None, "the interval includes zero"),
        (asked(Estimate()), None, "a table has no score"),
        (asked(Estimate(0.5)), None, "how sure they are"),
        (asked(Estimate(0.5, 0.4, 0.6, math.nan)), None, "(Holm)"),
        (asked(question=Question.BEST, corrected=-0.01), None, "luck has in the bests"),
        (asked(question=Question.BEST, corrected=0.01), "a", ""),
    ],
)
def test_who_wins_and_why_nobody_does(answer, winner, reason):
    (pair,) = verdicts([("a", "b", answer)])
    assert pair.winner == winner
    assert pair.reason.endswith(reason)
    assert bool(pair.reason) == bool(reason)


def test_holm_over_three_tables():
    weak = Estimate(0.2, 0.001, 0.399, 0.03)
    pairs = verdicts([("a", "b", asked(weak)), ("a", "c", asked(weak)), ("b", "c", asked(weak))])
    assert [pair.p_value for pair in pairs] == pytest.approx([0.09] * 3)
    assert all(pair.winner is None and "Holm" in pair.reason for pair in pairs)


def test_the_winner_of_several_beats_each_other_one():
    tie = Estimate(0.0, -0.1, 0.1, 0.9)
    closer = Estimate(0.2, 0.1, 0.3, 0.004)
    answers = [("a", "b", asked(tie)), ("a", "c", asked(CLEAR)), ("b", "c", asked(CLEAR))]

    def found():
        return Findings(("a", "b", "c"), (), (), (), "", (), tuple(verdicts(answers)), ())

    assert found().winner is None
    assert found().decisive.second == "b"
    answers[0] = ("a", "b", asked(closer))
    assert found().winner == "a"
    # The closest rival, for a's difference and interval to be the least it has.
    assert (found().decisive.first, found().decisive.second) == ("a", "b")


def test_three_tables_one_better_than_both(tmp_path):
    scores = [0.5, 0.6, 0.7, 0.8, 0.65, 0.75]
    noise = [0.01, -0.01, 0.02, 0.0, -0.02, 0.005]
    made = {
        "bad": [s + n for s, n in zip(scores, noise, strict=True)],
        "good": [s + 0.1 for s in scores],
        "plain": scores,
    }
    rows = {name: seeded(units(part), 0, 0.1, 0.05) for name, part in made.items()}
    paths = [write(tmp_path / name, Made(part)) for name, part in rows.items()]
    compared = compare_tables(paths)
    assert compared.winner == "good"
    assert [(p.first, p.second) for p in compared.pairs] == [
        ("bad", "good"), ("bad", "plain"), ("good", "plain"),
    ]  # fmt: skip
    assert [p.winner for p in compared.pairs] == ["good", None, "good"]
    assert compared.decisive.winner == "good"
    low, high = compared.interval
    assert low <= compared.difference <= high
    assert not low <= 0 <= high
