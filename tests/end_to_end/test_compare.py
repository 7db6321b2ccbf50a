"""`hpsearch compare` on real sweeps: paired, bests, refused, settled, foreign, broken."""

from __future__ import annotations

import json
import re
import resource
import shutil

import numpy as np
import pandas as pd
import pytest
from commands import hpsearch
from made_tables import Made, Row, write

import hpsearch as package
from hpsearch import HpsearchError
from hpsearch.engine.session import Settings
from hpsearch.engine.sweep import run_sweep
from hpsearch.spec.sweep import sweep_from_text

SWEEP = """\
name: small
data: {dataset: digits, validation: 0.2, seed: 42}
method: grid
parameters:
  hidden_layers: [0, 1]
  units: [8, 16]
  activation: [relu, sigmoid]
  epochs: [2]
  optimizer: [sgd, adam]
seeds: 3
"""
VARIANTS = {
    "plain": [],
    "scaled": ["data.scale=standard"],
    "larger": ["parameters.units=[48, 64]", "parameters.hidden_layers=[1]"],
    "single": ["seeds=1"],
    "split": ["data.seed=1"],
    # Each step multiplies the weights by two million.
    "failed": ["parameters.learning_rate=1e6", "parameters.l2=1.0", "parameters.optimizer=[sgd]"],
}


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory):
    """A results directory for each of VARIANTS."""
    home = tmp_path_factory.mktemp("compared")
    for out, changes in VARIANTS.items():
        settings = Settings(out=home / out, report=False, model=False, in_process=True)
        outcome = run_sweep(sweep_from_text(SWEEP, overrides=changes), settings)
        assert outcome.exit_code == (1 if out == "failed" else 0)
    return home


def verdict(*arguments, cwd, code=0):
    """Return the command's output and the JSON that it writes."""
    out = cwd / "verdict.json"
    out.unlink(missing_ok=True)
    said = hpsearch("compare", *arguments, "--out", out, cwd=cwd, code=code)
    return said, json.loads(out.read_text()) if out.exists() else None


def test_the_same_configs_are_paired(sweeps):
    said, told = verdict("scaled", "plain", cwd=sweeps)
    tables = {name: pd.read_csv(sweeps / name / "results.csv") for name in ("plain", "scaled")}
    both = tables["scaled"].merge(tables["plain"], on=["config", "seed"])
    assert told["n_pairs"] == both["config"].nunique() == 10
    expected = (both["score_x"] - both["score_y"]).groupby(both["config"]).mean()
    assert told["difference"] == pytest.approx(expected.mean())
    assert told["question"] == "paired"
    assert told["comparable"] is True
    assert told["winner"] == "scaled"
    assert 0 < told["interval"][0] < told["difference"] < told["interval"][1]
    assert "with data.scale auto instead of data.scale standard the same configs" in said.stdout
    assert "score better? (10 configs x the same 3 seeds, each against itself)" in said.stdout
    assert 'data.scale: scaled "standard", plain "auto"' in said.stdout
    turned = verdict("plain", "scaled", cwd=sweeps)[1]
    assert turned["difference"] == pytest.approx(-told["difference"])
    assert turned["winner"] == "scaled"


def test_exit_codes_for_a_pipeline(sweeps):
    assert hpsearch("compare", "plain", "scaled", "--fail-if-worse", cwd=sweeps).returncode == 0
    hpsearch("compare", "scaled", "plain", "--fail-if-worse", cwd=sweeps, code=1)
    said = hpsearch("compare", "plain", "single", "--fail-if-worse", cwd=sweeps, code=3)
    assert "nothing tells whether it is worse than plain: one seed" in said.stderr
    hpsearch("compare", "plain", "split", "--fail-if-worse", cwd=sweeps, code=3)
    printed = hpsearch("compare", "scaled", "plain", "--json", cwd=sweeps).stdout
    assert json.loads(printed) == verdict("scaled", "plain", cwd=sweeps)[1]


