"""Turn the runs of search_unseen.py into losses, claims and regrets."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats
from search_report import AT, Results
from search_runs import Run

__all__ = [
    "ALL",
    "OURS",
    "RANDOM",
    "Estimate",
    "Plan",
    "family",
    "holm",
    "page",
    "parts",
    "results",
]

OURS = ("bayesian", "tpe")
RANDOM = "random"
#: The table of a row over all tables.
ALL = "all"
#: Factor of the other's regret below which ours is no worse.
_NO_WORSE = 1.1
_LEVEL = 0.05
#: Headings of the report.
_FAIL = "Claims that fail"
_LOSSES = "Where another method finds better configs (95%, unadjusted)"
_HOLD = "Claims that hold"
_BEATEN = "Peers that are beaten"
_UNBEATEN = "Peers that are not shown to be beaten"
_MEANS = "Mean regret"
_SECONDS = "Seconds"
Array = npt.NDArray[np.float64]
Row = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """The runs of an evaluation.

    Attributes:
        trials: Trials of a search.
        fewer: Method -> number of seeds, of those that run with the first seeds only.
    """

    tables: tuple[str, ...]
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    trials: int
    fewer: Mapping[str, int]

    def seeds_of(self, method: str) -> tuple[int, ...]:
        """The seeds of a method's runs."""
        return self.seeds[: self.fewer.get(method, len(self.seeds))]

    @property
    def at(self) -> tuple[int, ...]:
        """Numbers of trials at which regrets are compared."""
        return tuple(at for at in AT if at <= self.trials)

    @property
    def ours(self) -> tuple[str, ...]:
        """The methods of which something is claimed."""
        return tuple(method for method in OURS if method in self.methods)

    @property
    def peers(self) -> tuple[str, ...]:
        """The methods of other libraries."""
        return tuple(method for method in self.methods if method not in {*OURS, RANDOM})


@dataclass(frozen=True)
class Estimate:
    """A mean with its standard error and degrees of freedom."""

    mean: float
    error: float
    freedom: int

    @classmethod
    def of(cls, values: Array) -> Estimate:
        """Estimate the mean over tables and seeds.

        Args:
            values: One value for each run, shape `(tables, seeds)`, with at least two seeds.
                With one table the error is that over seeds. Otherwise it is clustered both ways
                (Cameron, Gelbach, Miller, 2011), and at least that of either way.
        """
        tables, seeds = values.shape
        mean, by_seed = float(values.mean()), _squared_error(values.mean(axis=0))
        if tables == 1:
            return cls(mean, math.sqrt(by_seed), seeds - 1)
        by_table = _squared_error(values.mean(axis=1))
        both = by_table + by_seed - _squared_error(values.ravel())
        squared = max(both, by_table, by_seed)
        return cls(mean, math.sqrt(squared), min(tables, seeds) - 1)

    @property
    def bounds(self) -> tuple[float, float]:
        """Student's 95% interval."""
        half = float(stats.t.ppf(1 - _LEVEL / 2, self.freedom)) * self.error
        return self.mean - half, self.mean + half

    @property
    def p(self) -> float:
        """Twice the p of the one-sided test whether the mean is below 0, at most 1."""
        if self.error == 0:
            return 0.0 if self.mean < 0 else 1.0
        return min(1.0, 2 * float(stats.t.cdf(self.mean / self.error, self.freedom)))

    def __str__(self) -> str:
        low, high = self.bounds
        return f"{self.mean:.4f} [{low:.4f}, {high:.4f}]"


def _squared_error(means: Array) -> float:
    return float(np.var(means, ddof=1)) / len(means)


def holm(ps: Sequence[float]) -> list[float]:
    """Adjust p values for testing all of them (S. Holm, Scand. J. Statistics 6, 1979)."""
    adjusted = [0.0] * len(ps)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[place]))
        adjusted[place] = highest
    return adjusted


