"""From answers to verdicts: who wins, and why nobody does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hpsearch.comparison.estimate import ALPHA, Estimate, holm
from hpsearch.comparison.explanation import Change, Effect, Move
from hpsearch.comparison.questions import Answer, Question

__all__ = ["LEAST", "Pair", "deciding", "overall_winner", "verdicts"]

#: With fewer pairs or configs no winner is named: so few tell nothing of how scores spread.
LEAST = 5

_COUNTED = {
    Question.PAIRED: "configs to pair",
    Question.BEST: "configs in one table",
    Question.RESCORED: "fresh seeds",
}


@dataclass(frozen=True)
class Pair:
    """Two tables, the answer and the verdict.

    Attributes:
        p_value: The answer's, by Holm's for all pairs.
        winner: A label, or None for a tie.
        reason: Why there is no winner; empty where there is.
        effects: Paired: what the differences depend on.
        changes: Bests: how the best configs differ.
        moves: Paired: the configs that moved most.
    """

    first: str
    second: str
    answer: Answer
    p_value: float
    winner: str | None
    reason: str
    effects: Sequence[Effect] = field(default=(), repr=False)
    changes: Sequence[Change] = field(default=(), repr=False)
    moves: Sequence[Move] = field(default=(), repr=False)

    @property
    def estimate(self) -> Estimate:
        """The difference, its interval and the test of this pair alone."""
        return self.answer.estimate


def verdicts(answers: Sequence[tuple[str, str, Answer]]) -> list[Pair]:
    """A verdict for each pair of labels and its answer, all at the same 5% together (Holm)."""
    adjusted = holm([answer.estimate.p_value for _, _, answer in answers])
    pairs = []
    for (first, second, answer), p_value in zip(answers, adjusted, strict=True):
        reason = _no_winner(answer, p_value)
        better = first if (answer.estimate.difference or 0.0) > 0 else second
        pairs.append(Pair(first, second, answer, p_value, None if reason else better, reason))
    return pairs


def _no_winner(answer: Answer, p_value: float) -> str:
    """Why there is no winner; empty where there is one."""
    estimate, corrected = answer.estimate, answer.corrected
    if estimate.difference is None:
        return "a table has no score"
    if answer.count < LEAST:
        return f"{_COUNTED[answer.question]}: {answer.count}, and it takes {LEAST}"
    if not estimate.excludes_zero:
        return "the interval includes zero"
    if not p_value <= ALPHA:
        return f"p is above {ALPHA:.2f} once it is adjusted for the number of pairs (Holm)"
    if corrected is not None and corrected * estimate.difference <= 0:
        return "nothing is left of the difference without what luck has in the bests"
    return ""


def deciding(pairs: Sequence[Pair]) -> Pair:
    """The pair that the verdict over all tables rests on: the winner and its closest rival.

    Without a winner, the first pair.
    """
    winner = overall_winner(pairs)
    won = [pair for pair in pairs if winner in (pair.first, pair.second)]
    return max(won, key=lambda pair: pair.p_value) if won else pairs[0]


def overall_winner(pairs: Sequence[Pair]) -> str | None:
    """The table that wins against each other one; None where none does."""
    labels = dict.fromkeys(label for pair in pairs for label in (pair.first, pair.second))
    wins = {
        label: all(pair.winner == label for pair in pairs if label in (pair.first, pair.second))
        for label in labels
    }
    return next((label for label, won in wins.items() if won), None)
