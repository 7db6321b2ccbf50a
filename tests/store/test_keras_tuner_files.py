"""KerasTuner's project directories as results tables.

`keras_tuner_projects` has directories that KerasTuner 1.0.2, 1.1.3, 1.2.1 and 1.3.5 wrote.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import warnings
from pathlib import Path

import keras_tuner
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import hpsearch
from hpsearch.errors import InputError
from hpsearch.store.tables import hyperparameter_columns, read_table, write_csv
from hpsearch.store.trials import best_trial

OLD = Path(__file__).with_name("keras_tuner_projects")
OBJECTIVE = keras_tuner.Objective("val_accuracy", "max")


class Search(keras_tuner.HyperModel):
    """A space whose trials fail, diverge or score without a training."""

    def build(self, hp):
        hp.Choice("units", [8, 16, 32])
        hp.Float("learning_rate", 1e-4, 1e-1, sampling="log")
        hp.Choice("layer", ["dense", "dropout"])
        with hp.conditional_scope("layer", ["dropout"]):
            hp.Float("rate", 0.1, 0.5, step=0.2)
        hp.Boolean("bias")


def scored(trial):
    values = trial.hyperparameters.get_config()["values"]
    if values["units"] == 32 and values["bias"]:
        raise MemoryError("too large:\n32 units")
    if values["units"] == 8 and values["layer"] == "dropout":
        return {"cost": 1.0, "val_accuracy": math.nan}
    return {"cost": 0.1, "val_accuracy": values["units"] / 40 + values["learning_rate"]}


def searched(directory, tuner, **options):
    """A finished search, in `directory/project`."""

    class Tuner(tuner):
        def run_trial(self, trial, *args, **kwargs):
            return scored(trial)

    found = Tuner(
        Search(),
        objective=OBJECTIVE,
        directory=directory,
        project_name="project",
        seed=3,
        max_consecutive_failed_trials=99,
        **options,
    )
    with warnings.catch_warnings():
        # KerasTuner takes the maximum of no numbers.
        warnings.simplefilter("ignore", RuntimeWarning)
        found.search(verbose=0)
    return found


@pytest.fixture(
    scope="module",
    params=[
        (keras_tuner.RandomSearch, {"max_trials": 12}),
        (keras_tuner.GridSearch, {"max_trials": 12}),
        (keras_tuner.BayesianOptimization, {"max_trials": 8}),
        (keras_tuner.Hyperband, {"max_epochs": 4, "factor": 2}),
    ],
    ids=lambda param: param[0].__name__,
)
def tuner(request, tmp_path_factory):
    kind, options = request.param
    return searched(tmp_path_factory.mktemp("search"), kind, **options)


@pytest.fixture
def project(tmp_path):
    """A copy of a project of KerasTuner 1.3."""
    return Path(shutil.copytree(OLD / "1.3", tmp_path / "project"))


def changed(project, name, **changes):
    """Change a trial's file, or oracle.json; keys are `a__b` for `a: {b: ...}`."""
    path = project / name / "trial.json" if name.startswith("trial") else project / name
    content = json.loads(path.read_text())
    for keys, value in changes.items():
        *parents, last = keys.split("__")
        part = content
        for key in parents:
            part = part[key]
        part[last] = value
    path.write_text(json.dumps(content))


def test_a_search_of_each_tuner(tuner):
    table = read_table(tuner.project_dir).set_index("trial")
    trials = {int(key) + 1: trial for key, trial in tuner.oracle.trials.items()}
    assert list(table.index) == sorted(trials)
    assert list(table["status"].unique()) != ["failed"]
    for number, trial in trials.items():
        row, values = table.loc[number], trial.hyperparameters.get_config()["values"]
        if trial.status == "COMPLETED":
            assert row["status"] == "completed"
            assert row["score"] == row["best_score"] == row["val_accuracy"] == trial.score
            assert row["cost"] == 0.1
        else:
            assert row["status"] == ("failed" if trial.message else "diverged")
            assert math.isnan(row["score"])
            assert row["error"] is pd.NA or row["error"] == "MemoryError: too large: 32 units"
        for name in ("units", "learning_rate", "layer", "bias"):
            assert row[name] == values[name]
        assert row["rate"] == values["rate"] if "rate" in values else math.isnan(row["rate"])
        if isinstance(tuner, keras_tuner.Hyperband):
            assert row["epochs"] == values["tuner/epochs"]
    (best,) = tuner.oracle.get_best_trials()
    assert best_trial(table.reset_index())["score"] == best.score
    assert set(table["metric"]) == {"val_accuracy:maximize:best"}
    assert set(table["sweep"]) == {"project"}
    unknown = ["seed", "best_epoch", "epochs_trained", "weights", "seconds", "trainer", "data"]
    assert table[unknown].isna().all(axis=None)


