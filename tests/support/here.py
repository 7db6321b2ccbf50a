"""Whole runs in this process: no worker has to import TensorFlow first."""

from __future__ import annotations

import pandas as pd

from hpsearch import driver, sweepfile


class Notes(driver.Silent):
    """Keeps what is said."""

    def __init__(self):
        self.said = []

    def note(self, message):
        self.said.append(message)


def run_here(text, directory):
    """Runs the sweep of a file's text; its table as any reader has it, and what was said."""
    notes = Notes()
    settings = driver.Settings(out=directory, report=False, in_process=True)
    driver.run(sweepfile.loads(text, "sweep.yaml"), settings, notes)
    return pd.read_csv(directory / "results.csv"), notes.said
