"""One trial of a program: from a training to the result of its execution."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from hpsearch.errors import InputError
from hpsearch.models.problem import Recipe
from hpsearch.programs.command import ProgramCall
from hpsearch.programs.process import ProgramProcess
from hpsearch.programs.report import REPORT_VARIABLE
from hpsearch.programs.telling import Epochs, Telling, aligned, history
from hpsearch.space.execution import ENDLESS, ExecutionResult, Status, Training
from hpsearch.training.follow import follow
from hpsearch.wording import exit_text, listing

#: The cell `trainer` of a row: the program ran from its beginning, or went on from a checkpoint.
BEGAN, WENT_ON = "program", "program+checkpoint"
_HOOK = Path(__file__).parent / "hook"
_TAIL_BYTES = 4_096
_TAIL_LINES = 20
_MOST_SHOWN = 200

OnEpoch = Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True)
class TrialDirectory:
    """The directory of an execution; each process of it has one of its own in it."""

    path: Path

    @classmethod
    def of(cls, call: ProgramCall) -> TrialDirectory:
        """Return the directory of a call's execution."""
        name = f"{call.trial}" if call.seed == 0 else f"{call.trial}-seed{call.seed}"
        return cls(Path(call.program.trials) / name)

    @property
    def checkpoint(self) -> Path:
        """Where the program may keep what it needs to go on."""
        return self.path / "checkpoint"

    @property
    def runs(self) -> list[Path]:
        """The directories of the processes so far, in order."""
        numbers = []
        for path in self.path.glob("run-*"):
            with suppress(ValueError):
                numbers.append((int(path.name.removeprefix("run-")), path))
        return [path for _, path in sorted(numbers)]

    def new_run(self) -> Path:
        """Make the directory of the next process.

        Raises:
            OSError: It cannot be made.
        """
        self.checkpoint.mkdir(parents=True, exist_ok=True)
        runs = self.runs
        last = int(runs[-1].name.removeprefix("run-")) if runs else 0
        path = self.path / f"run-{last + 1}"
        path.mkdir()
        return path

    def has_checkpoint(self) -> bool:
        """Whether the program has left something to go on from."""
        return self.checkpoint.is_dir() and any(self.checkpoint.iterdir())

    def set_aside(self, why: str) -> None:
        """Rename a checkpoint from which no process is to go on.

        Args:
            why: `failed` or `unused`, the ending of its new name.
        """
        if not self.has_checkpoint():
            return
        count = 1
        while (aside := self.path / f"checkpoint.{why}-{count}").exists():
            count += 1
        with suppress(OSError):
            self.checkpoint.rename(aside)


def run_trial(
    call: ProgramCall,
    training: Training,
    recipe: Recipe,
    floors: Sequence[float] = (),
    on_epoch: OnEpoch = lambda *_: None,
) -> ExecutionResult:
    """Run a program until it ends, or until it has to be halted, and return its result.

    Args:
        training: Its one stop is the number of epochs after which the program is halted.
        floors: See `follow`.
        on_epoch: Called with each epoch that is told.
    """
    try:
        told = _Trial(call, training, recipe, floors, on_epoch).run()
    except (InputError, OSError) as error:
        # An OSError's text names the file.
        told = _Told(error=f"the program cannot be started: {error}")
    return replace(_result(told, training, recipe, floors), seconds=told.seconds)


@dataclass(frozen=True)
class _Told:
    """What a program told, and how it ended.

    Attributes:
        epochs: All of them, those before a checkpoint too.
        others: What it told instead of the metric.
        error, details: Why it failed, in one line and in many; empty if it did not.
        ended: Whether it ended by itself.
        seconds: The time of its processes: from a checkpoint, of those before it, too.
    """

    epochs: Sequence[Mapping[str, float]] = ()
    others: Mapping[str, float] = field(default_factory=dict)
    trainer: str = BEGAN
    error: str = ""
    details: str = ""
    ended: bool = True
    seconds: float = 0.0


