"""A sweep in Python: frozen, comparable, and its space."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from hpsearch.space.space import Choices, Parameter
from hpsearch.spec.data import DataSpec
from hpsearch.spec.method import MethodSpec
from hpsearch.spec.rules import byte_size, duration
from hpsearch.spec.sweep import Sweep
from hpsearch.wording import listing, nearest, show

RAW: dict[str, Any] = {
    "name": "s",
    "data": {"dataset": "digits"},
    "parameters": {
        "hidden_layers": [0, 1],
        "units": [10, [20, 5]],
        "dropout": {"values": [0.1, 0.2], "when": {"layer_type": "dropout"}},
        "layer_type": ["dense", "dropout"],
    },
    "constraints": ["units <= 20"],
}


def test_listed_configs_take_what_they_leave_open_from_the_parameters() -> None:
    listed = Sweep.parse(RAW | {"configs": [{}, {"hidden_layers": 1, "units": 20}]}).listed
    assert [config.values.get("units") for config in listed] == [None, 20]
    assert [config.values["hidden_layers"] for config in listed] == [0, 1]


def test_equality_is_of_what_is_asked_in_other_processes_too() -> None:
    sweep = Sweep.parse(RAW)
    assert sweep.space.names == ("hidden_layers", "units", "dropout", "layer_type")
    assert sweep == Sweep.parse({**RAW, "project": "mine"})
    assert sweep != Sweep.parse({**RAW, "seed": 1})
    again = pickle.loads(pickle.dumps(sweep))
    assert again == sweep
    assert again.space == sweep.space


def test_parts_may_be_given_as_objects() -> None:
    sweep = Sweep.parse(
        {
            "name": "s",
            "data": DataSpec(dataset="iris"),
            "method": MethodSpec("grid"),
            "parameters": {"units": Parameter("units", Choices((3, 4)))},
        }
    )
    assert sweep.data.source == "dataset"
    assert sweep.space.cardinality() == 2
    assert Sweep.parse(sweep) is sweep


def test_duration() -> None:
    times = {"30m": 1800, "1h30m": 5400, "90s": 90, "1.5h": 5400, "1d": 86400, 7: 7}
    assert {text: duration().check(text) for text in times} == times


@pytest.mark.parametrize("text", ["", "m", "30", "30 m", "1m1h", "-3s", 0, -1, True, None, "0s"])
def test_no_duration(text: Any) -> None:
    with pytest.raises(ValueError, match="such as 30m"):
        duration().check(text)


def test_byte_size() -> None:
    sizes = {"2GB": 2 * 10**9, "1.5GiB": 3 * 2**29, "512 MiB": 2**29, "auto": "auto", 7: 7}
    assert {text: byte_size().check(text) for text in sizes} == sizes


def test_no_name_is_near_a_number_or_a_long_text() -> None:
    long = "x" * 10_000
    assert [nearest(word, ["layer_type", long]) for word in (3, long)] == [None, None]


def test_listing_and_show() -> None:
    listed = [listing(words) for words in ([], ["a"], ["a", "b"], "abc")]
    assert listed == ["", "a", "a or b", "a, b or c"]
    assert show("1") == "the text '1'"
    assert [show(value) for value in (True, None, 0.5)] == ["true", "nothing", "0.5"]
    assert len(show([1] * 1000)) < 80
    assert show(10**5000) == "a value of type int"
