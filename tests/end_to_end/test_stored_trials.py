"""Stored trials: exported, evaluated on the record, reproduced, as directories of their own."""

import json
import os
import re
import shutil
import signal
import subprocess
from dataclasses import replace

import keras
import numpy as np
import pandas as pd
import pytest
from commands import ODD_LAYERS, PROGRAM, Running, environment, hpsearch, wait_for
from marks import slow

import hpsearch as package
from hpsearch.data.loading import load_dataset
from hpsearch.engine.session import Settings
from hpsearch.engine.sweep import run_sweep
from hpsearch.space.execution import ExecutionResult, Status, label
from hpsearch.spec.dump import dump_sweep
from hpsearch.spec.sweep import load_sweep
from hpsearch.store.directory import DirectoryLock
from hpsearch.store.facts import installed
from hpsearch.store.store import Store
from hpsearch.store.tables import read_table
from hpsearch.store.trials import best_trial

_DIGITS = """\
data: {dataset: digits, validation: 0.2, test: 0.2, seed: 42}
parameters:
  units: [16]
  layer_type: [dense, dropout, batch_norm]
  epochs: [1, 3]
  optimizer: [adam]
configs: [{layer_type: dropout, optimizer: nadam, epochs: 2}]
seeds: 2
method: grid
"""
_TRIALS = 7
_DIABETES = """\
data: {dataset: diabetes, validation: 0.2, test: 0.2, seed: 1}
metric: {name: val_mae, goal: minimize, epoch: best}
early_stopping: {patience: 2}
parameters: {units: [8, 32], epochs: 40, optimizer: adam, learning_rate: 0.02, l2: [0, 1e-3]}
"""
_SHOPS = """\
data: {csv: shops.csv, target: verdict, drop: [id], validation: 0.25, test: 0.2, seed: 3}
parameters: {units: 8, layer_type: [dense, layer_norm], epochs: 6}
"""


def write_shops(path, rows=240):
    rng = np.random.default_rng(5)
    table = pd.DataFrame(
        {
            "id": range(rows),
            "size": rng.normal(size=rows).round(4),
            "town": rng.choice(["Ulm", "São Paulo", 'Å"bo'], rows),
            "kind": rng.choice(["new, shiny", "old", "it's"], rows),
        }
    )
    good = table["size"] + (table["town"] == "Ulm") - (table["kind"] == "old") > 0
    table["verdict"] = np.where(good, "good", "bad")
    table["opened"] = pd.date_range("2019-05-01", periods=rows).strftime("%d.%m.%Y")
    for column, share in (("size", 0.1), ("kind", 0.2), ("opened", 0.05)):
        table.loc[rng.random(rows) < share, column] = None
    table.to_csv(path, index=False)


@pytest.fixture(scope="session")
def past(tmp_path_factory):
    """Sweeps that were run: `digits`, `diabetes` and `shops`, each with a file and a directory."""
    home = tmp_path_factory.mktemp("past")
    write_shops(home / "shops.csv")
    for name, text in (("digits", _DIGITS), ("diabetes", _DIABETES), ("shops", _SHOPS)):
        (home / f"{name}.yaml").write_text(text)
        settings = Settings(out=home / name, report=False, in_process=True)
        run_sweep(load_sweep(home / f"{name}.yaml"), settings)
    return home


@pytest.fixture
def own(past, tmp_path):
    """The same files to change; the stores say where the data of `past` lies."""
    shutil.copytree(past, tmp_path / "own")
    return tmp_path / "own"


def rows_of(directory):
    return pd.read_csv(directory / "results.csv").set_index(["trial", "seed"])


def dataset_of(past, name):
    return load_dataset(load_sweep(past / f"{name}.yaml").data)


@pytest.mark.parametrize(
    ("name", "trial", "seed"),
    [
        ("digits", 1, 1),
        ("diabetes", 4, 0),
        ("shops", 2, 0),
        *(slow("digits", trial, 0) for trial in (4, _TRIALS)),
    ],
)
def test_every_row_is_reproduced(past, name, trial, seed):
    said = hpsearch("reproduce", name, "--trial", trial, "--seed", seed, cwd=past)
    score = rows_of(past / name).loc[(trial, seed), "score"]
    assert said.stdout.startswith(f"{label(trial, seed)}: ")
    assert "again, equal to its row; so is every metric of every epoch" in said.stdout
    assert float(re.search(r" val_\w+ (\S+) again", said.stdout)[1]) == score


def number_of(store, trial, seed):
    return next(e.number for e in store.executions() if (e.trial, e.seed) == (trial, seed))


def spoil(directory, trial, seed=0, **changes):
    with Store(directory / "sweep.db") as store:
        result = store.results()[number_of(store, trial, seed)]
        store.add_results([replace(result, **changes)])