def results(plan: Plan, known: Iterable[Run]) -> Results:
    """The runs that belong to a plan."""
    return Results(
        run
        for run in known
        if run.problem in plan.tables
        and run.method in plan.methods
        and run.seed in plan.seeds_of(run.method)
        and len(run.regrets) >= plan.trials
    )


def _regrets(
    plan: Plan, results: Results, table: str, method: str, at: int, *, seeds: Sequence[int]
) -> Array | None:
    """Regrets of shape `(tables, seeds)`; None if a run is missing.

    Over all tables, each table's regrets are divided by the mean of random search on it, so that
    all tables count alike.
    """
    tables = plan.tables if table == ALL else (table,)
    found = _of_runs(results, tables, method, seeds, at)
    if table != ALL or found is None:
        return found
    random = _of_runs(results, tables, RANDOM, plan.seeds, at)
    if random is None:
        return None
    scale = random.mean(axis=1, keepdims=True)
    return found / np.where(scale > 0, scale, 1.0)


def _of_runs(
    results: Results, tables: Sequence[str], method: str, seeds: Sequence[int], at: int
) -> Array | None:
    found = [results.regrets(table, method, at) for table in tables]
    if any(seed not in regrets for regrets in found for seed in seeds):
        return None
    return np.array([[regrets[seed] for seed in seeds] for regrets in found])


def family(plan: Plan, results: Results) -> list[Row]:
    """The rows of all claims and questions, with Holm's p over all of them."""
    rows = [*_against_peers(plan, results), *_against_random(plan, results)]
    for row, adjusted in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p"] = float(f"{adjusted:.3g}")
        if row["holds"] != "open":
            row["holds"] = "yes" if adjusted < _LEVEL else "NO"
    return rows


def _against_peers(plan: Plan, results: Results) -> Iterator[Row]:
    for ours in plan.ours:
        for peer in plan.peers:
            for at in plan.at:
                for kind, beats in (("claim", False), ("question", True)):
                    row = _judged(plan, results, (ours, peer), ALL, at, beats=beats)
                    yield {"kind": kind, **row}


def _against_random(plan: Plan, results: Results) -> Iterator[Row]:
    if RANDOM not in plan.methods:
        return
    for ours in plan.ours:
        for table in plan.tables:
            for at in plan.at:
                beats = at > AT[0]
                row = _judged(plan, results, (ours, RANDOM), table, at, beats=beats)
                yield {"kind": "claim", **row}


def _judged(
    plan: Plan, results: Results, pair: tuple[str, str], table: str, at: int, *, beats: bool
) -> Row:
    ours, theirs = pair
    seeds = plan.seeds_of(theirs)
    row: Row = {
        "claim": f"{ours} {'beats' if beats else 'is no worse than'} {theirs}",
        "table": table,
        "trials": at,
        "seeds": len(seeds),
    }
    first, second = (_regrets(plan, results, table, m, at, seeds=seeds) for m in pair)
    # A single seed is no evidence.
    if first is None or second is None or len(seeds) < 2:
        return {**row, "p": 1.0, "holds": "open"}
    values = first - (1.0 if beats else _NO_WORSE) * second
    judged = Estimate.of(values)
    alone = Estimate.of(values.mean(axis=0, keepdims=True)) if table == ALL else ""
    return {
        **row,
        "ours": f"{first.mean():.4f}",
        "theirs": f"{second.mean():.4f}",
        "difference": str(Estimate.of(first - second)),
        "less the margin": "" if beats else str(judged),
        "over seeds alone": str(alone),
        "p": judged.p,
        "holds": "",
    }


