"""Compare the configs that each method finds with those of random search and other libraries.

    python experiments/search_quality.py [--methods tpe ...] [--problems digits ...] [--seeds 0-19]

Runs every method with every seed on the problems of search_problems.py, whose scores are looked up
or computed, and writes search_quality.md (regrets and paired differences), search_claims.md (the
project's promises, and whether they hold) and a plot. Regret is normalized: 0 is the optimum of the
space, 1 the median of random configs. Intervals are Student's 95% intervals over seeds; differences
are paired by seed. `beats` means that the interval lies below 0, `no worse` that it does not lie
above 0.

A search with rungs may spend as many epochs as the whole trainings of the others, and only configs
that reach their last epoch count. In searches with 8 trainings in progress, each result is reported
before the next proposal is requested. Seconds are the processor time of all asks and tells of a
search on one thread. KerasTuner's regrets come from search_foreseen.py, its time from three seeds
without it.

All runs are kept in search_runs.csv.gz with the versions that made them: the packages of peers, or
a digest of hpsearch's proposing code. A search runs only if the file has no run of it by these
versions, and the first run by new versions removes the method's earlier runs. `auto` stands for one
of hpsearch's methods, depending on the number of trials. `--report` runs no searches. Nothing is
written if hpsearch's code has changed since a run. `--check` fails if a claim fails.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from functools import cache
from pathlib import Path

import search_report
from report import HERE, machine, report, versions
from search_peers import PEERS, STOCK
from search_problems import PROBLEMS, Problem, make_problem
from search_runs import WITH_RUNGS, Run, Runs, auto_is, made_by, run, stale

#: Slow peers come first, so that all processes end at about the same time.
METHODS = (*reversed(PEERS), "bayesian", "tpe", *WITH_RUNGS, "sobol", "random")
#: The methods that also run with several trainings in progress.
_PARALLEL = ("bayesian", "tpe")
_WORKERS = 8
#: Seeds of the runs that measure KerasTuner's time.
_TIMED_SEEDS = 3
_WRITE_SECONDS = 10.0
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

#: Problem, method, workers and seed.
Key = tuple[str, str, int, int]


def keys(
    methods: Collection[str], problems: Collection[str], seeds: Iterable[int]
) -> Iterator[Key]:
    """The keys of the requested runs, ordered by seed."""
    for seed, method, problem in itertools.product(seeds, METHODS, PROBLEMS):
        if method not in methods or problem not in problems:
            continue
        if method in WITH_RUNGS and not _problem(problem).curves:
            continue
        if method == STOCK and seed >= _TIMED_SEEDS:
            continue
        yield problem, method, 1, seed
        if method in _PARALLEL:
            yield problem, method, _WORKERS, seed


def missing(wanted: Iterable[Key], known: Mapping[Key, Run], trials: int) -> list[Key]:
    """The keys of which there is no run by the current versions."""
    return [key for key in wanted if not _fits(known.get(key), trials)]


def _fits(known: Run | None, trials: int) -> bool:
    return known is not None and known.by == made_by(known.method) and len(known.regrets) >= trials


def of_auto(known: Iterable[Run], trials: int) -> list[Run]:
    """The runs of the method that `auto` uses, renamed to `auto`."""
    method = auto_is(_problem(PROBLEMS[-1]), trials)
    return [replace(run, method="auto") for run in known if run.method == method]


@cache
def _problem(name: str) -> Problem:
    return make_problem(name)


def _run(key: Key, trials: int) -> Run:
    """Run one search; called in a worker process."""
    name, method, workers, seed = key
    return run(_problem(name), method, seed, trials=trials, workers=workers)


def run_all(wanted: Sequence[Key], runs: Runs, trials: int, processes: int) -> None:
    """Run searches in parallel and store the results every few seconds."""
    # The spawned processes read these before they import NumPy.
    os.environ.update(_ONE_THREAD, TF_CPP_MIN_LOG_LEVEL="2")
    context = multiprocessing.get_context("spawn")
    done: list[Run] = []
    written = time.monotonic()
    with ProcessPoolExecutor(min(processes, len(wanted)), mp_context=context) as pool:
        try:
            futures = [pool.submit(_run, key, trials) for key in wanted]
            for number, future in enumerate(as_completed(futures), 1):
                done.append(future.result())
                if time.monotonic() - written > _WRITE_SECONDS:
                    runs.add(done)
                    done, written = [], time.monotonic()
                    print(f"{number} of {len(wanted)} searches", flush=True)
        finally:
            pool.shutdown(cancel_futures=True)
            if done:
                runs.add(done)


def seed_range(text: str) -> range:
    """The seeds of a text such as 0-19."""
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def main() -> None:
    """Run, print, write, check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, default=PROBLEMS)
    parser.add_argument("--seeds", type=seed_range, default="0-19", help="first and last seed")
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=HERE, help="where the tables go")
    parser.add_argument("--report", action="store_true", help="run no searches")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    runs = Runs(arguments.out / "search_runs.csv.gz")
    if not arguments.report:
        every = list(keys(arguments.methods, arguments.problems, arguments.seeds))
        wanted = missing(every, runs.read(), arguments.trials)
        print(f"{len(wanted)} searches to run, {len(every) - len(wanted)} kept", flush=True)
        if wanted:
            run_all(wanted, runs, arguments.trials, arguments.processes)
    known = runs.read().values()
    if old := stale((run.method, run.by) for run in known if run.method not in PEERS):
        raise SystemExit(f"to be run again, as hpsearch's code has changed: {', '.join(old)}")
    kept = search_report.Results([*known, *of_auto(known, arguments.trials)])
    about = [
        machine(),
        versions("hpsearch", "numpy", "optuna", "torch", "keras-tuner", "scikit-learn"),
        f"seeds: {kept.seeds}; intervals: Student's over seeds, 95%; differences paired by seed",
        "regret: 0 is the optimum, 1 the median of random configs",
    ]
    claims = search_report.claims(kept)
    regrets = search_report.regrets(kept)
    page = {"": search_report.regrets_page(regrets)}
    report("search_quality", about, regrets, arguments.out, page=page)
    page = {"": search_report.claims_page(claims)}
    report("search_claims", about, claims, arguments.out, page=page)
    search_report.plot(kept, arguments.out / "search_quality.svg")
    short = [f"{row['claim']}: {row['problem']}" for row in claims if row["holds"] != "yes"]
    if arguments.check and short:
        raise SystemExit("\n".join(short))


if __name__ == "__main__":
    main()
