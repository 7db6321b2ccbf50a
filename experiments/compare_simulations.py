"""Simulate how often the intervals and tests of `hpsearch compare` are right.

    python experiments/compare_simulations.py [--simulations 10000] [--configs 5 20 100]

Draws tables whose true difference is known and passes them to hpsearch's functions. Each row of the
table is one world: how often the 95% interval contains the true difference, and how often a winner
is named although there is no difference. `--check` fails if a world marked as promised covers less
than 93% or more than 97%, or names a winner in more than 6%. The other worlds show the limits of
the promise, and the results of the bootstrap.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from report import HERE, machine, report, versions
from scipy import stats

from hpsearch.comparison.findings import verdicts
from hpsearch.comparison.questions import (
    Answer,
    Estimate,
    Question,
    best_difference,
    mean_difference,
    optimism,
)
from hpsearch.comparison.table import Floats

#: The true difference, if any; configs' scores have a standard deviation of 1.
_DIFFERENCE = 0.7
_SEEDS = 3
_COVERAGE = (0.93, 0.97)
_MOST_FALSE = 0.06
_CEILING = stats.beta(5.0, 1.5)
#: Scores drawn to estimate the expected best of a table.
_REFERENCE = 200_000
#: The bootstrap is simulated less often, because it is slow and its shortfall is large.
_BOOTSTRAP_SHARE = 10
_RESAMPLES = 999


@dataclass(frozen=True)
class World:
    """A distribution of tables and a question about them.

    Attributes:
        ask: Draws tables with a number of configs and a true difference, and returns the answer.
        promised: Whether coverage and false positives are promised.
        share: Divisor of the number of simulations.
    """

    question: str
    name: str
    ask: Callable[[np.random.Generator, int, float], Answer]
    promised: bool = True
    share: int = 1


def paired_answer(estimate: Estimate, count: int) -> Answer:
    """An answer about paired configs."""
    return Answer(Question.PAIRED, estimate, count, (count, count), (count, count), 1)


def paired(noise: Callable[[np.random.Generator, tuple[int, ...]], Floats]) -> Any:
    """Configs with different effects, and `_SEEDS` noisy scores of each in both tables."""

    def ask(rng: np.random.Generator, count: int, difference: float) -> Answer:
        effects = difference + noise(rng, (count,))
        first, second = rng.standard_normal((2, count, _SEEDS))
        differences = effects + (first - second).mean(axis=1)
        return paired_answer(mean_difference(differences), count)

    return ask


def sharing(rng: np.random.Generator, count: int, difference: float) -> Answer:
    """Trainings that each answer three configs, whose differences are nearly equal."""
    units = np.repeat(np.arange(count), 3)
    differences = difference + rng.standard_normal(count)[units]
    differences += 0.3 * rng.standard_normal(3 * count)
    return paired_answer(mean_difference(differences, units), 3 * count)


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Standard normal effects."""
    return rng.standard_normal(shape)


