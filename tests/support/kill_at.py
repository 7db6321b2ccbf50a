"""Runs a sweep again and again, each time in a process that is killed at one of its results.

    python kill_at.py SWEEP OUT [before:N|after:N ...]

A process is killed when the store is about to hold N results, or holds them; the last one is left
alone. What all of them import is imported once; what each starts is its own. None imports
TensorFlow, which only best.keras and the tuner would need here: each process would begin to, and be
killed. So the strategy is asked directly; test_oracles.py kills runs with a tuner. Nor is
report.html written, which costs more than the trials.
"""

from __future__ import annotations

import os
import signal
import sys
from functools import partialmethod

import pandas as pd
import scipy.optimize
import scipy.stats

import hpsearch.engine.run
from hpsearch.cli.app import main
from hpsearch.engine.best_model import BestModel
from hpsearch.engine.session import Settings
from hpsearch.reporting.page import ReportFile
from hpsearch.store.store import Store
from hpsearch.workers.servers import Servers

sweep, out, *moments = sys.argv[1:]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()


def arm(when: str, count: int) -> None:
    """Have this process killed at a moment."""
    add_results = Store.add_results

    def add(store: Store, results: list[object]) -> None:
        stored = len(store.results())
        if when == "before" and stored + len(results) >= count:
            die()
        add_results(store, results)
        if when == "after" and stored + len(results) >= count:
            die()

    Store.add_results = add


del hpsearch, pd, scipy
Servers.__init__ = partialmethod(Servers.__init__, tensorflow=False)
Settings.__init__ = partialmethod(Settings.__init__, direct=True)
BestModel.save = lambda *_, **__: ""
ReportFile.begin = lambda *_, **__: None
ReportFile.finish = lambda *_, **__: ""
kills = 0
for moment in moments:
    when, count = moment.split(":")
    pid = os.fork()
    if pid == 0:
        arm(when, int(count))
        main(["run", sweep, "--out", out])
        os._exit(99)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status == 0:
        break  # It had no result left to wait for.
    if status != -signal.SIGKILL:
        sys.exit(f"{moment}: the run ended with {status}")
    kills += 1
sys.stdout.write(f"{kills} kills\n")
sys.stdout.flush()
main(["run", sweep, "--out", out])
