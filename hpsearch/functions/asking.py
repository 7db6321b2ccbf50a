"""Ask and tell: a search whose trials the caller runs."""

from __future__ import annotations

import hashlib
import numbers
import os
import shutil
import signal
import tempfile
import threading
import warnings
import weakref
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from hpsearch.data.specs import Task
from hpsearch.engine.learning import AdaptivePlanner, CurveReuse
from hpsearch.engine.planning import Step, Trials
from hpsearch.engine.search import strategy_of
from hpsearch.engine.session import stack_level_of_caller
from hpsearch.engine.trainings import Ledger
from hpsearch.errors import InputError, LockedError
from hpsearch.functions.search import search_over
from hpsearch.machine import now
from hpsearch.models.problem import METRIC, Recipe
from hpsearch.search.strategy import Inquiry, reply_of
from hpsearch.space.execution import ExecutionResult, Status, Training
from hpsearch.space.space import Kind
from hpsearch.store.derived import Tables
from hpsearch.store.directory import HeldDirectory, ResultsDirectory
from hpsearch.store.facts import Identity
from hpsearch.store.provenance import require_unchanged
from hpsearch.store.store import Store
from hpsearch.store.tables import read_table
from hpsearch.store.trials import best_trial
from hpsearch.training.follow import followed
from hpsearch.wording import in_words, shortened

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class AskedTrial:
    """A trial to run; `trial["units"]` is a hyperparameter.

    Attributes:
        number: Its number in the table.
        config: The active hyperparameters.
    """

    number: int
    config: Mapping[str, Any] = field(hash=False)
    training: Training = field(repr=False, compare=False)
    began: float = field(default_factory=now, repr=False, compare=False)

    def __getitem__(self, name: str) -> Any:
        return self.config[name]


