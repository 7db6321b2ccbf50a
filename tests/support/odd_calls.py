"""Functions for executors to call; they import only what a light worker has."""

import gc
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import cloudpickle

from hpsearch.errors import HpsearchError
from hpsearch.workers.work import Runner

_KEPT = []


def note(path):
    """Say who ran this, and what was imported there."""
    told = {
        "pid": os.getpid(),
        "tensorflow": "tensorflow" in sys.modules,
        "collects": gc.isenabled(),
    }
    Path(path).write_text(json.dumps(told), encoding="utf-8")


def grow(path):
    Runner.growth_bytes = 2**20
    _KEPT.append(bytearray(2**22))
    note(path)


def rows_of(times, dataset):
    return {"twice": times * len(dataset.arrays.x_train)}


def ours():
    raise HpsearchError("no room left")


def theirs():
    raise ZeroDivisionError("by zero")


def hanging():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(1000)


def dying():
    os.kill(os.getpid(), signal.SIGSEGV)


def echo(connection: Any, *words: str) -> None:
    """Talk: say the words, then each message twice; `exit` ends the process."""
    connection.send_bytes(cloudpickle.dumps(words))
    while True:
        try:
            message = cloudpickle.loads(connection.recv_bytes())
        except EOFError:
            return
        if message == "exit":
            os._exit(7)
        connection.send_bytes(cloudpickle.dumps(message * 2))
