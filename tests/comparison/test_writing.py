"""A comparison as Markdown, JSON and on a terminal: whatever is in it is text."""

import io
import json
import re

import pytest
from made_tables import Row, write_two
from rich.console import Console

from hpsearch.cli.tables import print_comparison
from hpsearch.comparison.comparing import compare_tables
from hpsearch.comparison.writing import as_markdown, require_suffix
from hpsearch.errors import HpsearchError, InputError
from hpsearch.reporting.comparison_page import section_of


def test_markdown_is_inert(hostile_comparison):
    text = as_markdown(hostile_comparison)
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


def test_a_terminal_shows_names_as_they_are(hostile_comparison):
    file = io.StringIO()
    print_comparison(hostile_comparison, Console(file=file, width=300))
    for name in ("<script>alert(1)</script>", "[red]rich[/red]", "[click](javascript:alert(1))"):
        assert name in file.getvalue()


def test_cells_with_line_ends_stay_in_their_row(tmp_path):
    rows = [Row({"activation": f"a\nb\x1b[31m{i}", "units": i}, 0.5 + i / 10) for i in range(1, 7)]
    better = [Row(row.values, row.score + 0.1 + row.score / 90) for row in rows]
    compared = compare_tables(write_two(tmp_path, rows, better))
    text = as_markdown(compared)
    assert "\x1b" not in text + str(section_of(compared))
    file = io.StringIO()
    print_comparison(compared, Console(file=file, width=300))
    assert "\x1b" not in file.getvalue()


def test_json_holds_what_it_promises(comparison, tmp_path):
    comparison.write(tmp_path / "c.json")
    told = json.loads((tmp_path / "c.json").read_text())
    assert told["comparable"] is True
    assert told["winner"] == "first"
    assert told["metric"] == "val_accuracy:maximize:last"
    assert told["n_pairs"] == 6
    low, high = told["interval"]
    assert 0 < low < told["difference"] < high
    assert told["p_value"] < 0.05
    assert told["question"] == "paired"
    assert told == comparison.to_dict()
    (pair,) = told["pairs"]
    assert pair["winner"] == "first"
    assert {name: told[name] for name in pair if name != "winner"} == {
        name: pair[name] for name in pair if name != "winner"
    }
    assert [table["label"] for table in told["tables"]] == ["first", "second"]
    assert told["budgets"][0]["unit"] == "trials"
    assert len(told["moved"]) == 5


def test_markdown_holds_the_answers_in_their_order(comparison):
    titles = [
        "Are they comparable?",
        "Which is better?",
        "At equal budget?",
        "Which hyperparameters explain it?",
        "Which configs moved most?",
    ]
    assert re.findall(r"^## (.*)$", as_markdown(comparison), re.MULTILINE) == titles
    assert str(comparison) == as_markdown(comparison)
    assert "first is better than second by" in as_markdown(comparison)
    assert "do the same configs score better?" in as_markdown(comparison)
    # No hash where a name will do.
    assert [best.trial for best in comparison.bests] == [5, 5]
    assert "| best trial |" in as_markdown(comparison)
    assert not re.search(r"\| [cp][0-9a-f]{11} \|", as_markdown(comparison))


def test_a_page_is_written_whole_or_not_at_all(comparison, tmp_path):
    for suffix in (".md", ".html", ".json", ".HTML"):
        comparison.write(tmp_path / f"c{suffix}")
        assert (tmp_path / f"c{suffix}").stat().st_size > 500
    with pytest.raises(InputError, match=r"\.md, \.json, \.html"):
        comparison.write(tmp_path / "c.pdf")
    with pytest.raises(InputError):
        require_suffix("none")
    with pytest.raises(HpsearchError, match="cannot be written"):
        comparison.write(tmp_path / "nowhere" / "c.md")
