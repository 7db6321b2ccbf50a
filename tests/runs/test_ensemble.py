"""Ensembles: the best models, chosen greedily, whose outputs one file averages."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import hpsearch as command
from here import run_here

import hpsearch
from hpsearch.data.dataset import Split
from hpsearch.data.specs import InputSpec, Target, Task
from hpsearch.errors import InputError, RefusedError
from hpsearch.models.problem import Problem, Recipe
from hpsearch.runs.averaging import _score, choose
from hpsearch.runs.predicting import predictor_of
from hpsearch.runs.trial import Source, Which
from hpsearch.store.store import Store

PENGUINS = Path(__file__).parents[2] / "experiments" / "penguins.csv"
_CLASSES = f"""\
data: {{csv: {PENGUINS}, target: species, test: 0.25}}
method: random
budget: {{trials: 8}}
metric: val_loss
parameters: {{units: {{min: 2, max: 32}}, epochs: 15, optimizer: adam, learning_rate: 0.05}}
"""
_NUMBERS = """\
data: {dataset: diabetes, cv: 2, test: 0.2}
parameters: {units: [4, 8], epochs: 3, optimizer: sgd, l2: 0.1}
seeds: 2
"""


def averaged(ensemble, results, folds, predicted):
    """The weighted mean of what is predicted by the members' exported models."""
    total = 0.0
    for member in ensemble.members.itertuples():
        for fold in folds:
            path = results.directory / "member.keras"
            results.export(path, member.trial, member.seed, fold)
            of_model = predicted(predictor_of(Source(path), Which()))
            total = total + of_model * member.share / len(folds)
    return total


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    made = tmp_path_factory.mktemp("table")
    run_here(_CLASSES, made / "out")
    return made


def test_an_ensemble_of_a_table_is_one_model_of_raw_rows(home):
    results = hpsearch.load(home / "out")
    ensemble = results.ensemble(size=5)
    assert ensemble.path == home / "out" / "ensemble.keras"
    assert ensemble.members["share"].sum() == pytest.approx(1)
    assert ensemble.members["share"].is_monotonic_decreasing
    assert len(ensemble.members) > 1
    single = ensemble.single_score
    assert ensemble.score < single == pytest.approx(results.best["score"], rel=1e-5)
    # With texts and gaps.
    rows = pd.read_csv(PENGUINS)
    expected = averaged(ensemble, results, [None], lambda model: model.probabilities(rows))
    np.testing.assert_allclose(ensemble.predict_proba(rows), expected, rtol=1e-5)
    labels = [results.classes[index] for index in expected.argmax(axis=1)]
    assert ensemble.predict(rows).tolist() == labels
    of_best, of_ensemble = ensemble.evaluations
    assert results.evaluations[-2:] == ensemble.evaluations
    assert of_best.model == f"trial {results.best['trial']}"
    assert results.ensemble(size=5).evaluations[1].model == of_ensemble.model
    assert len(results.evaluations) == 2
    assert re.fullmatch(r"ensemble \w{8}", of_ensemble.model)
    assert (of_ensemble.split, of_ensemble.rows) == ("test", 86)


def test_the_commands_make_it_and_predict_with_its_file(home):
    out = "elsewhere.keras"
    said = command("ensemble", "out", "--size", 3, "--candidates", 4, "--out", out, cwd=home)
    assert said.stdout.splitlines()[0].split() == ["trial", "config", "seed", "share"]
    assert "on the validation rows, which chose it; trial " in said.stdout
    assert re.search(r"^loss of ensemble \w{8} on the test rows: 0\.", said.stdout, re.MULTILINE)
    assert "warning: the test split has judged 3 models now" in said.stdout
    assert "models again, whose weights were not kept" in said.stderr
    said = command("predict", out, PENGUINS, cwd=home)
    assert said.stdout.splitlines()[:2] == ["prediction", "Adelie"]
    said = command("predict", out, PENGUINS, "--trial", 2, cwd=home, code=2)
    assert said.stderr == f"{out}: is one model, so leave out trial 2\n"
    assert "ensemble" in command("show", "out", cwd=home).stdout
    assert "all is sound" in command("doctor", "out", cwd=home).stdout