@pytest.mark.parametrize(
    ("version", "numbers", "statuses", "scores", "epochs"),
    [
        # The last trial of 1.0 and 1.1 was interrupted.
        ("1.0", [1, 2, 3], ["completed"] * 3, [0.2, 0.4, 0.2], [2, 1, 1]),
        ("1.1", [1, 2, 3], ["completed"] * 3, [0.2, 0.4, 0.2], [1, 1, 2]),
        (
            "1.2",
            [1, 2, 3, 4, 5],
            ["completed", "failed", "completed", "completed", "failed"],
            [0.2, None, 0.4, 0.4, None],
            None,
        ),
        (
            "1.3",
            [1, 2, 3, 4, 5],
            ["completed", "failed", "completed", "completed", "failed"],
            [0.2, None, 0.4, 0.4, None],
            None,
        ),
    ],
)
def test_older_versions(version, numbers, statuses, scores, epochs):
    table = read_table(OLD / version)
    assert list(table["trial"]) == numbers
    assert list(table["status"]) == statuses
    assert [None if math.isnan(score) else score for score in table["score"]] == scores
    expected = ["units", "layer", "rate", *(["epochs"] if epochs else [])]
    assert hyperparameter_columns(table) == expected
    assert epochs is None or list(table["epochs"]) == epochs
    assert set(table["metric"]) == {"val_loss:minimize:best"}
    assert set(table["error"].dropna()) <= {"ValueError: no memory"}
    assert (table["config"].str.fullmatch("c[0-9a-f]{11}")).all()
    # Hyperband's configs that continue differ in their epochs.
    assert table["config"].is_unique
    dense = table["layer"] == "dense"
    assert table.loc[dense, "rate"].isna().all()


def test_the_best_epoch_is_known_where_fit_reported_it(project):
    assert list(read_table(project)["best_epoch"].dropna()) == [2, 2, 2]
    # Step 0 of KerasTuner 1.0 says nothing; a trial that Hyperband continues counts on.
    assert read_table(OLD / "1.0")["best_epoch"].isna().all()
    assert list(read_table(OLD / "1.1")["best_epoch"]) == [2, 2, 3]
    first = {"direction": "min", "observations": [{"value": [0.2], "step": 0}]}
    changed(project, "trial_0", best_step=0, metrics__metrics={"loss": first, "val_loss": first})
    assert read_table(project)["best_epoch"][0] == 1
    changed(project, "trial_0", metrics__metrics={"val_loss": first})
    assert pd.isna(read_table(project)["best_epoch"][0])


def test_random_ids_are_numbered_in_the_order_of_their_start(tmp_path):
    project = Path(shutil.copytree(OLD / "1.0", tmp_path / "project"))
    ids = sorted(path.name.removeprefix("trial_") for path in project.glob("trial_*"))
    assert list(read_table(project)["epochs"]) == [2, 1, 1]
    changed(project, "oracle.json", start_order=[ids[2], ids[1], ids[0], ids[3]])
    assert list(read_table(project)["epochs"]) == [1, 1, 2]


def test_values_of_inactive_hyperparameters_are_left_out(project):
    values = {"units": 8, "layer": "dense", "rate": 0.3}
    before = read_table(project)["config"][0]
    changed(project, "trial_0", hyperparameters__values=values)
    table = read_table(project)
    assert math.isnan(table["rate"][0])
    assert table["config"][0] == before


def test_a_score_that_is_not_finite_has_diverged(project):
    history = {"direction": "min", "observations": [{"value": [math.inf], "step": 1}]}
    changed(project, "trial_0", score=math.inf, metrics__metrics__val_loss=history)
    changed(project, "trial_1", score=math.nan, message=None)
    changed(project, "trial_2", score=-math.inf)
    table = read_table(project)
    assert list(table["status"]) == ["diverged", "diverged", "diverged", "completed", "failed"]
    assert table["score"].notna().sum() == 1
    assert table["val_loss"][0] == math.inf


def test_metrics_are_means_over_executions(project):
    history = {"direction": "min", "observations": [{"value": [0.1, 0.3], "step": 1}]}
    changed(project, "trial_0", metrics__metrics__val_loss=history)
    assert read_table(project)["val_loss"][0] == 0.2


def test_an_unknown_objective_is_refused(project):
    for number in range(5):
        changed(project, f"trial_{number}", score=7.0 if number != 1 else None)
    with pytest.raises(InputError, match=r"large scores are good is not known.*are: none"):
        read_table(project)
    opposite = {"direction": "max", "observations": [{"value": 0.2, "step": 1}]}
    for number in range(1, 5):
        shutil.rmtree(project / f"trial_{number}")
    changed(project, "trial_0", score=0.2, metrics__metrics__gain=opposite)
    with pytest.raises(InputError, match="are: loss, val_loss, gain"):
        read_table(project)


def test_a_project_without_a_score_has_a_table(project):
    for number in range(5):
        changed(project, f"trial_{number}", status="RUNNING")
    assert len(read_table(project)) == 0
    changed(project, "trial_0", status="COMPLETED", score=None)
    table = read_table(project)
    assert list(table["status"]) == ["failed"]
    assert table["metric"].isna().all()


