"""An earlier run, visited again: its sweep, its data, its rows, and workers that know them.

What is trained or evaluated is what the rows were made from: where the data is another now, all
that needs it is refused.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from hpsearch import data, sweepfile
from hpsearch.driver import modelspace
from hpsearch.driver.again import Again, Weights
from hpsearch.driver.directory import ResultsDirectory
from hpsearch.driver.outcome import Interrupted, Stop
from hpsearch.driver.outputs import best_trial
from hpsearch.driver.recipe import Identity, identify, require_unchanged
from hpsearch.driver.rows import provided
from hpsearch.driver.run import signals
from hpsearch.errors import ChangedSweepError, InputError, RefusedError
from hpsearch.executors.local import LocalExecutor
from hpsearch.executors.servers import Servers
from hpsearch.plan import Trial
from hpsearch.store import Store
from hpsearch.sweep import Sweep
from hpsearch.trial import Recipe, Task, TrialResult

__all__ = ["Reproduction", "Say", "Visit", "export", "reproduce", "visit"]

Say = Callable[[str], None]


@dataclass(frozen=True)
class Visit:
    """An earlier run with its data.

    Attributes:
        sweep: As the store has it.
        trials, results: By number.
    """

    where: ResultsDirectory
    sweep: Sweep
    dataset: data.Dataset
    recipe: Recipe
    trials: Mapping[int, Trial]
    results: Mapping[int, TrialResult]

    def scored(self, number: int | None) -> tuple[Trial, TrialResult]:
        """A trial that has a score, and its result; without a number the best one.

        Raises:
            InputError: There is no such trial, or it has no score.
        """
        if number is None:
            best = best_trial(self.trials.values(), self.results, self.recipe)
            if best is None:
                raise InputError(f"{self.where.path}: no trial has a score")
            return best[0], self.results[best[0].number]
        if number not in self.trials:
            known = f"1 to {max(self.trials)}" if self.trials else "none yet"
            raise InputError(
                f"{self.where.path}: there is no trial {number}; its trials are {known}"
            )
        if number not in self.results:
            raise InputError(
                f"{self.where.path}: trial {number} has no result yet; run the sweep again"
            )
        result = self.results[number]
        if not result.status.scored or result.score is None:
            why = f": {' '.join(result.error.split())}" if result.error else ""
            raise InputError(
                f"{self.where.path}: trial {number} has no score, it is {result.status}{why}; "
                "name one that is completed or stopped"
            )
        return self.trials[number], result

    @contextmanager
    def workers(self) -> Iterator[Again]:
        """Workers that have the data.

        Raises:
            Interrupted: A signal came; no process is left.
        """
        stop = Stop()

        def check() -> None:
            if stop.signal is not None:
                raise Interrupted(stop.signal)

        with ExitStack() as stack:
            stack.enter_context(signals(stop))
            servers = stack.enter_context(Servers(stack.enter_context(_log(self.where))))
            executor = stack.enter_context(LocalExecutor(servers, 1))
            dataset = provided(self.dataset, self.sweep)
            executor.provide(dataset)
            yield Again(executor, self.recipe, dataset=dataset, check=check)

    def weights(self, again: Again, trial: Trial, result: TrialResult, say: Say) -> Weights:
        """The weights of the row: those that were kept, or those of the same training once more.

        Raises:
            RefusedError: It did not give the row's score again.
        """
        with Store(self.where.store, read_only=True) as store:
            kept = store.weights(trial.number)
        if kept is not None:
            return kept
        say(f"trial {trial.number}: its weights were not kept; training it again")
        retrained = again.train(trial, len(result.curve))
        if retrained.state is None or retrained.score != result.score:
            found = retrained.error or f"it scored {retrained.score!r}"
            raise RefusedError(
                f"{self.where.path}: trial {trial.number} did not give its row's "
                f"{self.recipe.metric}, {result.score!r}, when it was trained again: {found}; "
                "another processor type or other versions than those of its row?"
            )
        return retrained.state


@contextmanager
def _log(where: ResultsDirectory) -> Iterator[IO[Any]]:
    """The run's log; a file that nobody sees where the directory cannot be written."""
    try:
        log = where.log.open("a", encoding="utf-8")
    except OSError:
        with tempfile.TemporaryFile("a", encoding="utf-8") as unseen:
            yield unseen
        return
    with log:
        yield log


