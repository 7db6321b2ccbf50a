"""Figures: what they show, that Plotly accepts them, and that they become files."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

import hpsearch
from hpsearch.errors import InputError
from hpsearch.report.drawing import (
    duration,
    inert,
    number,
    robust_range,
    rounded,
    spread,
    with_theme,
)
from hpsearch.report.pictures import as_figure, every_figure
from hpsearch.report.source import plot_axis
from hpsearch.report.trial_figures import curves_figure, parallel_figure, progress_figure
from hpsearch.store.cells import text_of


@pytest.mark.parametrize("trials", [0, 1, 100])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_plotly_accepts_every_figure(source_of, trials, theme):
    source = source_of(trials)
    names = []
    for name, spec in every_figure(source):
        figure = as_figure(spec, source, theme)
        figure.to_json()
        assert "@" not in json.dumps(with_theme(spec, theme)).replace("e@", "")
        names.append(name)
    assert len(names) == len(set(names)) == {0: 3, 1: 8, 100: 18}[trials]


def test_progress_keeps_every_improvement(source_of):
    source = source_of(100)
    points, line = progress_figure(source, most=20)["data"]
    assert len(points["x"]) == len(points["meta"]["trials"]) == 20
    scored = source.ranked.sort_values("trial")
    best = scored["score"].cummax()
    assert line["y"][-1] == pytest.approx(best.iloc[-1], rel=1e-5)
    assert len(set(line["y"])) == best.nunique()
    by_time = progress_figure(source, by="seconds")["data"][1]
    assert by_time["x"][-1] <= source.table["seconds"].sum() + 1e-6


def test_curves_are_the_best_and_others_spread_and_the_best_is_on_top(source_of):
    source = source_of(100)
    spec = curves_figure(source, "val_accuracy", most=10)
    trials = [trace["meta"]["trial"] for trace in spec["data"]]
    ranking = list(source.ranked["trial"])
    assert len(trials) == 10
    assert trials[::-1][:3] == ranking[:3]
    assert trials[-1] == source.best["trial"]
    assert trials[0] == ranking[-1]


def test_parallel_coordinates_place_inactive_values_below(source_of):
    source = source_of(100)
    (trace,) = parallel_figure(source)["data"]
    labels = [dimension["label"] for dimension in trace["dimensions"]]
    assert labels[-1] == "val_accuracy"
    assert "log10 learning_rate" in labels
    dropout = trace["dimensions"][labels.index("dropout")]
    assert min(dropout["values"]) < 0.1
    assert dropout["ticktext"][0] == "-"


def test_hovering_tells_the_config(source_of):
    source = source_of(60, hostile=True)
    figure = as_figure(progress_figure(source), source)
    said = " ".join(figure.data[0].hovertext)
    assert "learning_rate" in said
    assert "<script" not in said
    assert "&lt;script" in said


def test_savings_are_counted_by_trainings(source_of):
    source = source_of(100)
    saved = source.savings
    table = source.table
    shared = table[table["shared_with"].notna()]
    assert saved.shared == len(shared) == 5
    assert saved.trainings == 100 - 5 - 5  # those shared, and those that failed before an epoch
    assert saved.epochs_trained + saved.epochs_shared == table["epochs_trained"].sum()
    assert saved.epochs_shared > 0


def test_far_values_do_not_flatten_the_others():
    assert robust_range([1.0] * 4) is None
    assert robust_range(np.linspace(0, 1, 50)) is None
    low, high = robust_range([*np.linspace(0, 1, 50), 1e6])
    assert low <= 0
    assert 1 < high < 3


def test_a_spread_has_both_ends():
    assert spread(3, 10) == [0, 1, 2]
    assert spread(100, 4) == [0, 33, 66, 99]


def test_dimensions(source_of):
    table = source_of(100).table
    columns = ["units", "layer_type", "learning_rate", "dropout"]
    found = {name: plot_axis(table[name]) for name in columns}
    assert found["units"].marked == (32.0, 64.0, 128.0)
    assert set(found["layer_type"].levels) == {"dense", "dropout", "batch_norm"}
    assert found["learning_rate"].log
    assert found["dropout"].gaps
    assert found["dropout"].positions(table["dropout"]).min() == found["dropout"].gap_position


def test_words():
    assert inert("<b>&") == "&lt;b&gt;&amp;"
    assert len(inert("x" * 100)) == 60
    assert text_of('{"name": "sgd", "learning_rate": 0.1}') == "sgd(learning_rate=0.1)"
    assert text_of(None) == "-"
    assert (rounded(float("nan")), rounded(1.0), rounded(0.1234567)) == (None, 1, 0.123457)
    assert [number(v) for v in (0.97222, 12345.6, 0.0001234)] == [
        "0.9722",
        "1.235e+04",
        "0.0001234",
    ]
    assert [duration(s) for s in (0.32, 42, 200, 3800)] == [
        "0.3 s", "42 s", "3:20 min", "1:03:20 h",
    ]  # fmt: skip


def test_results_show_themselves_and_their_figures(sweep_of):
    results = hpsearch.load(sweep_of(100))
    shown = results._repr_html_()
    assert shown.index("<td>completed") > 0
    best = re.search(r"<td>(\d+)</td>", shown)
    assert int(best[1]) == results.best["trial"]
    for figure in (
        results.plot_progress(),
        results.plot_progress(by="seconds", theme="dark"),
        results.plot_curves(),
        results.plot_curves("loss"),
        results.plot_parallel(),
        results.plot_importance(),
        results.plot_effect("learning_rate"),
        results.plot_contour(),
        results.plot_contour("units", "learning_rate"),
        results.plot_contour(y="dropout"),
        results.plot_work(),
    ):
        assert type(figure).__name__ == "Figure"
        assert len(figure.data) >= 1
    assert results.importance().table["share"].is_monotonic_decreasing
    for call, message in (
        (lambda: results.plot_curves("x"), "must be one of val_accuracy"),
        (lambda: results.plot_effect("x"), "must be one of hidden_layers"),
        (lambda: results.plot_contour("x", "units"), "no two hyperparameters"),
        (lambda: results.plot_work(theme="pink"), "light or dark"),
        (lambda: results.save_figures("x", "gif"), "must be one of svg, png, pdf"),
        (lambda: hpsearch.load(sweep_of(1)).plot_importance(), "1 trial with a score"),
    ):
        with pytest.raises(InputError, match=message):
            call()


@pytest.mark.slow
def test_figures_become_files(sweep_of, tmp_path):
    paths = hpsearch.load(sweep_of(1)).save_figures(tmp_path / "figures", "svg")
    assert "progress.svg" in [path.name for path in paths]
    for path in paths:
        assert path.read_text(encoding="utf-8").startswith("<svg")


@pytest.mark.slow
def test_without_a_browser_it_is_said(sweep_of, tmp_path, monkeypatch):
    import kaleido
    from choreographer.errors import ChromeNotFoundError

    def none(*_args, **_options):
        raise ChromeNotFoundError

    monkeypatch.setattr(kaleido, "write_fig_from_object_sync", none)
    with pytest.raises(InputError, match="apt-get install chromium"):
        hpsearch.load(sweep_of(1)).save_figures(tmp_path)
