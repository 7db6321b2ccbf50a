"""The progress of a run: a bar on a terminal and in a notebook, plain lines elsewhere.

All output is safe for a terminal whatever files hold, also when its reader has gone.
"""

from __future__ import annotations

import errno
import importlib.util
import io
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from typing import Any, TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.segment import Segment

from hpsearch.engine.planning import Summary
from hpsearch.engine.session import (
    Began,
    Ended,
    Listener,
    Planned,
    RunEvent,
    Stored,
    ignore,
    with_python_warnings,
)
from hpsearch.errors import InputError
from hpsearch.space.execution import Execution, ExecutionResult
from hpsearch.wording import counted, duration, number, printable
from hpsearch.workers.protocol import EpochFinished, Finished, Lost, Said, Started

_LINE_EVERY_SECONDS = 1.0
#: Most workers that get a line below the bar.
_MOST_WORKER_LINES = 16
#: Trials needed to estimate the time left: the first ones share a start.
_LEAST_RESULTS = 4
#: Width of tables printed elsewhere than on a terminal.
_FILE_WIDTH = 200


def _safe(text: str) -> str:
    return printable(text, "\N{REPLACEMENT CHARACTER}", keep="\n\t")


def tell(text: str) -> None:
    """Write a line to stderr."""
    _Unread(sys.stderr).write(f"{_safe(text)}\n")


def make_console(*, stderr: bool = False) -> Console:
    """Return a console on stdout or stderr, wide unless that is a terminal or a notebook."""
    file: Any = _Unread(sys.stderr if stderr else sys.stdout)
    narrow = file.isatty() or Console().is_jupyter
    return _SafeConsole(file=file, width=None if narrow else _FILE_WIDTH)


def silence(stream: TextIO) -> None:
    """Discard a stream's buffer and everything written to it from now on."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


class _SafeConsole(Console):
    def render(self, *args: Any, **options: Any) -> Iterable[Segment]:
        """Render with safe text; the console's own control codes stay."""
        for text, style, control in super().render(*args, **options):
            yield Segment(text if control else _safe(text), style, control)


