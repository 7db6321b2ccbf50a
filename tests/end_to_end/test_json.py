"""`--json` of the commands that read, and `show` without a directory."""

import json

import pandas as pd
import pytest
from commands import hpsearch

import hpsearch as package
from hpsearch.machine import version_of


def document(*arguments, cwd, code=0):
    """The document that a command prints, without its version."""
    said = hpsearch(*arguments, "--json", cwd=cwd, code=code)
    content = json.loads(said.stdout)
    assert content.pop("hpsearch") == version_of("hpsearch")
    return content


def test_show_gives_trials_with_their_values(home):
    table = pd.read_csv(home / "out" / "results.csv")
    content = document("show", "out", "--top", 2, cwd=home)
    best = content["best"][0]
    row = table[table["trial"] == best["trial"]].iloc[0]
    assert len(content["best"]) == 2
    assert best["score"] == table["score"].max() == row["score"]
    assert best["values"]["units"] == row["units"]
    assert isinstance(best["values"]["units"], int)
    assert best["metrics"]["val_loss"] == row["val_loss"]
    assert best["std"] is None
    assert content["trials"] == {"completed": len(table)}
    assert (content["goal"], content["process"]) == ("maximize", None)


def test_show_without_a_directory_lists_the_sweeps_below(home, tmp_path_factory):
    (line,) = document("show", cwd=home)["sweeps"]
    assert (line["directory"], line["trials"], line["process"]) == (
        "out",
        len(pd.read_csv(home / "out" / "results.csv")),
        None,
    )
    shown = hpsearch("show", cwd=home).stdout
    assert "out" in shown
    assert f"{line['metric']} {line['best']:.4f}" in shown
    foreign = tmp_path_factory.mktemp("empty")
    (foreign / "results.csv").write_text("a,b\n1,2\n")
    assert "no sweep's results are below" in hpsearch("show", cwd=foreign).stdout
    assert document("show", cwd=foreign)["sweeps"] == []


def test_plan_counts_what_is_done_and_what_is_left(home):
    content = document("plan", "sweep.yaml", "--out", "new", cwd=home)
    done = document("plan", "sweep.yaml", "--out", "out", cwd=home)
    assert content["trials"] == done["trials"] == done["trials_done"] > content["trials_done"] == 0
    assert content["complete"] is True
    assert content["seconds"][0] <= content["seconds"][1]
    assert content["trainings"] <= content["executions"]
    assert done["trainings"] == 0


def test_a_plan_of_a_method_that_learns_has_its_most_trials(home):
    changes = ("--set", "method=tpe", "--set", "budget.trials=9")
    content = document("plan", "sweep.yaml", "--out", "new", *changes, cwd=home)
    assert (content["most_trials"], content["method"]) == (9, "tpe")
    assert "trials" not in content


def test_list_and_doctor(home):
    names = document("list", "methods", cwd=home)["names"]
    assert {"grid", "tpe", "auto"} <= {entry["name"] for entry in names}
    content = document("doctor", "out", cwd=home)
    assert content["sound"] is True
    assert {finding["level"] for finding in content["findings"]} <= {"sound", "note"}
    (home / "out" / "results.csv").write_text("trial\n1\n")
    content = document("doctor", "out", cwd=home, code=3)
    assert content["sound"] is False
    assert "WRONG" in {finding["level"] for finding in content["findings"]}


@pytest.mark.slow
def test_evaluate_gives_intervals(home):
    content = document("evaluate", "out", "--split", "validation", cwd=home)
    accuracy = content["metrics"]["accuracy"]
    assert accuracy["low"] <= accuracy["value"] <= accuracy["high"]
    assert (content["split"], content["trials_evaluated"]) == ("validation", 1)
    # Other tests may have evaluated the same results before they were copied.
    assert content["evaluations"] == len(package.load(home / "out").evaluations)


def test_an_error_is_a_document_too(home):
    said = hpsearch("show", "nowhere", "--json", cwd=home, code=2)
    error = json.loads(said.stdout)["error"]
    assert error["exit_code"] == 2
    assert error["message"] == said.stderr.strip()
    assert "nowhere" in error["message"]
