"""The same program as a trial of hpsearch, W&B, Guild AI and Ray Tune: overhead, and a kill.

    python experiments/programs.py [hpsearch] [ray] [guild] [wandb] [--trials 1000] [--out DIR]
        [--guild PROGRAM] [--wandb PYTHON]

Each contender runs a small shell script, one at a time: `trials` trials by hpsearch and by a bare
loop, fewer by the slow ones. A search of one trial is its start, and taken off; what a trial takes
longer than in the bare loop is the overhead. Then the contender is killed by SIGKILL while a trial
of the middle is under way, its own command for that goes on, and the script's starts are counted.

Guild AI and W&B may be in environments of their own: `--guild` names Guild's command, `--wandb` a
Python that has W&B. W&B's service needs an account: see program_peers.py for what stands in for it.
With --check, exits with 1 if hpsearch's overhead is 15 ms or more.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
from report import HERE, machine, report, versions

_PROMISED_MS = 15.0
_LOGGING_RUNS = 5
#: Searches of one trial, of which the shortest counts.
_STARTS = 3
_LONGEST_SECONDS = 300.0
#: It tells its metric by a shell's own command, so that no second process starts.
_PROGRAM = """\
echo "$1" >> {directory}/starts
if [ "$1" = "--x={held}" ] && ! [ -e {directory}/go ]; then
    echo $$ > {directory}/new && mv {directory}/new {directory}/held
    while ! [ -e {directory}/go ]; do sleep 0.05; done
