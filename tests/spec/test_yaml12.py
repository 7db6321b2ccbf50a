"""Scalars follow YAML 1.2 with either parser of PyYAML."""

from __future__ import annotations

import math
from typing import Any

import pytest
import yaml

from hpsearch.spec.yaml import read_yaml

SCALARS: dict[str, Any] = {
    "1e-4": 1e-4,
    "1E+3": 1000.0,
    "1.": 1.0,
    ".5": 0.5,
    "-0.5": -0.5,
    "+1.5e3": 1500.0,
    "010": 10,
    "0o10": 8,
    "0x1F": 31,
    "1_000": "1_000",
    "0b1": "0b1",
    "1:30": "1:30",
    "2024-01-02": "2024-01-02",
    "no": "no",
    "on": "on",
    "true": True,
    "False": False,
    "null": None,
    "~": None,
    ".inf": math.inf,
    "-.INF": -math.inf,
    "'1'": "1",
    '"true"': "true",
    "=": "=",
    "1e999": math.inf,
    "!!float 1": 1.0,
    "!!float 1e-4": 1e-4,
    "!!float 0x10": 16.0,
    "!!float 0o17": 15.0,
    "!!int '3'": 3,
    "!!str 3": "3",
    "!!bool 'true'": True,
    "!!null ''": None,
    "!!seq [1]": [1],
    "!!map {b: 1}": {"b": 1},
    "&x !!float 2": 2.0,
}


@pytest.mark.parametrize("base", [None, yaml.SafeLoader])
@pytest.mark.parametrize(("text", "value"), SCALARS.items(), ids=SCALARS.keys())
def test_scalar(text: str, value: Any, base: Any) -> None:
    document = read_yaml(f"a: {text}".encode(), base)
    assert document.problems == []
    assert document.data == {"a": value}
    assert type(document.data["a"]) is type(value)


@pytest.mark.parametrize("base", [None, yaml.SafeLoader])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("!!int 1.5", "!!int: '1.5' is no such value"),
        ("!!float x", "!!float: 'x' is no such value"),
        ("!!bool 1", "!!bool: '1' is no such value"),
        ("!!map [1]", "tags (!) are not allowed, except !!seq; write the value"),
        ("!!python/object:os.system x", "tags (!) are not allowed, except !!null, !!bool"),
        ("!own x", "tags (!) are not allowed, except !!null, !!bool"),
    ],
)
def test_tag_that_does_not_fit(text: str, message: str, base: Any) -> None:
    document = read_yaml(f"a: {text}".encode(), base)
    assert document.problems[0].message.startswith(message)
    assert len(document.problems) == 1
    assert ("a",) in document.broken
    of_key = read_yaml(b"!!str a: 1", base)
    assert of_key.problems[0].message == "tags (!) are not allowed; write the value"


def test_lines() -> None:
    text = b"# c\na: 1\nb:\n  c: [1,\n    2]\n  d:\n    - x\n    - {y: z}\n"
    document = read_yaml(text)
    lines: dict[tuple[str | int, ...], int] = {
        ("a",): 2,
        ("b",): 3,
        ("b", "c"): 4,
        ("b", "c", 1): 5,
        ("b", "d"): 6,
        ("b", "d", 1): 8,
        ("b", "d", 1, "y"): 8,
        ("b", "none", "deeper"): 3,
    }
    for loc, line in lines.items():
        assert document.line(loc) == line, loc


def test_byte_order_mark() -> None:
    assert read_yaml("\ufeffa: 1".encode()).data == {"a": 1}


ALIASES = """
base: &base {units: [4, &most 8], epochs: *most}
one: {<<: *base, epochs: 3}
two:
  units: [5]
  <<: [*base, {units: 6, optimizer: adam}]
"""


@pytest.mark.parametrize("base", [None, yaml.SafeLoader])
def test_aliases_and_merge_keys_repeat_values_and_their_lines(base: Any) -> None:
    document = read_yaml(ALIASES.encode(), base)
    assert not document.problems
    assert document.data == yaml.safe_load(ALIASES)
    assert list(document.data["one"]) == ["units", "epochs"]
    assert [document.line(("two", name)) for name in ("units", "epochs", "optimizer")] == [5, 2, 6]
    document.data["one"]["units"].append(9)
    assert document.data["base"]["units"] == [4, 8]
