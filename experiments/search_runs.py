"""Run searches on scores that are looked up, and keep their regrets in a file.

A search is an object with `ask` and `tell` of `hpsearch.search.strategy.Strategy`: a strategy of
hpsearch, or a peer of search_peers.py.
"""

from __future__ import annotations

import fcntl
import gzip
import heapq
import io
import math
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from measured_code import CODE, digest
from search_peers import PEERS, make_peer
from search_problems import Problem

from hpsearch.files import write_atomically
from hpsearch.search.methods import make_strategy
from hpsearch.search.strategy import Outcome, Proposal, Strategy
from hpsearch.spec.method import METHODS, MethodSpec

__all__ = ["WITH_RUNGS", "Run", "Runs", "auto_is", "made_by", "run", "stale", "without_prior"]

#: The methods that stop trainings early.
WITH_RUNGS = ("hyperband", "asha")

_T = TypeVar("_T")
_DIGITS = 5


@dataclass(frozen=True)
class Run:
    """One search.

    Attributes:
        workers: Number of trainings in progress at a time.
        by: Versions of the packages that proposed, or the digest of hpsearch's code.
        seconds: Total processor time of `ask` and `tell`.
        proposed: Number of proposed configs.
        different: Number of different configs among them.
        epochs: Total epochs trained; 0 for a function.
        epochs_restarted: Total epochs if trainings restarted after each rung; 0 for a function.
        regrets: Regret of the best loss after the epochs of 1, 2, ... whole trainings; NaN before
            the first training has ended.
    """

    problem: str
    method: str
    workers: int
    seed: int
    by: str
    seconds: float
    proposed: int
    different: int
    epochs: int
    epochs_restarted: int
    regrets: tuple[float, ...]

    @property
    def key(self) -> tuple[str, str, int, int]:
        """Problem, method, workers and seed, which identify the run."""
        return self.problem, self.method, self.workers, self.seed


def made_by(method: str) -> str:
    """The versions of a peer's packages, or the digest of the code that proposes in hpsearch."""
    if method not in PEERS:
        return f"hpsearch {version('hpsearch')} code {_digest()}"
    return ", ".join(f"{package} {version(package)}" for package in PEERS[method][1])


def stale(made: Iterable[tuple[str, str]]) -> list[str]:
    """The methods that have a run by other versions or code than the present ones.

    Args:
        made: Method and `made_by` of runs.
    """
    return sorted({method for method, by in made if by != made_by(method)})


@cache
def _digest() -> str:
    return digest(*CODE["search_quality"])


def _search(problem: Problem, method: str, seed: int, trials: int) -> Strategy:
    if method in PEERS:
        search: Strategy = make_peer(method, problem.space, seed, trials)
        return search
    # The study of the prior has two of the problems.
    spec = without_prior(method)
    return make_strategy(spec, problem.space, goal="minimize", seed=seed, trials=trials)


def without_prior(method: str) -> MethodSpec:
    """A method of hpsearch with its defaults, but for the prior."""
    return MethodSpec(method, {"prior": "none"} if "prior" in METHODS[method].options else {})


def auto_is(problem: Problem, trials: int) -> str:
    """The method that `auto` uses for a number of trials.

    Raises:
        ValueError: It is neither bayesian nor tpe.
    """
    kind = type(_search(problem, "auto", 0, trials))
    for method in ("bayesian", "tpe"):
        if type(_search(problem, method, 0, trials)) is kind:
            return method
    raise ValueError("auto is neither bayesian nor tpe, and has to be run itself")