def test_another_score_is_said(own):
    spoil(own / "digits", 3, score=0.5, versions=installed() | {"keras": "3.0.1"})
    which = ("--trial", 3, "--seed", 0)
    said = hpsearch("reproduce", "digits", *which, cwd=own, code=1)
    assert "not equal to its row's 0.5" in said.stdout
    assert f"keras was 3.0.1 and is {keras.__version__} now" in said.stdout
    assert "tensorflow was" not in said.stdout
    said = hpsearch("export", "digits", *which, "--out", "m.keras", cwd=own, code=3)
    assert "trial 3 did not give its row's val_accuracy, 0.5" in said.stderr
    assert not (own / "m.keras").exists()
    said = hpsearch("evaluate", "digits", "--split", "test", *which, cwd=own, code=3)
    assert package.load(own / "digits").evaluations == ()


def test_a_curve_that_differs_is_said(own):
    with Store(own / "digits" / "sweep.db") as store:
        curve = [dict(epoch) for epoch in store.results()[number_of(store, 3, 1)].curve]
    curve[1]["loss"] += 1e-6
    spoil(own / "digits", 3, 1, curve=curve)
    said = hpsearch("reproduce", "digits", "--trial", 3, "--seed", 1, cwd=own)
    assert "again, equal to its row\n  the first epoch that differs is 2 of" in said.stdout


_COMMANDS = [
    ["reproduce"],
    ["reproduce", "--script", "standalone"],
    ["export", "--out", "m.keras"],
    ["evaluate", "--split", "test"],
]


def test_a_trial_without_a_score_is_explained(own):
    with Store(own / "digits" / "sweep.db") as store:
        for number in (number_of(store, 2, 0), number_of(store, 2, 1)):
            error = "epoch 1: loss is nan"
            store.add_results([ExecutionResult(number, Status.DIVERGED, error=error)])
    for name, *options in _COMMANDS:
        said = hpsearch(name, "digits", *options, "--trial", 2, cwd=own, code=2).stderr
        assert "trial 2 has no score, it is diverged: epoch 1: loss is nan" in said
    said = hpsearch("reproduce", "digits", "--trial", 99, cwd=own, code=2).stderr
    assert f"there is no trial 99; its trials are 1 to {_TRIALS}" in said
    said = hpsearch("reproduce", "digits", "--trial", 3, "--seed", 7, cwd=own, code=2).stderr
    assert "there is no trial 3, seed 7; " in said
    assert not (own / "m.keras").exists()


@pytest.mark.slow
def test_other_data_is_refused(own):
    before = rows_of(own / "shops")["data"].iloc[0]
    text = load_sweep(own / "shops.yaml")
    with Store(own / "shops" / "sweep.db") as store:
        store.set_meta({"sweep": dump_sweep(text)})
    csv = own / "shops.csv"
    csv.write_text(csv.read_text().replace("good", "bad", 1))
    now = dataset_of(own, "shops").fingerprint
    assert now != before
    for name, *options in _COMMANDS:
        said = hpsearch(name, "shops", *options, "--trial", 1, cwd=own, code=3).stderr
        assert f'data: was "{before}", is "{now}"' in said
    csv.unlink()
    said = hpsearch("reproduce", "shops", "--trial", 1, cwd=own, code=2).stderr
    assert "shops.csv: missing, or not a regular file" in said


def test_rows_of_a_function_have_no_model(tmp_path):
    package.optimize(lambda c: c["x"], {"x": [1, 2]}, "grid", out=tmp_path / "out")
    said = hpsearch("reproduce", "out", "--trial", 1, cwd=tmp_path, code=2).stderr
    assert "its rows are those of a function" in said
    said = hpsearch("reproduce", "nowhere", "--trial", 1, cwd=tmp_path, code=2).stderr
    assert "nowhere: no results directory" in said


@pytest.mark.slow
def test_a_model_that_was_not_kept_is_trained_again(past, tmp_path):
    rows, split = rows_of(past / "digits"), dataset_of(past, "digits").validation
    said = hpsearch("export", "digits", "--out", tmp_path / "best.keras", cwd=past)
    assert "training it again" not in said.stderr
    trial, seed = map(int, rows["score"].idxmin())
    which = ("--trial", trial, "--seed", seed)
    (tmp_path / "other.keras").write_text("an earlier file")
    said = hpsearch("export", "digits", *which, "--out", tmp_path / "other.keras", cwd=past)
    assert f"{label(trial, seed)}: its weights were not kept; training it again" in said.stderr
    predicted = keras.models.load_model(tmp_path / "other.keras").predict(split.x, verbose=0)
    share = np.float32((predicted.argmax(axis=1) == split.y).mean())
    assert share == np.float32(rows.loc[(trial, seed), "score"])
    assert {path.name for path in tmp_path.iterdir()} == {"best.keras", "other.keras"}


