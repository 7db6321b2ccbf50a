"""How often `hpsearch compare` is wrong, and how often it finds a difference, on real trainings.

    python experiments/compare_trainings.py [--pairs 100]

Draws pairs of tables from what compare_pools.py trained. A pair differs in nothing but the seeds
(and, for `random`, in which configs were drawn), so that a winner is an error; `found, 3 sd` is of
the same pairs once three standard deviations of the seed's effect are added to one table. In an
ablation both tables have the same seeds, and the interval has to hold the difference over all
seeds. Writes compare_trainings.md and .json; `--check` fails if a promise is broken.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from compare_pools import SEED_COUNTS, SPACE
from report import HERE, machine, report_parts, versions
from scipy import stats

from hpsearch.comparison.estimates import Estimate, mean_interval, selection_luck
from hpsearch.comparison.findings import verdicts
from hpsearch.comparison.questions import Question, answer, answer_settled
from hpsearch.comparison.table import Metric, Table

#: Configs of a random table; fresh seeds of `--settle`.
DRAWN, FRESH = 20, 10
#: The true difference, in standard deviations of the seed's effect.
EFFECT = 3.0
#: Hyperparameter -> the value of each table of an ablation.
ABLATIONS = {"layer_type": ("dense", "dropout"), "optimizer": ("rmsprop", "adam")}


def table_of(rows: pd.DataFrame, label: str, *, recipe: str = "r1", shift: float = 0.0) -> Table:
    """The rows of a pool, or of a search, as a table of one sweep."""
    scored, seeds = rows["status"].isin(["completed", "stopped"]), rows["seed"].astype(str)
    frame = pd.DataFrame(
        {
            "config": rows["config"],
            "seed": rows["seed"],
            "fold": None,
            "draw": seeds,
            "score": (rows["score"] + shift).where(scored & np.isfinite(rows["score"])),
            "trial": rows["trial"],
            "training": rows["shared_with"].fillna(rows["trial"]).astype(str)
            + rows["seed"].astype(str),
            "epochs": rows["epochs_trained"].astype(float),
            "seconds": np.nan,
            "stopped": np.where(rows["status"] == "stopped", rows["epochs_trained"], 0),
        }
    )
    learned = tuple(set(rows["method"]) - {"grid", "random"})
    metric = Metric(*rows["metric"].iloc[0].split(":"))
    settings = rows[[key for key in (*SPACE, "epochs") if key in rows]]
    return Table(label, Path(label), None, frame, settings, metric, {"recipe": (recipe,)}, learned)


def verdict(first: Table, second: Table, *, other: bool) -> tuple[bool, Estimate]:
    """Whether there is a winner, and the estimate."""
    given, _ = answer(first, second)
    assert given.same_draws is not other or given.question is Question.BEST
    return verdicts([(first.label, second.label, given)])[0].winner is not None, given.estimate


def former(first: Table, second: Table) -> bool:
    """Whether Student's interval over configs, of before, has a winner."""
    one, two = first.means["mean"], second.means["mean"]
    gains = (one - two).dropna() if len(one.index.intersection(two.index)) else None
    return gains is not None and bool(stats.ttest_1samp(gains, 0.0).pvalue < 0.05)


def seed_effect(pool: pd.DataFrame) -> float:
    """The standard deviation of a seed's effect on the mean of all configs."""
    wide = pool.pivot_table(index="config", columns="seed", values="score").dropna()
    return float(wide.mean().std())


def subsets(pool: pd.DataFrame, seeds: int, rng: Any, most: int) -> Iterator[pd.DataFrame]:
    """Two tables' rows with other seeds; of random configs, also with other configs."""
    names = rng.permutation(pool["seed"].unique())
    configs = rng.permutation(pool["config"].unique())
    drawn = pool["design"].iloc[0] == "random"
    for half in range(2):
        rows = pool[pool["seed"].isin(names[half * seeds : (half + 1) * seeds])]
        if drawn:
            rows = rows[rows["config"].isin(configs[half * most : (half + 1) * most])]
        yield rows