def visit(directory: Path, load: data.Loader | None = None) -> Visit:
    """Open a results directory and load what its rows were made from.

    Args:
        load: Gives the rows; None reads what `data:` names.

    Raises:
        InputError: There are no results, or the data cannot be read.
        RefusedError: The store is damaged, or the data is another now.
    """
    where = ResultsDirectory(directory)
    if not where.store.exists():
        raise InputError(
            f"{directory}: no results directory: there is no {where.store.name} in it; "
            "`hpsearch run` makes one"
        )
    with Store(where.store, read_only=True) as store:
        meta, trials, results = store.meta(), store.trials(), store.results()
    if meta.get("task") == Task.OBJECTIVE:
        raise InputError(
            f"{directory}: its rows are those of a function: there is no model, no data and no "
            "seed of a training to go back to; call the function with a row's config"
        )
    if "identity" not in meta or "sweep" not in meta:
        raise InputError(f"{directory}: the run ended before it had planned; run the sweep again")
    sweep = sweepfile.loads(meta["sweep"], str(where.sweep))
    dataset = modelspace.load(sweep, load)
    recipe = modelspace.recipe_of(sweep, dataset.target.task, load)
    before = Identity.from_json(meta["identity"]).data
    if before != dataset.fingerprint:
        raise ChangedSweepError(
            f"{directory}: the data is not that of its rows: its fingerprint was {before} and is "
            f"{dataset.fingerprint} now (values, labels and split count, not the file's bytes); "
            "put the old data back, or run the sweep anew with --fresh"
        )
    require_unchanged(meta["identity"], identify(sweep, dataset, recipe), str(directory))
    recipe = replace(recipe, asked=tuple(meta.get(modelspace.ASKED, "").split()))
    return Visit(where, sweep, dataset, recipe, {t.number: t for t in trials}, results)


def export(
    directory: Path,
    out: Path,
    number: int | None = None,
    say: Say = print,
    load: data.Loader | None = None,
) -> int:
    """Write a trial's model, preprocessing included, where an earlier file is replaced.

    Args:
        number: The trial; the best one where None.
        say: Takes a line when something takes a while.
        load: As for `visit`.

    Returns:
        The trial's number.

    Raises:
        InputError: No such trial, no score, or a path that Keras cannot write.
        RefusedError: Another run's data, or the trial did not give its row's score again.
    """
    _require_writable(out)
    visited = visit(directory, load)
    trial, result = visited.scored(number)
    with visited.workers() as again:
        weights = visited.weights(again, trial, result, say)
        error = again.write(out, trial, weights)
    if error:
        raise InputError(f"{out}: the model cannot be written: {error}")
    return trial.number


def _require_writable(out: Path) -> None:
    if out.suffix != ".keras":
        raise InputError(f"{out}: Keras' format has the suffix .keras; name it {out.stem}.keras")
    if out.is_dir():
        raise InputError(f"{out}: is a directory; name a file")
    if not out.parent.is_dir():
        raise InputError(f"{out}: there is no directory {out.parent}")


@dataclass(frozen=True)
class Reproduction:
    """A trial's row, and what it gave when it was trained once more.

    Attributes:
        metric: What is scored.
        row, again: The result in the store, and the new one.
    """

    trial: int
    metric: str
    row: TrialResult
    again: TrialResult

    @property
    def equal(self) -> bool:
        """Whether the score is equal, to the last bit."""
        return self.again.score == self.row.score

    @property
    def first_difference(self) -> int | None:
        """The first epoch (from 1) in which any metric differs; None where none does."""
        curves = list(self.row.curve), list(self.again.curve)
        for epoch in range(max(map(len, curves))):
            ours, theirs = (curve[epoch : epoch + 1] for curve in curves)
            if ours != theirs:
                return epoch + 1
        return None


def reproduce(directory: Path, number: int, load: data.Loader | None = None) -> Reproduction:
    """Train a trial again, from its row alone, for as many epochs as it was trained.

    Args:
        load: As for `visit`.

    Raises:
        InputError: No such trial, or no score.
        RefusedError: The data is another now.
    """
    visited = visit(directory, load)
    trial, result = visited.scored(number)
    with visited.workers() as again:
        retrained = again.train(trial, len(result.curve))
    return Reproduction(trial.number, visited.recipe.metric, result, retrained)