class _Unread:
    """A stream that drops its output once the reader has gone, as `head` and terminals do.

    A program without the stream has None for it.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream or io.StringIO()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._drop(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._drop(error)

    def _drop(self, error: OSError) -> None:
        # Progress may be lost on a full disk, but not the results of a command.
        full = error.errno == errno.ENOSPC and self._stream is sys.stderr
        if error.errno not in (errno.EPIPE, errno.EIO) and not full:
            raise error
        silence(self._stream)


def make_display(console: Console, *, quiet: bool = False, verbose: bool = False) -> Listener:
    """Return a command's display: a bar if `console` is a terminal, else lines.

    Args:
        quiet: Show only warnings, which the command line prints.
    """
    if quiet:
        return with_python_warnings(ignore)
    if verbose:
        return Lines(console, every_seconds=0.0)
    return Bar(console) if console.is_terminal else Lines(console)


def make_listener(verbose: int | str) -> Listener:
    """Return the display of a call's progress; warnings are Python's.

    Args:
        verbose: 0 shows nothing, 1 a bar, 2 a line for each result, `auto` a bar on a terminal or
            in a notebook and nothing elsewhere.
    """
    if isinstance(verbose, bool) or verbose not in ("auto", 0, 1, 2):
        raise InputError(f"verbose: must be 0, 1, 2 or 'auto', as in Keras, not {verbose!r}")
    console = make_console(stderr=True)
    # In notebooks, a moving bar needs ipywidgets.
    notebook = console.is_jupyter and importlib.util.find_spec("ipywidgets") is not None
    display: Listener
    if verbose == 0 or (verbose == "auto" and not (console.is_terminal or console.is_jupyter)):
        display = ignore
    elif verbose == 2:
        display = Lines(console, every_seconds=0.0)
    else:
        display = Bar(console) if console.is_terminal or notebook else Lines(console)
    return with_python_warnings(display)


def line_printer(console: Console) -> Callable[[str], None]:
    """Return a function that prints a line verbatim, without markup, colours or line breaks."""

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    return say


class _Tally:
    """Trials done, the best so far and the time left.

    Attributes:
        endless: True once trials were planned after a result: how many come is not known then.
    """

    def __init__(self) -> None:
        self.at_start = 0
        self.endless = False
        self.metric = ""
        self.most_trials = 0
        self.best: tuple[int, float] | None = None
        self.best_is_new = False
        self.began = time.monotonic()
        self._waiting: Counter[int] = Counter()
        self._done: set[int] = set()

    def take(self, event: RunEvent) -> None:
        """Count an event."""
        match event:
            case Began():
                self.metric, self.most_trials = event.recipe.metric, event.most_trials or 0
                self.began = time.monotonic()
            case Planned():
                self._lead(event.best)
                self.endless = not self.most_trials and len(self._done) > self.at_start
                self._done.update(event.already_done)
                self.at_start += len(event.already_done)
                self._waiting.update(event.summary.of_trials)
            case Stored():
                self._lead(event.best)
                # A trial is done with the last of its executions.
                trial = event.execution.trial
                self._waiting[trial] -= 1
                if self._waiting[trial] <= 0:
                    self._done.add(trial)

    @property
    def done(self) -> int:
        return len(self._done)

    @property
    def total(self) -> int:
        """Trials that are planned, or the most that there may be."""
        return max(self.most_trials, len(self._waiting.keys() | self._done))

    def _lead(self, best: tuple[int, float] | None) -> None:
        self.best_is_new = best is not None and best != self.best
        self.best = best or self.best

    def text(self) -> str:
        """Return the best so far and the time left."""
        best = "no score yet"
        if self.best is not None:
            best = f"best {self.metric} {number(self.best[1])} (trial {self.best[0]})"
        if self.endless:
            return best
        left, now = self.total - self.done, self.done - self.at_start
        if now < _LEAST_RESULTS and left:
            return f"{best}, time left unknown"
        seconds = (time.monotonic() - self.began) / max(1, now) * left
        return f"{best}, {duration(seconds)} left"


def _heading(name: str, directory: str, workers: int | None) -> str:
    most = "as many workers as the cluster has room for"
    count = most if workers is None else counted(workers, "worker")
    return f"sweep {name}: {count}" + (f", results in {directory}" if directory else "")


class Lines:
    """Prints a line once in `every_seconds` at most, and for new bests, failures and messages."""

    def __init__(
        self,
        console: Console,
        clock: Callable[[], float] = time.monotonic,
        *,
        every_seconds: float = _LINE_EVERY_SECONDS,
    ) -> None:
        self._say = line_printer(console)
        self._clock, self._every_seconds = clock, every_seconds
        self._tally = _Tally()
        self._last = 0.0

    def __call__(self, event: RunEvent) -> None:
        self._tally.take(event)
        match event:
            case Began():
                self._say(_heading(event.name, event.directory, event.workers))
                for line in event.profile:
                    self._say(line)
            case Planned():
                self._show_plan(event.summary, event.already_done)
            case Stored():
                self._show_result(event.execution, event.result)
            case Said():
                self._say("warning: " * event.warning + event.message)

    def _show_plan(self, summary: Summary, already_done: Collection[int]) -> None:
        if already_done:
            self._say(f"{counted(len(already_done), 'trial')} done already")
        if not summary.trials or self._tally.most_trials or self._tally.endless:
            return
        trials = counted(summary.trials, "trial")
        if summary.executions > summary.trials:
            trials += f", {counted(summary.executions, 'execution')},"
        trainings = counted(summary.trainings, "training")
        # The epochs of a function or a program are not known in advance.
        epochs = f" of {counted(summary.epochs_trained, 'epoch')} ({summary.epochs_saved:,} saved)"
        self._say(f"{trials} to train in {trainings}{epochs if summary.epochs_trained else ''}")

    def _show_result(self, execution: Execution, result: ExecutionResult) -> None:
        tally, now = self._tally, self._clock()
        failed = not result.status.scored
        last = tally.done == tally.total and not tally.endless
        due = now - self._last >= self._every_seconds
        if not (tally.best_is_new or failed or last or due):
            return
        self._last = now
        score = "" if result.score is None else f" {number(result.score)}"
        error = f": {' '.join(result.error.split())}" if result.error else ""
        done = f"{tally.done}" if tally.endless else f"{tally.done}/{tally.total}"
        self._say(f"[{done}] {execution.label} {result.status}{score}{error}; {tally.text()}")


class Bar:
    """Shows a bar for the sweep, and a line for each worker with its trial and epoch."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._tally = _Tally()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}", markup=False),
            TimeElapsedColumn(),
            console=console,
        )
        self._sweep = self._bar.add_task("trials", total=None, text="")
        self._workers: dict[int, TaskID] = {}

    def __call__(self, event: RunEvent) -> None:
        self._tally.take(event)
        match event:
            case Began():
                self._begin(event)
            case Planned():
                self._refresh()
            case Stored():
                self._show_result(event.execution, event.result)
            case Said():
                self._bar.console.print(escape("warning: " * event.warning + event.message))
            case Started() | EpochFinished() | Finished() | Lost():
                self._show_worker(event)
            case Ended():
                for task in self._workers.values():
                    self._bar.remove_task(task)
                self._bar.stop()

    def _begin(self, event: Began) -> None:
        name, directory = f"[bold]{escape(event.name)}[/]", escape(event.directory)
        self._console.print(_heading(name, directory, event.workers))
        # More lines than the terminal has would make it scroll all the time.
        workers = event.workers or 0
        shown = workers if workers <= _MOST_WORKER_LINES else 0
        for worker in range(1, shown + 1):
            self._workers[worker] = self._bar.add_task(f"worker {worker}", total=1, text="idle")
        self._bar.start()
        for line in event.profile:
            self._bar.console.print(escape(line))
        if event.most_trials is not None:
            self._refresh()

    def _refresh(self) -> None:
        tally = self._tally
        text, total = tally.text(), tally.total
        self._bar.update(self._sweep, total=total, completed=tally.done, text=text)

    def _show_worker(self, event: Started | EpochFinished | Finished | Lost) -> None:
        task, training = self._workers.get(event.worker), event.training
        if task is None:
            return
        if isinstance(event, Finished | Lost):
            self._bar.update(task, completed=0, text="idle")
            return
        epoch = event.epoch if isinstance(event, EpochFinished) else 0
        self._bar.update(
            task,
            total=training.epochs,
            completed=epoch,
            text=f"{training.label}, epoch {epoch} of {training.epochs}",
        )

    def _show_result(self, execution: Execution, result: ExecutionResult) -> None:
        if not result.status.scored:
            error = " ".join(result.error.split())
            self._bar.console.print(f"{execution.label} {result.status}: {escape(error)}")
        self._refresh()