def test_half_written_files_are_left_out_with_a_warning(project):
    for name in ("trial_0/trial.json", "oracle.json"):
        path = project / name
        path.write_text(path.read_text()[:200])
    (project / "trial_2" / "trial.json").write_bytes(b"")
    with pytest.warns(UserWarning, match="left out, because it is not whole") as warned:
        table = read_table(project)
    assert list(table["trial"]) == [2, 4, 5]
    said = [str(each.message) for each in warned]
    assert [each.split(":")[0].removeprefix(f"{project}{os.sep}") for each in said] == [
        "oracle.json",
        "trial_0/trial.json",
        "trial_2/trial.json",
    ]


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("trial_0", {"score": "0.5"}, "trial_0/trial.json: not as .*: score: "),
        ("trial_0", {"score": 10**400}, "trial_0/trial.json: not as .*: score: "),
        ("trial_0", {"metrics": []}, "trial_0/trial.json: not as .*: metrics: "),
        ("trial_0", {"hyperparameters__values__units": [8]}, "trial_0/trial.json: .*units"),
        ("trial_0", {"hyperparameters__space": [3]}, "trial_0/trial.json: .*space.0: "),
        ("trial_0", {"best_step": 1e300}, "trial_0/trial.json: .*best_step: "),
        ("oracle.json", {"hyperparameters": 3}, "oracle.json: .*hyperparameters: "),
        ("oracle.json", {"start_order": {}}, "oracle.json: .*start_order: "),
    ],
)
def test_damaged_files_are_named(project, name, changes, words):
    changed(project, name, **changes)
    with pytest.raises(InputError, match=words):
        read_table(project)


@pytest.mark.parametrize("content", ["[" * 100_000, "[]", "null", '"text"', "3"])
def test_files_of_something_else_are_named(project, content):
    (project / "trial_0" / "trial.json").write_text(content)
    with pytest.raises(InputError, match=r"trial_0/trial\.json: not a"):
        read_table(project)
    shutil.rmtree(project / "trial_0")
    (project / "trial_0" / "trial.json").mkdir(parents=True)
    with pytest.raises(InputError, match=r"trial_0/trial\.json: cannot be read"):
        read_table(project)


def test_hostile_text_stays_text(project, tmp_path):
    values = {"=1+1": "=cmd()", "\x1b[31mred": "\x1b]0;x\x07", "score": "12e5", "huge": 10**400}
    space = [
        {"class_name": "__import__", "config": {"name": name, "conditions": []}} for name in values
    ]
    changed(
        project,
        "trial_0",
        hyperparameters={"space": space, "values": values},
        metrics__metrics__seconds={"direction": "min", "observations": [{"value": 1, "step": 1}]},
    )
    changed(project, "trial_1", message="\x1b[2Jbad\r\nnews", status="odd \x1b[2J")
    table = read_table(project)
    assert [*table.columns[8:12]] == ["=1+1", '"\\u001b[31mred"', "hp_score", "huge"]
    assert table["metric_seconds"][0] == 1
    assert list(table["trial"]) == [1, 3, 4, 5]
    assert all(str(cell).isprintable() for cell in table.astype(object).to_numpy().ravel())
    write_csv(table, tmp_path / "results.csv")
    text = (tmp_path / "results.csv").read_text()
    assert "'=1+1" in text
    assert "'=cmd()" in text
    assert_frame_equal(read_table(tmp_path / "results.csv"), table)


def test_names_of_an_mlp_may_hold_anything(project):
    space = [{"config": {"name": name, "conditions": []}} for name in ("batch_size", "epochs")]
    for number, values in enumerate([("32", 1.5), ("64", 2)]):
        named = dict(zip(("batch_size", "epochs"), values, strict=True))
        changed(project, f"trial_{number}", hyperparameters={"space": space, "values": named})
    table = read_table(project)
    assert list(table["batch_size"][:2]) == ["32", "64"]
    assert list(table["epochs"][:2]) == [1.5, 2]


def test_two_names_of_one_column_are_an_error(project):
    history = {"direction": "min", "observations": [{"value": 1, "step": 1}]}
    both = {"metrics__metrics__seconds": history, "metrics__metrics__metric_seconds": history}
    changed(project, "trial_0", **both)
    with pytest.raises(InputError, match="the same column"):
        read_table(project)


def test_results_of_hpsearch_come_first(project):
    write_csv(read_table(project).head(1), project / "results.csv")
    assert len(read_table(project)) == 1


def test_python_loads_a_project(project, tmp_path):
    results = hpsearch.load(project)
    assert results.best["score"] == 0.2
    assert results.curves.empty
    assert results.importance() is not None
    results.report(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    # Times and epochs are unknown, not zero.
    assert '"work":null' in page
    assert "of training" not in page.partition('"tiles"')[2].partition('"summary"')[0]
    with pytest.raises(InputError, match=r"no sweep\.db"):
        results.evaluate("train")
