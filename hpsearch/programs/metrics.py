"""Read a program's metrics as epochs, from reports or lines of output, and judge them."""

from __future__ import annotations

import json
import math
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hpsearch.files import NO_LINK
from hpsearch.models.problem import METRIC, Recipe
from hpsearch.space.execution import Training
from hpsearch.wording import exit_text, metric_name

#: Possessive (`++`): without backtracking, a long run of digits takes linear time.
_NUMBER: Final = r"[-+]?+(?:(?:\d++(?:\.\d*+)?+|\.\d++)(?:[eE][-+]?\d++)?+|(?i:inf(?:inity)?+|nan))"
#: The end of a whole number; excludes `1,234.5`, `0,5`, `12:30`, `2024-01-02` and `0.5/1.0`.
_END: Final = r"(?=[.!?*%]*+(?:[\s\x00-\x1f]|$|[,;)\]}|\"'<>](?!\d)))"
_VALUE: Final = rf"[\"']?+\s*+[:=]\s*+[\"']?+(?:np\.\w++\()?+({_NUMBER}){_END}"
_PAIR: Final = re.compile(rf"(?<![\w./-])([A-Za-z_][\w./-]*+){_VALUE}", re.ASCII)
#: Colours and other escape sequences of terminals.
_ESCAPES: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
#: Most bytes of a line to keep: a progress bar may never end its line.
_MOST_LINE_BYTES: Final = 1 << 20
_READ_BYTES: Final = 1 << 20
#: Each metric has a column, and a program may print any number of names.
_MOST_METRICS: Final = 200
_SOURCES: Final = ("report", "wandb", "summary", "output")
_MOST_SHOWN: Final = 200
_MOST_NAMED: Final = 12
#: Names that may repeat within an epoch.
_INDICES: Final = dict.fromkeys(("epoch", "step")).keys()


