"""Measure the Pareto fronts that searches for two objectives find: a low loss and few weights.

    python experiments/search_fronts.py [--seeds 20] [--trials 100]

Nothing is trained: losses are those of tabulated_digits and tabulated_diabetes (see tabulate.py),
whose configs are MLPs with conditions. A front is judged by its hypervolume: of the area that at
least one of its configs dominates, as a share of that of the table's own front. The loss counts
from the table's least to its median, the number of weights by its logarithm from the table's least
to its greatest; whatever is beyond counts as the end. So a search that knows only losses, or only
small networks, finds a small share.

`tpe` and `bayesian` are those of a sweep with `metric: [val_loss, weights]`, which draw new weights
of the objectives for each proposal; `loss_alone` is `bayesian` that knows the loss only.
Peers are Optuna's TPE and NSGA-II with their defaults. All methods have the same seeds, and propose
one config at a time. `--check` fails if `tpe` or `bayesian` finds less than a peer, in the mean
over tables after all trials, by more than the 95% interval of the paired difference.
"""

from __future__ import annotations

import argparse
import math
import statistics
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from report import HERE, machine, report, versions
from scipy.stats import t
from search_peers import OptunaSearch
from search_problems import Problem, make_problem

from hpsearch.data.loading import load_dataset
from hpsearch.data.specs import n_features
from hpsearch.search.methods import make_strategy
from hpsearch.search.strategy import Outcome
from hpsearch.space.mlp import MLPConfig
from hpsearch.space.space import Config
from hpsearch.spec.method import MethodSpec
from hpsearch.spec.sweep import load_sweep

_TABLES = ("digits", "diabetes")
_OURS, _PEERS = ("tpe", "bayesian"), ("optuna_tpe", "optuna_nsga2")
_METHODS = (*_OURS, *_PEERS, "random", "loss_alone")
Point = tuple[float, float]


@cache
def _problem(table: str) -> tuple[Problem, Mapping[str, Point], float]:
    """The table, the places of its configs in the unit square, and the area of its own front."""
    problem = make_problem(table)
    data = load_dataset(load_sweep(HERE / f"tabulated_{table}.yaml").data)
    weights = {}
    for config in _configs(problem):
        count = MLPConfig(config.values).weight_count(n_features(data.input), data.target.outputs)
        assert count is not None
        weights[config.id] = math.log(count)
    least, most = min(weights.values()), max(weights.values())
    places = {}
    for config in _configs(problem):
        loss = problem.loss(config)
        regret = 1.0 if loss is None else min(max(problem.regret(loss), 0.0), 1.0)
        places[config.id] = (regret, (weights[config.id] - least) / (most - least))
    return problem, places, _area(list(places.values()))


def _configs(problem: Problem) -> list[Config]:
    strategy = make_strategy(MethodSpec("grid"), problem.space)
    return [proposal.config for proposal in strategy.ask(10**6)]


def _area(points: Sequence[Point]) -> float:
    """The area of the unit square that points dominate, lower being better."""
    area, height = 0.0, 1.0
    for x, y in sorted(points):
        if y < height:
            area += (1.0 - x) * (height - y)
            height = y
    return area


def _search(method: str, problem: Problem, seed: int) -> Any:
    if method in _PEERS:
        return OptunaSearch(problem.space, seed, _sampler(method), conditional=True, objectives=2)
    name = "bayesian" if method == "loss_alone" else method
    return make_strategy(MethodSpec(name), problem.space, goal="minimize", seed=seed, trials=100)


def _sampler(method: str) -> Callable[[int], Any]:
    def sampler(seed: int) -> Any:
        import optuna

        name = {"optuna_tpe": "TPESampler", "optuna_nsga2": "NSGAIISampler"}[method]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return getattr(optuna.samplers, name)(seed=seed)

    return sampler


def _shares(method: str, table: str, seed: int, trials: int) -> list[float]:
    """The share of the table's area that the front has, after each trial."""
    problem, places, whole = _problem(table)
    search, found, shares = _search(method, problem, seed), [], []
    for _ in range(trials):
        (proposal,) = search.ask(1)
        loss, place = problem.loss(proposal.config), places[proposal.config.id]
        further = () if method == "loss_alone" else place[1:]
        search.tell([Outcome(proposal.config, loss, losses=further)])
        if loss is not None:
            found.append(place)
        shares.append(_area(found) / whole)
    return shares


def _half_width(values: Sequence[float]) -> float:
    if len(values) < 2:
        return math.inf
    error = statistics.stdev(values) / math.sqrt(len(values))
    return float(t.ppf(0.975, len(values) - 1)) * error


def main() -> None:
    """Run the searches and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    trials, seeds = arguments.trials, range(arguments.seeds)
    found = {
        (method, table): [_shares(method, table, seed, trials) for seed in seeds]
        for method in _METHODS
        for table in _TABLES
    }
    rows: list[dict[str, Any]] = []
    for table in _TABLES:
        for method in _METHODS:
            row: dict[str, Any] = {"table": table, "method": method}
            for after in sorted({max(1, trials // 4), max(1, trials // 2), trials}):
                shares = [each[after - 1] for each in found[method, table]]
                mean, half = statistics.mean(shares), _half_width(shares)
                row[f"after {after}"] = f"{mean:.3f} ± {half:.3f}"
            rows.append(row)
    differences = []
    for ours in _OURS:
        for peer in _PEERS:
            paired = [
                statistics.mean(
                    found[ours, table][seed][-1] - found[peer, table][seed][-1] for table in _TABLES
                )
                for seed in seeds
            ]
            differences.append((ours, peer, statistics.mean(paired), _half_width(paired)))
    about = [
        machine(),
        versions("hpsearch", "optuna"),
        f"{len(seeds)} seeds; mean share of the hypervolume of the table's front, with the 95% "
        "interval of the mean over seeds",
        *(
            f"after {trials} trials, mean over tables: {ours} less {peer} {mean:+.3f} ± {half:.3f}"
            for ours, peer, mean, half in differences
        ),
    ]
    report("search_fronts", about, rows, arguments.out)
    if arguments.check and any(mean + half < 0 for *_, mean, half in differences):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