@pytest.mark.parametrize("out", ["m.h5", "no/m.keras", "d.keras"])
def test_where_no_model_can_be_written(past, tmp_path, out):
    (tmp_path / "d.keras").mkdir()
    said = hpsearch("export", past / "digits", "--out", out, cwd=tmp_path, code=2).stderr
    assert "must be a file with the suffix .keras in an existing directory" in said


def evaluations_in(page):
    """When each was taken, as the page has them, a metric after the other."""
    (text,) = re.findall(
        r'<script type="application/json" id="payload">(.*?)</script>', page.read_text()
    )
    rows = json.loads(text)["sweeps"][0]["evaluations"]
    return [row[0] for metric in ("loss", "accuracy") for row in rows if row[4] == metric]


@pytest.mark.slow
def test_each_look_is_on_the_record_and_shown(own):
    before = hpsearch("show", "digits", cwd=own).stdout
    assert "evaluations" not in before
    hpsearch("evaluate", "digits", "--split", "test", cwd=own)
    hpsearch("evaluate", "digits", "--split", "validation", "--trial", 1, cwd=own)
    said = hpsearch("evaluate", "digits", "--split", "test", "--trial", 1, cwd=own).stdout
    assert "recorded: evaluation 2 on the test split" in said
    assert "the test split has judged 2 models now" in said
    evaluations = package.load(own / "digits").evaluations
    assert [each.split for each in evaluations] == ["test", "validation", "test"]
    shown = hpsearch("show", "digits", cwd=own).stdout
    assert shown.startswith(before)
    for each in evaluations:
        assert each.time in shown
        assert f"{each.score.value:.4f}" in shown
    assert hpsearch("show", "digits/results.csv", cwd=own).stdout == shown
    hpsearch("report", "digits", cwd=own)
    assert evaluations_in(own / "digits" / "report.html") == 2 * [each.time for each in evaluations]
    # A run that goes on keeps them, and its report has them.
    hpsearch("run", "digits.yaml", "--out", "digits", "--set", "parameters.epochs=[1, 2]", cwd=own)
    assert package.load(own / "digits").evaluations == evaluations
    assert len(evaluations_in(own / "digits" / "report.html")) == 6


def test_a_table_with_text_columns_is_evaluated_from_raw_rows(own):
    found = package.load(own / "shops").evaluate()
    assert (found.split, found.rows) == ("test", 48)
    model, data = keras.models.load_model(own / "shops" / "best.keras"), dataset_of(own, "shops")
    # Rows as pandas reads them from the user's file: numbers and words.
    assert {"size", "town", "kind"} <= set(data.test.x)
    assert data.test.x["town"].dtype == object
    for split, score in (
        (data.test, found.score.value),
        (data.validation, best_trial(read_table(own / "shops"))["val_accuracy"]),
    ):
        right = (model.predict(split.x, verbose=0)[:, 0] > 0.5) == split.y
        assert np.float32(right.mean()) == np.float32(score)


def test_no_test_split(finished):
    before = package.load(finished / "two").evaluations
    said = hpsearch("evaluate", "two", "--split", "test", cwd=finished, code=2).stderr
    assert "there is no test split: digits ships none" in said
    assert "data.test" in said
    said = hpsearch("evaluate", "two", "--split", "tset", cwd=finished, code=2).stderr
    assert "train, validation, test, not 'tset'" in said
    assert "--split" in hpsearch("evaluate", "two", cwd=finished, code=2).stderr
    assert package.load(finished / "two").evaluations == before


def test_nothing_is_evaluated_while_another_run_holds_the_directory(own):
    with DirectoryLock(own / "digits"):
        said = hpsearch("evaluate", "digits", "--split", "test", cwd=own, code=3).stderr
    assert f"process {os.getpid()}" in said
    assert package.load(own / "digits").evaluations == ()


@pytest.mark.slow
def test_a_signal_ends_it_and_leaves_no_process(tmp_path):
    shutil.copy(ODD_LAYERS, tmp_path)
    (tmp_path / "sweep.yaml").write_text(
        "data: {dataset: iris, validation: 0.3, seed: 1}\n"
        "parameters: {units: 4, epochs: 1, layer_type: 'odd_layers:slow'}\n"
    )
    hpsearch("run", "sweep.yaml", "--out", "out", cwd=tmp_path)
    at_it = tmp_path / "at_it"
    (tmp_path / "odd_layers.py").write_text(
        "import pathlib, time\n\n\n"
        "def slow(x, units, activation):\n"
        f"    pathlib.Path({str(at_it)!r}).touch()\n    time.sleep(600)\n"
    )
    with subprocess.Popen(
        [*PROGRAM, "reproduce", "out", "--trial", "1", "--sweep", "sweep.yaml"],
        cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            wait_for(at_it.exists, 120, what="a worker at its training")
            running = Running(process, tmp_path)
            assert running.servers()
            said = running.ended_by(signal.SIGTERM, within=5, left_for=5)
            assert said.strip() == "terminated"
        finally:
            process.kill()
