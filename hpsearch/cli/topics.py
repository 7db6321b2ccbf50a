"""The documents, readable offline."""

from __future__ import annotations

import re
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

from hpsearch.errors import InputError
from hpsearch.wording import did_you_mean

#: A file for each topic; in a checkout, a link to the README that it shows.
_TOPICS = {path.stem: path for path in sorted((Path(__file__).parent / "help").glob("*.md"))}


def print_topics(console: Console) -> None:
    """Print each topic with the heading of its document."""
    for topic, path in _TOPICS.items():
        heading = path.read_text(encoding="utf-8").split("\n", 1)[0].removeprefix("# ")
        console.print(f"{topic:14}{heading}", highlight=False, markup=False)


def print_topic(topic: str, console: Console) -> None:
    """Print a topic's document: formatted on a terminal, as Markdown elsewhere.

    Raises:
        InputError: There is no such topic.
    """
    if topic not in _TOPICS:
        raise InputError(
            f"{topic}: no such topic; there are {', '.join(_TOPICS)}{did_you_mean(topic, _TOPICS)}"
        )
    text = _TOPICS[topic].read_text(encoding="utf-8")
    # Remove the tests' names for code blocks.
    text = re.sub(r"^<!-- .* -->\n", "", text, flags=re.MULTILINE)
    if console.is_terminal:
        console.print(Markdown(text))
    else:
        console.file.write(text)
