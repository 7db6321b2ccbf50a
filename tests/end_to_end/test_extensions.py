"""A package that is really installed: by the real command, with real workers."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import commands
import pandas as pd
import pytest
from packages import EXAMPLE, install_example

import hpsearch

SWEEP = """\
name: added
data: {dataset: spirals}
parameters:
  units: [4, 8]
  layer_type: [dense, gated]
  expansion: {values: [1, 2], when: {layer_type: gated}}
  optimizer: adam
  epochs: [2]
execution: {workers: 2}
"""
#: What differs between two runs that are the same.
VARYING = ["seconds"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    target = tmp_path_factory.mktemp("packages") / "site"
    install_example(target)
    return target


@pytest.fixture
def home(installed, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f"{installed}:{':'.join(filter(None, sys.path))}")
    (tmp_path / "added.yaml").write_text(SWEEP)
    return tmp_path


def table(home, out):
    return pd.read_csv(home / out / "results.csv").drop(columns=VARYING)


def test_workers_and_engines_of_all_kinds_see_the_same_package(home):
    planned = commands.hpsearch("plan", "added.yaml", cwd=home)
    assert "uses the layer type 'gated' of hpsearch-example 1.2" in planned.stdout
    assert "trials     6" in planned.stdout
    commands.hpsearch("run", "added.yaml", "--out", "local", cwd=home)
    assert (
        "uses the dataset 'spirals' of hpsearch-example 1.2"
        in (home / "local" / "run.log").read_text()
    )
    rows = table(home, "local")
    assert set(rows["status"]) == {"completed"}
    assert dict(rows.groupby("layer_type")["trainer"].unique().str[0]) == {
        "dense": "native",
        "gated": "graph",
    }
    assert rows["expansion"].isna().tolist() == (rows["layer_type"] == "dense").tolist()
    commands.hpsearch("run", "added.yaml", "--out", "serial", "--engine", "serial", cwd=home)
    pd.testing.assert_frame_equal(table(home, "serial"), rows)
    trial = int(rows.loc[rows["layer_type"] == "gated", "trial"].iloc[0])
    script = commands.hpsearch("reproduce", "local", "--trial", trial, "--script", cwd=home).stdout
    assert "from hpsearch_example.layers import gated as own_layer" in script
    assert "from hpsearch_example.data import spirals as own_data" in script
    (home / "program.py").write_text(script)
    commands.hpsearch("program.py", cwd=home, program=[sys.executable])


def test_workers_find_what_only_this_program_s_path_has(installed, tmp_path):
    program = (
        f"import sys; sys.path.insert(0, {str(installed)!r})\n"
        "import numpy as np, hpsearch\n"
        "x = np.random.default_rng(0).normal(size=(60, 3))\n"
        "parameters = {'layer_type': 'gated', 'units': 4, 'epochs': 1}\n"
        "found = hpsearch.tune(x, x[:, 0] > 0, parameters=parameters, workers=1)\n"
        "assert found.table['status'].tolist() == ['completed'], found.table['error'].tolist()\n"
    )
    commands.hpsearch("-c", program, cwd=tmp_path, program=[sys.executable])


def test_what_the_page_about_extensions_shows_is_the_example_package(home):
    page = (Path(hpsearch.__file__).parent / "EXTENDING.md").read_text()
    declared, sweep = (
        re.search(rf"^```{kind}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)[1]
        for kind in ("toml", "yaml")
    )
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    assert tomllib.loads(declared)["project"] == {"entry-points": project["entry-points"]}
    (home / "shown.yaml").write_text(sweep)
    planned = commands.hpsearch("plan", "shown.yaml", cwd=home).stdout
    assert planned.count("of hpsearch-example 1.2 (entry point") == 4
    assert "30 at most; evolution chooses" in planned


def test_planning_imports_neither_tensorflow_nor_the_package(home):
    program = (
        "import sys; from hpsearch.cli.app import main\n"
        "try: main(['plan', 'added.yaml', '--set=data.dataset=digits'])\n"
        "except SystemExit as end: assert not end.code\n"
        "assert not {'tensorflow', 'keras', 'hpsearch_example'} & sys.modules.keys()"
    )
    commands.hpsearch("-c", program, cwd=home, program=[sys.executable])


def test_a_layer_type_that_fails_is_a_row_that_names_the_package(home):
    sweep = [f"--set=parameters.{each}" for each in ("layer_type=gated", "units=4", "expansion=no")]
    done = commands.hpsearch("run", "added.yaml", *sweep, "--out", "bad", cwd=home, code=1)
    assert "failed" in done.stderr + done.stdout
    errors = set(table(home, "bad")["error"])
    assert len(errors) == 1
    assert errors.pop().startswith(
        "layer type 'gated' of hpsearch-example 1.2 (entry point gated = "
        "hpsearch_example.layers:gated) failed: "
    )