def test_folds_and_seeds_are_members_in_the_unit_of_the_target(tmp_path):
    run_here(_NUMBERS, tmp_path)
    results = hpsearch.load(tmp_path)
    ensemble = results.ensemble(size=6, out=tmp_path / "mean.keras")
    best = results.table[results.table["trial"] == results.best["trial"]]
    # With the penalty of weights, as the sweep scores.
    of_seeds = best.groupby("seed")["score"].mean()
    assert ensemble.score <= ensemble.single_score == pytest.approx(of_seeds.min(), rel=1e-4)
    assert ensemble.evaluations[0].model == f"trial {results.best['trial']}"
    x = np.random.default_rng(0).normal(0, 0.05, (20, 10)).astype(np.float32)
    expected = averaged(ensemble, results, [1, 2], lambda model: model.labels(x))
    np.testing.assert_allclose(ensemble.predict(x), expected, rtol=1e-4)
    assert 50 < ensemble.predict(x).mean() < 300


def test_a_row_whose_training_gives_another_score_is_left_out(home):
    with Store(home / "out" / "sweep.db") as store:
        results = store.results()
        worst = max(results.values(), key=lambda result: result.score)
        store.add_results([replace(worst, score=worst.score / 2)])
    said = command("ensemble", "out", cwd=home)
    with Store(home / "out" / "sweep.db") as store:
        store.add_results([worst])
    assert f"left out: trial {worst.number} did not give its row's val_loss" in said.stderr
    assert f"\n    {worst.number}  c" not in said.stdout


def test_what_has_no_ensemble_is_explained(home, tmp_path):
    results = hpsearch.load(home / "out")
    for wrong in ({"size": 0}, {"candidates": 0}):
        with pytest.raises(InputError, match=r": must be a whole number, 1 or more, not 0"):
            results.ensemble(**wrong)
    for path in ("model.h5", "none/model.keras"):
        with pytest.raises(InputError, match=r"must be a file with the suffix \.keras"):
            results.ensemble(out=tmp_path / path)
    with pytest.raises(InputError, match=r"would be replaced, and nothing else has its content"):
        results.ensemble(out=home / "out" / "best.keras")
    final = _CLASSES.replace("test: 0.25", "test: 0.25, train_on: train+validation")
    run_here(final.replace("trials: 8", "trials: 1"), tmp_path)
    with pytest.raises(InputError, match="trained on the validation rows, which choose"):
        hpsearch.load(tmp_path).ensemble()


def test_the_loss_of_rows_with_weights_is_the_sweep_s():
    recipe = Recipe(0, "mean_squared_error", "linear", "val_loss", "minimize")
    target = Target(Task.REGRESSION, 1, mean=(2.0,), std=(3.0,))
    y, weights = np.array([[0.0], [1.0]], "f4"), np.array([1.0, 3.0], "f4")
    rows = Split(np.zeros((2, 1), "f4"), y, weights)
    # Targets in their own unit are 2 and 5; a weighted sum is divided by the number of rows.
    score = _score(Problem(recipe, InputSpec((1,), "float32"), target), np.array([[3], [7]]), rows)
    assert score == pytest.approx((1 * 1 + 3 * 4) / 2)


def test_a_file_that_was_replaced_predicts_no_more(home):
    results = hpsearch.load(home / "out")
    first = results.ensemble(size=1)
    results.ensemble(size=5)
    with pytest.raises(RefusedError, match="is not this ensemble any more; make it again"):
        first.predict(pd.read_csv(PENGUINS))
    assert first.path.exists()


def test_each_choice_makes_the_average_score_best():
    """Two models err in opposite directions; a third is better alone than either."""
    outputs = np.array([[0.6, 0.6], [0.0, 0.9], [1.0, 0.1]])

    def error(chosen):
        return float(np.abs(outputs[list(chosen)].mean(axis=0) - 0.5).sum())

    assert choose(3, error, 1, maximize=False) == [0]
    outputs = outputs[1:]
    assert choose(2, error, 4, maximize=False) == [0, 1]
    assert choose(2, error, 4, maximize=True) == [0]
