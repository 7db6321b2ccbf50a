"""`hpsearch help` prints the documents, offline."""

from __future__ import annotations

import io

import pytest
from readme import DOCUMENTS, ROOT
from rich.console import Console

from hpsearch.cli.topics import print_topic, print_topics
from hpsearch.errors import InputError


def printed(topic: str | None, *, terminal: bool = False) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
    if topic is None:
        print_topics(console)
    else:
        print_topic(topic, console)
    return console.file.getvalue()


def test_every_document_but_the_readme_is_a_topic():
    topics = dict(line.split(maxsplit=1) for line in printed(None).splitlines())
    headings = {path.read_text(encoding="utf-8").split("\n")[0].removeprefix("# ")
                for path in DOCUMENTS if path != ROOT / "README.md"}  # fmt: skip
    assert headings <= set(topics.values())
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"`{topic}`" in readme for topic in topics)


def test_a_topic_is_markdown_without_the_tests_marks():
    text = printed("scikit-learn")
    assert text.startswith("# scikit-learn\n")
    assert "```py\nfrom sklearn.datasets" in text
    assert "<!--" not in text


def test_on_a_terminal_it_is_laid_out():
    text = printed("trackers", terminal=True)
    assert "\x1b[" in text
    assert "```" not in text


def test_an_unknown_topic_is_refused_with_the_nearest():
    with pytest.raises(InputError, match="did you mean 'trackers'"):
        printed("tracker")
