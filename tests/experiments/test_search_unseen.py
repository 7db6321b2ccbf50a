"""experiments/search_unseen.py: a rehearsal ends in tables, judged as the protocol says."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats
from scripts import EXPERIMENTS, run

TABLES = ("made_up_1", "made_up_2")


@pytest.fixture(autouse=True)
def _on_path(monkeypatch):
    monkeypatch.syspath_prepend(EXPERIMENTS)


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


def test_no_search_runs_on_the_tables_with_other_code(monkeypatch, tmp_path):
    import search_unseen
    from search_runs import Runs

    monkeypatch.setattr(search_unseen, "digest", lambda method: f"{method}'s other code")
    plan = _plan(tables=("hpobench_car", TABLES[0]))
    with pytest.raises(SystemExit, match="not the code of the protocol: bayesian, tpe, random"):
        search_unseen._run_missing(plan, Runs(tmp_path / "runs.csv.gz"), 1)


def test_an_error_is_clustered_by_table_and_by_seed():
    from search_unseen_report import Estimate

    values = np.array([[1.0, 2.0, 6.0], [3.0, 5.0, 7.0]])
    found = Estimate.of(values)
    by_table = ((3 - 4) ** 2 + (5 - 4) ** 2) / 1 / 2
    by_seed = ((2 - 4) ** 2 + (3.5 - 4) ** 2 + (6.5 - 4) ** 2) / 2 / 3
    both = by_table + by_seed - sum((values.ravel() - 4) ** 2) / 5 / 6
    assert both > max(by_table, by_seed)
    assert (found.mean, found.freedom) == (4, 1)
    assert found.error == pytest.approx(both**0.5)


def test_an_error_is_at_least_that_of_tables_or_seeds():
    from search_unseen_report import Estimate

    # The seeds' effects cancel: only the tables differ.
    found = Estimate.of(np.array([[1.0, -1.0], [-1.0, 1.0]]) + np.array([[0.0], [0.1]]))
    assert found.error == pytest.approx(0.05)


def test_on_one_table_the_test_is_students():
    from search_unseen_report import Estimate

    values = np.array([-0.3, -0.1, -0.2, 0.05])
    found = Estimate.of(values[None])
    expected = stats.ttest_1samp(values, 0)
    assert found.p == pytest.approx(expected.pvalue)
    assert found.bounds == pytest.approx(tuple(expected.confidence_interval()))
    # Twice the one-sided p: on the other side it is no evidence.
    assert Estimate.of(-values[None]).p == 1
    assert Estimate.of(np.zeros((1, 3))).p == 1


def test_holm_multiplies_the_least_by_all_and_never_decreases():
    from search_unseen_report import holm

    assert holm([0.04, 0.01, 0.03, 0.5]) == pytest.approx([0.09, 0.04, 0.09, 0.5])


def _plan(tables=TABLES, methods=("optuna_tpe", "tpe", "random"), seeds=range(3), fewer=None):
    from search_unseen_report import Plan

    return Plan(tables, methods, tuple(seeds), 25, fewer or {})


def _rows(plan, regrets):
    """The rows of a family, of `regrets` of method, table and seed."""
    from search_runs import Run
    from search_unseen_report import family, parts, results

    runs = [
        Run(t, m, 1, s, "x 1", 1.0, 25, 25, 0, 0, (regret,) * 25)
        for m in plan.methods
        for t in plan.tables
        for s in plan.seeds
        if (regret := regrets(m, t, s)) is not None
    ]
    found = results(plan, runs)
    rows = family(plan, found)
    return {(row["claim"], row["table"]): row["holds"] for row in rows}, parts(plan, found, rows)


def test_no_worse_allows_a_tenth_of_the_others_regret():
    plan = _plan(tables=(*TABLES, "third"), seeds=range(8))

    def regrets(factor):
        noise = {t: 1e-3 * place for place, t in enumerate(plan.tables)}
        return lambda m, t, s: (factor if m == "tpe" else 1) + noise[t] + 1e-3 * (s % 3)

    for factor, holds in ((1.05, "yes"), (1.15, "NO"), (0.9, "yes")):
        judged, _ = _rows(plan, regrets(factor))
        assert judged["tpe is no worse than optuna_tpe", "all"] == holds
        assert judged["tpe beats optuna_tpe", "all"] == ("yes" if factor < 1 else "NO")


def test_a_row_without_all_runs_is_open_and_counted():
    plan = _plan(methods=("smac", "optuna_tpe", "tpe", "random"))
    scores = {"optuna_tpe": 1.0, "tpe": 0.5, "smac": None, "random": 1.0}
    judged, parts = _rows(plan, lambda m, _t, _s: scores[m])
    assert judged["tpe is no worse than smac", "all"] == "open"
    assert judged["tpe is no worse than optuna_tpe", "all"] == "yes"
    assert [row["claim"] for row in parts["Claims that fail"]] == ["tpe is no worse than smac"]
    without_one = {("tpe", TABLES[1], 2): None}
    judged, _ = _rows(plan, lambda m, t, s: without_one.get((m, t, s), scores[m]))
    assert {table for (_, table), holds in judged.items() if holds == "open"} == {"all", TABLES[1]}
    assert judged["tpe is no worse than random", TABLES[0]] == "yes"
    without_one = {("random", TABLES[1], 2): None}
    judged, _ = _rows(plan, lambda m, t, s: without_one.get((m, t, s), scores[m]))
    assert judged["tpe is no worse than optuna_tpe", "all"] == "open"


def test_easy_tables_count_as_much_as_hard_ones():
    plan = _plan()
    # On the easy table a third of the other's regret, on the hard one as much.
    shares = {("tpe", TABLES[0]): 0.2, ("tpe", TABLES[1]): 0.6, "optuna_tpe": 0.6, "random": 1.0}
    hard = {TABLES[0]: 0.01, TABLES[1]: 1.0}
    _, parts = _rows(plan, lambda m, t, _s: hard[t] * shares.get((m, t), shares.get(m)))
    *_, means, _seconds = parts.values()
    assert means[-1] == {
        "trials": 25,
        "table": "all",
        "random": "1.0000",
        "tpe": "0.4000",
        "optuna_tpe": "0.6000",
    }
