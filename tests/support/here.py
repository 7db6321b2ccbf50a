"""Whole runs in this process: no worker has to import TensorFlow first."""

from __future__ import annotations

import pandas as pd

from hpsearch import sweepfile
from hpsearch.driver import ResultsDirectory, Settings, Silent
from hpsearch.driver.outcome import Stop
from hpsearch.driver.steps import _Steps
from hpsearch.executors.inprocess import InProcessExecutor


class Here(InProcessExecutor):
    """Gets its data as a local executor does."""

    def __init__(self):
        super().__init__(None)

    def provide(self, dataset):
        self._dataset = dataset


class Notes(Silent):
    """Keeps what is said."""

    def __init__(self):
        self.said = []

    def note(self, message):
        self.said.append(message)


def run_here(text, directory):
    """Runs the sweep of a file's text; its table as any reader has it, and what was said."""
    where, notes = ResultsDirectory(directory), Notes()
    where.prepare(fresh=False)
    steps = _Steps(
        sweepfile.loads(text, "sweep.yaml"),
        Settings(out=directory, report=False),
        notes,
        where=where,
        stop=Stop(),
        executor=Here(),
    )
    steps.run(None)
    return pd.read_csv(where.results), notes.said
