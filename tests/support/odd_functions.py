"""Functions to be optimised whose authors know no restraint; worker processes import them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np


class Unspeakable(Exception):
    """An error that cannot be put into words."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


def _fork() -> float:
    """The child returns as the parent does."""
    return 1.0 if os.fork() else 2.0


def _fork_and_raise() -> float:
    if os.fork() == 0:
        raise RuntimeError("of the child")
    time.sleep(0.2)
    return 1.0


def _daemon() -> float:
    """Leave a child that holds all descriptors."""
    if os.fork() == 0:
        time.sleep(1000)
    return 1.0


def _daemon_and_exit() -> float:
    _daemon()
    os._exit(3)


def _scribble() -> float:
    for descriptor in range(3, 256):
        with contextlib.suppress(OSError):
            os.write(descriptor, b"scribbled")
    return 1.0


def _close() -> float:
    os.closerange(0, 256)
    return 1.0


def _move() -> float:
    os.chdir("/")
    return 1.0


def _thread() -> float:
    threading.Thread(target=time.sleep, args=(1000,)).start()
    return 1.0


def _child() -> float:
    command = [sys.executable, "-S", "-c", "import time; time.sleep(1000)"]
    subprocess.Popen(command, start_new_session=True)
    return 1.0


def _raise(error: BaseException) -> float:
    raise error


HOW: dict[str, Any] = {
    "plain": lambda: 1.0,
    "fork": _fork,
    "fork and raise": _fork_and_raise,
    "daemon": _daemon,
    "daemon and exit": _daemon_and_exit,
    "sys.exit": lambda: sys.exit(5),
    "os._exit": lambda: os._exit(0),
    "SystemExit": lambda: _raise(SystemExit("enough")),
    "KeyboardInterrupt": lambda: _raise(KeyboardInterrupt()),
    "GeneratorExit": lambda: _raise(GeneratorExit()),
    "unspeakable": lambda: _raise(Unspeakable()),
    "surrogate": lambda: _raise(ValueError("\udcff\0")),
    "scribble": _scribble,
    "close": _close,
    "move": _move,
    "thread": _thread,
    "child": _child,
    "nan": lambda: float("nan"),
    "none": lambda: None,
    "float32": lambda: np.float32(0.5),
    "text": lambda: "0.5",
    "list": lambda: [0.5],
    "huge": lambda: 10**400,
}


def odd(config: dict[str, Any]) -> Any:
    return HOW[config["how"]]()


def family(config: dict[str, Any]) -> float:
    """Start a process in a session of its own, and one that has lost its parent; note them."""
    sleeper = [sys.executable, "-S", "-c", config["code"], config["place"]]
    child = subprocess.Popen(sleeper, start_new_session=True)
    between = [sys.executable, "-S", "-c", _ORPHANING, *sleeper]
    orphan = subprocess.run(between, capture_output=True, text=True, check=True).stdout
    place = Path(config["place"])
    place.with_suffix(".part").write_text(f"{child.pid} {orphan}", encoding="utf-8")
    place.with_suffix(".part").rename(place)
    time.sleep(config["seconds"])
    return 1.0


_ORPHANING = """\
import subprocess, sys
null = subprocess.DEVNULL
print(subprocess.Popen(sys.argv[1:], start_new_session=True, stdout=null, stderr=null).pid)
"""
