"""The page as a file: by command, at the end of a run, during one, and where it cannot be."""

import re
from pathlib import Path

import pytest
from tables import write_sweep

import hpsearch as package
from hpsearch.cli.tables import report
from hpsearch.errors import InputError
from hpsearch.reporting.page import is_current, render, write_page
from hpsearch.reporting.source import load_source

SWEEP = (
    "name: tiny\ndata: {dataset: iris, validation: 0.3, seed: 1}\n"
    "parameters: {units: [2, 3, 4, 5, 6], epochs: [1, 2]}\n"
)


def test_the_command_writes_pages_or_says_why_not(tmp_path, monkeypatch, capsys):
    write_sweep(tmp_path / "second", 1)
    monkeypatch.chdir(tmp_path)
    for source, out in (("second", None), ("second/results.csv", Path("one.html"))):
        report([Path(source)], out=out)
    assert capsys.readouterr().out == "wrote second/report.html\nwrote one.html\n"
    assert Path("second/report.html").exists()
    assert Path("one.html").exists()
    for sources, out, message in (
        (["nowhere"], None, "there is no such results table"),
        (["second", "second"], None, "name the page's file"),
        (["second"], "nowhere/x.html", "cannot be written"),
    ):
        with pytest.raises(InputError, match=message):
            report([*map(Path, sources)], out=out and Path(out))


def test_a_run_leaves_a_page_that_is_current(tmp_path):
    page = tmp_path / "out" / "report.html"

    def run(text):
        (tmp_path / "sweep.yaml").write_text(text)
        package.run(tmp_path / "sweep.yaml", out=tmp_path / "out", verbose=0)
        return page.stat().st_mtime_ns

    before = run(SWEEP)
    assert is_current(page, tmp_path / "out", ())
    text = page.read_text(encoding="utf-8")
    assert "iris" in text
    assert re.search(r" (better than|worse than|as good as) always guessing; the median", text)
    assert render([load_source(tmp_path / "out")]) == render([load_source(tmp_path / "out")])
    # Nothing is trained, and nothing written again.
    assert run(SWEEP) == before
    assert run(SWEEP + "seeds: 2\n") > before
    assert is_current(page, tmp_path / "out", ())


def test_writing_is_atomic_and_reading_tells_what_is_missing(sweep_of, tmp_path):
    page = tmp_path / "page.html"
    page.write_text("old")
    (tmp_path / "results.csv").write_text("trial,score\n1,0.5\n")
    with pytest.raises(InputError, match="it has no column config"):
        load_source(tmp_path)
    write_page([load_source(sweep_of(1))], page)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []
    assert not is_current(page, tmp_path, ())


def test_no_name_ends_the_element_that_holds_the_data(tmp_path):
    pages = []
    for hostile in (False, True):
        source = load_source(write_sweep(tmp_path / str(hostile), 5, hostile=hostile))
        pages.append(render([source]))
    plain, hostile = pages
    assert "u003c/script" in hostile
    for tag in ("<script", "</script", "<!--"):
        assert hostile.lower().count(tag) == plain.lower().count(tag)
