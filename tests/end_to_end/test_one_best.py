"""Whoever names the best trial names the same one, with the same score."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import pandas as pd
import pytest
from commands import hpsearch

import hpsearch as package
from hpsearch.comparison.table import read_tables
from hpsearch.data.loading import load_dataset
from hpsearch.results import Results
from hpsearch.space.execution import ExecutionResult, Status, label
from hpsearch.store.store import Store
from hpsearch.wording import number

_DIGITS = "data: {dataset: digits, validation: 0.2, seed: 42}\n"
_WINE = "data: {dataset: wine, validation: 0.25, seed: 1}\n"


class Ended(NamedTuple):
    """A sweep that was run to its end: what Python gets, and what the command said."""

    results: Results
    said: subprocess.CompletedProcess[str]


def run(home: Path, text: str, *options: object) -> Ended:
    (home / "sweep.yaml").write_text(text)
    said = hpsearch("run", "sweep.yaml", "--out", "out", *options, cwd=home)
    return Ended(package.load(home / "out"), said)


def an_edited_space(home: Path, before: str, after: str) -> Ended:
    """The best lies outside the edited space, or in what is new."""
    text = _DIGITS + f"parameters: {{units: {before}, epochs: 2}}\n"
    run(home, text)
    ended = run(home, text.replace(before, after))
    assert ended.results.best["units"] == 256
    return ended


def several_seeds(home: Path) -> Ended:
    return run(home, _WINE + "parameters: {units: [2, 3, 4], epochs: 15}\nseeds: 3\n")


def a_smaller_loss(home: Path) -> Ended:
    text = _WINE + "parameters: {units: [2, 3, 4], epochs: [5, 15]}\nseeds: 2\n"
    return run(home, text + "metric: {name: val_loss, goal: minimize, epoch: best}\n")


def folds_of_a_file(home: Path) -> Ended:
    text = "data: {dataset: wine, cv: 3, seed: 1}\nparameters: {units: [2, 3, 4], epochs: 8}\n"
    return run(home, text + "seeds: 2\n")


def a_race(home: Path) -> Ended:
    text = _WINE + "method: random\nbudget: {trials: 8}\nseeds: {min: 1, max: 4, race: true}\n"
    ended = run(home, text + "parameters: {units: {min: 2, max: 40}, epochs: 4}\n")
    assert len(ended.results.table) > 8
    # Those without a further seed come after those with the most.
    assert ended.results.trials["executions"].nunique() > 1
    return ended


def a_retry(home: Path) -> Ended:
    """The best trial was killed; trained again, it is the best again."""
    text = _WINE + "parameters: {units: [2, 3, 16], epochs: 15}\nseeds: 2\n"
    best = run(home, text).results.best["trial"]
    with Store(home / "out" / "sweep.db") as store:
        killed = [each.number for each in store.executions() if each.trial == best]
        store.add_results([ExecutionResult(each, Status.KILLED, error="no") for each in killed])
    another = run(home, text)
    assert another.results.best["trial"] != best
    require_one_best(another)
    ended = run(home, text, "--retry")
    assert ended.results.best["trial"] == best
    return ended


def by_hand(directory: Path) -> tuple[pd.Series[float], pd.Series[Any]]:
    """The means of the trials that can be the best, the best first, and its best row."""
    rows = pd.read_csv(directory / "results.csv")
    rows = rows[rows["status"].isin(["completed", "stopped"])]
    ascending = rows["metric"].iloc[0].split(":")[1] == "minimize"
    scores = rows.groupby("trial")["score"]
    means = scores.mean()[scores.size() == scores.size().max()]
    means = means.sort_values(ascending=ascending, kind="stable")
    of_best = rows[rows["trial"] == means.index[0]].sort_values(["seed", "fold"])
    best = of_best["score"].idxmin() if ascending else of_best["score"].idxmax()
    return means, of_best.loc[best]


def first_of_best_table(said: str) -> tuple[int, str]:
    """Trial and score in the first row of the table of best trials."""
    lines = said.splitlines()
    title = next(i for i, line in enumerate(lines) if line.startswith("best trials by"))
    trial, score = lines[title + 2].split()[:2]
    return int(trial), score


def payload(page: Path) -> dict[str, Any]:
    (text,) = re.findall(
        r'<script type="application/json" id="payload">(.*?)</script>', page.read_text()
    )
    (sweep,) = json.loads(text)["sweeps"]
    return sweep


def require_in_console(said: str, err: str, trial: int, score: float) -> None:
    assert first_of_best_table(said) == (trial, f"{score:.4f}")
    progress = [line for line in err.splitlines() if line.startswith("[")]
    if progress:
        found = re.search(r"best val_\w+ ([\d.]+) \(trial (\d+)\)", progress[-1])
        assert found
        assert found.groups() == (f"{score:.4f}", str(trial))


def require_in_report(directory: Path, trial: int, score: float, ranking: list[int]) -> None:
    sweep = payload(directory / "report.html")
    assert f" {number(score)}" in sweep["answer"]["headline"]
    assert sweep["answer"]["remark"].startswith(f"Trial {trial} of ")
    assert sweep["summary"][1:3] == [number(score), trial]
    columns = {column["name"]: column for column in sweep["columns"]}
    assert columns["trial"]["values"][: len(ranking)] == ranking
    assert columns["score"]["values"][0] == pytest.approx(score, rel=1e-5)


def require_one_best(ended: Ended) -> pd.Series[Any]:
    """What needs no model: console, `show`, report, tables; the best row by hand."""
    results, said = ended
    directory = results.directory
    means, row = by_hand(directory)
    trial, score = int(means.index[0]), float(means.iloc[0])
    require_in_console(said.stdout, said.stderr, trial, score)
    shown = hpsearch("show", directory, cwd=directory.parent).stdout
    assert first_of_best_table(shown) == (trial, f"{score:.4f}")
    require_in_report(directory, trial, score, list(map(int, means.index)))
    assert (results.best["trial"], results.best["score"]) == (trial, pytest.approx(score))
    lines = results.trials.set_index("trial")
    assert lines.loc[means.index, "score"].tolist() == pytest.approx(means.tolist())
    assert lines.loc[trial, "executions"] == lines["executions"].max()
    assert lines.loc[trial, "config"] == row["config"]
    assert read_tables([directory, directory])[0].best == row["config"]
    return row


def validation_metric(results: Results, model: Any, row: pd.Series[Any]) -> tuple[float, float]:
    """The model's number of right rows in the row's validation split, and the row's."""
    fold = None if pd.isna(row["fold"]) else row["fold"]
    split = load_dataset(results.sweep.data).of_fold(fold)
    x, y = split.validation.x, split.validation.y
    predicted = model.predict(x, verbose=0)
    losses = -np.log(predicted[np.arange(len(y)), y].astype(np.float64))
    assert losses.mean() == pytest.approx(row["val_loss"], rel=1e-4)
    return int((predicted.argmax(axis=1) == y).sum()), round(row["val_accuracy"] * len(y))


