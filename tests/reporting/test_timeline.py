"""The timeline of workers: from a run to its figure."""

from __future__ import annotations

from itertools import pairwise

import pytest
from commands import hpsearch as command
from small_sweeps import DIGITS

import hpsearch
from hpsearch.errors import InputError
from hpsearch.reporting.importance_figures import contour_figure
from hpsearch.reporting.source import ReportSource, load_source
from hpsearch.reporting.timeline import timeline_figure, timeline_note, timeline_of
from hpsearch.reporting.trial_figures import curves_figure, parallel_figure
from hpsearch.space.execution import Span


def test_runs_follow_each_other_without_the_time_between_them():
    spans = [
        (3, Span(9_000.0, 2, 1.0, 3.0)),
        (1, Span(5.0, 1, 0.0, 2.0)),
        (2, Span(5.0, 2, 1.0, 5.0)),
    ]
    timeline = timeline_of(spans)
    found = [(bar.worker, bar.began, bar.seconds, bar.trials) for bar in timeline.bars]
    assert found == [(1, 0.0, 2.0, [1]), (2, 1.0, 5.0, [2]), (2, 7.0, 3.0, [3])]
    assert timeline.lengths == [6.0, 4.0]
    assert timeline.busy == pytest.approx(10 / 20)


def test_what_is_outside_its_run_is_clipped():
    """A worker with another clock hides no bar of the others, and counts as idle."""
    spans = [
        (1, Span(0.0, 1, -3_600.0, 5.0)),
        (2, Span(0.0, 1, -1.0, 3.0)),
        (3, Span(0.0, 2, 1.0, 9.0)),
    ]
    timeline = timeline_of(spans)
    found = [(bar.worker, bar.began, bar.seconds, bar.trials) for bar in timeline.bars]
    assert found == [(1, 0.0, 0.0, [1]), (1, 0.0, 2.0, [2]), (2, 1.0, 9.0, [3])]
    assert timeline.lengths == [10.0]
    assert timeline.busy == pytest.approx(11 / 20)


def test_neighbours_of_a_long_timeline_are_joined():
    spans = [(n, Span(0.0, n % 4 + 1, n // 4 * 1.0, 0.8)) for n in range(10_000)]
    timeline = timeline_of(spans)
    assert 700 < len(timeline.bars) < 1_500
    assert sum(bar.seconds for bar in timeline.bars) == pytest.approx(8_000)
    assert sorted(trial for bar in timeline.bars for trial in bar.trials) == [*range(10_000)]
    assert timeline.busy == pytest.approx(0.8, abs=0.001)


@pytest.mark.parametrize("goal", ["maximize", "minimize"])
def test_better_has_the_same_colour_whatever_the_goal(source_of, goal):
    table = source_of(100).table
    source = ReportSource(
        table.assign(metric=f"val_accuracy:{goal}:last"), source_of(100).curves, most_rows=2_000
    )
    best, worst = (int(source.ranked["trial"].iloc[place]) for place in (0, -1))
    lost = int(source.unscored["trial"].iloc[0])
    source.__dict__["spans"] = [
        (trial, Span(0.0, 1, place, 1.0)) for place, trial in enumerate((best, worst, lost))
    ]
    (bars,) = timeline_figure(source)["data"]
    assert bars["marker"]["color"] == ["@line10", "@line0", "@bad"]
    assert bars["meta"]["trials"] == [best, worst, lost]
    curves = {c["meta"]["trial"]: c["line"]["color"] for c in curves_figure(source)["data"]}
    assert (curves[best], curves[worst]) == ("@second", "@line0")
    for figure in (contour_figure(source, *source.importance.paired[:2]), parallel_figure(source)):
        coloured = figure["data"][0].get("line", {}) | figure["data"][0]
        assert coloured["reversescale"] is (goal == "minimize")


def test_of_nothing_there_is_no_timeline(sweep_of):
    assert timeline_of([]) is None
    assert timeline_figure(load_source(sweep_of(20))) is None
    with pytest.raises(InputError, match=r"no sweep\.db tells when its workers trained"):
        hpsearch.load(sweep_of(20)).plot_timeline()


def test_a_run_notes_when_each_worker_trained(tmp_path):
    (tmp_path / "sweep.yaml").write_text(DIGITS)
    command("run", "sweep.yaml", "--out", "out", "--workers", "2", cwd=tmp_path)
    source = load_source(tmp_path / "out")
    assert {trial for trial, _ in source.spans} == {*range(1, 21)}
    for worker in {span.worker for _, span in source.spans}:
        own = sorted(span[2:] for _, span in source.spans if span.worker == worker)
        assert own[0][0] >= 0
        # A worker trains one thing at a time.
        for (began, seconds), (following, _) in pairwise(own):
            assert began + seconds <= following + 0.001
    trained = sum(span.seconds for _, span in source.spans)
    assert trained >= source.table["seconds"].sum() - 0.001 * len(source.table)
    spec = timeline_figure(source)
    assert sorted(spec["data"][0]["meta"]["trials"]) == [*range(1, 21)]
    assert {colour[:5] for colour in spec["data"][0]["marker"]["color"]} == {"@line"}
    assert len(hpsearch.load(tmp_path / "out").plot_timeline().data) == 1
    # A later run adds to it.
    command("run", "sweep.yaml", "--out", "out", "--set", "seeds=2", cwd=tmp_path)
    later = load_source(tmp_path / "out")
    assert {*source.spans} < {*later.spans}
    assert len({span.run for _, span in later.spans}) == 2
    assert "A line separates 2 runs" in timeline_note(later)
    assert len(timeline_figure(later)["layout"]["shapes"]) == 1


def test_a_training_that_goes_on_keeps_its_first_part(tmp_path):
    (tmp_path / "sweep.yaml").write_text(
        "data: {dataset: iris, validation: 0.3, seed: 1}\nmethod: asha\nbudget: {trials: 12}\n"
        "parameters: {units: {min: 2, max: 40, type: int}, epochs: [9]}\n"
    )
    command("run", "sweep.yaml", "--out", "out", "--workers", "1", cwd=tmp_path)
    source = load_source(tmp_path / "out")
    assert len(source.spans) > len(source.table) == 12
