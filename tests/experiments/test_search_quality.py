"""experiments/search_quality.py: small searches end in tables; regrets and claims are as told."""

import math

import measured_code
import numpy as np
import pandas as pd
import pytest
import search_problems
import search_report
import search_runs
from scripts import rows, run

from hpsearch.search.draws import grid_draws, random_draws
from hpsearch.search.strategy import Outcome, Proposal

SWEEP = """
data: {dataset: iris}
method: grid
metric: {name: val_loss, goal: minimize, epoch: last}
parameters: {units: [4, 8], activation: [relu, tanh], epochs: 3}
"""


@pytest.mark.slow
def test_searches_end_in_tables(tmp_path):
    arguments = ["--methods", "random", "tpe", "optuna_tpe"]
    arguments += ["--problems", "branin", "mixed", "--seeds", "0-1", "--trials", 25]
    told = run("search_quality.py", *arguments, out=tmp_path)
    table = rows("search_quality", tmp_path, about="seeds: 0 to 1")
    assert len(table) == 2 * (3 + 1)
    assert {row["seeds"] for row in table} == {2}
    assert all(0 <= float(row["regret"].split()[0]) < 1 for row in table)
    claims = rows("search_claims", tmp_path, about="seeds: 0 to 1")
    named = {row["claim"] for row in claims}
    assert "tpe is no worse than random" in named
    assert "tpe with 8 under way: no two proposals are equal" in named
    assert (tmp_path / "search_quality.svg").read_text(encoding="utf-8").startswith("<?xml")
    assert told.splitlines()[0] == "16 searches to run, 0 kept"
    # Only what the present code has not run yet runs again.
    _made_by_others(tmp_path / "search_runs.csv.gz", "tpe")
    again = run("search_quality.py", *arguments, out=tmp_path)
    assert again.splitlines()[0] == "8 searches to run, 8 kept"
    rows("search_quality", tmp_path, about="seeds: 0 to 1")


def _made_by_others(path, method):
    """As if its code had been another."""
    table = pd.read_csv(path)
    table.loc[table["method"] == method, "by"] = "hpsearch 0.0.1 code 01234567"
    table.to_csv(path, index=False)


@pytest.mark.slow
def test_a_table_holds_every_config_and_its_curve(tmp_path):
    (tmp_path / "tabulated_digits.yaml").write_text(SWEEP, encoding="utf-8")
    run("tabulate.py", "digits", "--sweeps", tmp_path, out=tmp_path)
    table = pd.read_csv(tmp_path / "tabulated_digits.csv.gz")
    assert list(table.columns) == ["config", "units", "activation", "1", "2", "3"]
    assert len(table) == 4
    assert table["3"].between(0.1, 3).all()


@pytest.mark.parametrize("name", ["digits", "diabetes"])
def test_the_tables_are_those_of_the_sweep_files(name):
    problem = search_problems.make_problem(name)
    ids = {config.id for config in grid_draws(problem.space)}
    assert ids == set(problem.curves)
    assert len(ids) > 2_000
    assert problem.epochs == 81
    assert problem.regret(problem.least) == 0
    assert problem.regret(problem.median) == 1


@pytest.mark.parametrize(
    ("name", "best"),
    [
        ("branin", (math.pi, 2.275)),
        ("hartmann6", (0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573)),
    ],
)
def test_functions_have_the_minima_of_the_literature(name, best):
    problem = search_problems.make_problem(name)
    names = [parameter.name for parameter in problem.space.parameters]
    config = problem.space.config(dict(zip(names, best, strict=True)))
    assert problem.loss(config) == pytest.approx(problem.least, abs=1e-5)


class Climbing:
    """Begins two configs at epoch 1, then goes on with the first to 3 and to the end."""

    exhausted = False
    rungs = (1, 3, 81)

    def __init__(self, configs):
        first, second = configs
        self.plan = [Proposal(first, 1), Proposal(second, 1), Proposal(first, 3)]
        self.plan += [Proposal(first, 81), Proposal(second, 81)]
        self.told: list[Outcome] = []

    def ask(self, count):
        asked, self.plan = self.plan[:count], self.plan[count:]
        return asked

    def tell(self, outcomes):
        self.told += outcomes


