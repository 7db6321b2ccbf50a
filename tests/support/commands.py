"""Real commands in real processes, for tests of several floors."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from zygote import Started, Zygote

ODD_LAYERS = Path(__file__).with_name("odd_layers.py")
USER_MODELS = Path(__file__).with_name("user_models.py")
_WATCHED = Path(__file__).with_name("watched.py")
PROGRAM = (sys.executable, "-m", "hpsearch")
_LONGEST_COMMAND_SECONDS = 180


def wait_for(
    condition: Callable[[], object], seconds: float = 60.0, *, every: float = 0.02, what: str = ""
) -> object:
    """The first true value of `condition()`; fails where none comes in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(every)
    return pytest.fail(f"waited {seconds:g} s for {what or condition}")


def session_of(pid: int) -> int | None:
    """The session of a process; None where it is gone, or dead and not yet waited for."""
    try:
        if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return None
        return os.getsid(pid)
    except (psutil.NoSuchProcess, ProcessLookupError):
        return None


def in_sessions(sessions: Iterable[int]) -> list[int]:
    """Live processes of some sessions; the executor's server opens one for all that it forks."""
    wanted = set(sessions)
    return [pid for pid in psutil.pids() if session_of(pid) in wanted]


@dataclass
class Running:
    """A command that was started and is to be disturbed."""

    process: subprocess.Popen[str] | Started
    directory: Path
    log_begins: int = 0
    #: What stderr got, once it was read to the end.
    said: str = ""

    @property
    def pid(self) -> int:
        return self.process.pid

    def results(self) -> int:
        """How many results its store holds."""
        return stored_results(self.directory)

    def wait_for_results(self, count: int) -> None:
        """Until at least `count` results are stored, and the driver is still at work."""
        wait_for(
            lambda: self.results() >= count or self.process.poll() is not None,
            what=f"{count} results",
        )
        assert self.process.poll() is None, self.process.communicate()

    def log(self) -> str:
        """The lines of run.log that this run has written so far."""
        log = self.directory / "run.log"
        return log.read_bytes()[self.log_begins :].decode() if log.exists() else ""

    def worker_of(self, trial: int) -> int | None:
        """The process of the worker that trains a trial; None before it is there."""
        said = re.findall(rf"worker (\d+): trial {trial}$", self.log(), re.MULTILINE)
        for pid in self.workers() if said else ():
            with contextlib.suppress(psutil.NoSuchProcess):
                if psutil.Process(pid).name() == f"hpsearch-{said[-1]}":
                    return pid
        return None

    def servers(self) -> list[int]:
        """Of the processes that fork workers, the one that it started: it leads a session."""
        children = psutil.Process(self.pid).children()
        return [child.pid for child in children if session_of(child.pid) == child.pid]

    def workers(self) -> list[int]:
        """The processes that train, which bear a worker's name."""
        found = []
        for child in psutil.Process(self.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if re.fullmatch(r"hpsearch-\d+", child.name()):
                    found.append(child.pid)
        return found

    def send(self, number: signal.Signals) -> tuple[float, str]:
        """Send a signal and wait for the end; how long that took, and stderr without slow data."""
        began = time.monotonic()
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=60)
        return time.monotonic() - began, err

    def ended_by(self, number: signal.Signals, within: float, *, left_for: float = 2.0) -> str:
        """Send SIGINT or SIGTERM, after which it must end as a run does; stderr.

        Args:
            within: Seconds until its end.
            left_for: Seconds after it until its servers and workers have ended.
        """
        servers = self.servers()
        seconds, err = self.send(number)
        assert self.process.returncode == 128 + number, err
        assert seconds < within
        assert "Traceback" not in err
        wait_for(lambda: not in_sessions(servers), seconds=left_for, what="children to end")
        return err

    def kill(self) -> str:
        """Kill it and wait for its end; stderr."""
        self.process.kill()
        return self.process.communicate()[1]


_STARTED: list[Running] = []


def stored_results(directory: Path) -> int:
    """How many results the store in a results directory holds; 0 where there is none yet."""
    store = directory / "sweep.db"
    if not store.exists():
        return 0
    db = sqlite3.connect(f"{store.as_uri()}?mode=ro", uri=True)
    try:
        return db.execute("SELECT count(*) FROM results").fetchone()[0]
    except sqlite3.OperationalError:
        # The tables are not there yet.
        return 0
    finally:
        db.close()


