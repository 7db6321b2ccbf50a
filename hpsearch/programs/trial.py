"""Run one trial of a program: from a training to the result of its execution."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from hpsearch.data.specs import TrainingData
from hpsearch.errors import InputError
from hpsearch.files import lock_without_waiting
from hpsearch.machine import version_of
from hpsearch.models.problem import Recipe
from hpsearch.programs.metrics import (
    Ending,
    Epochs,
    Known,
    TrialMetrics,
    aligned,
    content_of,
    halting_epoch,
    history,
)
from hpsearch.programs.process import ProgramProcess, end_holders
from hpsearch.programs.report import REPORT_VARIABLE
from hpsearch.space.execution import Epoch, ExecutionResult, Status, Training
from hpsearch.space.space import ENDLESS
from hpsearch.spec.command import UserProgram
from hpsearch.spec.method import FINISHED
from hpsearch.training.follow import followed
from hpsearch.training.subjects import Job, OnEpoch, Say

#: The cell `trainer` of a row: the program started from the beginning, or from a checkpoint.
BEGAN, WENT_ON = "program", "program+checkpoint"
_HOOK = Path(__file__).parent / "hook"
_TAIL_BYTES = 4_096
_MOST_BYTES = 1 << 26
_TAIL_LINES = 20
#: File in a process' directory with the fingerprint and the command of the program.
_ORIGIN = "program.json"
#: File with the seconds of a process that has ended, and a word if its exit code was 0.
_SECONDS, _SUCCEEDED = "seconds", "succeeded"
#: Lock file, held by the program of a trial and the process that runs it.
_LOCK = ".lock"
#: Time before a trial's timeout that is left to the worker to send its result.
_TIMEOUT_MARGIN_SECONDS = 1.0

#: Time between checks if another process still runs a trial.
_LOCK_POLL_SECONDS = 0.1

#: Fingerprints of edited programs that this process has reported.
_EDITED: set[str] = set()


@dataclass(frozen=True)
class TrialDirectory:
    """The directory of an execution, with a subdirectory for each of its processes."""

    path: Path

    @property
    def checkpoint(self) -> Path:
        """The directory where the program may keep data to continue from."""
        return self.path / "checkpoint"

    @property
    def runs(self) -> list[Path]:
        """The directories of the processes so far, in order."""
        runs = [path for path in self.path.glob("run-*") if path.name[4:].isdecimal()]
        return sorted(runs, key=lambda path: int(path.name[4:]))

    def new_run(self) -> Path:
        """Make the directory of the next process."""
        self.checkpoint.mkdir(parents=True, exist_ok=True)
        last = self.runs[-1:]
        path = self.path / f"run-{int(last[0].name[4:]) + 1 if last else 1}"
        path.mkdir()
        return path

    @contextmanager
    def alone(self, deadline: float, say: Say) -> Iterator[int]:
        """Lock the directory for one process, and yield the lock, which a program is to inherit.

        Processes that an earlier run of the program left behind are ended, or waited for where that
        is impossible. A file system without locks gives a lock of no effect.

        Args:
            deadline: Time of the monotonic clock.

        Raises:
            OSError: The lock's file cannot be made.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = self.path.resolve() / _LOCK
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            for count in itertools.count():
                if not _held_elsewhere(handle):
                    break
                if end_holders(lock):
                    say(f"{self.path}: the program of an earlier run still ran, and is ended")
                elif count == 1:
                    say(f"{self.path}: waiting, since another process still runs it")
                if time.monotonic() >= deadline:
                    raise InputError(f"another process still runs this trial, in {self.path}")
                time.sleep(_LOCK_POLL_SECONDS)
            yield handle
        finally:
            os.close(handle)

    def has_checkpoint(self) -> bool:
        """Check if the program has left something to continue from."""
        return self.checkpoint.is_dir() and any(self.checkpoint.iterdir())

    def set_aside(self, why: str) -> None:
        """Rename a checkpoint that no process may continue from; `why` is `failed` or `unused`."""
        with suppress(OSError):
            if self.has_checkpoint():
                self.checkpoint.rename(self.path / f"checkpoint.{why}-{len(self.runs)}")


@dataclass(frozen=True)
class ProgramSubject:
    """A program of the user, run once for each training."""

    program: UserProgram
    gives_rows = False

    def results(
        self, job: Job, dataset: TrainingData, on_epoch: OnEpoch, say: Say
    ) -> Iterator[ExecutionResult]:
        """Run the program with the values of the job's config."""
        del dataset
        yield run_trial(self.program, job.training, job.recipe, on_epoch=on_epoch, say=say)

    def reported(self, recipe: Recipe, training: Training) -> Sequence[Epoch]:
        """Return the epochs that the last process of a training reported."""
        with suppress(OSError):
            killed = _Trial(self.program, training, recipe).last(code=-signal.SIGKILL)
            return killed.curve if killed else ()
        return ()