class _Timed:
    """Sums the processor time of calls."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self, call: Callable[..., _T], *arguments: Any) -> _T:
        began = time.process_time()
        try:
            return call(*arguments)
        finally:
            self.seconds += time.process_time() - began


class _Bench:
    """Simulated trainings.

    Args:
        problem: Gives the losses.
        workers: Number of trainings in progress at a time.
        seed: Seed of the durations: each training takes between half and one and a half times the
            time of its epochs, which decides the order in which they end.
    """

    def __init__(self, problem: Problem, workers: int, seed: int) -> None:
        self._problem = problem
        self._full = problem.epochs or 1
        self._workers = workers
        self._random = np.random.default_rng(seed)
        self._clock = 0.0
        self._under_way: list[tuple[float, int, Proposal]] = []
        self._reached: dict[str, int] = {}
        self.begun = 0
        self.spent = 0
        self.restarted = 0
        self.best = math.inf

    @property
    def free(self) -> int:
        return self._workers - len(self._under_way)

    @property
    def idle(self) -> bool:
        return not self._under_way

    def begin(self, proposal: Proposal) -> None:
        self.begun += 1
        lasts = self._epochs(proposal) * self._random.uniform(0.5, 1.5)
        heapq.heappush(self._under_way, (self._clock + lasts, self.begun, proposal))

    def _epochs(self, proposal: Proposal) -> int:
        """The epochs that remain to be trained."""
        return (proposal.epochs or self._full) - self._reached.get(proposal.config.id, 0)

    def end(self) -> Outcome:
        """End the next training and return its outcome."""
        self._clock, _, proposal = heapq.heappop(self._under_way)
        config, epochs = proposal.config, proposal.epochs
        if epochs is None:
            # A peer that proposes a config twice trains it twice.
            self._reached.pop(config.id, None)
        self.spent += self._epochs(proposal)
        self.restarted += epochs or self._full
        self._reached[config.id] = epochs or self._full
        loss = self._problem.loss_after(config, epochs)
        if loss is not None and (epochs or self._full) == self._full:
            self.best = min(self.best, loss)
        return Outcome(config, loss, epochs)


def run(problem: Problem, method: str, seed: int, *, trials: int, workers: int = 1) -> Run:
    """Run a search that may spend the epochs of `trials` whole trainings."""
    search = _search(problem, method, seed, trials)
    bench, timed = _Bench(problem, workers, seed), _Timed()
    full = problem.epochs or 1
    configs: list[str] = []
    met: set[str] = set()
    steps = [(0, math.inf)]
    while bench.spent < trials * full:
        wanted = bench.free if search.rungs else min(bench.free, trials - bench.begun)
        for proposal in timed(search.ask, wanted) if wanted else ():
            # Continuing a training is not a new proposal.
            if not search.rungs or proposal.config.id not in met:
                configs.append(proposal.config.id)
            met.add(proposal.config.id)
            bench.begin(proposal)
        if bench.idle:
            break
        outcome = bench.end()
        timed(search.tell, [outcome])
        steps.append((bench.spent, bench.best))
    table = problem.epochs is not None
    return Run(
        problem.name,
        method,
        workers,
        seed,
        made_by(method),
        round(timed.seconds, 4),
        len(configs),
        len(set(configs)),
        bench.spent * table,
        bench.restarted * table,
        tuple(_regrets(problem, steps, trials)),
    )


def _regrets(problem: Problem, steps: Sequence[tuple[int, float]], trials: int) -> Iterable[float]:
    """The regret of the best loss after the epochs of 1, 2, ... whole trainings."""
    full = problem.epochs or 1
    place = 0
    for count in range(1, trials + 1):
        while place + 1 < len(steps) and steps[place + 1][0] <= count * full:
            place += 1
        best = steps[place][1]
        yield float(f"{problem.regret(best):.{_DIGITS}g}") if math.isfinite(best) else math.nan


class Runs:
    """A file of runs with one run per key; a later run replaces an earlier one.

    All runs of a method have the same versions: adding a run with other versions removes the
    earlier runs. Several processes may add to one file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> dict[tuple[str, str, int, int], Run]:
        """All runs by key."""
        if not self._path.exists():
            return {}
        table = pd.read_csv(self._path)
        head = [column for column in table.columns if not column.isdecimal()]
        curves = table.drop(columns=head).to_numpy(dtype=float)
        heads = table[head].to_dict("records")
        # The cells after a search's last trial are empty.
        runs = [
            Run(**row, regrets=tuple(curve[: _length(curve)]))
            for row, curve in zip(heads, curves.tolist(), strict=True)
        ]
        return {run.key: run for run in runs}

    def add(self, added: Sequence[Run]) -> None:
        """Add runs to those that the file holds now."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        directory = os.open(self._path.parent, os.O_RDONLY)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX)
            now = {run.method: run.by for run in added}
            runs = {
                k: run for k, run in self.read().items() if now.get(run.method) in {None, run.by}
            }
            runs |= {run.key: run for run in added}
            rows = []
            for _, known in sorted(runs.items()):
                row = {name: value for name, value in vars(known).items() if name != "regrets"}
                row |= {str(count): regret for count, regret in enumerate(known.regrets, 1)}
                rows.append(row)
            text = io.StringIO()
            pd.DataFrame(rows).to_csv(text, index=False, lineterminator="\n")
            write_atomically(self._path, gzip.compress(text.getvalue().encode(), mtime=0))
        finally:
            os.close(directory)


def _length(curve: Sequence[float]) -> int:
    return max((place for place, cell in enumerate(curve, 1) if not math.isnan(cell)), default=0)