def parts(plan: Plan, results: Results, rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The tables of the report, by heading.

    Args:
        plan: The planned runs.
        results: The runs.
        rows: What `family` returned.
    """

    def only(kind: str, *holds: str) -> list[Row]:
        kept = [row for row in rows if row["kind"] == kind and row["holds"] in holds]
        return [{key: cell for key, cell in row.items() if key != "kind"} for row in kept]

    return {
        _FAIL: only("claim", "NO", "open"),
        _LOSSES: [*_losses(plan, results)],
        _HOLD: only("claim", "yes"),
        _BEATEN: only("question", "yes"),
        _UNBEATEN: only("question", "NO", "open"),
        _MEANS: [*_means(plan, results)],
        _SECONDS: [*_seconds(plan, results)],
    }


def page(parts: Mapping[str, Sequence[Row]]) -> dict[str, list[Row]]:
    """The tables of the page, by heading: a selection of what `parts` returned."""
    claims = [*parts[_FAIL], *parts[_HOLD]]
    questions = [*parts[_BEATEN], *parts[_UNBEATEN]]
    beats = {(*_pair(row), row["trials"]): _judgement(row) for row in questions}
    last = max((row["trials"] for row in parts[_MEANS]), default=0)
    return {
        "Over all tables, claims that fail first; p after Holm": [
            {
                "ours": _pair(row)[0],
                "other": _pair(row)[1],
                "trials": row["trials"],
                "difference": row.get("difference", ""),
                "no worse": _judgement(row),
                "beats": beats[*_pair(row), row["trials"]],
            }
            for row in claims
            if row["table"] == ALL
        ],
        _LOSSES: [*parts[_LOSSES]],
        "Less random search: no worse after 25 trials, else better; p after Holm": _by_trials(
            row for row in claims if row["table"] != ALL
        ),
        _MEANS: [row for row in parts[_MEANS] if row["table"] == ALL or row["trials"] == last],
        _SECONDS: [*parts[_SECONDS]],
    }


def _pair(row: Row) -> tuple[str, str]:
    """Ours and the other method of a claim."""
    ours, *_, theirs = row["claim"].split()
    return ours, theirs


def _judgement(row: Row) -> str:
    return f"{row['p']} {row['holds']}"


def _by_trials(rows: Iterable[Row]) -> list[Row]:
    """One line for each method and table."""
    lines: dict[tuple[str, str], Row] = {}
    for row in sorted(rows, key=lambda row: int(row["trials"])):
        ours, table = _pair(row)[0], row["table"]
        line = lines.setdefault((ours, table), {"ours": ours, "table": table})
        mean = row.get("difference", "").partition(" ")[0]
        line[f"after {row['trials']}"] = f"{mean} ({row['p']}) {row['holds']}"
    return [lines[key] for key in sorted(lines)]


def _losses(plan: Plan, results: Results) -> Iterator[Row]:
    for ours in plan.ours:
        for theirs in (*plan.peers, *({RANDOM} & {*plan.methods})):
            seeds = plan.seeds_of(theirs)
            for table in (*plan.tables, ALL):
                for at in plan.at:
                    first, second = (
                        _regrets(plan, results, table, m, at, seeds=seeds) for m in (ours, theirs)
                    )
                    if first is None or second is None or len(seeds) < 2:
                        continue
                    apart = Estimate.of(first - second)
                    if apart.bounds[0] > 0:
                        yield {
                            "ours": ours,
                            "other": theirs,
                            "table": table,
                            "trials": at,
                            "seeds": len(seeds),
                            "ours, regret": f"{first.mean():.4f}",
                            "other, regret": f"{second.mean():.4f}",
                            "difference": str(apart),
                        }


def _means(plan: Plan, results: Results) -> Iterator[Row]:
    for at in plan.at:
        for table in (*plan.tables, ALL):
            row: Row = {"trials": at, "table": table}
            for method in reversed(plan.methods):
                found = _regrets(plan, results, table, method, at, seeds=plan.seeds_of(method))
                row[method] = "" if found is None else f"{found.mean():.4f}"
            yield row


def _seconds(plan: Plan, results: Results) -> Iterator[Row]:
    for method in reversed(plan.methods):
        runs = [run for table in plan.tables for run in results.of(table, method).values()]
        if runs:
            yield {
                "method": method,
                "searches": len(runs),
                "seconds a search": f"{np.mean([run.seconds for run in runs]):.2f}",
                "longest": f"{max(run.seconds for run in runs):.2f}",
                "different configs": f"{np.mean([run.different for run in runs]):.0f}",
            }