def run_trial(
    program: UserProgram,
    training: Training,
    recipe: Recipe,
    *,
    on_epoch: OnEpoch = lambda *_: None,
    say: Say = lambda _: None,
) -> ExecutionResult:
    """Run a program until it ends, or until it has to be halted, and return its result.

    A program that cannot use its checkpoint begins anew.

    Args:
        training: Its only stop is the number of epochs after which the program is halted.
    """
    started = time.monotonic()
    limit = program.timeout_seconds
    deadline = math.inf if limit is None else started + limit - _TIMEOUT_MARGIN_SECONDS
    trial = _Trial(program, training, recipe, on_epoch, say, deadline)
    where = trial.where
    try:
        with where.alone(deadline, say) as lock:
            result = trial.unstored() or trial.run(trial.look_back(), lock)
            if result is None:
                where.set_aside("failed")
                result = trial.run(Known(), lock)
                assert result is not None
            if result.status is Status.FAILED:
                where.set_aside("failed")
    except (InputError, OSError) as error:
        # The text of an OSError names the file.
        result = _failed(training, f"the program cannot be started: {error}", Ending())
        return replace(result, seconds=time.monotonic() - started)
    return result


@dataclass(frozen=True)
class _Trial:
    """A program, and the data by which its epochs are judged.

    Attributes:
        deadline: Time of the monotonic clock by which the processes must have ended.
    """

    program: UserProgram
    training: Training
    recipe: Recipe
    on_epoch: OnEpoch = lambda *_: None
    say: Say = lambda _: None
    deadline: float = math.inf

    @property
    def where(self) -> TrialDirectory:
        trial, seed = self.training.trial, self.training.seed
        return TrialDirectory(
            Path(self.program.trials) / (f"{trial}-seed{seed}" if seed else f"{trial}")
        )

    @property
    def _values(self) -> dict[str, Any]:
        return self.program.values(self.training.values)

    def look_back(self) -> Known:
        """Return the epochs before the checkpoint; if they are unknown, set it aside."""
        runs = self._runs()
        past = history(runs, self.recipe.metric)
        if not past.epochs or not self.where.has_checkpoint():
            # Without the earlier epochs, those of a continued program could not be numbered.
            self.where.set_aside("unused")
            return Known()
        return replace(past, seconds=_ended_in(runs[-1:])[0])

    def _runs(self) -> list[Path]:
        """Return the directories of earlier processes of the same program with the same values."""
        same = {"values.json": json.dumps(self._values), _ORIGIN: _origin(self.program)}
        runs = self.where.runs
        return [r for r in runs if all(_read(r / name) == text for name, text in same.items())]

    def unstored(self) -> ExecutionResult | None:
        """Return the result of a process that had ended when its driver was killed, or None.

        Its exit code was 0, so a stored result would be final.
        """
        seconds, succeeded = _ended_in(self.where.runs[-1:])
        result = self.last(code=0) if succeeded else None
        if result is None or not result.status.scored:
            return None
        return replace(result, seconds=seconds, versions=self._versions())

    def last(self, *, code: int) -> ExecutionResult | None:
        """Return the result of the last process for an exit code; None if it cannot be judged."""
        runs = self._runs()
        if not runs or runs[-1] != self.where.runs[-1]:
            return None
        metric = self.recipe.metric
        metrics, past = TrialMetrics(runs[-1], metric), history(runs[:-1], metric)
        return self._judged(runs[-1], metrics, past, code=code, halted=False)

    def run(self, past: Known, lock: int) -> ExecutionResult | None:
        """Run one process; return None if the program has to begin anew.

        Args:
            past: Epochs before its checkpoint, if it has one.
            lock: See `ProgramProcess`.
        """
        program, training = self.program, self.training
        run, versions = self.where.new_run(), self._versions()
        _write_values(run, self._values)
        (run / _ORIGIN).write_text(_origin(program), encoding="utf-8")
        arguments = program.arguments(training.values, training.seed, run)
        environment = _environment(program, training, self.where, run, goes_on=bool(past.epochs))
        metrics = TrialMetrics(run, self.recipe.metric)
        watch = _Watch(metrics, past, self)
        started = time.monotonic()
        with ProgramProcess(arguments, program.directory, environment, run, lock) as process:
            while process.code is None and not watch.halts():
                process.wait()
            if watch.halted:
                process.halt(self.deadline - time.monotonic())
        passed = time.monotonic() - started
        code = process.code or 0
        result = self._judged(run, metrics, past, code=code, halted=watch.halted)
        if result is None:
            return None
        if result.trainer == WENT_ON:
            passed += past.seconds
        with suppress(OSError):
            # The program may have removed the directory, or made something else there.
            (run / _SECONDS).unlink(missing_ok=True)
            text = f"{passed}\n" if watch.halted or code else f"{passed} {_SUCCEEDED}\n"
            (run / _SECONDS).write_text(text, encoding="ascii")
        return replace(result, seconds=passed, versions=versions)

    def _judged(
        self, run: Path, metrics: TrialMetrics, past: Known, *, code: int, halted: bool
    ) -> ExecutionResult | None:
        """Return the result of a process that has ended; see `outcome`."""
        # The last reports, also those after the signal, are in the files.
        metrics.read(ended=True)
        epochs = metrics.epochs
        tail = content_of(run / "stderr.log", -_TAIL_BYTES).decode("utf-8", "replace")
        stderr = "\n".join(tail.splitlines()[-_TAIL_LINES:])
        ending = Ending(epochs.found, epochs.numbers, metrics.others, code, halted, stderr)
        return outcome(ending, past, self.training, self.recipe)

    def _versions(self) -> dict[str, str]:
        """Return the cells of the row that name the program; empty if it is the run's."""
        program = self.program
        fingerprint = fingerprint_of(program)
        if program.fingerprint in ("", fingerprint):
            return {}
        if fingerprint not in _EDITED:
            _EDITED.add(fingerprint)
            self.say(
                f"{program.program} has been edited since the run began: from "
                f"{self.training.label} on, rows have its new fingerprint in the column data"
            )
        return program_versions(program, fingerprint)


