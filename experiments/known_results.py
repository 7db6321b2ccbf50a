"""Measure what known results save `auto`, and how long those of another table mislead it.

    python experiments/known_results.py [--seeds 10]

On the ten tables of prior_fresh.py, `auto` has 50 trials, one at a time, and before the first one:
nothing; the results of 25 random configs of the table; or those of 25 random configs of the next
table of the same kind (classification or regression), whose scores do not even have the same scale.
Regret is that of the search's own trials, 0 for a table's best config and 1 for its median; one
above 1, or none because all have diverged so far, counts as 1.

Promised, before the searches ran: with 25 results of the same table, the mean regret after 10
trials is at most .6 of that without; with those of another table it is after 50 trials no worse:
the upper end of the difference's 95% interval, Student's over the tables' means over seeds, lies
below a tenth of the mean regret without.
"""

from __future__ import annotations

import argparse
import itertools
import math
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from prior_fresh import FRESH, GRID, problem
from prior_quality import least_regrets
from report import HERE, half_interval, machine, report_parts, versions
from search_problems import Problem

from hpsearch.search.draws import random_draws
from hpsearch.search.methods import make_strategy
from hpsearch.search.strategy import Outcome
from hpsearch.spec.method import MethodSpec

KNOWN = ("nothing", "the same table", "another table")
COUNTS = (1, 5, 10, 25, 50)
_RESULTS = 25
#: The first five tables are for classification.
_HALF = len(FRESH) // 2
#: Seeds of the known configs; no search has them.
_SEED = 10_000


def results_of(table: Problem, seed: int) -> list[Outcome]:
    """The results of random configs of a table that have one: `known` leaves out the others."""
    drawn = random_draws(table.space, _SEED + seed)
    outcomes = (Outcome(config, table.loss(config)) for config in drawn)
    return list(itertools.islice((o for o in outcomes if o.score is not None), _RESULTS))


def _run(name: str, known: str, seed: int) -> dict[str, Any]:
    losses = pd.read_csv(HERE / "prior_fresh.csv.gz", index_col="config")
    names = list(FRESH)
    place = names.index(name)
    first = place // _HALF * _HALF
    other = names[first + (place - first + 1) % _HALF]
    of = problem(name, losses, GRID)
    kinds = ("error",) if first else ("accuracy",)
    search = make_strategy(
        MethodSpec("auto"), of.space, goal="minimize", seed=seed, trials=max(COUNTS), kinds=kinds
    )
    if known != "nothing":
        source = of if known == "the same table" else problem(other, losses, GRID)
        search.restore((), results_of(source, seed))
    regrets = least_regrets(search, of, max(COUNTS))
    cells = {str(count): min(regrets[count - 1], 1.0) for count in COUNTS}
    return {"table": name, "known": known, "seed": seed, **cells}


def search(tables: Sequence[str], seeds: int) -> pd.DataFrame:
    """Run all searches, with one thread each."""
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        jobs = zip(*itertools.product(tables, KNOWN, range(seeds)), strict=True)
        return pd.DataFrame(pool.map(_run, *jobs))


def differences(runs: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Each kind of known results beside none."""
    for known, count in itertools.product(KNOWN[1:], map(str, COUNTS)):
        means = runs.pivot_table(index="table", columns="known", values=count)
        difference = means[known] - means["nothing"]
        low, high = difference.mean() + half_interval(difference) * np.array([-1, 1])
        without = means["nothing"].mean()
        promise = {
            ("the same table", "10"): means[known].mean() <= 0.6 * without,
            ("another table", "50"): high < 0.1 * without,
        }.get((known, count))
        yield {
            "known": f"{_RESULTS} of {known}",
            "trials": int(count),
            "with": f"{means[known].mean():.4f}",
            "without": f"{without:.4f}",
            "share": f"{means[known].mean() / without:.2f}",
            "difference": f"{difference.mean():.4f} [{low:.4f}, {high:.4f}]",
            "better on": f"{(difference < 0).sum()} of {len(means)}",
            "promise": "" if promise is None else "holds" if promise else "does NOT hold",
        }


def saved(runs: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """The trials without known results whose mean regret is that of fewer trials with them."""
    means = runs.groupby("known")[list(map(str, COUNTS))].mean()
    counts, alone = np.array(COUNTS), means.loc["nothing"].to_numpy()
    for count in COUNTS:
        reached = means.loc["the same table", str(count)]
        later = np.interp(-reached, -alone, counts, right=math.inf)
        after = f"{later:.0f}" if math.isfinite(later) else f"more than {max(COUNTS)}"
        yield {f"trials with {_RESULTS} known": count, "as good without after": after}


def main() -> None:
    """Run the searches, and write known_results.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--tables", nargs="+", choices=list(FRESH), default=list(FRESH))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=Path, default=HERE)
    given = parser.parse_args()
    runs = search(given.tables, given.seeds)
    about = [
        machine(),
        versions("hpsearch", "numpy", "scipy"),
        f"{len(given.tables)} tables, {given.seeds} seeds, 50 trials of auto",
        "regret: 0 is a table's best config, 1 the median or worse; intervals over tables, 95%",
    ]
    counts = list(map(str, COUNTS))
    every = runs.groupby(["table", "known"])[counts].mean().map("{:.4f}".format).reset_index()
    parts = {
        "With known results beside without": sorted(
            differences(runs), key=lambda row: -float(row["share"])
        ),
        "Trials saved, by the means": list(saved(runs)),
        "Mean regrets on each table": every.to_dict("records"),
    }
    report_parts("known_results", about, parts, given.out)


if __name__ == "__main__":
    main()