class Tail:
    """Reads whole lines appended to a file, one block at a time.

    At the end it reads all that is left, including a last line without a line end.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._place = 0
        self._rest = b""

    def lines(self, *, ended: bool = False) -> Iterator[str]:
        """Yield the lines of the next block; `ended` says that the file is complete."""
        while block := content_of(self.path, self._place):
            self._place += len(block)
            *whole, self._rest = (self._rest + block).split(b"\n")
            yield from (line.decode("utf-8", "replace") for line in whole)
            if len(self._rest) > _MOST_LINE_BYTES:
                # Cut at a blank, so that no number is split.
                cut = self._rest[-_MOST_LINE_BYTES // 2 :]
                self._rest = cut[cut.find(b" ") + 1 :]
            if not ended:
                # A program may write faster than this reads, so let its epochs be judged between.
                return
        if ended and self._rest:
            line, self._rest = self._rest, b""
            yield line.decode("utf-8", "replace")


def content_of(path: Path, place: int = 0, most: int = _READ_BYTES) -> bytes:
    """Return bytes of a file; none at its end, or if it cannot be read.

    Only a regular file is read: a program may put a FIFO or a device there, which never ends.

    Args:
        place: The first byte; a negative one counts from the end.
    """
    with suppress(OSError):
        handle = os.open(path, os.O_RDONLY | NO_LINK)
        try:
            status = os.fstat(handle)
            if stat.S_ISREG(status.st_mode):
                start = place if place >= 0 else max(0, status.st_size + place)
                return os.pread(handle, min(most, max(0, status.st_size - start)), start)
        finally:
            os.close(handle)
    return b""


@dataclass
class Epochs:
    """The epochs that one source reports: each mention of the metric is one.

    Attributes:
        found: Metrics of each epoch.
        numbers: The number that the program gave each epoch, or None.
        pending: Metrics since the last epoch; they belong to the next one.
    """

    metric: str
    found: list[dict[str, float]] = field(default_factory=list)
    numbers: list[int | None] = field(default_factory=list)
    pending: dict[str, float] = field(default_factory=dict)
    _places: dict[int | None, int] = field(default_factory=dict)

    def see(
        self, values: Mapping[str, float], number: int | None = None, step: int | None = None
    ) -> None:
        """Add metrics that were reported together.

        Args:
            number, step: Number or step of the epoch. Metrics with one seen before are added to
                that epoch, even the score.
        """
        key = number if step is None else step
        index = self._places.get(key)
        if index is None:
            if self.metric in values:
                self.found.append(self.pending)
                self.numbers.append(number)
                self.pending = {}
            elif key is not None or not self._belong_to_the_last(values):
                self.pending.update(values)
                return
            index = len(self.found) - 1
        self.found[index] = {**self.found[index], **values}
        if key is not None:
            self._places[key] = index

    def _belong_to_the_last(self, values: Mapping[str, float]) -> bool:
        """Check if other metrics belong to the last epoch; a repeated name begins the next one."""
        if self.pending or not self.found:
            return False
        last = self.found[-1]
        equal = (last[name] == values[name] for name in _INDICES if name in last and name in values)
        return next(equal, True) and last.keys().isdisjoint(values.keys() - _INDICES)

    def close(self) -> None:
        """Add metrics that followed the last epoch to that epoch."""
        if self.found:
            self.found[-1] = {**self.pending, **self.found[-1]}
            self.pending = {}


def pairs_in(line: str, metric: str) -> dict[str, float]:
    """Return a line's numbers by name; the last one if a name repeats.

    Lines are `name: value`, `name=value`, and Keras' progress lines, which hold several.

    Args:
        metric: A name that may have blanks.
    """
    text = _ESCAPES.sub("", line)
    pairs = {name: float(number) for name, number in _PAIR.findall(text)}
    if metric not in pairs and metric in text:
        exact = re.compile(rf"(?<!\w){re.escape(metric)}{_VALUE}")
        if numbers := exact.findall(text):
            pairs[metric] = float(numbers[-1])
    return pairs


class TrialMetrics:
    """The metrics that a trial's program reports, by source.

    Args:
        directory: The trial's directory, with `reports.jsonl` and `stdout.log`.
        metric: The name of the score.
    """

    def __init__(self, directory: Path, metric: str) -> None:
        self._metric = metric
        self._reports = Tail(directory / "reports.jsonl")
        self._output = Tail(directory / "stdout.log")
        #: In order of precedence: the first source with the metric counts.
        self._sources = {name: Epochs(metric) for name in _SOURCES}

    def read(self, *, ended: bool = False) -> None:
        """Read the metrics since the last call, at most a block of each file."""
        for line in self._reports.lines(ended=ended):
            _take_report(line, self._sources)
        for line in self._output.lines(ended=ended):
            if pairs := pairs_in(line, self._metric):
                self._sources["output"].see(pairs)
        if ended:
            for epochs in self._sources.values():
                epochs.close()

    @property
    def epochs(self) -> Epochs:
        """The epochs of the first source with the metric; empty without such a source."""
        return self._first_of(_SOURCES)

    @property
    def judged(self) -> Epochs:
        """The epochs by which a program may be halted while it runs.

        Importing `hpsearch` or calling `wandb.init` creates the file of reports. From then on only
        reports are judged, since other output may precede them.
        """
        return self._first_of(_SOURCES[:2] if self._reports.path.exists() else _SOURCES)

    def _first_of(self, names: Sequence[str]) -> Epochs:
        sources = (self._sources[name] for name in names if self._sources[name].found)
        return next(sources, Epochs(self._metric))

    @property
    def others(self) -> dict[str, float]:
        """Other metrics that were reported, if the score was not."""
        metrics: dict[str, float] = {}
        for epochs in reversed(self._sources.values()):
            metrics.update(epochs.pending)
        return metrics


def _take_report(line: str, sources: Mapping[str, Epochs]) -> None:
    try:
        report = json.loads(line)
        by, number, step = report["by"], report["epoch"], report.get("step")
        values = {metric_name(n): float(value) for n, value in report["values"].items() if n}
        epochs = sources[by]
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        # A line that another program wrote.
        return
    epochs.see(values, *(index if isinstance(index, int) else None for index in (number, step)))


def aligned(epochs: Iterable[Mapping[str, float]], metric: str) -> tuple[dict[str, float], ...]:
    """Return epochs that all have the same metrics, NaN for those not reported.

    The score is also called `objective`, like the score of a function.
    """
    rows = [{METRIC: epoch[metric], **epoch} for epoch in epochs]
    columns = dict.fromkeys([METRIC, metric, *(name for epoch in rows for name in epoch)])
    names = list(columns)[:_MOST_METRICS]
    return tuple({name: epoch.get(name, math.nan) for name in names} for epoch in rows)


def history(runs: Sequence[Path], metric: str) -> Known:
    """Return what earlier processes of a trial reported, from their directories in order.

    The epochs of a continued process replace earlier ones from its first epoch on.
    """
    epochs: list[dict[str, float]] = []
    base: int | None = None
    for run in runs:
        reported = Epochs(metric)
        for line in Tail(run / "reports.jsonl").lines(ended=True):
            _take_report(line, {"report": reported})
        if not reported.found or reported.numbers[0] is None:
            continue
        base = reported.numbers[0] if base is None else base
        begin = reported.numbers[0] - base
        if 0 <= begin <= len(epochs):
            epochs = [*epochs[:begin], *reported.found]
    return Known(epochs, 1 if base is None else base)


Metrics = Mapping[str, float]


@dataclass(frozen=True)
class Known:
    """The numbered epochs that earlier processes of a trial reported; empty for a new trial.

    Attributes:
        first: The number of the first epoch.
        seconds: The time that they took.
    """

    epochs: Sequence[Metrics] = ()
    first: int = 1
    seconds: float = 0.0

    def before(self, numbers: Sequence[int | None]) -> Sequence[Metrics] | None:
        """Return the epochs before those that a process reports.

        Args:
            numbers: Numbers of its epochs. A process that reports none had nothing left to do.

        Returns:
            None if its epochs cannot be placed: the first has no number, or an earlier one is
                missing.
        """
        if not self.epochs or not numbers:
            return self.epochs
        if numbers[0] is None or numbers[0] - self.first > len(self.epochs):
            return None
        return self.epochs[: max(0, numbers[0] - self.first)]


@dataclass(frozen=True)
class Ending:
    """The reports of a process and its ending.

    Attributes:
        numbers: The number of each epoch that has one.
        others: Metrics reported instead of the score.
        stderr: The last lines of its standard error.
    """

    epochs: Sequence[Metrics] = ()
    numbers: Sequence[int | None] = ()
    others: Metrics = field(default_factory=dict)
    code: int = 0
    halted: bool = False
    stderr: str = ""

    @property
    def exit_error(self) -> str:
        """The reason of a failure, from the exit code."""
        lines = [line for line in self.stderr.splitlines() if line.strip()]
        flat = [li for li in lines if not li[0].isspace() and "HYDRA_FULL_ERROR" not in li]
        last, calls = (flat or lines)[-1:], False
        for line in lines:
            # An exception follows Python's calls; pydantic, Hydra and W&B print more below it.
            if calls and not line[0].isspace():
                last = [line]
            calls = line.startswith("  File ") or (calls and line[0].isspace())
        said = f": {last[0].strip()[:_MOST_SHOWN]}" if last else ""
        return f"the program ended ({exit_text(self.code)}){said}"

    def untold(self, metric: str) -> str:
        """Return the reason of a failure without any reported epoch."""
        if not self.others:
            return (
                f"the program ended without telling {metric!r}: by hpsearch.report, wandb.log, or "
                f"a line '{metric}: 0.5' on standard output"
            )
        others = ", ".join([*self.others][:_MOST_NAMED])
        return f"the program ended without telling {metric!r}; it told {others}"


def halting_epoch(
    curve: Sequence[Metrics], training: Training, recipe: Recipe, judged: int = 0
) -> int | None:
    """Return the number of the first epoch after which to halt a program; None to go on.

    A single score that is not finite may be followed by others, so only a second one halts it.

    Args:
        judged: Number of epochs after which it was not halted.
    """
    for number in range(judged + 1, len(curve) + 1):
        scores = [epoch[recipe.metric] for epoch in curve[max(0, number - 2) : number]]
        if number >= training.epochs or (number > 1 and not any(map(math.isfinite, scores))):
            return number
    return None