@dataclass
class _Trial:
    """A program's process, and how far its epochs have been judged."""

    call: ProgramCall
    training: Training
    recipe: Recipe
    floors: Sequence[float]
    on_epoch: OnEpoch
    #: The epochs before a checkpoint, the number of the first one, and whether there is one.
    _known: Sequence[Mapping[str, float]] = ()
    _base: int = 1
    _goes_on: bool = False
    #: Seconds that these epochs took.
    _seconds: float = 0.0
    #: Those of them that count: the ones before the first epoch that is told.
    _earlier: Sequence[Mapping[str, float]] = ()
    _source: Epochs | None = None
    _judged: int = 0
    _best: float | None = None

    def run(self) -> _Told:
        """Run the program.

        Raises:
            InputError: Its arguments cannot be passed.
            OSError: It cannot be started.
        """
        call, program = self.call, self.call.program
        where = TrialDirectory.of(call)
        values = program.values(self.training.values)
        self._look_back(where, values)
        place = where.new_run()
        _write_values(place, values)
        arguments = program.arguments(self.training.values, call.seed, place)
        environment = _environment(call, where, place, goes_on=self._goes_on)
        telling = Telling(place, self.recipe.metric, program.metrics_file)
        halted, started = False, time.monotonic()
        with ProgramProcess(arguments, program.directory, environment, place) as process:
            while not process.ended:
                telling.read()
                if self._is_over(telling):
                    halted = True
                    process.halt()
                    break
                process.wait()
            code = process.close()
        seconds = time.monotonic() - started
        # What it told last, also after the signal, is in its files.
        telling.read(ended=True)
        self._is_over(telling)
        if self._goes_on and not telling.epochs.found and code == 0:
            # It had nothing left to do.
            self._earlier = self._known
        told = self._told(telling, 0 if halted else code, place)
        if told.error:
            where.set_aside("failed")
        if self._earlier:
            seconds += self._seconds
        (place / "seconds").write_text(f"{seconds}\n", encoding="ascii")
        return replace(told, ended=not halted, seconds=seconds)

    def _look_back(self, where: TrialDirectory, values: Mapping[str, Any]) -> None:
        """Find out whether the program can go on from a checkpoint; else there is none."""
        text = json.dumps(values)
        runs = [run for run in where.runs if _read(run / "values.json") == text]
        if runs:
            reports = [run / "reports.jsonl" for run in runs]
            self._known, self._base = history(reports, self.recipe.metric)
            with suppress(ValueError):
                self._seconds = float(_read(runs[-1] / "seconds"))
        self._goes_on = bool(self._known) and where.has_checkpoint()
        if not self._goes_on:
            # Nobody would know the numbers of the epochs of a program that went on from it.
            where.set_aside("unused")

    def _is_over(self, telling: Telling) -> bool:
        """Whether the program has to be halted after what it has told so far."""
        epochs = telling.epochs
        if epochs is not self._source and epochs.found:
            # A source that comes first has told the metric, too; the other one does not count.
            self._source, self._judged, self._best = epochs, 0, None
            self._earlier = self._known[: self._place(epochs)] if self._goes_on else ()
        curve = [*self._earlier, *epochs.found]
        for number in range(self._judged + 1, len(curve) + 1):
            self._judged = number
            if number > len(self._earlier):
                self.on_epoch(number, curve[number - 1])
            if self._ends(number, curve[number - 1]):
                return True
        return False

    def _place(self, epochs: Epochs) -> int:
        """How many epochs lie before the first one that is told."""
        first = epochs.numbers[0]
        return 0 if first is None else max(0, first - self._base)

    def _ends(self, number: int, metrics: Mapping[str, float]) -> bool:
        score = metrics[self.recipe.metric]
        if not math.isfinite(score):
            return True
        if self._best is None or self.recipe.better(score, self._best):
            self._best = score
        below = number <= len(self.floors) and self.recipe.better(
            self.floors[number - 1], self._best
        )
        return below or number >= self.training.epochs

    def _told(self, telling: Telling, code: int, place: Path) -> _Told:
        """What the program told, and why it failed, if so.

        Args:
            code: Its exit code; 0 for one that was halted.
        """
        epochs = [*self._earlier, *telling.epochs.found]
        details = _tail(place / "stderr.log")
        error = ""
        if code != 0:
            last = [line.strip() for line in details.splitlines() if line.strip()][-1:]
            said = f": {last[0][:_MOST_SHOWN]}" if last else ""
            error = f"the program ended ({exit_text(code)}){said}"
        elif not epochs:
            error = self._untold(telling.others)
        elif self._goes_on and telling.epochs.found:
            error = self._gap(telling.epochs)
        return _Told(
            aligned(epochs, self.recipe.metric),
            telling.others,
            WENT_ON if self._earlier else BEGAN,
            error,
            details if error else "",
        )

    def _gap(self, epochs: Epochs) -> str:
        """Why the epochs of a program that was given a checkpoint have no place in its curve."""
        first = epochs.numbers[0]
        if first is None:
            return (
                "the program was given a checkpoint, and tells epochs without numbers: "
                "hpsearch.report(epoch=...) has them"
            )
        if self._place(epochs) > len(self._known):
            return (
                f"the program went on at epoch {first}, and only {len(self._known)} are known "
                "before it: tell an epoch before its checkpoint is saved"
            )
        return ""

    def _untold(self, others: Mapping[str, float]) -> str:
        metric = self.recipe.metric
        if not others:
            return (
                f"the program ended without telling {metric!r}: by hpsearch.report, wandb.log, a "
                f"line '{metric}: 0.5' on standard output, or metrics_file"
            )
        known = listing([f"{name} {value:g}" for name, value in list(others.items())[:12]], "and")
        return f"the program ended without telling {metric!r}; it told {known}"