_SCENARIOS = (
    pytest.param(partial(an_edited_space, before="[8, 256]", after="[8, 16]"), id="narrowed"),
    pytest.param(partial(an_edited_space, before="[8, 16]", after="[8, 16, 256]"), id="widened"),
    *(several_seeds, a_smaller_loss, folds_of_a_file, a_race, a_retry),
)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", _SCENARIOS)
def test_there_is_one_best(scenario: Callable[[Path], Ended], tmp_path: Path) -> None:
    ended = scenario(tmp_path)
    row, results = require_one_best(ended), ended.results
    fold = None if pd.isna(row["fold"]) else int(row["fold"])
    for model in (results.model(), keras.models.load_model(results.directory / "best.keras")):
        found, expected = validation_metric(results, model, row)
        assert found == expected
    exported = tmp_path / "exported.keras"
    said = hpsearch("export", "out", "--out", exported, cwd=tmp_path).stdout
    assert f"the model of {label(row['trial'], row['seed'], fold)} to" in said
    said = hpsearch("evaluate", "out", "--split", "validation", cwd=tmp_path).stdout
    assert said.startswith(f"trial {row['trial']} ({row['config']}, seed {row['seed']}")
    (evaluation,) = results.evaluations
    found, expected = validation_metric(results, keras.models.load_model(exported), row)
    assert found == expected
    assert (evaluation.trial, evaluation.config) == (row["trial"], row["config"])
    assert (evaluation.seed, evaluation.fold) == (row["seed"], fold)
    assert evaluation.score.value == pytest.approx(row["score"], rel=1e-5)
