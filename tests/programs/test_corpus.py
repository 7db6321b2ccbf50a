"""W&B's sweep files by its grammar: all are planned, and some run."""

from __future__ import annotations

import io
import json
import os

import pandas as pd
import pytest
import yaml
from rich.console import Console
from wandb_files import wandb_file

from hpsearch.cli.plan import print_plan
from hpsearch.engine.session import Settings
from hpsearch.engine.sweep import run_sweep
from hpsearch.spec.sweep import load_sweep

# It keeps its arguments, and tells the metric that its sweep names.
TRAIN = """\
import os, sys, json
values = json.load(open(os.environ["HPSEARCH_VALUES"]))
with open(os.path.join(os.environ["HPSEARCH_TRIAL_DIR"], "seen"), "w") as file:
    json.dump([sys.argv[1:], values], file)
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
        return load_sweep(path, with_data=True)

    return loaded


def test_every_file_is_planned(load):
    for seed in range(30):
        text = io.StringIO()
        print_plan(load(seed), None, None, Console(file=text, width=200), measure=False)
        assert "trials " in text.getvalue(), seed
        assert "trial 1 " in text.getvalue(), seed


def wandb_arguments(raw, values, run):
    """What W&B's agent passes after the program: `create_sweep_command_args` of wandb 0.31."""
    pairs = [f"{name}={value}" for name, value in values.items()]
    flags = [
        f"--{name}" if value is True else f"--{name}={value}"
        for name, value in values.items()
        if value is not False
    ]
    filled = {
        "${args}": [f"--{pair}" for pair in pairs],
        "${args_no_hyphens}": pairs,
        "${args_no_boolean_flags}": flags,
        "${args_json}": [json.dumps(values)],
        "${args_json_file}": [str(run / "values.json")],
        "${envvar:HOME}": [os.environ["HOME"]],
    }
    command = raw.get("command", ["${program}", "${args}"])
    after = command[command.index("${program}") + 1 :]
    return [argument for item in after for argument in filled.get(item, [item])]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 7))
def test_a_sample_runs_as_wandb_runs_it(load, tmp_path, seed):
    raw, sweep = wandb_file(seed), load(seed)
    run_sweep(sweep, Settings(out=tmp_path / "out", report=False))
    table = pd.read_csv(tmp_path / "out" / "results.csv").set_index("trial")
    ends = [end for end in (raw.get("run_cap"), sweep.space.cardinality()) if end is not None]
    assert len(table) == min(ends)
    for trial, row in table.iterrows():
        # One that is halted may run again.
        for run in (tmp_path / "out" / "trials" / str(trial)).glob("run-*"):
            arguments, values = json.loads((run / "seen").read_text())
            assert arguments == wandb_arguments(raw, values, run)
        # Halted after its first epoch, if its second one was not told in time.
        epochs = int(row["epochs_trained"])
        assert row["score"] == pytest.approx(len(repr(values)) / epochs)
        assert row["status"] == "completed" or "early_terminate" in raw
        assert epochs == 2 or row["status"] == "stopped"
