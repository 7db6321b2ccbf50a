"""A comparison on the page and in a notebook: the verdict, its figures, and names that are text."""

import html
import json
import re

import pytest
from made_tables import HOSTILE, units, write_two

from hpsearch.comparison.comparing import compare_tables
from hpsearch.comparison.estimates import Estimate
from hpsearch.comparison.writing import as_dict, as_markdown, document
from hpsearch.reporting.comparison_page import gains_figure, section_of
from hpsearch.reporting.figures import distributions_figure
from hpsearch.reporting.page import render

TAGS = {
    *("section id aria-label", "section class", "h1", "h2", "p class", "div class", "table"),
    *("div class role aria-label", "div class tabindex role aria-label", "thead", "tbody", "tr"),
    *("th", "th class", "td", "td class"),
}


def test_names_are_text(hostile_comparison, comparison):
    section = section_of(hostile_comparison)
    for text in (section.html, hostile_comparison._repr_html_()):
        # Tags with the names of their attributes, whose values may hold any text.
        tags = {re.sub(r'="[^"]*"', "", tag) for tag in re.findall(r"<([^/>][^<]*?)>", text)}
        assert tags <= TAGS
        shown = html.unescape(text)
        for name in (*HOSTILE, "NOT COMPARABLE", "<i>data</i>"):
            assert name in shown
    drawn = json.dumps(section.figures)
    assert "&lt;b&gt;one" in drawn
    assert "<" not in drawn.replace("<br>", "").replace("<extra></extra>", "")
    both = (comparison, hostile_comparison)
    pages = [render([], compared=section_of(each)).lower() for each in both]
    for tag in ("<script", "</script", "<!--", "<img src=x", "<b>"):
        assert pages[0].count(tag) == pages[1].count(tag)


def test_the_section_holds_the_verdict_the_figures_and_the_questions(comparison):
    section = section_of(comparison)
    text = section.html
    assert "<h1>first is better than second by 0.1131</h1>" in text
    figures = ["The gain and its interval", "The share of configs that score at most so much"]
    questions = [section.title for section in document(comparison)]
    assert re.findall(r"<h2>(.*)</h2>", text) == [*figures, *questions]
    assert re.findall(r'role="figure" aria-label="(.*?)"', text) == figures
    gains, distributions = section.figures
    # The verdict's own interval ends on the same side of zero.
    low, high = comparison.interval
    (gain,) = gains["data"][1]["x"]
    assert gain - gains["data"][1]["error_x"]["arrayminus"][0] == pytest.approx(low, rel=1e-3)
    assert gain + gains["data"][1]["error_x"]["array"][0] == pytest.approx(high, rel=1e-3)
    assert [line["name"] for line in distributions["data"]] == ["first", "second"]
    assert distributions["layout"]["showlegend"]


def test_a_notebook_shows_words_and_tables_without_a_script(comparison):
    text = comparison._repr_html_()
    assert text.startswith("<h1>first is better")
    assert text.count('<section class="card">') == 5
    assert "plot" not in text


def test_an_unbounded_end_is_that_of_the_axis():
    inf = float("inf")
    spec = gains_figure(
        [("a over b", Estimate(0.1, -inf, inf)), ("a over c", Estimate(0.2, 0.1, inf))]
    )
    bars = spec["data"][1]["error_x"]
    assert bars["array"][0] == bars["arrayminus"][0] == 0
    assert bars["arrayminus"][1] == pytest.approx(0.1)
    end = spec["layout"]["xaxis"]["range"][1]
    assert bars["array"][1] == pytest.approx(end - 0.2)
    texts = [each["text"] for each in spec["layout"]["annotations"]]
    assert texts == ["a over b: no interval", "a over c"]


def test_a_figure_without_data_is_left_out(tmp_path):
    compared = compare_tables(write_two(tmp_path, units([0.5]), units([None])))
    told = as_dict(compared)
    assert (told["winner"], told["difference"], told["interval"]) == (None, None, [None, None])
    assert "a and b: no verdict, a table has no score" in as_markdown(compared)
    section = section_of(compared)
    assert len(section.figures) == section.html.count('class="plot"') == 1
    assert "<h1>a and b: no winner, a table has no score</h1>" in section.html
    assert "nan" not in section.html.lower()


def test_no_two_of_many_tables_look_alike():
    scores = {f"table {n}": [0.1 * n, 0.2] for n in range(21)}
    lines = [each["line"] for each in distributions_figure("score", scores, "configs")["data"]]
    assert len({(line["color"], line["dash"]) for line in lines}) == 21
