"""A page that is written again and again during a run, in an open browser."""

import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from functools import partial

import pandas as pd
import pytest
from tables import write_sweep

from hpsearch.reporting import live
from hpsearch.reporting.live import follow_runs
from hpsearch.reporting.page import is_current, write_page
from hpsearch.reporting.source import load_source
from hpsearch.store.directory import ResultsDirectory

SWEEP = """
name: slow
data: {dataset: digits, validation: 0.2}
parameters: {units: {values: [400, 410, 420, 430]}, epochs: [50], hidden_layers: [2]}
seeds: 2
execution: {workers: 1, threads: 1}
"""
# Until it is ready, a page that reloads itself hides its mark as well.
LAST_PAGE = """document.documentElement.dataset.ready === 'yes'
    && document.getElementById('live').hidden"""


def test_it_writes_while_a_run_holds_the_directory_and_after_each_change(tmp_path, monkeypatch):
    monkeypatch.setattr(live, "_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(live, "_CHECK_SECONDS", 0.01)
    writes, begun = [], []

    def follow(directory):
        return follow_runs([directory], writes.append, partial(begun.append, 1))

    assert not follow(write_sweep(tmp_path / "ended", 1))
    assert (writes, begun) == ([], [])
    with ResultsDirectory(tmp_path).hold() as held:
        del held
        thread = threading.Thread(target=follow, args=[tmp_path])
        thread.start()
        time.sleep(0.2)
        # There is no table yet.
        assert writes == []
        for count in (1, 2):
            write_sweep(tmp_path, count)
            until = time.monotonic() + 10
            while len(writes) < count and time.monotonic() < until:
                time.sleep(0.01)
            time.sleep(0.2)
            assert len(writes) == count
    thread.join(10)
    assert not thread.is_alive()
    assert begun == [1]
    assert all(seconds > 0 for seconds in writes)


def test_a_page_that_reloads_itself_is_never_current(sweep_of, tmp_path):
    directory, page = sweep_of(20), tmp_path / "page.html"
    write_page([load_source(directory)], page, reload_seconds=2.0)
    assert not is_current(page, directory, ())
    write_page([load_source(directory)], page)
    assert is_current(page, directory, ())


@pytest.mark.slow
def test_it_stays_as_the_reader_left_it(visit, tmp_path):
    path = tmp_path / "page.html"

    def write(trials, seconds=0.0):
        write_page([load_source(write_sweep(tmp_path, trials))], path, reload_seconds=seconds)

    write(100, 1.0)
    seen = visit(path)
    page = seen.page
    assert page.inner_text("#live").startswith("● live, ")
    loads = partial(steady, page, "performance.timeOrigin")
    # While a word is typed, and for a moment after it, the page does not reload.
    first = loads()
    for letter in "relu":
        page.locator("#best input[type=search]").press(letter)
        page.wait_for_timeout(500)
    assert loads() == first
    # A click between the start of a reload and its end is lost; a reader clicks again.
    while not page.locator("#parallel details[open]").count():
        page.click("#parallel summary")
        page.wait_for_timeout(200)
    field = page.locator("#parallel fieldset:has(legend:text-is('layer_type'))")
    field.locator("label", has_text="dense").locator("input").uncheck()
    rates = page.locator("#parallel fieldset:has(legend:text-is('learning_rate')) input")
    rates.first.fill("0.001")
    page.keyboard.press("Tab")
    page.locator("#best .menu summary").click()
    page.locator("#best .menu label", has_text="trainer").click()
    page.locator("#trials thead button", has_text="learning_rate").click()
    page.locator("#trials .pick").nth(2).click()
    page.click("#theme")
    page.locator("#trials .detail").scroll_into_view_if_needed()

    def state():
        return steady(
            page,
            """() => [
              document.querySelector('#best input[type=search]').value,
              [...document.querySelectorAll('#parallel fieldset input')]
                .map((n) => n.checked + n.value),
              [...document.querySelectorAll('details')].map((n) => n.open),
              [...document.querySelectorAll('#trials th')].map((n) => [n.textContent, n.ariaSort]),
              document.querySelector('#trials .detail h3').textContent,
              Math.round(document.querySelector('#trials').getBoundingClientRect().top / 4),
              document.documentElement.dataset.theme,
            ]""",
        )

    before, matching, drawn = state(), seen.matching(), loads()
    write(400, 1.0)
    seen.wait(f"performance.timeOrigin > {drawn} && !!document.querySelector('#trials .detail')")
    status = "document.querySelector('#best [role=status]')"
    seen.wait(f"Number({status}.dataset.matching) > {matching}")
    assert state() == before
    shown = page.locator("#trials tbody tr:not(.opened) td:nth-child(6)").all_inner_texts()
    assert "dense" not in shown
    # The last page does not reload itself, and is as the reader left the one before it.
    write(401)
    seen.wait(LAST_PAGE)
    assert state() == before
    drawn = loads()
    page.wait_for_timeout(2500)
    assert loads() == drawn
    seen.assert_quiet()


@pytest.mark.slow
def test_what_was_switched_off_stays_off_and_what_comes_is_shown(visit, tmp_path):
    path = tmp_path / "page.html"

    def write(trials):
        write_page([load_source(write_sweep(tmp_path, trials))], path, reload_seconds=1.0)

    # The first trial alone has one value in each column, which the table leaves out.
    write(1)
    seen = visit(path)
    head = "document.querySelector('#trials thead').textContent"
    assert "weights" not in steady(seen.page, head)
    write(6)
    seen.wait(f"{head}.includes('weights')")
    seen.page.click("#parallel summary")
    rates = seen.page.locator("#parallel fieldset:has(legend:text-is('learning_rate')) input")
    assert rates.count() == 6
    rates.nth(2).uncheck()
    types = seen.page.locator("#parallel fieldset:has(legend:text-is('layer_type')) label")
    off = types.first.inner_text()
    types.first.locator("input").uncheck()
    table = load_source(write_sweep(tmp_path, 100)).ranked
    left = table[(table["layer_type"] != off)]
    write(100)
    status = "document.querySelector('#best [role=status]')"
    seen.wait(f"Number({status}.dataset.matching) > 20")
    # The rate that was switched off may be of a trial whose layer type is off, too.
    assert seen.matching() in (len(left), len(left) - 1)
    assert seen.page.locator("text=Clear all filters").is_visible()
    seen.assert_quiet()


def steady(page, script):
    """The value of a script, although the page may just reload."""
    for _ in range(100):
        with suppress(Exception):
            return page.evaluate(script)
        page.wait_for_timeout(50)
    raise AssertionError(script)


@pytest.mark.slow
def test_an_open_page_shows_the_rows_of_a_run_within_seconds(visit, tmp_path):
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    command = [sys.executable, "-m", "hpsearch"]
    out = tmp_path / "out"
    with ExitStack() as stack:
        start = partial(subprocess.Popen, cwd=tmp_path, text=True)
        arguments = [*command, "run", "sweep.yaml", "--out", "out", "-q"]
        run = stack.enter_context(start(arguments, stdout=subprocess.DEVNULL))
        stack.callback(run.kill)
        while not (out / "sweep.db").exists():
            time.sleep(0.05)
        arguments = [*command, "report", "out", "--live"]
        report = stack.enter_context(start(arguments, stdout=subprocess.PIPE))
        stack.callback(report.kill)
        seen = watched(visit, run, report, out)
        assert report.communicate(timeout=30)[0] == "wrote out/report.html\n"
        assert (run.returncode, report.returncode) == (0, 0)
    assert is_current(out / "report.html", out, ())
    seen.assert_quiet()


def watched(visit, run, report, out):
    """The page after it has shown each row of the run within seconds."""
    assert report.stdout.readline() == "open out/report.html: it shows new rows by itself\n"
    seen = visit(out / "report.html")
    payload = "JSON.parse(document.getElementById('payload').textContent)"
    counts = set()
    while run.poll() is None:
        rows = pd.read_csv(out / "results.csv")["trial"].nunique()
        # A few seconds on an idle machine.
        seen.wait(f"{payload}.sweeps[0].total >= {rows}", 40)
        counts.add(rows)
    assert len(counts) > 2
    seen.wait(LAST_PAGE)
    assert seen.matching() == 4
    return seen