def test_another_split_is_refused_unless_asked_for(sweeps):
    said, told = verdict("plain", "split", cwd=sweeps, code=3)
    assert told is None
    assert "data.seed: plain 42, split 1" in said.stderr
    fingerprints = [pd.read_csv(sweeps / n / "results.csv")["data"][0] for n in ("plain", "split")]
    for fingerprint in fingerprints:
        assert fingerprint in said.stderr
    said, told = verdict("plain", "split", "--anyway", cwd=sweeps)
    assert told["comparable"] is False
    assert "NOT COMPARABLE" in said.stdout
    assert fingerprints[1] in told["stamp"]
    assert told["n_pairs"] == 10


def test_a_sweep_of_which_nothing_completed(sweeps):
    said, told = verdict("plain", "failed", cwd=sweeps)
    assert told["winner"] is None
    assert told["difference"] is None
    assert told["interval"] == [None, None]
    assert told["tables"][1]["scored"] == 0
    assert "no verdict, a table has no score" in said.stdout
    hpsearch("compare", "plain", "failed", "--settle", cwd=sweeps, code=2)


@pytest.mark.slow
def test_fresh_seeds_take_the_place_of_the_bests_scores(sweeps):
    before = {p: p.stat().st_mtime_ns for p in sweeps.rglob("*") if p.is_file()}
    said, told = verdict("larger", "plain", "--settle", "--seeds", 5, "--workers", 2, cwd=sweeps)
    assert told["question"] == "settled"
    assert told["n_pairs"] == 5
    assert "is the best config better, by fresh seeds? (best config of each with 5" in said.stdout
    fresh = [table["fresh"] for table in told["tables"]]
    assert told["difference"] == pytest.approx(fresh[0] - fresh[1])
    assert all(0.1 < score <= 1 for score in fresh)
    # Nothing was written beside the tables.
    after = {p: p.stat().st_mtime_ns for p in sweeps.rglob("*") if p.is_file()}
    assert {p: t for p, t in after.items() if p.name != "verdict.json"} == {
        p: t for p, t in before.items() if p.name != "verdict.json"
    }


def test_settling_needs_what_a_csv_has_not(sweeps):
    said = hpsearch("compare", "plain/results.csv", "larger", "--settle", cwd=sweeps, code=2)
    assert "give the results directory, not a CSV" in said.stderr
    hpsearch("compare", "plain", "larger", "--settle", "--seeds", 1, cwd=sweeps, code=2)


def test_settling_refuses_data_that_changed(sweeps, tmp_path):
    shutil.copytree(sweeps / "plain", tmp_path / "plain")
    file = tmp_path / "plain" / "sweep.yaml"
    file.write_text(file.read_text().replace("seed: 42", "seed: 43"))
    said = hpsearch("compare", "plain", sweeps / "larger", "--settle", cwd=tmp_path, code=3)
    assert "data was d" in said.stderr


def test_tables_of_other_programs(tmp_path):
    rng = np.random.default_rng(0)
    grid = pd.DataFrame({"lr": np.repeat([0.1, 0.01, 0.001], 4), "units": [8, 16, 32, 64] * 3})
    base = rng.uniform(0.5, 0.9, len(grid))
    for name, gain in (("wandb", 0.05), ("tuner", 0.0)):
        scores = base + gain + rng.normal(0, 0.005, len(grid))
        grid.assign(State="finished", acc=scores).to_csv(tmp_path / f"{name}.csv", index=False)
    mapping = ["--score", "acc", "--params", "lr,units", "--goal", "maximize"]
    said, told = verdict("wandb.csv", "tuner.csv", *mapping, cwd=tmp_path)
    assert (told["winner"], told["n_pairs"]) == (None, 12)
    assert "add --random" in said.stdout
    mapping = ["--random", *mapping]
    said, told = verdict("wandb.csv", "tuner.csv", *mapping, cwd=tmp_path)
    assert told["winner"] == "wandb"
    assert told["n_pairs"] == 12
    assert told["metric"] == "acc:maximize"
    assert told["assumed"]
    assert "data and split: not told by wandb, tuner" in said.stdout
    _, turned = verdict("wandb.csv", "tuner.csv", *mapping[:-1], "minimize", cwd=tmp_path)
    assert turned["winner"] == "tuner"
    assert turned["difference"] == pytest.approx(-told["difference"])
    said = hpsearch("compare", "wandb.csv", "tuner.csv", cwd=tmp_path, code=2)
    assert "--score COLUMN --params a,b,c" in said.stderr
    said = hpsearch("compare", "wandb.csv", "tuner.csv", *mapping[:-2], cwd=tmp_path, code=2)
    assert "--goal maximize" in said.stderr


