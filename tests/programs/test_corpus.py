"""W&B's sweep files by its grammar: all are planned, and some run."""

from __future__ import annotations

import io

import pandas as pd
import pytest
import yaml
from rich.console import Console
from wandb_files import wandb_file

from hpsearch.cli.programs import print_program_plan
from hpsearch.programs.sweep import load_any
from hpsearch.tuner.run import run_sweep
from hpsearch.tuner.settings import Settings

# It tells the metric that its sweep names, for any arguments.
TRAIN = """\
import os, sys, json
values = json.load(open(os.environ["HPSEARCH_VALUES"]))
for epoch in (1, 2):
    print(json.dumps({open("metric").read(): len(repr(values)) / epoch}))
"""


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Writes a file of the corpus beside its program, and reads it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(TRAIN)

    def loaded(seed):
        raw = wandb_file(seed)
        path = tmp_path / f"{seed}.yaml"
        path.write_text(yaml.safe_dump(raw, sort_keys=False))
        (tmp_path / "metric").write_text(raw["metric"]["name"])
        return load_any(path, with_data=True)

    return loaded


@pytest.mark.parametrize(
    "seeds",
    [range(20), *(pytest.param(range(n, n + 90), marks=pytest.mark.slow) for n in (20, 110))],
    ids=str,
)
def test_every_file_is_planned(load, seeds):
    for seed in seeds:
        text = io.StringIO()
        print_program_plan(load(seed), None, Console(file=text, width=200))
        assert "trials " in text.getvalue(), seed
        assert "trial 1 " in text.getvalue(), seed


@pytest.mark.parametrize(
    "seed", [1, *(pytest.param(s, marks=pytest.mark.slow) for s in range(2, 12))]
)
def test_a_sample_runs(load, tmp_path, seed):
    sweep = load(seed)
    run_sweep(sweep, Settings(out=tmp_path / "out", report=False))
    table = pd.read_csv(tmp_path / "out" / "results.csv")
    assert set(table["status"]) <= {"completed", "stopped"}, table["error"].tolist()
    assert len(table) >= 1