fi
echo loss: 1
"""


@dataclass(frozen=True)
class Contender:
    """A tool that runs the script.

    Attributes:
        name: For people.
        trials: Of the search whose time is measured, and of the one that is killed.
        command: Directory, trials -> the command line of a search.
        resume: How it goes on, for people; empty if it cannot, or only by its service.
        resume_command: Directory, trials -> the command line that goes on.
        scored: The trials with a result at the end, as the contender has them; None if it has none.
        environment: Directory -> further variables.
        prepare: Writes its files to the directory.
        helpers: Whether its command starts processes that would go on with the search alone: they
            are killed, too.
    """

    name: str
    trials: int
    killed_trials: int
    command: Callable[[Path, int], Sequence[str]]
    resume: str = ""
    resume_command: Callable[[Path, int], Sequence[str]] | None = None
    scored: Callable[[Path], set[int]] | None = None
    environment: Callable[[Path], dict[str, str]] = lambda _: {}
    prepare: Callable[[Path], None] = lambda _: None
    helpers: bool = False


def _peer(mode: str, python: str = sys.executable) -> Callable[[Path, int], Sequence[str]]:
    script = str(HERE / "program_peers.py")
    return lambda directory, trials: [python, script, mode, str(directory), str(trials)]


def _hpsearch(directory: Path, trials: int) -> Sequence[str]:
    sweep = {
        "command": ["/bin/sh", str(directory / "program.sh"), "${args}"],
        "metric": "loss",
        "parameters": {"x": list(range(1, trials + 1))},
        "execution": {"workers": 1},
    }
    (directory / "sweep.yaml").write_text(json.dumps(sweep), encoding="utf-8")
    return [sys.executable, "-m", "hpsearch", "run", "sweep.yaml", "--out", "out"]


def _scored_by_hpsearch(directory: Path) -> set[int]:
    with (directory / "out" / "results.csv").open(encoding="utf-8") as file:
        return {int(row["x"]) for row in csv.DictReader(file) if row["status"] == "completed"}


def _scored_by_ray(directory: Path) -> set[int]:
    return set(json.loads((directory / "scored.json").read_text(encoding="utf-8")))


def _write_guild_file(directory: Path) -> None:
    script = directory / "program.sh"
    (directory / "guild.yml").write_text(
        "- operations:\n    trial:\n"
        f"      exec: /bin/sh {script} --x=${{x}}\n      sourcecode: no\n      flags: {{x: 1}}\n",
        encoding="utf-8",
    )
    (directory / "guild").mkdir()


def _guild_environment(directory: Path) -> dict[str, str]:
    return {"GUILD_HOME": str(directory / "guild")}


def _guild_runs(guild: str, directory: Path) -> list[dict[str, Any]]:
    done = subprocess.run(
        [guild, "runs", "--json"],
        cwd=directory,
        env=os.environ | _guild_environment(directory),
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def _guild(program: str, trials: int) -> Contender:
    def search(_: Path, count: int) -> Sequence[str]:
        values = ",".join(map(str, range(1, count + 1)))
        return [program, "run", "--yes", "trial", f"x=[{values}]"]

    def resume(directory: Path, _: int) -> Sequence[str]:
        # A batch alone keeps the prototype of its runs.
        runs = _guild_runs(program, directory)
        (batch,) = (r["id"] for r in runs if Path(r["run_dir"], ".guild", "proto").exists())
        return [program, "run", "--yes", "--needed", "--restart", batch]

    def scored(directory: Path) -> set[int]:
        runs = _guild_runs(program, directory)
        last = [run["cmd"][-1] for run in runs if run["status"] == "completed"]
        return {int(each.removeprefix("--x=")) for each in last if each.startswith("--x=")}

    return Contender(
        "Guild AI",
        trials,
        min(trials, 20),
        search,
        "`guild run --restart BATCH --needed`",
        resume,
        scored,
        _guild_environment,
        _write_guild_file,
        helpers=True,
    )


def contenders(trials: int, guild: str, wandb: str) -> dict[str, Contender]:
    """All of them, by the names of the command line."""
    few = max(2, min(trials, 20))
    return {
        "hpsearch": Contender(
            "hpsearch",
            trials,
            min(trials, 100),
            _hpsearch,
            "the same command",
            _hpsearch,
            _scored_by_hpsearch,
        ),
        "ray": Contender(
            "Ray Tune", few, few, _peer("ray"), "`Tuner.restore`", _peer("ray"), _scored_by_ray
        ),
        "guild": _guild(guild, min(trials, 100)),
        "wandb": Contender(
            "W&B's agent",
            4,
            4,
            _peer("wandb", wandb),
            environment=lambda _: {"WANDB_SILENT": "true", "WANDB_MODE": "offline"},
        ),
    }


def _made(contender: Contender, root: Path, held: int) -> Path:
    """A fresh directory with the script, of which one trial waits until there is a file `go`."""
    directory = Path(tempfile.mkdtemp(dir=root))
    text = _PROGRAM.format(directory=directory, held=held)
    (directory / "program.sh").write_text(text, encoding="utf-8")
    contender.prepare(directory)
    return directory


def _started(contender: Contender, command: Sequence[str], place: Path) -> subprocess.Popen[bytes]:
    with (place / "said").open("ab") as said:
        return subprocess.Popen(
            command,
            cwd=place,
            env=os.environ | contender.environment(place),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )


def _completed(contender: Contender, command: Sequence[str], place: Path) -> None:
    code = _started(contender, command, place).wait(_LONGEST_SECONDS)
    if code:
        said = (place / "said").read_text(errors="replace")
        raise SystemExit(f"{contender.name} ended with {code}: {said[-2_000:]}")


def _starts(directory: Path) -> list[str]:
    return (directory / "starts").read_text(encoding="utf-8").split()


def seconds_of(contender: Contender, trials: int, root: Path) -> float:
    """Seconds of a search, from the shell's prompt to the shell's prompt."""
    directory = _made(contender, root, held=0)
    command = contender.command(directory, trials)
    began = time.perf_counter()
    _completed(contender, command, directory)
    seconds = time.perf_counter() - began
    if len(_starts(directory)) != trials:
        raise SystemExit(f"{contender.name}: {len(_starts(directory))} of {trials} trials ran")
    return seconds


def overhead(contender: Contender, loop_ms: float, root: Path) -> dict[str, Any]:
    """Cells: what a search of one trial takes, and each further trial beyond its process."""
    start = min(seconds_of(contender, 1, root) for _ in range(_STARTS))
    whole = seconds_of(contender, contender.trials, root)
    trial_ms = 1_000 * (whole - start) / (contender.trials - 1)
    return {
        "trials": contender.trials,
        "a search of one trial, s": round(start, 2),
        "overhead a trial, ms": round(trial_ms - loop_ms, 1),
    }


def kill(contender: Contender, root: Path) -> dict[str, Any]:
    """Cells: what becomes of a search that is killed in the middle and goes on."""
    trials = contender.killed_trials
    directory = _made(contender, root, held=trials // 2)
    process = _started(contender, contender.command(directory, trials), directory)
    held, go = directory / "held", directory / "go"
    _wait_for(held.exists, contender.name)
    pid = int(held.read_text())
    _end(process, pid, helpers=contender.helpers)
    survives = not _gone_soon(pid)
    go.touch()
    _wait_for(lambda: not psutil.pid_exists(pid), contender.name)
    cells: dict[str, Any] = {
        "its program after the kill": "runs on" if survives else "is ended",
        "goes on by": contender.resume or "its service: not measured",
    }
    if contender.resume_command is not None and contender.scored is not None:
        _completed(contender, contender.resume_command(directory, trials), directory)
        starts, scored = _starts(directory), contender.scored(directory)
        cells["trials of the killed search"] = trials
        cells["ended before, ran again"] = len(starts) - trials - 1
        cells["without a result"] = trials - len(scored)
    return cells


def _end(process: subprocess.Popen[bytes], program: int, *, helpers: bool) -> None:
    """Kill a search, but not its program."""
    others = psutil.Process(process.pid).children(recursive=True) if helpers else []
    process.kill()
    for each in others:
        if each.pid != program and "program.sh" not in " ".join(each.cmdline()):
            each.send_signal(signal.SIGKILL)
    process.wait()


def _wait_for(condition: Callable[[], bool], name: str, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"{name}: waited {seconds:g} s in vain")
        time.sleep(0.02)


def _gone_soon(pid: int, seconds: float = 5.0) -> bool:
    """Whether a process ends within so many seconds."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if process.status() == psutil.STATUS_ZOMBIE:
                return True
            time.sleep(0.05)
        return False
    return True


