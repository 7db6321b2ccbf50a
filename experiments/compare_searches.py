"""Simulate `hpsearch compare` on tables of hpsearch's own searches, unequal seeds, and its power.

    python experiments/compare_searches.py [--simulations 1000] [--searches 200] [--configs 20 50]

compare_simulations.py draws configs independently; here methods choose them, by ask and tell on a
made-up surface. The two tables of a simulation are two of a pool of searches with seeds of their
own. Each row says how often the 95% interval contains the true difference, and how often it
excludes zero (power) if the difference is 0, 0.25, 0.5, 1 and 2 times the noise of a score: for
tables of tpe and bayesian, the interval is the one that `compare` does not give.
`--check` fails if a promised row covers less than 92%, or finds a difference of 0 in more than 7%.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from report import HERE, machine, report, versions

from hpsearch.comparison.questions import Estimate, best_difference, mean_difference
from hpsearch.search.methods import make_strategy
from hpsearch.search.strategy import Outcome
from hpsearch.space.space import Choices, Config, Parameter, Range, Space
from hpsearch.spec.method import MethodSpec

METHODS = ("random", "asha, random proposals", "tpe", "bayesian")
#: The methods for whose tables `compare` gives the interval of bests.
PROMISED = ("random", "asha, random proposals")
_EFFECTS = (0.0, 0.25, 0.5, 1.0, 2.0)
_LEAST = 0.92
_MOST_FALSE = 0.07
#: Standard deviation of the noise of a search's score; that of random configs' scores is 1.5.
NOISE = 0.3
_EPOCHS = 9
_NAMES = tuple(f"x{i}" for i in range(4))


def _space(domain: Range | Choices) -> Space:
    epochs = Parameter("epochs", Choices((_EPOCHS,)))
    return Space((*(Parameter(name, domain) for name in _NAMES), epochs))


#: 81 configs, so that two searches share some.
_FEW_VALUES = _space(Choices((0.1, 0.4, 0.7)))
_SPACE = _space(Range(0.0, 1.0))


def _score(config: Config, epochs: int, rng: np.random.Generator) -> float:
    """A valley with a slope and an edge, which is learned as the epochs pass, and noise."""
    x = [float(config.values[name]) for name in _NAMES]
    final = -6 * (x[0] - 0.3) ** 2 - 3 * (x[1] - x[2]) ** 2 + 1.5 * x[3] - 1.5 * (x[0] > 0.8)
    return final - 2 * math.exp(-epochs / 3) + NOISE * float(rng.standard_normal())


def _search(method: str, space: Space, configs: int, seed: int) -> dict[str, float]:
    """Config -> its score in one search, at the epoch that it reached."""
    rng = np.random.default_rng([seed, METHODS.index(method)])
    name, _, drawn = method.partition(", ")
    spec = MethodSpec(name, {"proposals": "random"} if drawn else {})
    strategy = make_strategy(spec, space, goal="maximize", seed=seed, trials=configs)
    scores: dict[str, float] = {}
    while True:
        if len(scores) == configs:
            strategy.close()
        proposals = strategy.ask(1)
        if not proposals:
            break
        (proposal,) = proposals
        key = repr(sorted(proposal.config.values.items()))
        if key not in scores and len(scores) == configs:
            break
        score = _score(proposal.config, proposal.epochs or _EPOCHS, rng)
        scores[key] = score
        strategy.tell([Outcome(proposal.config, score, proposal.epochs)])
    return scores


@cache
def pool(method: str, configs: int, count: int, *, few: bool) -> tuple[dict[str, float], ...]:
    """So many searches with seeds of their own; with `few`, of few values."""
    space = _FEW_VALUES if few else _SPACE
    return tuple(_search(method, space, configs, seed) for seed in range(count))


def searched(method: str, rng: Any, configs: int, difference: float, searches: int) -> Estimate:
    """The bests of two searches."""
    drawn = pool(method, configs, searches, few=False)
    one, other = (np.array([*drawn[i].values()]) for i in rng.choice(len(drawn), 2, replace=False))
    return best_difference(one + difference, other)


def shared(method: str, rng: Any, configs: int, difference: float, searches: int) -> Estimate:
    """The configs that two searches of few values have in common."""
    drawn = pool(method, configs, searches, few=True)
    one, other = (drawn[i] for i in rng.choice(len(drawn), 2, replace=False))
    both = sorted(one.keys() & other.keys())
    return mean_difference(np.array([difference + one[key] - other[key] for key in both]))


def paired(seeds: tuple[int, int], rng: Any, configs: int, difference: float, _: int) -> Estimate:
    """The same configs in both tables, each with so many seeds that the other has not."""
    one, other = (rng.standard_normal((configs, count)).mean(axis=1) for count in seeds)
    return mean_difference(NOISE * (one - other) + difference)


def bests(seeds: tuple[int, int], rng: Any, configs: int, difference: float, _: int) -> Estimate:
    """The bests of random configs, by as many seeds as the table with fewer has."""
    noise = NOISE * rng.standard_normal((2, configs, min(seeds))).mean(axis=2)
    one, other = rng.standard_normal((2, configs)) + noise
    return best_difference(one + difference, other)


_SEEDS = ((1, 1), (1, 3), (2, 5))
#: Question, world, what asks it, and whether its coverage is promised.
WORLDS: list[tuple[str, str, Callable[..., Estimate], bool]] = [
    *(("paired", f"{a} and {b} seeds", partial(paired, (a, b)), True) for a, b in _SEEDS),
    *(("best", f"{a} and {b} seeds", partial(bests, (a, b)), True) for a, b in _SEEDS),
    *(("best", f"searches by {m}", partial(searched, m), m in PROMISED) for m in METHODS),
    *(
        ("paired", f"searches by {m}, three values", partial(shared, m), m in PROMISED)
        for m in ("random", "tpe", "bayesian")
    ),
]


def simulate(index: int, configs: int, simulations: int, searches: int) -> dict[str, Any]:
    """A row of the table; a world with a pool gets the same simulations as another."""
    question, name, ask, promised = WORLDS[index]
    rng = np.random.default_rng([configs, index])
    true = NOISE * _EFFECTS[-1]
    found = [ask(rng, configs, true, searches) for _ in range(simulations)]
    row = {"question": question, "world": name, "configs": configs}
    row["coverage"] = round(float(np.mean([each.low <= true <= each.high for each in found])), 3)
    row["width"] = round(float(np.median([each.high - each.low for each in found])), 2)
    for effect in _EFFECTS:
        # A difference only moves the estimates.
        moved = [(each.low - true, each.high - true) for each in found]
        size = NOISE * effect
        named = [low + size > 0 or high + size < 0 for low, high in moved]
        row[f"found, {effect:g}"] = round(float(np.mean(named)), 3)
    return {**row, "promised": "yes" if promised else "no"}


def main() -> None:
    """Simulate, print, write, check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--simulations", type=int, default=1_000)
    parser.add_argument("--searches", type=int, default=200, help="of each method and size")
    parser.add_argument("--configs", type=int, nargs="+", default=[20, 50])
    parser.add_argument("--out", type=Path, default=HERE, help="where the tables go")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    rows = [
        simulate(index, configs, arguments.simulations, arguments.searches)
        for index in range(len(WORLDS))
        for configs in arguments.configs
    ]
    about = [
        machine(),
        versions("hpsearch", "scipy", "numpy"),
        f"{arguments.simulations:,} simulations a row; {arguments.searches} searches a method",
        f"differences in units of a score's noise, {NOISE}; configs' scores have a standard "
        "deviation of 1, in searches 1.5",
    ]
    report("compare_searches", about, rows, arguments.out)
    short = [
        f"{row['question']}, {row['world']}, {row['configs']} configs"
        for row in rows
        if row["promised"] == "yes" and (row["coverage"] < _LEAST or row["found, 0"] > _MOST_FALSE)
    ]
    if arguments.check and short:
        raise SystemExit("falls short: " + "; ".join(short))


if __name__ == "__main__":
    main()
