"""Rank trials by the only rule for the best one, and make their table, one line for each config."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable, Mapping
from statistics import fmean as mean
from typing import TYPE_CHECKING, Any

from hpsearch.data.specs import Task
from hpsearch.space.execution import Execution, ExecutionResult, Status
from hpsearch.store.columns import PACKAGES
from hpsearch.store.facts import Facts
from hpsearch.store.tables import goal_of, metric_columns, values_of
from hpsearch.wording import number

if TYPE_CHECKING:
    import pandas as pd

_SCORED = tuple(str(status) for status in Status if status.scored)


def ranked(scores: Mapping[int, Collection[float]], goal: str) -> list[int]:
    """Return the trials with a score, the best first.

    The best has the best mean over its executions. Trials with fewer scores come after those with
    the most, since a mean of few scores is more often good by luck. Among equal ones, the lower
    number comes first.

    Args:
        scores: Trial -> the score of each of its executions that has one.
        goal: `maximize` or `minimize`.
    """
    sign = -1 if goal == "maximize" else 1
    most = max(map(len, scores.values()), default=0)
    return sorted(
        (trial for trial, trial_scores in scores.items() if trial_scores),
        key=lambda trial: (len(scores[trial]) < most, sign * mean(scores[trial]), trial),
    )


def _scores(
    executions: Iterable[Execution], results: Mapping[int, ExecutionResult]
) -> dict[int, dict[int, float]]:
    """Return trial -> execution -> score, for executions with a score."""
    scores: dict[int, dict[int, float]] = {}
    for execution in executions:
        result = results.get(execution.number)
        if result is not None and result.status.scored and result.score is not None:
            scores.setdefault(execution.trial, {})[execution.number] = result.score
    return scores


def best_trials(
    executions: Iterable[Execution], results: Mapping[int, ExecutionResult], goal: str
) -> list[int]:
    """Return the trials with a score, the best first (see `ranked`)."""
    scores = _scores(executions, results)
    return ranked({trial: scores[trial].values() for trial in scores}, goal)


def best_execution(
    executions: Iterable[Execution], results: Mapping[int, ExecutionResult], goal: str
) -> tuple[Execution, float] | None:
    """Return the best execution of the best trial and the trial's mean score; None without any."""
    by_number = {execution.number: execution for execution in executions}
    scores = _scores(by_number.values(), results)
    numbers = ranked({trial: scores[trial].values() for trial in scores}, goal)
    if not numbers:
        return None
    leader, sign = scores[numbers[0]], 1 if goal == "maximize" else -1
    # Among equal ones, choose the first seed and fold.
    best = min(leader, key=lambda number: (-sign * leader[number], by_number[number].repetition))
    return by_number[best], mean(leader.values())


def fresh_seeds(taken: Iterable[int], count: int) -> list[int]:
    """Return the smallest seeds that are not taken."""
    used = set(taken)
    free = (seed for seed in itertools.count() if seed not in used)
    return list(itertools.islice(free, count))


class Leader:
    """Keeps track of the best trial (see `ranked`) while scores arrive one by one."""

    def __init__(self, goal: str) -> None:
        self._goal = goal
        self._scores: dict[int, dict[int, float]] = {}
        self._best: int | None = None

    @property
    def best(self) -> tuple[int, float] | None:
        """The best trial's number and mean score; None without any score."""
        return None if self._best is None else (self._best, mean(self._scores[self._best].values()))

    def note(self, trial: int, execution: int, score: float | None) -> None:
        """Record an execution's score, which replaces an earlier one."""
        trial_scores = self._scores.setdefault(trial, {})
        # Another trial can overtake the leader only if the leader itself gets worse.
        worse = self._best == trial and trial_scores.pop(execution, None) is not None
        if score is None:
            trial_scores.pop(execution, None)
        else:
            trial_scores[execution] = score
        among = self._scores if worse else {trial, self._best} - {None}
        scores = {each: self._scores[each].values() for each in among if each is not None}
        self._best = next(iter(ranked(scores, self._goal)), None)


