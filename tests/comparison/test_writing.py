"""A comparison as Markdown, HTML, JSON and on a terminal: whatever is in it is text."""

from __future__ import annotations

import io
import json
import math
import re
from html.parser import HTMLParser

import pytest
from made_tables import Made, Row, seeded, units, write
from rich.console import Console

from hpsearch.cli.show import print_comparison
from hpsearch.comparison.comparing import compare_tables
from hpsearch.comparison.figures import distributions, forest, scatter
from hpsearch.comparison.writing import as_html, as_markdown, number, require_suffix
from hpsearch.errors import HpsearchError, InputError

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "a|b",
    "[click](javascript:alert(1))",
    "`code` *bold* _it_ #h",
    "[red]rich[/red]",
    "&amp;",
    "'; DROP TABLE trials; --",
]
ELEMENTS = {
    "html", "head", "meta", "title", "style", "body", "main", "section", "h1", "h2", "p",
    "div", "table", "tr", "th", "td", "figure", "figcaption", "svg", "text", "line", "circle",
    "polyline",
}  # fmt: skip


class Elements(HTMLParser):
    """Every element and attribute of a page, and its text."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.text = set(), set(), ""

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def hostile(tmp_path):
    def rows(gain):
        return [
            Row({"activation": name, "optimizer": f"x{name}", "units": width + i}, 0.5 + gain * i)
            for i, name in enumerate(HOSTILE)
            for width in (3, 30)
        ]

    first = write(tmp_path / "<b>one|two`", Made(rows(0.01), data="<i>data</i>"))
    second = write(tmp_path / "=cmd[two]", Made(rows(0.02)))
    return compare_tables([first, second], anyway=True)


@pytest.fixture
def plain(tmp_path):
    rng_free = [0.5, 0.61, 0.7, 0.82, 0.9, 0.55]
    better = seeded(units([s + 0.1 + s / 50 for s in rng_free]), 0, 0.01)
    first = write(tmp_path / "first", Made(better))
    second = write(tmp_path / "second", Made(seeded(units(rng_free), 0, 0.011)))
    return compare_tables([first, second])


def test_html_is_inert(hostile):
    page = Elements()
    page.feed(as_html(hostile))
    assert page.tags <= ELEMENTS
    assert page.attributes <= {
        "lang", "charset", "http-equiv", "name", "content", "class", "tabindex", "role",
        "aria-label", "viewbox", "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "points",
        "text-anchor", "stroke-dasharray",
    }  # fmt: skip
    for name in HOSTILE:
        assert name in page.text
    assert "NOT COMPARABLE" in page.text
    assert "<i>data</i>" in page.text


def test_markdown_is_inert(hostile):
    text = as_markdown(hostile)
    assert "<" not in text
    # What could open a link, code or emphasis has a backslash before it.
    for line in text.splitlines():
        if line.startswith(("#", "**NOT", "|--")):
            continue
        bare = re.sub(r"\\.", "", line)
        assert not re.search(r"[\[\]`*_]", bare), line
    grids = [line for line in text.splitlines() if line.startswith("|")]
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1, block
    assert len(grids) > 10
    assert text.count("**") == 2


def test_a_terminal_shows_names_as_they_are(hostile):
    file = io.StringIO()
    print_comparison(hostile, Console(file=file, width=300))
    for name in ("<script>alert(1)</script>", "[red]rich[/red]", "[click](javascript:alert(1))"):
        assert name in file.getvalue()


def test_cells_with_line_ends_stay_in_their_row(tmp_path):
    rows = [Row({"activation": f"a\nb\x1b[31m{i}", "units": i}, 0.5 + i / 10) for i in range(1, 7)]
    better = [Row(row.values, row.score + 0.1 + row.score / 90) for row in rows]
    compared = compare_tables(
        [write(tmp_path / n, Made(r)) for n, r in (("a", rows), ("b", better))]
    )
    text = as_markdown(compared)
    assert "\x1b" not in text
    assert "\x1b" not in as_html(compared)
    file = io.StringIO()
    print_comparison(compared, Console(file=file, width=300))
    assert "\x1b" not in file.getvalue()


def test_json_holds_what_it_promises(plain, tmp_path):
    plain.write(tmp_path / "c.json")
    told = json.loads((tmp_path / "c.json").read_text())
    assert told["comparable"] is True
    assert told["winner"] == "first"
    assert told["metric"] == "val_accuracy:maximize:last"
    assert told["n_pairs"] == 6
    low, high = told["interval"]
    assert 0 < low < told["difference"] < high
    assert told["p_value"] < 0.05
    assert told["question"] == "paired"
    assert told == plain.to_dict()
    (pair,) = told["pairs"]
    assert pair["winner"] == "first"
    assert {name: told[name] for name in pair if name != "winner"} == {
        name: pair[name] for name in pair if name != "winner"
    }
    assert [table["label"] for table in told["tables"]] == ["first", "second"]
    assert told["budgets"][0]["unit"] == "trials"
    assert len(told["moved"]) == 5


def test_json_has_null_where_there_is_nothing(tmp_path):
    paths = [write(tmp_path / "a", Made(units([0.5]))), write(tmp_path / "b", Made([]))]
    compared = compare_tables(paths)
    told = json.loads(json.dumps(compared.to_dict(), allow_nan=False))
    assert told["winner"] is None
    assert told["difference"] is None
    assert told["interval"] == [None, None]
    assert told["p_value"] is None
    assert told["n_pairs"] == 0
    assert "no verdict" in told["verdict"]
    for text in (as_html(compared), as_markdown(compared)):
        assert "nan" not in text.lower()


def test_markdown_and_html_hold_the_answers_in_their_order(plain):
    titles = [
        "Are they comparable?",
        "Which is better?",
        "At equal budget?",
        "Which hyperparameters explain it?",
        "Which configs moved most?",
    ]
    assert re.findall(r"^## (.*)$", as_markdown(plain), re.MULTILINE) == titles
    assert re.findall(r"<h2>(.*)</h2>", as_html(plain)) == titles
    assert str(plain) == as_markdown(plain)
    assert plain._repr_html_() == as_html(plain)
    assert "first is better than second by" in as_markdown(plain)
    assert "do the same configs score better?" in as_markdown(plain)


def test_the_page_begins_with_the_verdict_and_its_figures(plain):
    text = as_html(plain)
    assert "<h1>first is better than second by 0.1131</h1>" in text
    captions = re.findall(r"<figcaption>(.*)</figcaption>", text)
    assert captions == [
        "The gain and its interval",
        "Configs in both: 6 of 6 are better in first",
        "The share of configs that score at most so much",
    ]
    assert text.index("</h1>") < text.index("<figure>") < text.index("<h2>")
    _, forest, scatter, distributions = text.split("<svg ")
    # The verdict's own interval ends on the same side of zero.
    zero = float(re.search(r'x1="([\d.]+)"[^>]*class="zero"', forest)[1])
    low, high = re.search(r'x1="([\d.]+)"[^>]*x2="([\d.]+)"[^>]*class="interval"', forest).groups()
    assert zero < float(low) < float(high)
    # Larger scores of the first table lie above the diagonal; SVG counts y downwards.
    points = re.findall(r'cx="([\d.]+)" cy="([\d.]+)" r="3.5"', scatter)
    ends = re.search(
        r'x1="([\d.]+)" y1="([\d.]+)" x2="([\d.]+)" y2="([\d.]+)" class="zero"', scatter
    )
    x1, y1, x2, y2 = map(float, ends.groups())
    assert len(points) == 6
    for x, y in points:
        assert float(y) < y1 + (float(x) - x1) / (x2 - x1) * (y2 - y1)
    # A line for each table, and one in the legend.
    assert distributions.count("<polyline") == 4


def test_a_gain_without_an_interval_has_no_line():
    drawn = forest([("a over b", 0.1, -math.inf, math.inf), ("a over c", 0.2, 0.1, math.inf)])
    assert drawn.count('class="interval"') == 1
    assert "a over b: no interval" in drawn
    # Not only zero tells how long the axis is.
    assert drawn.count('class="muted"') > 1


def test_equal_configs_are_better_in_neither():
    assert "1 of 3 are better in a, 1 in b" in scatter("a", "b", [(1, 0, 1), (1, 1, 0), (0, 1, -1)])


def test_a_figure_without_data_is_left_out(tmp_path):
    paths = [write(tmp_path / "a", Made(units([0.5]))), write(tmp_path / "b", Made([]))]
    text = as_html(compare_tables(paths))
    assert text.count("<figure>") == 1
    assert "<h1>a and b: no winner, a table has no score</h1>" in text


def test_a_comparison_in_spite_of_all_is_stamped_everywhere(tmp_path):
    paths = [
        write(tmp_path / name, Made(units([0.5, 0.6]), data=data))
        for name, data in (("a", "d1"), ("b", "d2"))
    ]
    compared = compare_tables(paths, anyway=True)
    stamp = "NOT COMPARABLE, compared anyway: data: a d1, b d2"
    assert compared.to_dict()["stamp"].startswith(stamp)
    assert compared.to_dict()["comparable"] is False
    assert stamp in as_html(compared)
    assert stamp in as_markdown(compared)
    file = io.StringIO()
    print_comparison(compared, Console(file=file, width=300))
    assert stamp in file.getvalue()


def test_a_page_is_written_whole_or_not_at_all(plain, tmp_path):
    for suffix in (".md", ".html", ".json", ".HTML"):
        plain.write(tmp_path / f"c{suffix}")
        assert (tmp_path / f"c{suffix}").stat().st_size > 500
    with pytest.raises(InputError, match=r"\.md, \.json, \.html"):
        plain.write(tmp_path / "c.pdf")
    with pytest.raises(InputError):
        require_suffix("none")
    with pytest.raises(HpsearchError, match="cannot be written"):
        plain.write(tmp_path / "nowhere" / "c.md")


def test_numbers_read_as_people_write_them():
    assert number(0.12345) == "0.1235"
    assert number(0.0) == "0"
    assert number(3012.4) == "3,012"
    assert number(float("inf")) == "unbounded"


def test_no_two_of_many_tables_look_alike():
    figure = distributions("score", [(f"table {n}", [0.1 * n, 0.2]) for n in range(21)])
    looks = re.findall(r'class="line (line-\d)" stroke-dasharray="([\d ]*)"', figure)
    assert len(looks) == 42
    assert len({*looks}) == 21


def test_no_hash_where_a_name_will_do(plain):
    text = as_html(plain)
    assert [best.trial for best in plain.bests] == [5, 5]
    assert "<th>best trial</th>" in text
    assert not re.search(r"<td[^>]*>[cp][0-9a-f]{11}</td>", text)