@dataclass
class _Watch:
    """Reads the reports of a running process, and judges them."""

    metrics: TrialMetrics
    known: Known
    trial: _Trial
    halted: bool = False
    judged: int = 0
    _source: Epochs | None = None

    def halts(self) -> bool:
        """Read new reports, and return whether the process must be halted."""
        self.metrics.read()
        epochs, trial = self.metrics.judged, self.trial
        if not epochs.found:
            return False
        if epochs is not self._source:
            # A source of higher precedence has now reported the metric; it replaces the other.
            self._source, self.judged = epochs, 0
        earlier = self.known.before(epochs.numbers)
        if earlier is None:
            self.halted = True
            return True
        curve = [*earlier, *epochs.found]
        end = halting_epoch(curve, trial.training, trial.recipe, self.judged)
        new, self.judged = max(self.judged, len(earlier)) + 1, end or len(curve)
        for number in range(new, self.judged + 1):
            trial.on_epoch(number, curve[number - 1])
        self.halted = end is not None
        return self.halted


def _origin(program: UserProgram) -> str:
    """Return the identity of the program: only the same one continues from a checkpoint."""
    return json.dumps([fingerprint_of(program), *program.command])


def outcome(
    ending: Ending, known: Known, training: Training, recipe: Recipe
) -> ExecutionResult | None:
    """Return the result of a trial, without its seconds.

    A program that ended by itself, with exit code 0, keeps all its epochs. Any other keeps the
    epochs up to the first after which it has to be halted, if there is one.

    Returns:
        None if the program has to begin anew because its checkpoint is of no use: it failed before
            it reported an epoch, or its first epoch has no number or follows one never reported.
    """
    metric = recipe.metric
    if metric == FINISHED and ending.code == 0 and not ending.epochs:
        ending = replace(ending, epochs=({**ending.others, metric: 1.0},), numbers=(None,))
    earlier = known.before(ending.numbers)
    if earlier is None or (known.epochs and not ending.epochs and ending.code != 0):
        return None
    trainer = WENT_ON if earlier else BEGAN
    curve = aligned([*earlier, *ending.epochs], metric)
    if ending.code == 0 and not ending.halted:
        # It does not need to run again for more epochs.
        training = replace(training, stops=((ENDLESS, training.number),), whole=None)
    end = halting_epoch(curve, training, recipe)
    diverged = bool(curve) and not math.isfinite(curve[-1][recipe.metric])
    if end is None and ending.code != 0 and not (ending.halted or diverged):
        return _failed(training, ending.exit_error, ending, curve, trainer)
    if not curve:
        return _failed(training, ending.untold(metric), ending)
    result = followed(curve, end or len(curve), recipe, training.whole)
    return replace(result, number=training.number, trainer=trainer)


def _failed(
    training: Training,
    error: str,
    ending: Ending,
    curve: Sequence[Mapping[str, float]] = (),
    trainer: str = BEGAN,
) -> ExecutionResult:
    """Return the result of a failure, with other reported metrics if the score is missing."""
    others = (dict(ending.others),) if ending.others else ()
    return ExecutionResult(
        number=training.number,
        status=Status.FAILED,
        curve=tuple(curve) or others,
        trainer=trainer,
        error=_storable(error),
        traceback=_storable(ending.stderr),
    )


