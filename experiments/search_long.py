"""Compare searches of up to 1,000 trials: Gaussian process, TPE, Optuna's TPE, random search.

    pip install -e '.[peers]'
    python experiments/search_long.py [--trials 1000] [--tables 8] [--seeds 1-1] [--processes 2]

The problems are smooth: what the shipped prior's network says of a table's losses, over the space
of prior_study.py, with noise as that of a training's seed, of a fiftieth of the distance from the
least loss to the median. A search sees the noise; its regret is that of the config with the best
score, without the noise: 0 for the least loss of a long random search that was refined, 1 for the
median of random configs. The searches do without the prior, which here would know the answer.

Promise, written down before the first run over these seeds: at every count from 200 trials on the
mean regret of `bayesian` is at most that of `tpe` and of Optuna's TPE.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from prior_study import space
from report import HERE, machine, report_parts, versions
from search_peers import make_peer
from search_quality import seed_range
from search_runs import without_prior
from threadpoolctl import threadpool_limits

from hpsearch.search.encoding import Encoding
from hpsearch.search.methods import make_strategy
from hpsearch.search.prior import OFFSET, features, shipped
from hpsearch.search.strategy import Outcome
from hpsearch.space.space import Config

METHODS = ("bayesian", "tpe", "optuna_tpe", "random")
COUNTS = (100, 200, 400, 600, 800, 1_000)
_NOISE = 0.02
_DRAWS, _KEPT, _CHILDREN, _ROUNDS = 20_000, 20, 20, 200


class Table:
    """One output of the prior's network, as a table's losses."""

    def __init__(self, output: int) -> None:
        self.space = space()
        self._encoding = Encoding(self.space)
        self._output = output
        random = np.random.default_rng(output)
        points = random.random((_DRAWS, len(self._encoding.dimensions)))
        losses = self._losses(points)
        self._median = float(np.median(losses))
        points = points[np.argsort(losses)[:_KEPT]]
        for _ in range(_ROUNDS):
            children = np.repeat(points, _CHILDREN, axis=0)
            moved = np.clip(children + 0.1 * random.standard_normal(children.shape), 0, 1 - 1e-9)
            children = np.where(random.random(children.shape) < 0.2, moved, children)
            points = np.concatenate([points, children])
            points = points[np.argsort(self._losses(points))[:_KEPT]]
        self._least = float(self._losses(points).min())

    def _losses(self, points: Any) -> Any:
        rows = self._encoding.rows(self._encoding.uniform(points))
        return np.exp(shipped()(features(self._encoding, rows))[:, self._output]) - OFFSET

    def regret(self, config: Config) -> float:
        """The regret of a config, without noise."""
        found = shipped()(features(self._encoding, self._encoding.row(config)[None]))
        loss = math.exp(found[0, self._output]) - OFFSET
        return (loss - self._least) / (self._median - self._least)

    def seen(self, config: Config) -> float:
        """What a search is told of a config."""
        seed = int(hashlib.sha256(config.id.encode()).hexdigest()[:12], 16)
        return self.regret(config) + _NOISE * float(np.random.default_rng(seed).standard_normal())


def _run(output: int, method: str, seed: int, trials: int) -> dict[str, Any]:
    """One search; called in a worker process."""
    table = Table(output)
    if method == "optuna_tpe":
        search: Any = make_peer(method, table.space, seed, trials)
    else:
        spec = without_prior(method)
        search = make_strategy(spec, table.space, goal="minimize", seed=seed, trials=trials)
    best, regrets = math.inf, []
    with threadpool_limits(1):
        for _ in range(trials):
            (proposal,) = search.ask(1)
            loss = table.seen(proposal.config)
            search.tell([Outcome(proposal.config, loss)])
            if loss < best:
                best, regret = loss, table.regret(proposal.config)
            regrets.append(regret)
    cells = {str(count): regrets[count - 1] for count in COUNTS if count <= trials}
    return {"table": output, "method": method, "seed": seed, **cells}


def _promises(means: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for count in means.columns[1:]:
        for other in ("tpe", "optuna_tpe"):
            ours, theirs = means.loc["bayesian", count], means.loc[other, count]
            yield {
                "trials": count,
                "than": other,
                "ours": f"{ours:.4f}",
                "theirs": f"{theirs:.4f}",
                "holds": "yes" if ours <= theirs else "NO",
            }


def main() -> None:
    """Run the searches, and write search_long.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--trials", type=int, default=1_000)
    parser.add_argument("--tables", type=int, default=8)
    parser.add_argument("--seeds", type=seed_range, default="1-1", help="first and last seed")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=HERE, help="where the tables go")
    arguments = parser.parse_args()
    outputs = np.linspace(0, len(shipped().kinds) - 1, arguments.tables).astype(int).tolist()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(arguments.processes, mp_context=context) as pool:
        futures = [
            pool.submit(_run, output, method, seed, arguments.trials)
            for output in outputs for method in METHODS for seed in arguments.seeds
        ]  # fmt: skip
        runs = pd.DataFrame([future.result() for future in futures])
    counts = [str(count) for count in COUNTS if count <= arguments.trials]
    means = runs.groupby("method")[counts].mean()
    about = [
        machine(),
        versions("hpsearch", "numpy", "scipy", "optuna"),
        f"{len(outputs)} tables, {len(arguments.seeds)} seed(s) each; mean regrets",
    ]
    rows = [
        {"method": method, **{c: f"{means.loc[method, c]:.4f}" for c in counts}}
        for method in METHODS
    ]
    promises = sorted(_promises(means), key=lambda row: row["holds"])
    parts = {"Promises, those that fail first": promises, "Mean regrets": rows}
    report_parts("search_long", about, parts, arguments.out)


if __name__ == "__main__":
    main()