def null_row(
    name: str, pool: pd.DataFrame, seeds: int, pairs: int, most: int = DRAWN
) -> dict[str, Any]:
    """Winners of pairs that differ in the seed alone, and of pairs with a true difference."""
    rng = np.random.default_rng([seeds, len(pool)])
    shift = EFFECT * seed_effect(pool)
    wrong, before, bounded, right = 0, 0, 0, 0
    for _ in range(pairs):
        one, two = subsets(pool, seeds, rng, most)
        first, second = table_of(one, "a"), table_of(two, "b", recipe="r2")
        won, estimate = verdict(first, second, other=True)
        wrong += won
        bounded += estimate.bounded
        before += former(first, second)
        better = table_of(two, "b", recipe="r2", shift=shift * first.sign)
        right += verdict(first, better, other=True)[0]
    design = pool["design"].iloc[0]
    return {
        "data": name,
        "design": design,
        "seeds": seeds,
        "pairs": pairs,
        "with interval": bounded / pairs,
        "winner": wrong / pairs,
        "winner before": before / pairs if design == "grid" else "",
        "found, 3 sd": right / pairs,
    }


def ablation_row(name: str, pool: pd.DataFrame, key: str, seeds: int, pairs: int) -> dict[str, Any]:
    """How often the interval of an ablation with the same seeds holds the difference over all."""
    rng = np.random.default_rng([seeds, len(key)])
    sides = [pool[pool[key] == value] for value in ABLATIONS[key]]
    tables = [table_of(rows, label) for rows, label in zip(sides, "ab", strict=True)]
    truth = answer(*tables)[0].estimate.difference
    held, bounded, widths, winners = 0, 0, [], 0
    for _ in range(pairs):
        used = rng.choice(pool["seed"].unique(), seeds, replace=False)
        first, second = (
            table_of(rows[rows["seed"].isin(used)], label)
            for rows, label in zip(sides, "ab", strict=True)
        )
        won, estimate = verdict(first, second, other=False)
        winners += won
        bounded += estimate.bounded
        held += estimate.low <= truth <= estimate.high
        widths.append(estimate.high - estimate.low)
    return {
        "data": name,
        "ablation": key,
        "seeds": seeds,
        "pairs": pairs,
        "true difference": f"{truth:.4g}",
        "with interval": bounded / pairs,
        "holds it": float(held) / pairs,
        "winner": winners / pairs,
        "median width": f"{np.median(widths):.3g}",
    }


def settled_row(
    name: str, pool: pd.DataFrame, seeds: int, pairs: int, sizes: tuple[int, int] = (DRAWN, FRESH)
) -> dict[str, Any]:
    """How often `--settle` holds the true difference of the best configs of two searches.

    The truth is the mean over the seeds that are left, whose own variance the interval gets, too.
    """
    rng, (most, fresh_seeds) = np.random.default_rng([seeds, 7]), sizes
    wide = pool.pivot_table(index="config", columns="seed", values="score")
    held, wrong, right = 0, 0, 0
    for _ in range(pairs):
        one, two = subsets(pool, seeds, rng, most)
        first, second = table_of(one, "a"), table_of(two, "b", recipe="r2")
        left = rng.permutation(wide.columns.difference([*one["seed"], *two["seed"]]))
        used, others = left[:fresh_seeds], left[fresh_seeds:]
        rows = [wide.loc[table.best] for table in (first, second)]
        fresh = {label: settled_scores(row, used) for label, row in zip("ab", rows, strict=True)}
        truth = first.sign * float(rows[0][others].mean() - rows[1][others].mean())
        given = answer_settled(first, second, fresh)
        found = given.estimate
        half = (found.high - found.low) / 2 * np.sqrt(1 + fresh_seeds / len(others))
        held += abs(found.difference - truth) <= half
        winner = verdicts([("a", "b", given)])[0].winner
        wrong += winner is not None and found.difference * truth < 0
        # The same config with other seeds, so that the shift is the true difference.
        shift = EFFECT * float(rows[0].std()) * first.sign
        again = settled_scores(rows[0] - shift, others[:fresh_seeds])
        lower = dict(zip(fresh["a"], again.values(), strict=True))
        given = answer_settled(first, second, {"a": fresh["a"], "b": lower})
        right += verdicts([("a", "b", given)])[0].winner == "a"
    return {
        "data": name,
        "seeds": seeds,
        "pairs": pairs,
        "holds it": float(held) / pairs,
        "wrong winner": wrong / pairs,
        "found, 3 sd of the config": right / pairs,
    }


