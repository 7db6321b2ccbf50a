"""Whole runs in this process: no worker has to import TensorFlow first."""

import pandas as pd

from hpsearch.engine.session import Began, Settings
from hpsearch.engine.sweep import run_sweep
from hpsearch.spec.sweep import sweep_from_text
from hpsearch.workers.protocol import Said


class Notes:
    """Keeps what is said."""

    def __init__(self):
        self.said = []

    def __call__(self, event):
        match event:
            case Began():
                self.said += event.profile
            case Said():
                self.said.append("warning: " * event.warning + event.message)


def run_here(text, directory, *changes, model=True):
    """Runs the sweep of a file's text; its table as any reader has it, and what was said."""
    notes = Notes()
    settings = Settings(out=directory, report=False, model=model, in_process=True)
    run_sweep(sweep_from_text(text, "sweep.yaml", overrides=changes), settings, notes)
    return pd.read_csv(directory / "results.csv"), notes.said