def skewed(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Centred exponential effects: few configs have large ones."""
    return rng.exponential(1.0, shape) - 1.0


def ceiling(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Centred beta effects with standard deviation 1, skewed to the left as accuracies are."""
    return (rng.beta(5.0, 1.5, shape) - _CEILING.mean()) / _CEILING.std()


def best_answer(first: Floats, second: Floats) -> Answer:
    """An answer about the best configs of two tables of scores `(n_configs, n_seeds)`."""
    estimate = best_difference(first.mean(axis=1), second.mean(axis=1))
    luck = optimism(first), optimism(second)
    corrected = None
    if estimate.difference is not None and luck[0] is not None and luck[1] is not None:
        corrected = estimate.difference - (luck[0] - luck[1])
    counts = (len(first), len(second))
    return Answer(Question.BEST, estimate, 0, counts, counts, first.shape[1], corrected=corrected)


def best(
    effects: Callable[[np.random.Generator, tuple[int, ...]], Floats],
    *,
    seeds: int = 1,
    noise: float = 0.0,
    times: int = 1,
) -> Any:
    """Two searches of a space.

    Args:
        effects: Draws the effects of configs.
        seeds: Scores per config.
        noise: Standard deviation of the noise of one score.
        times: Ratio of the second table's number of configs to the first one's.
    """

    def ask(rng: np.random.Generator, count: int, difference: float) -> Answer:
        tables = [
            effects(rng, (size, 1)) + noise * rng.standard_normal((size, seeds))
            for size in (count, times * count)
        ]
        return best_answer(tables[0] + difference, tables[1])

    return ask


class Unequal:
    """Tables with the same expected best, of which the second spreads `times` as wide."""

    def __init__(self, effects: Any, times: float) -> None:
        self._effects, self._times = effects, times
        self._expected: dict[int, float] = {}

    def __call__(self, rng: np.random.Generator, count: int, difference: float) -> Answer:
        """Draw two tables and return the answer about their best configs."""
        if count not in self._expected:
            many = self._effects(rng, (_REFERENCE // count, count))
            self._expected[count] = float(many.max(axis=1).mean())
        best = self._expected[count]
        first = self._effects(rng, (count, 1)) - best + difference
        return best_answer(first, self._times * (self._effects(rng, (count, 1)) - best))


def bootstrap(effects: Any, method: str) -> Any:
    """SciPy's bootstrap over configs, which chooses the best in each resample."""

    def ask(rng: np.random.Generator, count: int, difference: float) -> Answer:
        first, second = effects(rng, (count,)) + difference, effects(rng, (count,))
        drawn = stats.bootstrap(
            (first, second),
            lambda one, two, axis: one.max(axis=axis) - two.max(axis=axis),
            n_resamples=_RESAMPLES,
            method=method,
            rng=rng,
        )
        return bootstrap_answer(first.max() - second.max(), drawn.confidence_interval, count)

    return ask


def bootstrap_answer(difference: float, interval: Sequence[float], count: int) -> Answer:
    """An answer that names a winner if the interval excludes 0."""
    estimate = Estimate(float(difference), float(interval[0]), float(interval[1]), 0.0)
    return Answer(Question.BEST, estimate, 0, (count, count), (count, count), 1)


def two_levels(rng: np.random.Generator, count: int, difference: float) -> Answer:
    """The percentile bootstrap over configs and seeds, which chooses the best in each resample."""
    tables = [rng.standard_normal((count, 1)) + rng.standard_normal((count, _SEEDS)) for _ in "ab"]
    tables[0] += difference
    best = []
    for scores in tables:
        configs = rng.integers(0, count, (_RESAMPLES, count, 1))
        seeds = rng.integers(0, _SEEDS, (_RESAMPLES, count, _SEEDS))
        best.append(scores[configs, seeds].mean(axis=2).max(axis=1))
    found = tables[0].mean(axis=1).max() - tables[1].mean(axis=1).max()
    return bootstrap_answer(found, np.quantile(best[0] - best[1], [0.025, 0.975]), count)


WORLDS = (
    World("paired", "normal effects, 3 seeds", paired(normal)),
    World("paired", "trainings of 3 configs each", sharing),
    World("paired", "accuracies' effects (left-skewed), 3 seeds", paired(ceiling)),
    World("paired", "exponential effects, 3 seeds", paired(skewed), promised=False),
    World("best", "normal configs, 1 seed", best(normal)),
    World("best", "normal configs, as much noise, 3 seeds", best(normal, seeds=3, noise=1.0)),
    World("best", "accuracies (left-skewed), 1 seed", best(ceiling)),
    World("best", "exponential configs, 1 seed", best(skewed)),
    World("best", "three times as many configs in one", best(normal, times=3)),
    World("best", "accuracies, one spread 3 times as wide", Unequal(ceiling, 3), promised=False),
    World("best", "normal, one spread 3 times as wide", Unequal(normal, 3), promised=False),
    World("best", "exponential, one spread 3 times as wide", Unequal(skewed, 3), promised=False),
    *(
        World(
            f"bootstrap ({method})", name, bootstrap(effects, method),
            promised=False, share=_BOOTSTRAP_SHARE,
        )
        for method in ("percentile", "BCa")
        for name, effects in (("normal configs", normal), ("accuracies", ceiling))
    ),
    World(
        "bootstrap (percentile)", "configs and seeds, as much noise, 3 seeds", two_levels,
        promised=False, share=_BOOTSTRAP_SHARE,
    ),
)  # fmt: skip


def simulate(world: World, configs: int, simulations: int, seed: int) -> dict[str, Any]:
    """One row: coverage with a true difference, and winners without one."""
    rng = np.random.default_rng([seed, configs, WORLDS.index(world)])
    count = max(1, simulations // world.share)
    true = 0.0 if isinstance(world.ask, Unequal) else _DIFFERENCE
    covered = widths = named = 0.0
    for _ in range(count):
        estimate = world.ask(rng, configs, true).estimate
        covered += estimate.low <= true <= estimate.high
        widths += estimate.high - estimate.low
        named += winner(world.ask(rng, configs, 0.0))
    return {
        "question": world.question,
        "world": world.name,
        "configs": configs,
        "simulations": count,
        "coverage": round(covered / count, 4),
        "false positives": round(named / count, 4),
        "width": round(widths / count, 3),
        "promised": "yes" if world.promised else "no",
    }


def winner(answer: Answer) -> bool:
    """Whether hpsearch names a winner."""
    (pair,) = verdicts([("first", "second", answer)])
    return pair.winner is not None


def simulate_three(configs: int, simulations: int, seed: int) -> dict[str, Any]:
    """One row: how often any pair of three equal, paired tables has a winner by Holm's method."""
    rng = np.random.default_rng([seed, configs, len(WORLDS)])
    named = 0
    for _ in range(simulations):
        scores = rng.standard_normal((3, configs))
        answers = [
            (str(one), str(two), paired_answer(mean_difference(scores[one] - scores[two]), configs))
            for one, two in ((0, 1), (0, 2), (1, 2))
        ]
        named += any(pair.winner for pair in verdicts(answers))
    return {
        "question": "paired",
        "world": "three equal tables (Holm): any winner",
        "configs": configs,
        "simulations": simulations,
        "coverage": "",
        "false positives": round(named / simulations, 4),
        "width": "",
        "promised": "yes",
    }


def broken(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return a message for each broken promise."""
    found = []
    for row in rows:
        if row["promised"] != "yes":
            continue
        where = f"{row['question']}, {row['world']}, {row['configs']} configs"
        if row["coverage"] and not _COVERAGE[0] <= row["coverage"] <= _COVERAGE[1]:
            found.append(f"{where}: covers {row['coverage']:.1%}")
        if row["false positives"] > _MOST_FALSE:
            found.append(f"{where}: a false winner in {row['false positives']:.1%}")
    return found


def main() -> None:
    """Simulate, print, write, check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--simulations", type=int, default=10_000)
    parser.add_argument("--configs", type=int, nargs="+", default=[5, 20, 100])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=HERE, help="where the tables go")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    sizes = (arguments.simulations, arguments.seed)
    rows = [simulate(world, count, *sizes) for world in WORLDS for count in arguments.configs]
    rows += [simulate_three(count, *sizes) for count in arguments.configs]
    about = [
        machine(),
        versions("hpsearch", "scipy", "numpy"),
        f"{arguments.simulations:,} simulations a row (bootstrap: a tenth), seed {arguments.seed}",
        f"true difference {_DIFFERENCE}, for false positives 0; configs' standard deviation 1; "
        "where one spread is wider, the true difference is that of the expected bests, 0",
    ]
    report("compare_simulations", about, rows, arguments.out)
    if arguments.check and broken(rows):
        raise SystemExit("\n".join(broken(rows)))


if __name__ == "__main__":
    main()