def settled_scores(row: Any, seeds: Any) -> dict[str, float]:
    """The scores of a config by seed, as a settler returns them."""
    return {str(seed): float(row[seed]) for seed in seeds}


def searched_row(name: str, method: str, seeds: int, found: pd.DataFrame) -> dict[str, Any]:
    """Winners of pairs of searches by a method that learns, which differ in the seed alone."""
    tables = [
        table_of(rows, str(search), recipe=f"r{search}") for search, rows in found.groupby("search")
    ]
    given = [answer(one, two)[0] for one, two in combinations(tables, 2)]
    winners = [verdicts([("a", "b", one)])[0].winner for one in given]
    return {
        "data": name,
        "method": method,
        "seeds": seeds,
        "pairs": len(given),
        "paired": sum(one.question is Question.PAIRED for one in given) / len(given),
        "with interval": sum(one.estimate.bounded for one in given) / len(given),
        "winner": sum(winner is not None for winner in winners) / len(given),
    }


def stream_row(name: str, pool: pd.DataFrame, draws: int = 2000) -> dict[str, Any]:
    """What common random numbers gain and lose against numbers of each config's own."""
    wide = pool.pivot_table(index="config", columns="seed", values="score").dropna().to_numpy()
    rng = np.random.default_rng(3)
    configs, seeds = wide.shape
    rows = np.arange(configs)
    mixed = wide[rows, rng.integers(seeds, size=(draws, configs))].mean(axis=1)
    pairs = list(combinations(range(configs), 2))
    common = np.mean([np.var(wide[a] - wide[b], ddof=1) for a, b in pairs])
    own = np.mean([np.var(wide[a], ddof=1) + np.var(wide[b], ddof=1) for a, b in pairs])
    best = np.argsort(-wide.mean(axis=1))[:5]
    if pool["metric"].iloc[0].split(":")[1] == "minimize":
        best = np.argsort(wide.mean(axis=1))[:5]
    top = list(combinations(best, 2))
    top_common = np.mean([np.var(wide[a] - wide[b], ddof=1) for a, b in top])
    top_own = np.mean([np.var(wide[a], ddof=1) + np.var(wide[b], ddof=1) for a, b in top])
    return {
        "data": name,
        "design": pool["design"].iloc[0],
        "sd of a table's mean, common": f"{wide.mean(axis=0).std(ddof=1):.3g}",
        "own": f"{mixed.std(ddof=1):.3g}",
        "sd of two configs' difference, common": f"{np.sqrt(common):.3g}",
        "own ": f"{np.sqrt(own):.3g}",
        "of the five best, common": f"{np.sqrt(top_common):.3g}",
        "own  ": f"{np.sqrt(top_own):.3g}",
    }


def luck_row(name: str, pool: pd.DataFrame, seeds: int, draws: int = 400) -> dict[str, Any]:
    """The luck in the best config's mean, as estimated and as its other seeds show it."""
    wide = pool.pivot_table(index="config", columns="seed", values="score").dropna().to_numpy()
    if pool["metric"].iloc[0].split(":")[1] == "minimize":
        wide = -wide
    rng = np.random.default_rng([seeds, 11])
    estimated, true = [], []
    for _ in range(draws):
        order = rng.permutation(wide.shape[1])
        rows = rng.choice(len(wide), min(DRAWN, len(wide)), replace=False)
        seen, unseen = wide[rows][:, order[:seeds]], wide[rows][:, order[seeds:]]
        best = int(seen.mean(axis=1).argmax())
        estimated.append(selection_luck(seen))
        true.append(seen[best].mean() - unseen[best].mean())
    error = np.sqrt(np.mean((np.asarray(estimated) - np.mean(true)) ** 2))
    return {
        "data": name,
        "design": pool["design"].iloc[0],
        "seeds": seeds,
        "true luck, mean": f"{np.mean(true):.3g}",
        "estimated, mean": f"{np.mean(estimated):.3g}",
        "estimated 0 or less": float(np.mean(np.asarray(estimated) <= 0)),
        "root mean squared error": f"{error:.3g}",
    }