class _Replayed:
    """Epochs that a program has told, as a trainer."""

    weights_count = None
    model = None

    def __init__(self, epochs: Sequence[Mapping[str, float]], kind: str) -> None:
        self._epochs, self.kind = iter(epochs), kind

    def run_epoch(self) -> Mapping[str, float] | None:
        return next(self._epochs, None)

    def weights(self) -> tuple[()]:
        return ()

    def state(self) -> tuple[()]:
        return ()

    def resume(self, epoch: int, state: object) -> None:
        raise NotImplementedError(epoch, state)


def _result(
    told: _Told, training: Training, recipe: Recipe, floors: Sequence[float]
) -> ExecutionResult:
    if told.error or not told.epochs:
        curve = told.epochs or ((dict(told.others),) if told.others else ())
        return ExecutionResult(
            number=training.number,
            status=Status.FAILED,
            curve=tuple(curve),
            trainer=told.trainer,
            error=_storable(told.error),
            traceback=_storable(told.details),
        )
    if told.ended:
        # It told its epochs before it could be halted, and need not run again for more of them.
        training = replace(training, stops=((ENDLESS, training.number),), whole=None)
        floors = ()
    (result,) = follow(
        training,
        recipe,
        _Replayed(told.epochs, told.trainer),
        clock=time.monotonic,
        started=time.monotonic(),
        on_epoch=lambda *_: None,
        keep=lambda _: False,
        floors=floors,
    )
    return result


def _storable(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


def _read(path: Path) -> str:
    """The text of a file; empty if there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _tail(path: Path) -> str:
    """The last lines of a file."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-_TAIL_LINES:])


def _write_values(place: Path, values: Mapping[str, Any]) -> None:
    """Write the values as JSON, and as the settings of W&B in YAML.

    In files, since an environment variable holds 128 KiB.
    """
    text = json.dumps(values)
    (place / "values.json").write_text(text, encoding="utf-8")
    # JSON is no YAML to W&B's reader, PyYAML: a number such as 1e-05 would be text.
    settings = {name: {"value": value} for name, value in json.loads(text).items()}
    (place / "wandb.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="ascii")


def _environment(
    call: ProgramCall, where: TrialDirectory, place: Path, *, goes_on: bool
) -> dict[str, str]:
    """The environment of a program: the driver's, and what tells it of its trial."""
    program = call.program
    found = {n: v for n, v in os.environ.items() if n not in program.environment}
    found |= {name: value for name, value in program.environment.items() if value is not None}
    found |= {
        "HPSEARCH_TRIAL": str(call.trial),
        "HPSEARCH_SEED": str(call.seed),
        "HPSEARCH_TRIAL_DIR": str(place),
        "HPSEARCH_VALUES": str(place / "values.json"),
        "HPSEARCH_CHECKPOINT": str(where.checkpoint),
        REPORT_VARIABLE: str(place / "reports.jsonl"),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(_HOOK), found.get("PYTHONPATH")])),
        "PYTHONUNBUFFERED": "1",
        "WANDB_DIR": str(place),
        "WANDB_SWEEP_PARAM_PATH": str(place / "wandb.yaml"),
    }
    found.setdefault("WANDB_MODE", "offline")
    found.pop("HPSEARCH_RESUME_FROM", None)
    if goes_on:
        found["HPSEARCH_RESUME_FROM"] = str(where.checkpoint)
    return found