def test_other_bad_input(sweeps, tmp_path):
    assert "nowhere" in hpsearch("compare", "plain", "nowhere", cwd=sweeps, code=2).stderr
    assert "two tables" in hpsearch("compare", "plain", cwd=sweeps, code=2).stderr
    hpsearch("compare", cwd=sweeps, code=2)
    said = hpsearch("compare", "plain", "scaled", "--out", "c.pdf", cwd=sweeps, code=2)
    assert ".md, .json, .html" in said.stderr
    out = tmp_path / "none" / "c.md"
    said = hpsearch("compare", "plain", "scaled", "--out", out, cwd=sweeps, code=2)
    assert "cannot be written" in said.stderr
    (tmp_path / "empty").mkdir()
    hpsearch("compare", "plain", tmp_path / "empty", cwd=sweeps, code=2)


@pytest.mark.slow
def test_two_tables_of_100_000_rows(tmp_path):
    rng = np.random.default_rng(1)
    seed = np.tile(np.arange(5), 20_000)
    write(tmp_path / "a", Made([Row({"units": 1}, 0.5)]))
    row = pd.read_csv(tmp_path / "a" / "results.csv")
    for name in ("a", "b"):
        table = row.loc[np.zeros(len(seed), dtype=int)].reset_index(drop=True)
        units = np.repeat(np.arange(20_000), 5)
        table["trial"], table["units"], table["seed"] = units + 1, units, seed
        table["config"] = [f"c{unit:011x}" for unit in units]
        table["score"] = rng.uniform(0.5, 0.9, len(seed))
        (tmp_path / name).mkdir(exist_ok=True)
        table.to_csv(tmp_path / name / "results.csv", index=False)
    before = processor_seconds()
    said = hpsearch("compare", "a", "b", cwd=tmp_path)
    assert "(20,000 configs x the same 5 seeds" in said.stdout
    # Idle it takes half as long; it is one thread's work, whatever other processes do.
    assert processor_seconds() - before < 10


def test_too_many_columns_are_refused(tmp_path):
    names = ",".join(f"c{i}" for i in range(10_001))
    (tmp_path / "wide.csv").write_text(f"{names}\n{names}\n")
    said = hpsearch("compare", "wide.csv", "wide.csv", "--score", "c1", cwd=tmp_path, code=2)
    assert "has 10,001 columns, and a results table at most 10,000" in said.stderr


def processor_seconds():
    """Of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_from_python(sweeps, tmp_path):
    compared = package.compare(sweeps / "scaled", package.load(sweeps / "plain"))
    assert isinstance(compared, package.Comparison)
    assert compared.winner == "scaled"
    assert compared.n_pairs == 10
    told = verdict("scaled", "plain", cwd=sweeps)[1]
    assert compared.to_dict() == told
    package.compare(sweeps / "plain", sweeps / "scaled", out=tmp_path / "c.md")
    assert re.search(r"^# ", (tmp_path / "c.md").read_text())
    for arguments in ({"out": "c.pdf"}, {"settle": 1}, {"score": "nothing"}):
        with pytest.raises(HpsearchError):
            package.compare(sweeps / "plain", sweeps / "scaled", **arguments)