def _storable(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


def _read(path: Path) -> str:
    """Return the text of a file; empty if it cannot be read."""
    return content_of(path, most=_MOST_BYTES).decode("utf-8", "replace")


def _ended_in(runs: Sequence[Path]) -> tuple[float, bool]:
    """Return the seconds of processes that have ended, and if the exit code was 0."""
    words = [word for run in runs for word in _read(run / _SECONDS).split()]
    with suppress(IndexError, ValueError):
        return float(words[0]), words[1:] == [_SUCCEEDED]
    return 0.0, False


def _held_elsewhere(handle: int) -> bool:
    """Try to lock an open file; true if another process holds it, false without locks."""
    try:
        return not lock_without_waiting(handle)
    except OSError:
        return False


def _write_values(run: Path, values: Mapping[str, Any]) -> None:
    """Write the values as JSON, and as W&B's settings in YAML.

    In files, because an environment variable holds at most 128 KiB.
    """
    text = json.dumps(values)
    (run / "values.json").write_text(text, encoding="utf-8")
    # W&B reads with PyYAML, to which JSON's 1e-05 is text, so write YAML.
    settings = {name: {"value": value} for name, value in json.loads(text).items()}
    (run / "wandb.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="ascii")


def _environment(
    program: UserProgram, training: Training, where: TrialDirectory, run: Path, *, goes_on: bool
) -> dict[str, str]:
    """Return a program's environment: the driver's, with variables that describe the trial."""
    variables = {n: v for n, v in os.environ.items() if n not in program.environment}
    variables |= {name: value for name, value in program.environment.items() if value is not None}
    variables |= {
        "HPSEARCH_TRIAL": str(training.trial),
        "HPSEARCH_SEED": str(training.seed),
        "HPSEARCH_TRIAL_DIR": str(run),
        "HPSEARCH_VALUES": str(run / "values.json"),
        "HPSEARCH_CHECKPOINT": str(where.checkpoint),
        REPORT_VARIABLE: str(run / "reports.jsonl"),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(_HOOK), variables.get("PYTHONPATH")])),
        "PYTHONUNBUFFERED": "1",
        "WANDB_DIR": str(run),
        "WANDB_SWEEP_PARAM_PATH": str(run / "wandb.yaml"),
    }
    variables.setdefault("WANDB_MODE", "offline")
    variables.pop("HPSEARCH_RESUME_FROM", None)
    if goes_on:
        variables["HPSEARCH_RESUME_FROM"] = str(where.checkpoint)
    return variables


_GIT_SECONDS = 20.0
_COMMIT_DIGITS = 12


def fingerprint_of(program: UserProgram) -> str:
    """Return `d` and 11 hex digits of the program's file, or of its command if it has none."""
    if program.program:
        with Path(program.program).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
    else:
        digest = hashlib.sha256(json.dumps(program.command).encode())
    return "d" + digest.hexdigest()[:11]


def commit_of(program: UserProgram) -> str:
    """Return the git commit of the program's file, with `+dirty` if tracked files have changes.

    Empty if the file is not in a repository or git is missing.
    """
    directory = Path(program.program).parent if program.program else Path(program.directory)
    commit = _git(directory, "rev-parse", "--verify", "--quiet", "HEAD")
    if not commit:
        return ""
    changed = _git(
        directory,
        *("status", "--porcelain", "--untracked-files=no", "--ignore-submodules=dirty"),
        **_without_filters(directory),
    )
    return commit[:_COMMIT_DIGITS] + ("+dirty" if changed else "")


def _without_filters(directory: Path) -> dict[str, str]:
    """Return the environment variables that turn off the filters in git's configuration."""
    listed = _git(directory, "config", "-z", "--name-only", "--get-regexp", r"^filter\.")
    count = os.environ.get("GIT_CONFIG_COUNT", "")
    first, names = int(count) if count.isdecimal() else 0, [*filter(None, listed.split("\0"))]
    variables = {"GIT_CONFIG_COUNT": str(first + len(names))}
    for index, name in enumerate(names, start=first):
        value = "false" if name.endswith(".required") else ""
        variables |= {f"GIT_CONFIG_KEY_{index}": name, f"GIT_CONFIG_VALUE_{index}": value}
    return variables


def program_versions(program: UserProgram, fingerprint: str) -> dict[str, str]:
    """Return the cells of a new row that name the code that made it."""
    return {
        "version": version_of("hpsearch"),
        "data": fingerprint,
        "program_commit": commit_of(program),
    }


def _git(directory: Path, *arguments: str, **variables: str) -> str:
    """Return git's output; empty if it fails."""
    # git must not run a repository's own monitor or write its index.
    command = ["git", "-c", "core.fsmonitor=false", "--no-optional-locks", "-C", str(directory)]
    try:
        done = subprocess.run(  # noqa: S603 - a list of arguments, no shell
            [*command, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            env=os.environ | variables,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
