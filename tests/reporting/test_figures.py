"""Figures: what they show, that Plotly accepts them, and that they become files."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from tables import write_sweep

import hpsearch
from hpsearch.errors import InputError
from hpsearch.reporting.drawing import (
    in_colours,
    inert,
    number_axis,
    robust_range,
    rounded,
    training_time,
)
from hpsearch.reporting.figures import (
    curves_figure,
    effect_figure,
    overview_figure,
    progress_figure,
)
from hpsearch.reporting.page import _KINDS, as_figure
from hpsearch.reporting.source import ReportSource, load_source
from hpsearch.reporting.words import facts, tiles
from hpsearch.store.columns import text_of
from hpsearch.wording import number, plain


def test_plotly_accepts_every_figure(source_of):
    source = source_of(100)
    specs = [draw(source, None) for draw in _KINDS.values()]
    specs += [effect_figure(source, name) for name in source.importance.singles]
    for spec in specs:
        as_figure(spec).to_json()
        assert "@" not in json.dumps(in_colours(spec))


def test_progress_keeps_every_improvement(source_of):
    source = source_of(100)
    points, line = progress_figure(source, most=20)["data"]
    assert len(points["x"]) == len(points["meta"]["trials"]) == 20
    scored = source.ranked.sort_values("trial")
    best = scored["score"].cummax()
    assert line["y"][-1] == pytest.approx(best.iloc[-1], rel=1e-5)
    assert len(set(line["y"])) == best.nunique()


def test_curves_are_the_best_and_others_spread_and_the_best_is_on_top(source_of):
    source = source_of(100)
    spec = curves_figure(source, "val_accuracy", most=10)
    trials = [trace["meta"]["trial"] for trace in spec["data"]]
    ranking = list(source.ranked["trial"])
    assert len(trials) == 10
    assert trials[::-1][:3] == ranking[:3]
    assert trials[-1] == source.best["trial"]
    assert trials[0] == ranking[-1]


@pytest.mark.parametrize("goal", ["maximize", "minimize"])
def test_better_has_the_same_colour_whatever_the_goal(source_of, goal):
    table = source_of(100).table
    source = ReportSource(
        table.assign(metric=f"val_accuracy:{goal}:last"), source_of(100).curves, most_rows=2_000
    )
    best, worst = (int(source.ranked["trial"].iloc[place]) for place in (0, -1))
    curves = {c["meta"]["trial"]: c["line"]["color"] for c in curves_figure(source)["data"]}
    assert (curves[best], curves[worst]) == ("@second", "@line0")


def test_a_grid_has_no_line_of_the_best_so_far(source_of):
    source = source_of(100)
    grid = replace(source, table=source.table.assign(method="grid"))
    assert [t["name"] for t in progress_figure(source)["data"]] == ["trial", "best so far"]
    assert [t["name"] for t in progress_figure(grid)["data"]] == ["trial"]
    assert len(overview_figure([source, grid])["data"]) == 1
    assert overview_figure([grid, grid]) is None
    other = replace(source, table=source.table.assign(metric="val_loss:minimize:last"))
    assert len(overview_figure([source, other])["data"]) == 1


def test_a_far_score_is_a_mark_at_the_edge(source_of):
    table = source_of(100).table.copy()
    table.loc[0, "score"] = -1e6
    spec = progress_figure(ReportSource(table, source_of(100).curves))
    points = spec["data"][0]
    low, high = spec["layout"]["yaxis"]["range"]
    assert min(points["y"]) == pytest.approx(low, rel=1e-5)
    assert high < 1.5
    assert points["marker"]["symbol"].count("triangle-down") == 1


def test_effects_have_the_trials_behind_them(source_of):
    source = source_of(100)
    points, *means = effect_figure(source, "activation")["data"]
    assert len(points["x"]) == len(source.ranked)
    best = points["meta"]["trials"].index(source.best["trial"])
    place = source.importance.effects["activation"].levels.index(source.best["activation"])
    assert abs(points["x"][best] - place) <= 0.25
    assert points["y"][best] == pytest.approx(source.best["score"], rel=1e-5)
    assert len(means[0]["y"]) == 2


def test_savings_are_counted_by_trainings(source_of):
    source = source_of(100)
    trained, asked = source.epochs
    table = source.table
    assert table["shared_with"].notna().sum() == 5
    assert 0 < trained < table["epochs_trained"].sum() <= asked
    assert f"{1 - trained / asked:.0%} of {asked:,} epochs saved" in tiles(source)


def test_far_values_do_not_flatten_the_others():
    assert robust_range([1.0] * 4) is None
    assert robust_range(np.linspace(0, 1, 50)) is None
    low, high = robust_range([*np.linspace(0, 1, 50), 1e6])
    assert low <= 0
    assert 1 < high < 3
    # Nor do several very far ones.
    values = [1e-6 * (1 + n / 70) for n in range(70)] + [1e3] * 10
    low, high = robust_range(values)
    assert low == pytest.approx(1e-6, rel=0.1)
    assert high == pytest.approx(2e-6, rel=0.1)
    assert robust_range([0.86 + n / 1000 for n in range(35)] + [0.2] * 5)[0] > 0.8
    # Scores of two kinds, of which neither is far.
    assert robust_range([0.1 + n / 100 for n in range(30)] + [0.9] * 10) is None


def test_a_sweep_of_a_program_has_its_scales_and_settings(tmp_path):
    source = load_source(write_sweep(tmp_path, 30))
    (tmp_path / "sweep.yaml").write_text(
        "program: train.py\nmethod: random\nmetric: {name: val_accuracy}\nbudget: {trials: 30}\n"
        "parameters:\n  learning_rate: {min: 0.0001, max: 0.1, distribution: uniform}\n"
    )
    known = load_source(tmp_path)
    assert [each.axes["learning_rate"].log for each in (source, known)] == [True, False]
    assert ["method", "random"] in facts(known)


def test_words():
    # Long names keep both ends.
    names = [f"a_rather_long_name_of_a_hyperparameter_{n}" for n in (7, 10)]
    assert [inert(name, 12) for name in names] == ["a_rath…ter_7", "a_rath…er_10"]
    assert inert("<b>&") == "&lt;b&gt;&amp;"
    assert len(inert("x" * 100)) == 60
    assert text_of('{"name": "sgd", "learning_rate": 0.1}') == "sgd(learning_rate=0.1)"
    assert text_of(None) == "-"
    assert (rounded(float("nan")), rounded(1.0), rounded(0.1234567)) == (None, 1, 0.123457)
    scores = (0.97222, 12.3456, 345.678, 20050.3, 7.8e-6, -0.5, 0, 1e8)
    assert [number(v) for v in scores] == [
        *("0.9722", "12.35", "345.7", "20,050", "7.8e-6", "-0.5000", "0", "1e8")
    ]
    odd = (float("inf"), float("-inf"), float("nan"))
    assert [number(v) for v in odd] == [plain(v) for v in odd] == ["inf", "-inf", "nan"]
    values = (32, 0.003, 20_000, 7.8e-6, 0.0168, 1e-4, 5.0, 1234.5)
    assert [plain(v) for v in values] == [
        *("32", "0.003", "20,000", "7.8e-6", "0.0168", "0.0001", "5", "1230")
    ]
    assert [training_time(s) for s in (0.32, 42, 200, 3800)] == [
        "0.3 s", "42 s", "3:20 min", "1:03:20 h",
    ]  # fmt: skip


def test_results_show_themselves_and_their_figures(sweep_of):
    results = hpsearch.load(sweep_of(100))
    shown = results._repr_html_()
    assert shown.index("<td>completed") > 0
    best = re.search(r"<td>(\d+)</td>", shown)
    assert int(best[1]) == results.best["trial"]
    for figure in (
        results.figure("progress"),
        results.figure("curves"),
        results.figure("curves", "loss"),
        results.figure("importance"),
        results.figure("effect"),
        results.figure("effect", "learning_rate"),
        results.figure("distribution"),
    ):
        assert type(figure).__name__ == "Figure"
        assert len(figure.data) >= 1
    assert results.importance().table["share"].is_monotonic_decreasing
    for arguments, message in (
        (("pie",), "kind: must be one of progress"),
        (("curves", "x"), "of: must be one of val_accuracy"),
        (("effect", "x"), "of: must be one of "),
        (("progress", "units"), "of: must be one of none"),
    ):
        with pytest.raises(InputError, match=message):
            results.figure(*arguments)
    with pytest.raises(InputError, match="1 trial with a score"):
        hpsearch.load(sweep_of(1)).figure("importance")
    with pytest.raises(InputError, match="no trial has a score"):
        hpsearch.load(sweep_of(0)).figure("progress")


@pytest.mark.parametrize(
    ("values", "form"),
    [
        ([1e-4, 2e-4], "e"),
        ([0.1, 3e6], "none"),
        ([1e12, 4e12], "e"),
        # The axis is cut below the last one.
        ([*np.linspace(1, 2, 20), 1e13], "none"),
        ([np.inf, 2.0], "none"),
    ],
)
def test_an_axis_of_very_small_or_large_numbers_has_exponents(values, form):
    assert number_axis("loss", values)["exponentformat"] == form
