"""Turn the runs of search_quality.py into tables, claims and a plot."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats
from search_peers import PEERS, STOCK
from search_problems import PROBLEMS
from search_runs import WITH_RUNGS, Run

__all__ = ["Difference", "Results", "claims", "claims_page", "plot", "regrets", "regrets_page"]

#: Numbers of trials at which searches are compared.
AT = (25, 50, 100)
_PEERS = tuple(peer for peer in PEERS if peer != STOCK)
METHODS = ("random", "sobol", "tpe", "bayesian", "auto", *WITH_RUNGS, *PEERS)
_DRAWN = tuple(method for method in METHODS if method != STOCK)
_LEARNING = ("tpe", "bayesian")
_WORKERS = 8
#: Largest ratio of the regret with several trainings in progress to that with one.
_MOST_PARALLEL = 1.1
#: Largest share of KerasTuner's time.
_MOST_TIME = 0.1
#: Ends of the figures of claims that do not hold.
_SHORT = ("NO", "open")
#: A claim that is checked with few seeds, because KerasTuner takes long.
_OF_TIME = "auto takes a tenth of the time of keras_tuner"
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """A mean with Student's 95% interval over seeds; the bounds of a single value are NaN."""

    mean: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Array) -> Difference:
        """Compute the mean and its interval from one value per seed, shape `(seeds,)`."""
        mean, count = float(np.mean(values)), len(values)
        if count < 2:
            return cls(mean, math.nan, math.nan, count)
        half = float(stats.t.ppf(0.975, count - 1) * np.std(values, ddof=1) / math.sqrt(count))
        return cls(mean, mean - half, mean + half, count)

    @property
    def below(self) -> bool:
        """Whether the whole interval lies below 0."""
        return self.high < 0

    @property
    def above(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.low > 0

    def __str__(self) -> str:
        return f"{self.mean:.4f} [{self.low:.4f}, {self.high:.4f}]"


class Results:
    """Runs, accessed by problem, method and workers."""

    def __init__(self, runs: Iterable[Run]) -> None:
        self._runs = {run.key: run for run in runs}

    @property
    def seeds(self) -> str:
        """The first and the last seed as text."""
        every = sorted({run.seed for run in self._runs.values()})
        return f"{every[0]} to {every[-1]}" if every else "none"

    def of(self, problem: str, method: str, workers: int = 1) -> dict[int, Run]:
        """Seed -> run."""
        return {
            run.seed: run
            for run in self._runs.values()
            if (run.problem, run.method, run.workers) == (problem, method, workers)
        }

    def regrets(self, problem: str, method: str, at: int, workers: int = 1) -> dict[int, float]:
        """Seed -> regret after `at` trainings."""
        runs = self.of(problem, method, workers)
        # A search that ended early keeps its last regret.
        return {s: run.regrets[min(at, len(run.regrets)) - 1] for s, run in runs.items()}

    def longest(self) -> int:
        """Number of trainings of the longest search."""
        return max((len(run.regrets) for run in self._runs.values()), default=0)


def paired(ours: dict[int, float], theirs: dict[int, float], factor: float = 1.0) -> Difference:
    """Our values minus `factor` times theirs, over the seeds that both have."""
    seeds = sorted(ours.keys() & theirs.keys())
    return Difference.of(np.array([ours[seed] - factor * theirs[seed] for seed in seeds]))


def _ratio(ours: dict[int, float], theirs: dict[int, float]) -> float:
    """The ratio of the means over the seeds that both have."""
    seeds = ours.keys() & theirs.keys()
    return sum(ours[s] for s in seeds) / sum(theirs[s] for s in seeds)


def regrets(results: Results) -> list[dict[str, Any]]:
    """One row for each problem, method, number of workers and number of trials."""
    rows = []
    for problem in PROBLEMS:
        for method, workers in [(m, 1) for m in METHODS] + [(m, _WORKERS) for m in METHODS]:
            runs = results.of(problem, method, workers)
            ats = [at for at in AT if runs and at <= results.longest()]
            rows += [_row(results, problem, method, workers, at) for at in ats]
    return rows


def _row(results: Results, problem: str, method: str, workers: int, at: int) -> dict[str, Any]:
    runs = results.of(problem, method, workers)
    ours = results.regrets(problem, method, at, workers)
    mean = Difference.of(np.array(list(ours.values())))
    row: dict[str, Any] = {
        "problem": problem,
        "method": method,
        "workers": workers,
        "trials": at,
        "seeds": len(runs),
        "regret": str(mean),
    }
    for other in ("random", *_PEERS):
        theirs = results.regrets(problem, other, at)
        apart = other != method and ours.keys() & theirs.keys()
        row[f"less {other}"] = str(paired(ours, theirs)) if apart else ""
    row["different"] = f"{np.mean([run.different for run in runs.values()]):.0f}"
    row["seconds"] = f"{np.mean([run.seconds for run in runs.values()]):.2f}"
    return row


def regrets_page(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The mean regrets of `regrets`, with a column for each problem.

    Left out are `auto`, which is another method, and KerasTuner's runs that only measure time.
    """
    rows = [row for row in rows if row["method"] not in {"auto", STOCK}]
    lines = _by_problem(
        (["trials", "method", "workers"], row, row["regret"].partition(" ")[0]) for row in rows
    )
    return sorted(lines, key=lambda line: int(line["trials"]))


def claims_page(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The figures of `claims`, with a column for each problem; claims that fail come first."""
    figures = (
        (row, row["figure"] if row["holds"] == "yes" else f"{row['figure']} {row['holds']}")
        for row in rows
    )
    lines = _by_problem((["claim", "trials"], row, figure) for row, figure in figures)
    return sorted(lines, key=lambda line: not any(str(c).endswith(_SHORT) for c in line.values()))


def _by_problem(
    cells: Iterable[tuple[Sequence[str], Mapping[str, Any], str]],
) -> list[dict[str, Any]]:
    """Lines that have a cell for each problem, from the columns that name a line, row and cell."""
    lines: dict[tuple[Any, ...], dict[str, Any]] = {}
    for names, row, cell in cells:
        head = {name: row[name] for name in names}
        line = lines.setdefault(tuple(head.values()), head | dict.fromkeys(PROBLEMS, ""))
        line[row["problem"]] = cell
    return list(lines.values())


def claims(results: Results) -> list[dict[str, Any]]:
    """One row for each promise and problem of which there are runs.

    A claim is open if it lacks seeds that other claims have.
    """
    rows = [
        *_against_random(results),
        *_against_peers(results),
        *_with_rungs(results),
        *_in_parallel(results),
    ]
    every = max((row["seeds"] for row in rows), default=0)
    for row in rows:
        if row["seeds"] < every and row["claim"] != _OF_TIME:
            row["holds"] = "open"
    return rows


def _claim(
    claim: str, problem: str, trials: int, apart: Difference, *, beats: bool
) -> dict[str, Any]:
    # A single seed is no evidence.
    holds = apart.below if beats else not apart.above
    return {
        "claim": claim,
        "problem": problem,
        "trials": trials,
        "seeds": apart.count,
        "figure": str(apart),
        "holds": "yes" if holds and apart.count > 1 else "NO",
    }


def _pairs(
    results: Results, ours: str, theirs: str, ats: Collection[int] = AT
) -> Iterator[tuple[str, int, Difference]]:
    """Problem, trials and difference of two methods, if both have runs."""
    for problem in PROBLEMS:
        for at in ats:
            first, second = (results.regrets(problem, m, at) for m in (ours, theirs))
            if at <= results.longest() and first.keys() & second.keys():
                yield problem, at, paired(first, second)


def _against_random(results: Results) -> Iterator[dict[str, Any]]:
    for method in _LEARNING:
        for problem, at, apart in _pairs(results, method, "random"):
            beats = at > AT[0]
            verb = "beats" if beats else "is no worse than"
            yield _claim(f"{method} {verb} random", problem, at, apart, beats=beats)


def _against_peers(results: Results) -> Iterator[dict[str, Any]]:
    for peer in _PEERS:
        for problem, at, apart in _pairs(results, "auto", peer):
            yield _claim(f"auto is no worse than {peer}", problem, at, apart, beats=False)
    for problem in PROBLEMS:
        ours, theirs = (results.of(problem, m) for m in ("auto", STOCK))
        seeds = ours.keys() & theirs.keys()
        if seeds:
            share = sum(ours[s].seconds for s in seeds) / sum(theirs[s].seconds for s in seeds)
            yield {
                "claim": _OF_TIME,
                "problem": problem,
                "trials": len(next(iter(theirs.values())).regrets),
                "seeds": len(seeds),
                "figure": f"{share:.4f}",
                "holds": "yes" if share <= _MOST_TIME else "NO",
            }


def _with_rungs(results: Results) -> Iterator[dict[str, Any]]:
    for method in WITH_RUNGS:
        for problem, at, apart in _pairs(results, method, "random"):
            claim = f"{method} beats random at the epochs of so many trials"
            yield _claim(claim, problem, at, apart, beats=True)
        for problem in PROBLEMS:
            runs = list(results.of(problem, method).values())
            if runs:
                spent = sum(run.epochs for run in runs) / len(runs)
                restarted = sum(run.epochs_restarted for run in runs) / len(runs)
                yield {
                    "claim": f"{method} trains fewer epochs than if promotion began anew",
                    "problem": problem,
                    "trials": len(runs[0].regrets),
                    "seeds": len(runs),
                    "figure": f"{spent:.0f} of {restarted:.0f}",
                    "holds": "yes" if spent < restarted else "NO",
                }


def _in_parallel(results: Results) -> Iterator[dict[str, Any]]:
    for method in METHODS:
        for problem in PROBLEMS:
            many = results.of(problem, method, _WORKERS)
            if not many:
                continue
            same = sum(run.proposed - run.different for run in many.values())
            trials = max(len(run.regrets) for run in many.values())
            yield {
                "claim": f"{method} with {_WORKERS} under way: no two proposals are equal",
                "problem": problem,
                "trials": trials,
                "seeds": len(many),
                "figure": f"{same} equal",
                "holds": "yes" if not same else "NO",
            }
            ours = results.regrets(problem, method, trials, _WORKERS)
            serial = results.regrets(problem, method, trials)
            if ours.keys() & serial.keys():
                claim = f"{method} with {_WORKERS} under way: regret less 1.1 of serial's"
                apart = paired(ours, serial, _MOST_PARALLEL)
                row = _claim(claim, problem, trials, apart, beats=False)
                row["figure"] += f", means {_ratio(ours, serial):.2f} to 1"
                yield row


def plot(results: Results, path: Path) -> None:
    """Plot mean regret against trials with 95% bands, one panel per problem, as SVG."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    mpl.rcParams |= {"svg.hashsalt": "search_quality", "font.size": 8}
    figure, grid = plt.subplots(2, 3, figsize=(12, 7), layout="constrained")
    panels, legend = grid.flat[: len(PROBLEMS)], grid.flat[-1]
    colours = plt.get_cmap("tab10").colors  # type: ignore[attr-defined]  # of a listed map
    for panel, problem in zip(panels, PROBLEMS, strict=True):
        for method, colour in zip(_DRAWN, colours, strict=True):
            runs = list(results.of(problem, method).values())
            if runs:
                _draw(panel, method, [run.regrets for run in runs], colour)
        panel.set(title=problem, xlabel="trials", yscale="log")
        panel.set_ylabel("mean normalised regret of the best so far")
    handles = {
        label: handle
        for panel in panels
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    legend.axis("off")
    legend.legend(handles.values(), handles.keys(), loc="center", fontsize=10)
    figure.savefig(path, format="svg", metadata={"Date": None})
    plt.close(figure)


def _draw(panel: Any, method: str, curves: Sequence[Sequence[float]], colour: Any) -> None:
    length = max(map(len, curves))
    padded = np.array([[*curve, *[curve[-1]] * (length - len(curve))] for curve in curves])
    means = padded.mean(axis=0)
    bands = [Difference.of(column) for column in padded.T]
    trials = np.arange(1, length + 1)
    panel.plot(trials, means, color=colour, label=method, linewidth=1)
    # A logarithmic axis cannot show values below 0.
    low = [max(band.low, band.mean / 10) for band in bands]
    panel.fill_between(trials, low, [band.high for band in bands], color=colour, alpha=0.15)