def folded_row(name: str, found: pd.DataFrame) -> dict[str, Any]:
    """How often the interval of a cross-validated mean holds the mean over all draws of rows."""
    truth = float(found.groupby("rep")["score"].mean().mean())
    scores = [rows["score"].to_numpy() for _, rows in found.groupby("rep")]
    overlap = 1 / (found["fold"].nunique() - 1)

    def held(overlap: float) -> float:
        ends = [mean_interval(part, overlap) for part in scores]
        return round(float(np.mean([end.low <= truth <= end.high for end in ends])), 3)

    return {
        "data": name,
        "draws of rows": len(scores),
        "Student's t holds it": held(0.0),
        "with Nadeau and Bengio's correction": held(overlap),
    }


def broken(parts: dict[str, list[dict[str, Any]]]) -> list[str]:
    """The rows that break a promise: winners without a difference, and power with five seeds."""
    found = []
    for heading, rows in parts.items():
        for row in rows:
            where = f"{heading}: {row['data']}, {row.get('design', '')} {row.get('seeds', '')}"
            if heading in (NULL, LEARNED) and row["winner"] > 0.06:
                found.append(where)
            powered = heading == NULL and row["design"] == "grid" and row["seeds"] == 5
            if powered and row["found, 3 sd"] < 0.8:
                found.append(f"{where}: power")
    return found


NULL, LEARNED = "Nothing but the seed differs", "Searches that learn"


def main() -> None:
    """Draw, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pairs", type=int, default=100, help="of each row")
    parser.add_argument("--seed-counts", type=int, nargs="+", default=SEED_COUNTS)
    parser.add_argument("--drawn", type=int, default=DRAWN, help="configs of a random table")
    parser.add_argument("--fresh", type=int, default=FRESH, help="fresh seeds of --settle")
    parser.add_argument("--pools", type=Path, default=HERE, help="where the pools are")
    parser.add_argument("--out", type=Path, default=HERE, help="where the tables go")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    pools = pd.read_csv(arguments.pools / "compare_pools.csv.gz")
    pairs, counts, most = arguments.pairs, arguments.seed_counts, arguments.drawn
    parts: dict[str, list[dict[str, Any]]] = {}
    by_design = [(str(name), rows) for (name, _), rows in pools.groupby(["dataset", "design"])]
    grids = [(name, rows) for name, rows in by_design if rows["design"].iloc[0] == "grid"]
    drawn = [(name, rows) for name, rows in by_design if rows["design"].iloc[0] == "random"]
    parts[NULL] = [
        null_row(name, rows, seeds, pairs, most) for name, rows in by_design for seeds in counts
    ]
    parts[LEARNED] = []
    parts["Ablations, the same seeds in both"] = [
        ablation_row(name, rows, key, seeds, pairs)
        for name, rows in grids
        for key in ABLATIONS
        for seeds in counts
    ]
    parts[f"--settle: the best of each, {arguments.fresh} fresh seeds"] = [
        settled_row(name, rows, seeds, pairs, (most, arguments.fresh))
        for name, rows in drawn
        for seeds in (counts[0], counts[-1])
    ]
    parts["Luck in the best"] = [
        luck_row(name, rows, seeds) for name, rows in by_design for seeds in counts[1:]
    ]
    folded = pd.read_csv(arguments.pools / "compare_folds.csv.gz")
    parts["Cross-validation: 5 folds x 3 seeds"] = [
        folded_row(str(name), rows) for name, rows in folded.groupby("data")
    ]
    parts["Common random numbers, or each config's own"] = [
        stream_row(name, rows) for name, rows in by_design
    ]
    found = pd.read_csv(arguments.pools / "compare_searched.csv.gz")
    parts[LEARNED] = [
        searched_row(str(name), str(method), int(seeds), rows)
        for (name, method, seeds), rows in found.groupby(["dataset", "design", "seeds"])
    ]
    about = [
        machine(),
        versions("hpsearch", "tensorflow", "keras", "numpy", "scipy"),
        f"{pairs} pairs a row, from {pools['seed'].nunique()} seeds of each config; a table of "
        f"random configs has {most}",
    ]
    report_parts("compare_trainings", about, parts, arguments.out)
    if arguments.check and (wrong := broken(parts)):
        raise SystemExit("falls short: " + "; ".join(wrong))


if __name__ == "__main__":
    main()
