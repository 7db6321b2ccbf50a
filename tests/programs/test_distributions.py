"""Each of W&B's distributions is drawn as W&B draws it."""

import math

import pytest

from hpsearch.search.encoding import Dimension
from hpsearch.spec.parameters import PROGRAM_PARAMETERS, raw_parameters
from hpsearch.spec.rules import InvalidValue

POSITIONS = (0.01, 0.3, 0.5, 0.9)
# `HyperParameter.ppf` of W&B's package `sweeps` 0.3.0 at these positions.
QUANTILES = {
    "q_uniform": ({"min": 0.0, "max": 10.0, "q": 0.5}, [0.0, 3.0, 5.0, 9.0]),
    "log_uniform": (
        {"min": -6.0, "max": 1.5},
        [0.00267180768519945, 0.02351774585600911, 0.10539922456186433, 2.1170000166126743],
    ),
    "q_log_uniform": ({"min": 0.0, "max": 5.0, "q": 2}, [2, 4, 12, 90]),
    "q_log_uniform_values": ({"min": 1.0, "max": 200.0, "q": 4.0}, [0.0, 4.0, 16.0, 116.0]),
    "inv_log_uniform": (
        {"min": 0.5, "max": 3.0},
        [0.051047434004154395, 0.10539922456186433, 0.1737739434504451, 0.4723665527410147],
    ),
    "inv_log_uniform_values": (
        {"min": 0.001, "max": 0.5},
        [0.0010641177807473741, 0.0064519501214821634, 0.0223606797749979, 0.26857958838184387],
    ),
    "normal": (
        {"mu": 1.0, "sigma": 2.0},
        [-3.6526957480816815, -0.04880102541608178, 1.0, 3.5631031310892007],
    ),
    "q_normal": ({"mu": 10.0, "sigma": 5.0, "q": 2}, [-2, 8, 10, 16]),
    "log_normal": (
        {"mu": -1.0, "sigma": 0.5},
        [0.11495966663843464, 0.28303060102505867, 0.3678794411714424, 0.6982177813441194],
    ),
    "q_log_normal": ({"mu": 2.0, "sigma": 0.5, "q": 0.25}, [2.25, 5.75, 7.5, 14.0]),
    "beta": (
        {"a": 2.0, "b": 5.0},
        [0.026763191142755053, 0.18180347131894917, 0.26444998329566005, 0.5103163065514917],
    ),
    "q_beta": ({"a": 2.0, "b": 5.0, "q": 0.05}, [0.05, 0.2, 0.25, 0.5]),
    "uniform": ({"min": -1.0, "max": 3.0}, [-0.96, 0.2, 1.0, 2.6]),
    "log_uniform_values": (
        {"min": 0.0001, "max": 0.1},
        [0.00010715193052376071, 0.0007943282347242824, 0.003162277660168382, 0.05011872336272727],
    ),
}


def parameter(body):
    return PROGRAM_PARAMETERS.check({"x": body})["x"]


@pytest.mark.parametrize("name", QUANTILES)
def test_quantiles_are_those_of_wandb(name):
    arguments, expected = QUANTILES[name]
    found = parameter({"distribution": name, **arguments})
    assert [found.at(position) for position in POSITIONS] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", [*QUANTILES, "int_uniform"])
def test_draws_lie_within_and_encode_to_their_position(name):
    arguments, _ = QUANTILES.get(name, ({"min": 2, "max": 9}, []))
    found = parameter({"distribution": name, **arguments})
    dimension = Dimension(found)
    positions = [k / 97 for k in range(97)]
    for position in positions:
        value = found.at(position)
        encoded = dimension.encode(value)
        assert encoded is not None, value
        assert 0 <= encoded <= 1
        if "q" not in arguments and name != "int_uniform":
            assert encoded == pytest.approx(position, abs=1e-6)
            assert dimension.decode(encoded) == pytest.approx(value, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize(
    "body",
    [
        {"distribution": "log_normal", "mu": 1000},
        {"distribution": "log_normal", "sigma": 1e308},
        {"distribution": "q_log_normal", "mu": 1000, "q": 0.5},
        {"distribution": "q_normal", "q": 1e-320},
        {"distribution": "normal", "mu": 1e308, "sigma": 1e308},
        {"distribution": "q_uniform", "min": -1e308, "max": 1e308, "q": 1e308},
        {"distribution": "inv_log_uniform", "min": -700, "max": 1e308},
        {"distribution": "beta", "a": 1e-320, "b": 1e308},
    ],
    ids=str,
)
def test_draws_are_finite_whatever_the_arguments(body):
    found = parameter(body)
    drawn = [found.at(position) for position in (0.0, 0.3, 0.5, 1.0)]
    assert all(math.isfinite(value) for value in drawn)
    assert all(found.domain.contains(value) for value in drawn)


def test_whole_steps_give_whole_numbers():
    found = parameter({"distribution": "q_log_normal", "mu": 2, "sigma": 1, "q": 5})
    assert all(type(found.at(k / 10)) is int for k in range(10))


def test_probabilities_are_those_of_the_values():
    found = parameter({"values": ["a", "b", "c"], "probabilities": [0.2, 0.5, 0.3]})
    at = [found.at(position) for position in (0.01, 0.19, 0.21, 0.69, 0.71, 0.99)]
    assert at == ["a", "a", "b", "b", "c", "c"]
    # The last value has none.
    never = parameter({"values": ["a", "b"], "probabilities": [1.0, 0.0]})
    assert {never.at(k / 10) for k in range(10)} | {never.at(math.nextafter(1, 0))} == {"a"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"distribution": "gauss"}, "unknown distribution"),
        ({"distribution": "normal", "min": 1}, "unknown key; allowed are mu or sigma"),
        ({"distribution": "log_uniform", "min": 1}, "is missing"),
        ({"distribution": "inv_log_uniform_values", "min": 0, "max": 1}, "above 0"),
        ({"distribution": "normal", "sigma": -1}, "at least 0"),
        ({"distribution": "q_normal", "q": 0}, "above 0"),
        ({"values": [1, 2], "probabilities": [0.5]}, "a probability for each of the 2 values"),
        ({"values": [1, 2], "probabilities": [0.5, 0.6]}, "must add up to 1"),
    ],
)
def test_what_is_no_distribution_is_refused(body, said):
    with pytest.raises(InvalidValue) as caught:
        parameter(body)
    assert said in str(caught.value)


def test_nested_parameters_have_paths_and_conflicts_are_refused():
    given = {"opt": {"parameters": {"name": ["a", "b"], "inner": {"parameters": {"lr": 0.1}}}}}
    found = PROGRAM_PARAMETERS.check(given)
    assert [found[name].path for name in found] == [("opt", "name"), ("opt", "inner", "lr")]
    assert list(found) == ["opt.name", "opt.inner.lr"]
    assert raw_parameters(found) == given
    with pytest.raises(InvalidValue, match="two parameters"):
        PROGRAM_PARAMETERS.check({"a.b": 1, "a": {"parameters": {"b": 2}}})
