"""Run a sweep for a call from Python: its results, also after an interruption, its directory."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hpsearch.data.loading import Loader
from hpsearch.errors import Interrupted
from hpsearch.programs.sweep import ProgramSweep
from hpsearch.results import Results
from hpsearch.revisit.trust import roles_of
from hpsearch.spec.sweep import Sweep
from hpsearch.trackers.targets import make_tracker
from hpsearch.tuner.run import run_sweep
from hpsearch.tuner.settings import Listener, Settings, stack_level_of_caller
from hpsearch.tuner.tracking import tracked
from hpsearch.wording import counted
from hpsearch.workers.protocol import Said


def execute(
    sweep: Sweep | ProgramSweep,
    settings: Settings,
    listener: Listener,
    log: Sequence[str],
    rows: Loader | None = None,
) -> Results:
    """Run a sweep; see `hpsearch.run`.

    Args:
        rows: Loads data from memory.
    """
    trust = tuple(roles_of(sweep)) if isinstance(sweep, Sweep) else ()
    with (
        results_with_interruption(rows, trust),
        tracked(listener, [make_tracker(target) for target in log]) as watching,
    ):
        outcome = run_sweep(sweep, settings, watching, rows)
        if outcome.stopped:
            watching(Said(outcome.stopped, warning=True))
    return Results(outcome.directory, rows, trust)


@contextmanager
def results_with_interruption(
    rows: Loader | None = None, trust: Collection[str] = ()
) -> Iterator[None]:
    """Add the results so far to an interruption, if any trial has a row."""
    try:
        yield
    except Interrupted as error:
        if error.where is not None and (error.where / "results.csv").exists():
            found = Results(error.where, rows, trust)
            error.results = found if len(found.table) else None
        raise


def results_at_prompt(interruption: Interrupted) -> Results:
    """Return the results so far if Ctrl-C ended a call at a prompt or in a notebook.

    An exception would leave a notebook's variable unassigned. A script must not go on after Ctrl-C.

    Raises:
        Interrupted: In a script, after a SIGTERM, or without results.
    """
    interactive = hasattr(sys, "ps1") or bool(sys.flags.interactive)
    found = interruption.results
    if not (interactive and interruption.by_keyboard and isinstance(found, Results)):
        raise interruption
    message = f"interrupted: these are the results so far, {counted(len(found.table), 'row')}"
    warnings.warn(message, UserWarning, stacklevel=stack_level_of_caller())
    return found


def run_in(
    out: str | os.PathLike[str] | None,
    work: Callable[[Path], Results],
    *,
    name: str = "",
    keep: bool,
) -> Results:
    """Call `work` with a results directory, a temporary one if `out` is None.

    Args:
        name: The results directory's name within the temporary one.
        keep: Whether the temporary directory exists as long as its results do.
    """
    try:
        return work(Path(out)) if out is not None else _work_in_scratch(work, name, keep=keep)
    except Interrupted as error:
        return results_at_prompt(error)


def _work_in_scratch(work: Callable[[Path], Results], name: str, *, keep: bool) -> Results:
    scratch = tempfile.mkdtemp(prefix="hpsearch-")

    def taken(found: Results) -> Results:
        if not keep:
            return found.detached()
        owner = found.owning(scratch)
        removal.pop_all()
        return owner

    with ExitStack() as removal:
        removal.callback(shutil.rmtree, scratch, ignore_errors=True)
        try:
            return taken(work(Path(scratch, name)))
        except Interrupted as error:
            # Leave the directory out of the message: no later run can continue there.
            interruption = Interrupted(error.number)
            if isinstance(error.results, Results):
                interruption.results = taken(error.results)
            raise interruption from None