def trials_of(table: pd.DataFrame) -> pd.DataFrame:
    """Return a line for each trial of a results table, by number.

    It has the columns of the results table, where `score`, the metrics, `best_epoch` and
    `epochs_trained` are means over the executions with a score, and `seconds` is the sum. `seed`,
    `fold` and versions are empty if executions differ in them. `status` is `completed` or `stopped`
    if every execution has a score, else the status of the first one without. Two columns follow:
    `std`, the standard deviation of the scores (empty for one), and `executions`, the number of
    scores.
    """
    counted = _scored(table).astype("Int64")
    if not table["trial"].duplicated().any():
        return table.assign(std=math.nan, executions=counted)
    groups = table.groupby("trial", sort=True)
    trials = groups.first()
    names = [name for name in ("seed", "fold", *PACKAGES) if name in table]
    unequal = groups[names].nunique(dropna=False) > 1
    for name in names:
        trials[name] = trials[name].mask(unequal[name])
    rows = table[_scored(table)].groupby("trial")
    for name in ("score", *metric_columns(table), "best_epoch", "best_score", "epochs_trained"):
        trials[name] = rows[name].mean().reindex(trials.index).astype("float64")
    trials["score"] = rows["score"].agg(lambda scores: mean(list(scores))).reindex(trials.index)
    trials["seconds"] = groups["seconds"].sum()
    trials["status"] = groups["status"].agg(_status).astype("string")
    trials["std"] = rows["score"].std().reindex(trials.index)
    trials["executions"] = counted.groupby(table["trial"]).sum()
    return trials.reset_index()[[*table.columns, "std", "executions"]]


def _scored(table: pd.DataFrame) -> pd.Series[Any]:
    return table["status"].isin(_SCORED).astype(bool) & table["score"].notna()


def _status(statuses: pd.Series[Any]) -> str:
    without = [status for status in statuses if status not in _SCORED]
    stopped = str(Status.STOPPED)
    return without[0] if without else stopped if stopped in set(statuses) else str(statuses.iloc[0])


def ranked_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that have a score, those of the best trial first (see `ranked`)."""
    rows = table[_scored(table)]
    scores: Any = rows.groupby("trial")["score"].agg(list).to_dict()
    places = {trial: rank for rank, trial in enumerate(ranked(scores, goal_of(table)))}
    return rows.loc[rows["trial"].map(places).sort_values(kind="stable").index]


def ranked_trials(table: pd.DataFrame) -> pd.DataFrame:
    """Return the lines of `trials_of` that have a score, the best first (see `ranked`)."""
    numbers, trials = ranked_rows(table)["trial"].drop_duplicates(), trials_of(table)
    index_of = dict(zip(trials["trial"], trials.index, strict=True))
    return trials.loc[[index_of[number] for number in numbers]]


def best_trial(table: pd.DataFrame) -> pd.Series[Any] | None:
    """Return the best trial's line, or None if no row has a score."""
    trials = ranked_trials(table)
    return None if trials.empty else trials.iloc[0]


def errors_text(trial: pd.Series[Any], facts: Facts) -> str:
    """Describe the validation errors of a regression's trial in the target's unit, or return "".

    RMSE and R squared need a loss that is the mean squared error of rows of equal weight, without
    a penalty. R squared compares with always guessing the training mean.

    Args:
        trial: A line of `trials_of`.
    """
    recipe = facts.identity.recipe if facts.identity is not None else {}
    if facts.task is not Task.REGRESSION or recipe.get("model"):
        return ""
    penalized = "l2" in trial.index and bool(values_of(trial, ["l2"]).get("l2"))
    squares = recipe["loss"] == "mean_squared_error" and "sample_weight" not in recipe
    text = f"MAE {number(float(trial['val_mae']))}"
    if squares and not penalized:
        square, guess = float(trial["val_loss"]), facts.guesses.get("val_mse")
        text = f"RMSE {number(math.sqrt(square))}, {text}"
        if guess and not {"val_r2", "val_r2_score"} & {*trial.index}:
            text += f", R\N{SUPERSCRIPT TWO} {number(1 - square / guess)}"
    return text