def logging_ms(python: str, root: Path) -> float:
    """Milliseconds that logging one number by `wandb`, offline, takes a Python program."""
    took = []
    for mode in ("nothing", "logging"):
        contender = replace(
            contenders(2, "", python)["wandb"], name="wandb.log", command=_peer(mode, python)
        )
        best = min(_timed(contender, root) for _ in range(_LOGGING_RUNS))
        took.append(1_000 * best)
    return took[1] - took[0]


def _timed(contender: Contender, root: Path) -> float:
    directory = _made(contender, root, held=0)
    began = time.perf_counter()
    _completed(contender, contender.command(directory, 1), directory)
    return time.perf_counter() - began


def _version(command: Sequence[str]) -> str:
    """What a command prints; empty if it cannot run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def main() -> None:
    """Measure each contender that is there, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = ("hpsearch", "ray", "guild", "wandb")
    parser.add_argument("contenders", nargs="*", metavar="CONTENDER", help=", ".join(names))
    parser.add_argument("--trials", type=int, default=1_000)
    parser.add_argument("--guild", default="guild", metavar="PROGRAM")
    parser.add_argument("--wandb", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    chosen = arguments.contenders or names
    if unknown := set(chosen) - set(names):
        parser.error(f"there is no contender {min(unknown)}; there are {', '.join(names)}")
    found = {
        "hpsearch": "hpsearch",
        "ray": versions("ray"),
        "guild": _version([arguments.guild, "--version"]),
        "wandb": _version(
            [arguments.wandb, "-c", "import wandb; print('wandb', wandb.__version__)"]
        ),
    }
    rows: list[dict[str, Any]] = []
    known = contenders(arguments.trials, arguments.guild, arguments.wandb)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        bare = Contender("a bare loop", arguments.trials, 0, _peer("loop"))
        loop_ms = _loop_ms(bare, root)
        for name in chosen:
            if not found[name] or found[name].endswith("missing"):
                rows.append({"": f"{known[name].name}: not installed"})
                continue
            cells = overhead(known[name], loop_ms, root)
            rows.append({"": known[name].name, **cells, **kill(known[name], root)})
        about = [machine(), versions("hpsearch") + "".join(f", {found[n]}" for n in chosen[1:])]
        about.append(f"A process of the program takes {loop_ms:.2f} ms in a bare loop")
        if found["wandb"] and "wandb" in chosen:
            took = logging_ms(arguments.wandb, root)
            about.append(
                "W&B's service needs an account: functions that answer at once stand in for it, "
                "and its agent and command line are its own"
            )
            about.append(
                "wandb.init, log and finish, offline, take a Python program a further "
                f"{took / 1_000:.2f} s, the least of {_LOGGING_RUNS} runs"
            )
    report("programs", about, rows, arguments.out)
    if arguments.check:
        ours = [row["overhead a trial, ms"] for row in rows if row[""] == "hpsearch"]
        raise SystemExit(int(any(each >= _PROMISED_MS for each in ours)))


def _loop_ms(bare: Contender, root: Path) -> float:
    """Milliseconds of a process in a bare loop."""
    start = seconds_of(bare, 1, root)
    whole = seconds_of(bare, bare.trials, root)
    return 1_000 * (whole - start) / (bare.trials - 1)


if __name__ == "__main__":
    main()