def test_epochs_are_counted_from_where_a_training_stood(monkeypatch):
    problem = search_problems.make_problem("digits")
    first, second = (config for config, _ in zip(_configs(problem), range(2), strict=False))
    search = Climbing((first, second))
    monkeypatch.setattr(search_runs, "_search", lambda *_: search)
    done = search_runs.run(problem, "asha", 0, trials=3)
    assert done.epochs == 81 + 81
    assert done.epochs_restarted == 1 + 1 + 3 + 81 + 81
    assert done.proposed == done.different == 2
    assert [outcome.epochs for outcome in search.told] == [1, 1, 3, 81, 81]
    assert search.told[2].score == problem.curves[first.id][2]
    # After 81 epochs the first is not at its end: one had gone to the second.
    assert math.isnan(done.regrets[0])
    ends = [problem.curves[config.id][-1] for config in (first, second)]
    assert done.regrets[1] == pytest.approx(problem.regret(min(ends)), rel=1e-3)


def _configs(problem):
    return random_draws(problem.space, 0)


def test_a_digest_is_of_code_without_comments(tmp_path, monkeypatch):
    monkeypatch.setattr(measured_code, "_ROOT", tmp_path)
    room = tmp_path / "room"
    room.mkdir()

    def digest(python, c="int x;"):
        (room / "one.py").write_text(python, encoding="utf-8")
        (room / "two.c").write_text(c, encoding="utf-8")
        return measured_code.digest("room")

    code = digest('def f():\n    """Return #1."""\n    return "#1"\n')
    assert digest('def f():\n    """Another\n    docstring."""\n\n    return "#1"  # why\n') == code
    assert digest('def f():\n    return "#1"\n', "int x;  /* a\ncomment */\n// more\n") == code
    assert digest('def f():\n    return "#2"\n') != code
    assert digest('def f():\n    return "#1"\n', "long x;") != code
    assert measured_code.digest("room.one") != code
    digest('def f():\n    return "#1"\n')
    (room / "prior.json").write_text("{}", encoding="utf-8")
    assert measured_code.digest("room") != code


def _run(method, seed, regrets, workers=1, problem="branin"):
    return search_runs.Run(
        problem, method, workers, seed, "x 1", 1.0, len(regrets), len(regrets), 0, 0, tuple(regrets)
    )


def test_claims_are_judged_by_paired_intervals():
    noise = [0.0, 0.3, 0.1, 0.6]
    runs = [_run("random", seed, [0.5 + n] * 50) for seed, n in enumerate(noise)]
    # Worse than random by 0.1 at 25, better by 0.1 at 50, for every seed.
    runs += [
        _run("tpe", seed, [0.6 + n + 0.01 * seed] * 49 + [0.4 + n + 0.01 * seed])
        for seed, n in enumerate(noise)
    ]
    judged = search_report.claims(search_report.Results(runs))
    holds = {(row["claim"], row["trials"]): row["holds"] for row in judged}
    assert holds["tpe is no worse than random", 25] == "NO"
    assert holds["tpe beats random", 50] == "yes"
    figure = next(row["figure"] for row in judged if row["trials"] == 50)
    # Mean of -0.1, -0.09, -0.08, -0.07; t of three degrees of freedom.
    half = 3.182446 * np.std([0, 1, 2, 3], ddof=1) * 0.01 / 2
    assert figure == f"-0.0850 [{-0.085 - half:.4f}, {-0.085 + half:.4f}]"


def test_what_an_ask_costs(tmp_path):
    run("ask_cost.py", "random", "tpe", "asha", "--trials", 40, out=tmp_path)
    table = rows("ask_cost", tmp_path, about="40 trials")
    assert [row["method"] for row in table] == ["random"] * 6 + ["tpe"] * 6 + ["asha"] * 6
    assert [row["trials"] for row in table[:2]] == ["1 to 8", "9 to 16"]
    assert table[5]["trials"] == "all 40"
    assert all(row["worst, ms"] >= row["ms an ask"] > 0 for row in table)
    assert all(row["ms to restore and ask"] > 0 for row in table[5::6])
