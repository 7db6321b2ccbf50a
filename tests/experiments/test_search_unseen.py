"""experiments/search_unseen.py: a rehearsal ends in tables, judged as the protocol says."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats
from scripts import run
from search_unseen_report import Estimate

TABLES = ("made_up_1", "made_up_2")


@pytest.mark.slow
def test_a_rehearsal_ends_in_tables(tmp_path):
    methods = ("random", "tpe", "bayesian", "optuna_tpe")
    arguments = ["--tables", *TABLES, "--methods", *methods, "--seeds", "0-1", "--trials", 25]
    told = run("search_unseen.py", *arguments, out=tmp_path)
    assert told.splitlines()[0] == "16 searches to run, 0 kept"
    content = json.loads((tmp_path / "search_unseen.json").read_text(encoding="utf-8"))
    parts = content["parts"]
    assert next(iter(parts)) == "Claims that fail"
    means = {row["table"]: row for row in parts["Mean regret"]}
    assert {*means} == {*TABLES, "all"}
    for method in methods:
        apart = [float(means[table][method]) for table in TABLES]
        assert all(0 <= regret < 1 for regret in apart)
        shares = [r / float(means[t]["random"]) for r, t in zip(apart, TABLES, strict=True)]
        assert float(means["all"][method]) == pytest.approx(np.mean(shares), abs=2e-3)
    seconds = {row["method"]: row for row in parts["Seconds"]}
    assert {row["searches"] for row in seconds.values()} == {4}
    claims = parts["Claims that fail"] + parts["Claims that hold"]
    # Two of ours against one peer, and against random search on two tables.
    assert len(claims) == 2 * 1 + 2 * 2
    assert "open" not in {row["holds"] for row in claims}
    again = run("search_unseen.py", *arguments, "--report", out=tmp_path)
    assert "searches to run" not in again
    assert json.loads((tmp_path / "search_unseen.json").read_text())["parts"] == parts


def test_an_error_is_clustered_by_table_and_by_seed():
    values = np.array([[1.0, 2.0, 6.0], [3.0, 5.0, 7.0]])
    found = Estimate.of(values)
    by_table = ((3 - 4) ** 2 + (5 - 4) ** 2) / 1 / 2
    by_seed = ((2 - 4) ** 2 + (3.5 - 4) ** 2 + (6.5 - 4) ** 2) / 2 / 3
    both = by_table + by_seed - sum((values.ravel() - 4) ** 2) / 5 / 6
    assert both > max(by_table, by_seed)
    assert (found.mean, found.freedom) == (4, 1)
    assert found.error == pytest.approx(both**0.5)


def test_on_one_table_the_test_is_students():
    values = np.array([-0.3, -0.1, -0.2, 0.05])
    found = Estimate.of(values[None])
    expected = stats.ttest_1samp(values, 0)
    assert found.p == pytest.approx(expected.pvalue)
    assert found.bounds == pytest.approx(tuple(expected.confidence_interval()))
    # Twice the one-sided p: on the other side it is no evidence.
    assert Estimate.of(-values[None]).p == 1
    assert Estimate.of(np.zeros((1, 3))).p == 1