class Search:
    """A search that proposes trials and learns their scores; the caller runs them.

    >>> import hpsearch
    >>> search = hpsearch.Search({"x": {"min": -10.0, "max": 10.0}}, goal="minimize")
    >>> for _ in range(30):
    ...     trial = search.ask()
    ...     search.tell(trial, (trial["x"] - 2) ** 2)
    >>> bool(abs(search.best["x"] - 2) < 1)
    True

    Several trials may be open at a time. Use it in one thread, and as a context manager, or call
    `close`, to release `out`.

    Args:
        parameters: As for `hpsearch.optimize`.
        method: As for `hpsearch.optimize`, except for the methods that halt trainings.
        goal: `minimize` or `maximize`.
        trials: Upper bound on the trials; None for no bound.
        seed: Seed of the proposals.
        out: The results directory, in which a later search over parameters of the same names
            continues: it asks first for the trials that were asked for and not told. None keeps
            nothing on disk.
        constraints, configs: As in a sweep file.

    Attributes:
        directory: The results directory.

    Raises:
        InputError: An argument cannot be used.
        RefusedError: Another search holds `out`, or it has other results.
    """

    def __init__(
        self,
        parameters: Mapping[str, Any],
        method: str | Mapping[str, Any] = "auto",
        *,
        goal: str = "minimize",
        trials: int | None = None,
        seed: int = 0,
        out: str | os.PathLike[str] | None = None,
        constraints: Sequence[str] = (),
        configs: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        search = search_over(
            parameters,
            method,
            kind=Kind.FUNCTION,
            goal=goal,
            constraints=constraints,
            configs=configs,
            trials=trials,
            seed=seed,
        )
        recipe = Recipe(search.seed, "", "", METRIC, goal)
        strategy = strategy_of(search, recipe)
        if strategy is None or strategy.rungs:
            reason = "proposes for Keras models" if strategy is None else "halts trainings"
            raise InputError(
                f"method: {search.method.name} {reason}, and here a trial runs to its end; use "
                "auto, or another of `hpsearch list methods`"
            )
        self._strategy = strategy
        self._waiting: deque[Training] = deque()
        self._open: dict[int, AskedTrial] = {}
        self._last_table: pd.DataFrame | None = None
        with ExitStack() as stack:
            self._ledger = self._claim(stack, out, search.space.names, recipe)
            stored, results = self._ledger.stored, self._ledger.results
            trials_so_far = Trials(
                search.space,
                {config.id for config in search.listed},
                search.repetitions,
                stored=stored,
                limit=trials,
                method=search.method.name,
            )
            reuse = CurveReuse(recipe, results, {})
            self._planner = AdaptivePlanner(strategy, trials_so_far, search.repetitions, reuse)
            self._take(self._planner.begin(set(results)))
            # It also runs when the program ends.
            self._release = weakref.finalize(self, _close, stack.pop_all(), os.getpid())

    def _claim(
        self,
        stack: ExitStack,
        out: str | os.PathLike[str] | None,
        names: Sequence[str],
        recipe: Recipe,
    ) -> Ledger:
        """Claim the directory; the stack writes the tables and releases it."""
        if out is None:
            scratch = tempfile.mkdtemp(prefix="hpsearch-")
            stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        where = ResultsDirectory(Path(scratch if out is None else out))
        where.prepare(fresh=False)
        held = stack.enter_context(_held(where))
        self.directory = where.path
        store = stack.enter_context(Store(held.store, check=held.check))
        # Two searches over other parameters cannot be compared.
        key = hashlib.sha256(repr(("ask and tell", *sorted(names))).encode()).hexdigest()
        identity = Identity(
            data=f"d{key[:11]}",
            split={"function": "of the caller", "parameters": sorted(names)},
            metric=f"{METRIC}:{recipe.goal}:last",
            recipe={"seed": recipe.sweep_seed, "kind": str(Kind.FUNCTION)},
        )
        require_unchanged(store.facts().identity, identity, str(where.path))
        name = "search" if out is None else where.path.absolute().name
        provenance, kind = identity.provenance(name), Kind.FUNCTION
        tables = Tables(held, Task.OBJECTIVE, names, provenance, kind=kind, flush=store.flush)
        ledger = Ledger.open(store, tables, recipe)
        if loss := store.loss(store.path):
            message = f"{store.path}: {loss}; these trials are asked for again"
            warnings.warn(message, UserWarning, stacklevel=stack_level_of_caller())
        held.clear()
        store.set_facts(identity=identity, task=Task.OBJECTIVE, name=name)
        # When the program ends, the tables are written, but pandas cannot be imported any more.
        import pandas as pd

        del pd
        stack.callback(ledger.write_tables)
        return ledger

    def ask(self) -> AskedTrial | None:
        """Return the next trial to run; None if `trials` or the space has no more.

        Raises:
            InputError: The search is closed.
        """
        self._require_open()
        with _uninterrupted():
            while not self._waiting:
                planner = self._planner
                outcomes, room = tuple(planner.outcomes), 0 if planner.spent else 1
                planner.outcomes.clear()
                reply = reply_of(self._strategy, Inquiry(outcomes, room, planner.spent))
                if not reply.proposals:
                    return None
                self._take(planner.take(reply.proposals))
            training = self._waiting.popleft()
            trial = AskedTrial(training.trial, dict(training.values), training)
            self._open[trial.number] = trial
            return trial

    def tell(
        self,
        trial: AskedTrial | int,
        score: float | None = None,
        *,
        failed: str | BaseException | None = None,
    ) -> None:
        """Store the score of a trial that was asked for, or the reason why it has none.

        Args:
            trial: The trial, or its number.
            score: A number; a trial whose score is not finite counts as diverged.
            failed: The reason of a failure, or its exception, instead of a score.

        Raises:
            InputError: The trial was not asked for, or was told before; there is no score, or both
                a score and a reason; or the search is closed.
        """
        self._require_open()
        number = trial.number if isinstance(trial, AskedTrial) else trial
        if not isinstance(number, numbers.Integral):
            raise InputError(f"trial: must be what ask() returned, or its number, not {number!r}")
        asked = self._open.get(number)
        if asked is None:
            told = "its result is there" if number in self._ended else "ask() has not returned it"
            raise InputError(f"trial: {number!r} is no open trial: {told}")
        if isinstance(trial, AskedTrial) and trial != asked:
            raise InputError(f"trial: trial {number} of this search has another config")
        result = _result_of(asked, self._ledger.recipe, score, failed)
        with _uninterrupted():
            self._ledger.add_results([result])
            del self._open[number]
            self._planner.learn([result])
            if self._ledger.tables.due(len(self._ledger.results)):
                self._ledger.write_tables()

    @property
    def _ended(self) -> set[int]:
        return {self._ledger[number].trial for number in self._ledger.results}

    def _take(self, step: Step) -> None:
        self._ledger.add(step.executions, ())
        self._waiting.extend(step.trainings)

    def _require_open(self) -> None:
        if not self._release.alive:
            raise InputError("the search is closed; with out, a new one continues it")

    @property
    def table(self) -> pd.DataFrame:
        """The results table so far, as `Results.table`."""
        if self._release.alive:
            self._ledger.write_tables()
            return read_table(self.directory)
        assert self._last_table is not None
        return self._last_table

    @property
    def best(self) -> pd.Series[Any]:
        """The best trial's line.

        Raises:
            InputError: No trial has a score.
        """
        row = best_trial(self.table)
        if row is None:
            raise InputError("best: no trial has a score yet")
        return row

    def close(self) -> None:
        """Write the tables and release the directory; a second call does nothing."""
        if self._release.alive:
            self._last_table = self.table
            self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def _held(where: ResultsDirectory) -> Iterator[HeldDirectory]:
    try:
        held = where.hold()
    except LockedError:
        if where.holder != str(os.getpid()):
            raise
        raise LockedError(
            f"{where.path}: a search of this program holds it: close that one first"
        ) from None
    with held:
        yield held


def _close(stack: ExitStack, process: int) -> None:
    # A forked child has its copy of the search, and must not end that of its parent.
    if os.getpid() == process:
        stack.close()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let Ctrl-C wait, so that strategy, planner and store agree."""
    in_main = threading.current_thread() is threading.main_thread()
    if not (in_main and hasattr(signal, "pthread_sigmask")):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _result_of(
    trial: AskedTrial, recipe: Recipe, score: float | None, failed: str | BaseException | None
) -> ExecutionResult:
    if (score is None) == (failed is None):
        raise InputError("tell: give a score, or the reason of a failure, as failed='...'")
    number, seconds = trial.training.number, now() - trial.began
    if failed is not None:
        reason = in_words(failed) if isinstance(failed, BaseException) else failed
        error = shortened(" ".join(str(reason).split())) or "failed"
        return ExecutionResult(number, Status.FAILED, seconds=seconds, error=error)
    if isinstance(score, bool) or not isinstance(score, numbers.Real):
        raise InputError(f"score: must be a number, not {score!r}")
    result = followed([{METRIC: float(score)}], 1, recipe)
    return replace(result, number=number, seconds=seconds, trainer="function", shared_with=None)