def environment() -> dict[str, str]:
    """This process' environment, without what tests and TensorFlow put there."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "TF_", "KERAS"))}
    return kept | {"COLUMNS": "120"}


def _at_start(environ: Mapping[str, str]) -> dict[str, str]:
    """Of an environment, what an interpreter or an import reads, and reads only once."""
    return {k: v for k, v in environ.items() if k == "HOME" or k.startswith("PYTHON")}


_AT_START = _at_start(os.environ)


@functools.cache
def zygote() -> Zygote:
    return Zygote()


def ready_servers(command: Sequence[str], **arguments: Any) -> Any:
    """Start the fork servers of a search in this process, as a Popen does but for its imports."""
    start = subprocess.Popen if _at_start(os.environ) != _AT_START else zygote().servers
    return start(command, **arguments)


def hpsearch(
    *arguments: object,
    cwd: Path,
    code: int | None = 0,
    program: Sequence[str] | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; `code` is what it must exit with, None for anything.

    A fresh interpreter runs it where `program` or `env` is given, or a test has changed what an
    interpreter reads at its start; else a zygote's child. Its stderr has no line on slow data.
    """
    words = [*map(str, arguments)]
    environ = environment() | dict(env or {})
    if program is None and env is None and _at_start(environ) == _AT_START:
        done = zygote().run(words, cwd=cwd, env=environ, seconds=_LONGEST_COMMAND_SECONDS)
    else:
        done = subprocess.run(
            [*(program or PROGRAM), *words],
            cwd=cwd,
            env=environ,
            capture_output=True,
            text=True,
            timeout=_LONGEST_COMMAND_SECONDS,
            check=False,
        )
    said = f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr, said
    assert code is None or done.returncode == code, said
    return done


def sweep(
    home: Path, text: str = "", *options: object, out: str = "out", **given: Any
) -> subprocess.CompletedProcess[str]:
    """Run `sweep.yaml` of a directory into `out`, as `hpsearch` does; write it first if given."""
    if text:
        (home / "sweep.yaml").write_text(text, encoding="utf-8")
    return hpsearch("run", "sweep.yaml", "--out", out, *options, cwd=home, **given)


def python(code: str, *arguments: str, cwd: Path | None = None) -> str:
    """Run code in a fresh interpreter to its end, and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=cwd, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def start(*arguments: object, cwd: Path, out: str, env: Mapping[str, str] | None = None) -> Running:
    """Start `hpsearch run ... --out OUT`, as `hpsearch` does, and return at once."""
    log = cwd / out / "run.log"
    log_begins = log.stat().st_size if log.exists() else 0
    words, environ = ["run", *map(str, arguments), "--out", out], environment() | dict(env or {})
    process: subprocess.Popen[str] | Started
    if env is None and _at_start(environ) == _AT_START:
        process = zygote().start(words, cwd=cwd, env=environ)
    else:
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            [*PROGRAM, *words], cwd=cwd, env=environ, stdout=pipe, stderr=pipe, text=True
        )
    running = Running(process, cwd / out, log_begins)
    _STARTED.append(running)
    return running


def end_all() -> None:
    """End what `start` began and a failed test has left."""
    while _STARTED:
        running = _STARTED.pop()
        if running.process.returncode is None:
            running.kill()


def git(home: Path, *words: str) -> str:
    """Run git as somebody, and return what it printed."""
    user = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    command = ["git", *user, *words]
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def preload(name: str, scratch: Path) -> dict[str, str]:
    """Compile `library_NAME.c`; the environment in which it stands before the system's."""
    target = scratch / f"{name}.so"
    compiler = sysconfig.get_config_var("CC").split()[0]
    source = Path(__file__).with_name(f"library_{name}.c")
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", target, source, "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return {"LD_PRELOAD": str(target)}


@dataclass(frozen=True)
class Watched:
    """A command that ran, and what it took: seconds of the processor, bytes at its peak."""

    stdout: str
    stderr: str
    seconds: float
    peak_bytes: int


def watched(*arguments: object, cwd: Path, code: int) -> Watched:
    """Run a command of hpsearch to its end, as `hpsearch` does, and measure it."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report"
        program = (sys.executable, "-IS", str(_WATCHED), str(report), *PROGRAM)
        done = hpsearch(*arguments, cwd=cwd, code=None, program=program)
        returncode, seconds, peak = json.loads(report.read_text(encoding="utf-8"))
    assert returncode == code, f"exit {returncode}\n{done.stdout}\n{done.stderr}"
    return Watched(done.stdout, done.stderr, seconds, peak)


@functools.cache
def most_seconds() -> float:
    """Processor time that a refusal may take: 1 s, and thrice an empty file's on a slow machine."""
    with tempfile.TemporaryDirectory() as place:
        Path(place, "empty.yaml").touch()
        runs = [watched("run", "empty.yaml", cwd=Path(place), code=2) for _ in range(3)]
    return max(1.0, 3 * min(run.seconds for run in runs))
