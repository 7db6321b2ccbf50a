"""The display of a run: a bar on a terminal, lines elsewhere."""

import io
import re

import pytest
from rich.console import Console

from hpsearch.engine.planning import Summary
from hpsearch.engine.session import Began, Ended, Planned, Stored
from hpsearch.errors import InputError
from hpsearch.models.problem import Recipe
from hpsearch.progress.display import Bar, Lines, duration, make_display, make_listener
from hpsearch.space.execution import Execution, ExecutionResult, Status, Training
from hpsearch.space.space import Config
from hpsearch.workers.protocol import EpochFinished, Finished, Lost, Said, Started

RECIPE = Recipe(0, "mse", "linear", "val_accuracy", "maximize")


def console(*, terminal, width=160):
    return Console(file=io.StringIO(), force_terminal=terminal, width=width, color_system=None)


def text_of(screen):
    """Return the output without the codes that move the cursor."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.file.getvalue())


def training(number=1, epochs=5):
    return Training({"units": 8}, 0, ((epochs, number),), trial=number)


def execution(number=1, trial=None, seed=0):
    return Execution(number, number if trial is None else trial, Config({"units": 8}), seed)


def result(number=1, score=0.5, epochs=5, status=Status.COMPLETED, error=""):
    curve = ({"val_accuracy": 0.1},) * epochs
    return ExecutionResult(number, status, score, curve, error=error)


def summary(trials=4, epochs=20, saved=3, seeds=1):
    of_trials = tuple(number for number in range(1, trials + 1) for _ in range(seeds))
    return Summary(of_trials, trials * seeds, epochs + saved, epochs)


def started(kind, planned=None, **options):
    """A started display, and its screen."""
    screen = console(terminal=kind is Bar)
    display = kind(screen, **options)
    display(Began("digits", "experiments/digits", RECIPE, 2))
    if planned:
        display(Planned(planned, ()))
    return display, screen


@pytest.fixture(params=[Bar, Lines])
def shown(request):
    return started(request.param)


@pytest.mark.parametrize("kind", [Bar, Lines])
def test_the_console_decides(kind):
    assert isinstance(make_display(console(terminal=kind is Bar)), kind)


def test_both_say_what_is_done_what_is_best_and_how_long_it_takes(shown):
    display, screen = shown
    display(Planned(summary(6), range(7, 13)))
    for number in range(1, 5):
        display(Stored(execution(number), result(number, 0.25)))
    display(Stored(execution(5), result(5, 0.75), (5, 0.75)))
    display(Ended())
    seen = text_of(screen)
    assert "sweep digits: 2 workers, results in experiments/digits" in seen
    assert re.search(r"\b11/12\b", seen)
    assert "best val_accuracy 0.7500 (trial 5)" in seen
    assert re.search(r"\d+ s left", seen)


def test_where_results_decide_what_comes_no_time_left_and_no_further_plan_is_shown(shown):
    display, screen = shown
    display(Planned(summary(1), ()))
    display(Stored(execution(1), result(1, 0.25), (1, 0.25)))
    shown_before = len(text_of(screen))
    for number in range(2, 13):
        display(Planned(Summary((number,), 1, 9, 9), ()))
        display(Stored(execution(number), result(number, number / 10), (number, number / 10)))
    display(Ended())
    seen = text_of(screen)[shown_before:]
    assert re.search(r"\b12(/12|\] trial 12 completed)", seen)
    assert "best val_accuracy 1.2000 (trial 12)" in seen
    assert not re.search(r"left|to train|\[\d+/", seen)


def test_both_name_a_failure_and_its_reason(shown):
    display, screen = shown
    display(Planned(summary(), ()))
    failed = result(4, None, 0, Status.FAILED, "ValueError: no\nsuch thing")
    display(Stored(execution(4), failed))
    display(Said("trial 9: trying once more"))
    seen = text_of(screen)
    assert re.search(r"trial 4 failed: ValueError: no such thing", seen)
    assert "trial 9: trying once more" in seen


def test_lines_are_few_but_tell_bests_failures_and_the_last():
    now = 100.0
    lines, screen = started(Lines, summary(103, 500), clock=lambda: now)
    before = text_of(screen).count("\n")
    lines(Stored(execution(1), result(1, 0.9), (1, 0.9)))
    for number in range(2, 102):
        lines(Stored(execution(number), result(number, 0.1)))
    assert text_of(screen).count("\n") == before + 1
    now += 1.5
    lines(Stored(execution(102), result(102, 0.1)))
    assert "[102/103]" in text_of(screen)
    lines(Stored(execution(103), result(103, 0.1)))
    assert "[103/103]" in text_of(screen)


def test_a_trial_is_done_with_the_last_of_its_executions():
    now = 100.0
    lines, screen = started(Lines, summary(2, 20, 0, seeds=2), clock=lambda: now)
    assert "2 trials, 4 executions, to train in 4 trainings of 20 epochs" in text_of(screen)
    said = []
    for number, (trial, seed) in enumerate([(1, 0), (2, 0), (1, 1), (2, 1)], start=1):
        now += 2
        lines(Stored(execution(number, trial, seed), result(number, 0.5), (1, 0.5)))
        said.append(text_of(screen).splitlines()[-1].split(" completed")[0])
    assert said == [
        "[0/2] trial 1", "[0/2] trial 2",
        "[1/2] trial 1, seed 1", "[2/2] trial 2, seed 1",
    ]  # fmt: skip


def test_a_best_of_an_earlier_run_is_known_from_the_start(shown):
    display, screen = shown
    display(Planned(summary(1), range(2, 8), (7, 0.875)))
    display(Stored(execution(1), result(1, 0.5)))
    display(Ended())
    assert "best val_accuracy 0.8750 (trial 7)" in text_of(screen)


def test_lines_do_not_break_at_an_edge_and_hold_no_codes():
    screen = console(terminal=False, width=40)
    lines = Lines(screen)
    lines(Began("s" * 60, "d" * 60, RECIPE, 1))
    lines(Said("word " * 40))
    assert text_of(screen).count("\n") == 2
    assert "\x1b" not in screen.file.getvalue()


def drawn(display, screen):
    """Return the lines of the bar as it is drawn now."""
    start = len(screen.file.getvalue())
    display._bar.refresh()
    seen = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.file.getvalue()[start:])
    return [line.rstrip() for line in seen.splitlines() if line.strip()]


def test_the_bar_shows_each_workers_trial_and_epoch():
    display, screen = started(Bar, summary())
    display(Started(1, training(3, 20)))
    display(Started(2, training(4, 10)))
    display(EpochFinished(2, training(4, 10), 7, {"val_accuracy": 0.5}))
    trials, first, second = drawn(display, screen)
    assert trials.startswith("trials")
    assert re.search(r"^worker 1 .*\b0/20\b.*trial 3, epoch 0 of 20", first)
    assert re.search(r"^worker 2 .*\b7/10\b.*trial 4, epoch 7 of 10", second)
    display(Finished(1, training(3, 20)))
    display(Lost(2, training(4, 10), "SIGKILL", timed_out=False, seconds=1.0))
    _, first, second = drawn(display, screen)
    assert "idle" in first
    assert "idle" in second
    # An event of a worker that has no line.
    display(Started(9, training()))
    display(Ended())


def test_the_bar_leaves_the_sweeps_line_and_frees_the_cursor():
    display, screen = started(Bar, summary())
    display(Stored(execution(1), result(1, 0.5)))
    display(Ended())
    last = [line for line in text_of(screen).splitlines() if line.strip()][-1]
    assert last.startswith("trials")
    assert "1/4" in last
    assert screen.file.getvalue().rstrip("\n").endswith("\x1b[?25h")


@pytest.mark.parametrize(
    "name",
    ["[bold]x[/bold]", "[/]", "[red", "[link=file:///etc]x[/link]", "{task.completed}", "\\[b]"],
)
@pytest.mark.parametrize("kind", [Bar, Lines])
def test_names_and_errors_are_text_whatever_they_say(kind, name):
    screen = console(terminal=kind is Bar)
    display = kind(screen)
    display(Began(name, f"/tmp/{name}", Recipe(0, "mse", "linear", name, "maximize"), 1))
    display(Planned(summary(), ()))
    display(Stored(execution(1), result(1, None, 0, Status.FAILED, f"KeyError: {name}")))
    display(Stored(execution(2), result(2, 0.5), (2, 0.5)))
    display(Said(name, warning=True))
    display(Ended())
    seen = text_of(screen)
    assert f"sweep {name}: 1 worker, results in /tmp/{name}" in seen
    assert f"KeyError: {name}" in seen
    assert f"warning: {name}" in seen
    assert f"best {name} 0.5000 (trial 2)" in seen


def test_durations():
    times = [duration(seconds) for seconds in (0, 59.4, 59.6, 200, 3_800)]
    assert times == ["0 s", "59 s", "1:00", "3:20", "1:03:20"]


def test_a_quiet_run_shows_warnings_alone():
    screen = console(terminal=True)
    quiet = make_display(screen, quiet=True)
    quiet(Began("s", "d", RECIPE, 1))
    quiet(Planned(summary(1), ()))
    quiet(Stored(execution(1), result(1, 0.25)))
    quiet(Said("three rows"))
    with pytest.warns(UserWarning, match="a constant column"):
        quiet(Said("a constant column", warning=True))
    quiet(Ended())
    assert text_of(screen) == ""


def test_a_verbose_one_has_a_line_for_each_result():
    screen = console(terminal=True)
    lines = make_display(screen, verbose=True)
    lines(Began("s", "d", RECIPE, 1))
    lines(Planned(summary(9), ()))
    for number in range(1, 10):
        lines(Stored(execution(number), result(number, 0.25)))
    assert len(re.findall(r"trial \d completed", text_of(screen))) == 9


def test_no_time_is_told_before_there_is_one_to_believe(shown):
    display, screen = shown
    display(Planned(summary(20), ()))
    for number in range(1, 4):
        display(Stored(execution(number), result(number, 0.25)))
    assert " left" not in text_of(screen).replace("time left unknown", "")


@pytest.mark.parametrize(
    ("verbose", "terminal", "shows"),
    [
        ("auto", True, "bar"), ("auto", False, "nothing"), (0, True, "nothing"),
        (1, True, "bar"), (1, False, "lines"), (2, True, "lines"), (2, False, "lines"),
    ],
)  # fmt: skip
def test_in_python_verbose_decides_as_in_keras(monkeypatch, verbose, terminal, shows):
    screen = console(terminal=terminal)
    monkeypatch.setattr("hpsearch.progress.display.make_console", lambda **_: screen)
    listener = make_listener(verbose)
    with pytest.warns(UserWarning, match="a constant column"):
        listener(Said("a constant column", warning=True))
    assert screen.file.getvalue() == ""
    listener(Said("three rows"))
    assert ("three rows" in screen.file.getvalue()) == (shows != "nothing")
    listener(Began("s", "d", RECIPE, 1))
    listener(Ended())
    assert ("\x1b" in screen.file.getvalue()) == (shows == "bar")


@pytest.mark.parametrize("verbose", [3, "loud", True, None])
def test_other_levels_are_refused(verbose):
    with pytest.raises(InputError, match=r"verbose: must be 0, 1, 2 or 'auto'"):
        make_listener(verbose)
