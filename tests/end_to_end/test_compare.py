"""`hpsearch compare` on real sweeps: paired, bests, refused, settled, foreign, broken."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from commands import hpsearch, watched
from here import run_here
from made_tables import Made, Row, write

import hpsearch as package
from hpsearch import HpsearchError

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
    "single": ["seeds=1"],
    "split": ["data.seed=1"],
}


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory):
    """A results directory for each of VARIANTS."""
    home = tmp_path_factory.mktemp("compared")
    for out, changes in VARIANTS.items():
        run_here(SWEEP, home / out, *changes, model=False)
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
    assert "score better? (10 configs x the same 3 executions, each" in said.stdout
    assert 'data.scale: scaled "standard", plain "auto"' in said.stdout
    turned = verdict("plain", "scaled", cwd=sweeps)[1]
    assert turned["difference"] == pytest.approx(-told["difference"])
    assert turned["winner"] == "scaled"


def test_exit_codes_for_a_pipeline(sweeps):
    assert hpsearch("compare", "plain", "scaled", "--fail-if-worse", cwd=sweeps).returncode == 0
    hpsearch("compare", "scaled", "plain", "--fail-if-worse", cwd=sweeps, code=1)
    said = hpsearch("compare", "plain", "single", "--fail-if-worse", cwd=sweeps, code=3)
    assert "nothing tells whether it is worse than plain: one seed" in said.stderr
    printed = hpsearch("compare", "scaled", "plain", "--json", cwd=sweeps).stdout
    assert json.loads(printed) == verdict("scaled", "plain", cwd=sweeps)[1]


def test_another_split_is_refused_unless_asked_for(sweeps):
    said, told = verdict("plain", "split", cwd=sweeps, code=3)
    assert told is None
    assert "data.seed: plain 42, split 1" in said.stderr
    said, told = verdict("plain", "split", "--anyway", cwd=sweeps)
    assert told["comparable"] is False
    assert "NOT COMPARABLE" in said.stdout
    assert pd.read_csv(sweeps / "split" / "results.csv")["data"][0] in told["stamp"]
    assert told["n_pairs"] == 10


@pytest.mark.slow
def test_fresh_seeds_take_the_place_of_the_bests_scores(sweeps):
    before = {p: p.stat().st_mtime_ns for p in sweeps.rglob("*") if p.is_file()}
    said, told = verdict("scaled", "plain", "--settle", "--seeds", 5, "--workers", 2, cwd=sweeps)
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
    said = hpsearch("compare", "plain/results.csv", "scaled", "--settle", cwd=sweeps, code=2)
    assert "give the results directory, not a CSV" in said.stderr
    hpsearch("compare", "plain", "scaled", "--settle", "--seeds", 1, cwd=sweeps, code=2)


def test_settling_refuses_data_that_changed(sweeps, tmp_path):
    shutil.copytree(sweeps / "plain", tmp_path / "plain")
    file = tmp_path / "plain" / "sweep.yaml"
    file.write_text(file.read_text().replace("seed: 42", "seed: 43"))
    said = hpsearch("compare", "plain", sweeps / "scaled", "--settle", cwd=tmp_path, code=3)
    assert "data was d" in said.stderr


def test_options_say_what_the_columns_of_other_programs_are(tmp_path):
    for name, gain in (("wandb", 0.1), ("tuner", 0.0)):
        lines = [f"0.1,{unit},{0.5 + gain + unit % 3 / 100 * gain}" for unit in range(9)]
        (tmp_path / f"{name}.csv").write_text("lr,units,acc\n" + "\n".join(lines) + "\n")
    mapping = ["--score", "acc", "--params", "lr,units", "--goal", "minimize"]
    said, told = verdict("wandb.csv", "tuner.csv", *mapping, cwd=tmp_path)
    assert (told["winner"], told["n_pairs"]) == (None, 9)
    said, told = verdict("wandb.csv", "tuner.csv", *mapping, "--random", cwd=tmp_path)
    assert (told["winner"], told["metric"]) == ("tuner", "acc:minimize")
    assert "data and split: not told by wandb, tuner" in said.stdout
    said = hpsearch("compare", "wandb.csv", "tuner.csv", cwd=tmp_path, code=2)
    assert "--score COLUMN --params a,b,c" in said.stderr


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
    done = watched("compare", "a", "b", cwd=tmp_path, code=0)
    assert "(20,000 configs x the same 5 executions" in done.stdout
    # Idle it takes half as long; it is one thread's work, whatever other processes do.
    assert done.seconds < 10


def test_from_python(sweeps, tmp_path):
    compared = package.compare(sweeps / "scaled", package.load(sweeps / "plain"))
    assert isinstance(compared, package.Comparison)
    assert compared.to_dict() == verdict("scaled", "plain", cwd=sweeps)[1]
    package.compare(sweeps / "plain", sweeps / "scaled", out=tmp_path / "c.md")
    assert re.search(r"^# ", (tmp_path / "c.md").read_text())
    for arguments in ({"settle": 1}, {"score": "nothing"}):
        with pytest.raises(HpsearchError):
            package.compare(sweeps / "plain", sweeps / "scaled", **arguments)
