"""Text for people: suggestions for misspelt names, lists, values and numbers."""

from __future__ import annotations

import difflib
import json
import math
import re
import signal
import sys
import traceback
from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import lru_cache
from typing import Any

_LONGEST = 60


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).lower()


def _words(name: str) -> tuple[str, ...]:
    return tuple(sorted(re.split(r"[\s_-]+", name.lower())))


def nearest(word: Any, names: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the name nearest to `word`, if close; case, `_`, `-` and word order do not count."""
    if not isinstance(word, str) or len(word) > _LONGEST:
        return None
    return _nearest(word, tuple(names), cutoff)


@lru_cache(maxsize=512)  # A list of thousands of items often repeats the same mistake.
def _nearest(word: str, names: tuple[str, ...], cutoff: float) -> str | None:
    by_words = {_words(name): name for name in names}
    if _words(word) in by_words:
        return by_words[_words(word)]
    by_plain = {_plain(name): name for name in names}
    close = difflib.get_close_matches(_plain(word), by_plain, n=1, cutoff=cutoff)
    return by_plain[close[0]] if close else None


def did_you_mean(word: Any, names: Iterable[str], cutoff: float = 0.6) -> str:
    """Return `; did you mean ...?`, or an empty string if no name is close."""
    near = nearest(word, names, cutoff)
    return f"; did you mean {near!r}?" if near is not None else ""


def unknown_hint(word: Any, meanings: Mapping[str, str], names: Iterable[str]) -> str:
    """Return `; did you mean ...?`, `; write ...`, or an empty string.

    Args:
        meanings: Word -> name, or advice.
    """
    meaning = meanings.get(word) if isinstance(word, str) else None
    if meaning is None:
        return did_you_mean(word, names, _CLOSE)
    return f"; did you mean {meaning!r}?" if " " not in meaning else f"; {meaning}"


def listing(names: Iterable[str], last: str = "or") -> str:
    """Join names as `a, b or c`, or with another word than `or`."""
    words = list(names)
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def counted(count: int, noun: str) -> str:
    """Return `1 trial`, `2 trials`, `1,000 trials`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def duration(seconds: float) -> str:
    """Return seconds in a readable form: 42 s, 3:20, 1:03:20."""
    # No timedelta holds as many seconds as a table from elsewhere may name.
    whole = round(min(seconds, 1e13))
    return f"{whole} s" if whole < 60 else str(timedelta(seconds=whole)).lstrip("0:")


def is_number(value: Any) -> bool:
    """Check if a value is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


#: Larger numbers have an exponent; beyond the second value, commas separate thousands.
_MOST_SPELT = 1e7
_DIGITS_APART = 10_000
#: Smaller measured values have an exponent, as have hyperparameters below the second value.
_SMALL, _SMALLEST = 1e-3, 1e-4


def number(value: float, beside: float = 0.0) -> str:
    """Format a measured value, such as a score: 0.9694, 12.35, 345.7, 20,050, 7.8e-6.

    Args:
        beside: A larger number next to it that sets the number of decimals: 3,054 ± 573.
    """
    size = abs(value)
    if size == 0:
        return "0"
    size = max(size, abs(beside)) if abs(beside) < _MOST_SPELT else size
    if size < _SMALL or size >= _MOST_SPELT:
        return _exponential(value)
    digits = 0 if size >= 999.95 else 1 if size >= 99.995 else 2 if size >= 9.99995 else 4
    text = f"{value:,.{digits}f}"
    # Not zero, and not to be taken for it.
    return text if float(text.replace(",", "")) else number(value)


def plain(value: float) -> str:
    """Format a hyperparameter as people write it: 32, 0.003, 20,000, 7.8e-6."""
    size = abs(value)
    if size and (size < _SMALLEST or size >= _MOST_SPELT):
        return _exponential(value)
    if float(value).is_integer() or size >= _DIGITS_APART:
        return f"{value:,.0f}" if size >= _DIGITS_APART else f"{value:.0f}"
    return str(float(f"{value:.3g}")).removesuffix(".0")


def _exponential(value: float) -> str:
    if not math.isfinite(value):
        return str(value)
    mantissa, exponent = f"{value:.2e}".split("e")
    digits = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{digits}e{int(exponent)}"


def show(value: Any) -> str:
    """Describe a value: `the text '1e-3'`, `the list [1, 2]`, `0`, `true`."""
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return f"the text {_short(repr(value))}"
    try:
        text = json.dumps(value, default=repr)
    except (TypeError, ValueError, RecursionError):
        text = f"a value of type {type(value).__name__}"
    kind = "the list " if isinstance(value, list | tuple) else ""
    return ("the mapping " if isinstance(value, Mapping) else kind) + _short(text)


def said_by(error: BaseException) -> str:
    """Return an exception's text, even if its `__str__` fails."""
    try:
        return str(error)
    # A user's code may raise anything.
    except BaseException as failure:  # noqa: BLE001
        return f"(its text cannot be had: {type(failure).__name__})"


def in_words(error: BaseException) -> str:
    """Return the name of an exception's class and its text, shortened."""
    return f"{type(error).__name__}: {shortened(said_by(error))}".strip(": ")


def space_hint(text: str) -> str:
    """Return a hint for a key and a value without a space between them; else nothing."""
    key, colon, value = text.strip().partition(":")
    if not colon or not value or value[0].isspace() or not key.isidentifier():
        return ""
    return f"a space is missing after the colon: write {_short(f'{key}: {value}')}"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def printable(text: str, instead: str = " ", keep: str = "") -> str:
    """Replace each character that could end the line, reorder text or command a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else instead for c in text)


def metric_name(name: str) -> str:
    """Return a metric's name without what a table or a terminal cannot show, and not too long."""
    return printable(name[:_MOST_IN_CELL], "\N{REPLACEMENT CHARACTER}")


#: Most characters of an error's text: a message may contain every number of an array.
MOST_CHARACTERS = 10_000
#: Another tool's word is not a misspelling of one here.
_CLOSE = 0.7
_MOST_IN_CELL = 200


def shortened(text: str, most: int = MOST_CHARACTERS) -> str:
    """Return a text of bounded length: its first characters, and the total number."""
    if len(text) <= most:
        return text
    return f"{text[:most]}... ({len(text):,} characters in all)"


def cell_text(value: Any) -> str:
    """Return a value as text that fits a cell."""
    return shortened(str(value), _MOST_IN_CELL)


def error_text(error: BaseException) -> str:
    """Return an exception's text on one line, shortened."""
    return " ".join(shortened(said_by(error)).split())


def trace_of(error: BaseException) -> str:
    """Return an exception's traceback, shortened."""
    return shortened("".join(traceback.format_exception(error)))


def write_trace(error: BaseException) -> None:
    """Write an exception's traceback, shortened, to standard error."""
    sys.stderr.write(trace_of(error).rstrip("\n") + "\n")


def quoted(names: Iterable[str], limit: int = 20) -> str:
    """Join names in quotes with commas, at most `limit` of them."""
    every = list(names)
    more = f", ... ({len(every)} in all)" if len(every) > limit else ""
    return ", ".join(repr(name) for name in every[:limit]) + more


def exit_text(code: int) -> str:
    """Describe an exit code, such as `exit status 1`; a negative one is a signal's number."""
    if code >= 0:
        return f"exit status {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
