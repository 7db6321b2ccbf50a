"""What is known of an MLP's hyperparameters before the first trial."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

import hpsearch
from hpsearch.errors import InputError
from hpsearch.search.draws import grid_draws
from hpsearch.search.encoding import Encoding
from hpsearch.search.methods import make_strategy
from hpsearch.search.prior import complements, features, is_known, shipped
from hpsearch.search.strategy import PRIOR, Outcome
from hpsearch.space.constraints import parse
from hpsearch.space.space import Config, Drawn, Kind, Parameter, Range, Space
from hpsearch.spec.method import MethodSpec
from hpsearch.spec.parameters import ANYTHING, HYPERPARAMETERS, parse_parameter

PARAMETERS = {
    "hidden_layers": [1, 2, 3],
    "units": {"min": 8, "max": 256, "scale": "log", "type": "int"},
    "activation": ["relu", "tanh", "sigmoid"],
    "optimizer": ["sgd", "nesterov", "adam"],
    "learning_rate": {"min": 1e-5, "max": 1.0, "scale": "log"},
    "epochs": 20,
}
LEARNING = ("auto", "bayesian", "tpe", "hyperband")


def space_of(parameters: Mapping[str, Any], kind: Kind = Kind.MLP) -> Space:
    rules = HYPERPARAMETERS if kind is Kind.MLP else {}
    return Space(
        tuple(
            parse_parameter(rules.get(name, ANYTHING), name, raw)
            for name, raw in parameters.items()
        ),
        kind=kind,
    )


SPACE = space_of(PARAMETERS)


def features_of(
    parameters: Mapping[str, Any], values: Mapping[str, Any], kind: Kind = Kind.MLP
) -> dict[str, float]:
    """The features of the config with these values, in the space of these parameters."""
    encoding = Encoding(space_of(parameters, kind))
    config = encoding.space.config({**encoding.fixed, **values})
    assert config is not None
    found = features(encoding, encoding.row(config)[None])
    return {name: pytest.approx(float(value[0]), abs=1e-6) for name, value in found.items()}


def plain(parameters: Mapping[str, Any], kind: Kind = Kind.MLP) -> dict[str, float]:
    """The features of a space's only config."""
    return features_of(parameters, {}, kind)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"units": [[64, 64]]}, {"units": 64, "hidden_layers": 2}),
        ({"units": [[16, 64]]}, {"units": 64, "units_1": 16, "hidden_layers": 2}),
        ({"units": 50, "units_3": 16, "hidden_layers": 2}, {"units": 50, "hidden_layers": 2}),
        ({"hidden_layers": 0, "units": 500, "activation": "tanh"}, {"hidden_layers": 0}),
        ({"optimizer": "momentum"}, {"optimizer": "sgd", "momentum": 0.9}),
        (
            {"optimizer": [{"name": "sgd", "learning_rate": 0.1}], "learning_rate": 0.5},
            {"optimizer": "sgd", "learning_rate": 0.1},
        ),
        ({"optimizer": "adamw"}, {"optimizer": "adam"}),
        ({"activation": "swish"}, {"activation": "silu"}),
        ({"dropout": 0.3}, {}),
        ({"layer_type": "dropout"}, {"layer_type": "dropout", "dropout": 0.5}),
        ({"batch_size": 32, "l2": 0.0}, {}),
        ({"optimizer": "rmsprop", "learning_rate": 1e-3}, {}),
    ],
)
def test_configs_that_train_equally_are_alike(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert plain(one) == plain(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"units": 64}, {"units": 65}),
        ({"hidden_layers": 1}, {"hidden_layers": 2}),
        ({"layer_type": "batch_norm"}, {"layer_type": "dense"}),
        ({"layer_type": "dropout", "dropout": 0.1}, {"layer_type": "dropout", "dropout": 0.2}),
        ({"optimizer": "sgd"}, {"optimizer": "nesterov"}),
        ({"epochs": 10}, {"epochs": 20}),
        ({"l2": 1e-4}, {"l2": 1e-3}),
    ],
)
def test_other_values_differ(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert plain(one) != plain(other)


def test_a_value_is_the_same_in_any_space() -> None:
    """In a range, in a list, and alone."""
    one = features_of(PARAMETERS, {
        "hidden_layers": 2, "units": 64, "activation": "tanh", "optimizer": "sgd",
        "learning_rate": 0.01,
    })  # fmt: skip
    lists = {**PARAMETERS, "units": [16, 64], "learning_rate": [0.01, 0.1], "optimizer": "sgd"}
    two = features_of(lists, {
        "hidden_layers": 2, "units": 64, "activation": "tanh", "learning_rate": 0.01
    })  # fmt: skip
    alone = {"hidden_layers": 2, "units": 64, "activation": "tanh", "optimizer": "sgd"}
    three = plain({**alone, "learning_rate": 0.01, "epochs": 20})
    for name in three:
        # A whole number in a range stands for the middle of its cell.
        assert one[name].expected == pytest.approx(three[name].expected, abs=0.01)
        assert two[name] == three[name].expected


def test_a_function_may_name_each_layer() -> None:
    """`activation_1`, `dropout_2`: the means over layers."""
    kind = Kind.FUNCTION
    one = plain({"units_1": 16, "units_2": 64, "dropout_1": 0.2, "dropout_2": 0.4}, kind)
    other = plain({"hidden_layers": 2, "units": 32, "dropout": 0.3}, kind)
    assert one == other
    half = plain({"activation_1": "relu", "activation_2": "tanh"}, kind)
    assert half["relu"] == half["tanh"] == 0.5


def test_the_names_that_it_knows() -> None:
    assert all(map(is_known, ["units", "units_2", "dropout_1", "learning_rate", "optimizer"]))
    assert not any(map(is_known, ["x", "lr", "learning_rate_2", "units_0", "units_", "_2"]))


def proposals(
    method: str, count: int, *, space: Space = SPACE, listed: tuple[Config, ...] = (),
    seed: int = 0, **options: Any,
) -> list[tuple[str, str]]:  # fmt: skip
    """The ids of the first configs, and who proposed each."""
    strategy = make_strategy(MethodSpec(method, options), space, listed, seed=seed, trials=50)
    found = []
    for number in range(count):
        (proposal,) = strategy.ask(1)
        strategy.tell([Outcome(proposal.config, float(number), proposal.epochs)])
        found.append((proposal.config.id, proposal.by))
    return found


@pytest.mark.parametrize("method", LEARNING)
def test_its_configs_come_first(method: str) -> None:
    listed = make_strategy(MethodSpec("sobol"), SPACE).ask(1)[0].config
    found = proposals(method, 8, listed=(listed,))
    assert found[0] == (listed.id, "")
    assert [by for _, by in found] == ["", *[PRIOR] * 5, "", ""]
    assert found == proposals(method, 8, listed=(listed,))
    other = proposals(method, 8, listed=(listed,), seed=1)
    assert len({*found[1:6]} & {*other[1:6]}) < 5


def test_a_small_grid_begins_with_other_configs_for_another_seed() -> None:
    grid = space_of({"units": [16, 32, 64, 128], "learning_rate": [0.001, 0.01, 0.1]})
    first = {tuple(proposals("auto", 5, space=grid, seed=seed)) for seed in range(3)}
    assert len(first) == 3


@pytest.mark.parametrize("method", LEARNING)
def test_none_turns_it_off(method: str) -> None:
    assert {by for _, by in proposals(method, 8, prior="none")} == {""}


def test_it_is_of_networks_unless_asked() -> None:
    for kind in (Kind.MODEL, Kind.PROGRAM):
        assert {by for _, by in proposals("auto", 5, space=space_of(PARAMETERS, kind))} == {PRIOR}
    function = space_of(PARAMETERS, Kind.FUNCTION)
    assert {by for _, by in proposals("auto", 6, space=function)} == {""}
    assert {by for _, by in proposals("auto", 5, space=function, prior="mlp")} == {PRIOR}
    unknown = space_of({"x": {"min": 0.0, "max": 1.0}})
    assert {by for _, by in proposals("auto", 6, space=unknown)} == {""}
    known_is_fixed = space_of({"kernel_initializer": ["zeros", "he_normal"], "units": 32})
    assert {by for _, by in proposals("auto", 2, space=known_is_fixed)} == {""}


@pytest.mark.parametrize("names", [("learning_rate",), ("learning_rate", "units")])
def test_a_program_needs_a_hyperparameter_of_networks(names: tuple[str, ...]) -> None:
    """Trees have a learning rate, too. W&B's distributions are no ranges."""
    drawn = Drawn("log_uniform", (("min", -9.0), ("max", -1.0)))
    parameters = [Parameter("learning_rate", drawn), Parameter("units", Range(8, 64))]
    space = Space(tuple(p for p in parameters if p.name in names), kind=Kind.PROGRAM)
    assert {by for _, by in proposals("auto", 5, space=space)} == {
        PRIOR if "units" in names else ""
    }


def test_features_are_numbers_where_a_hyperparameter_is_inactive() -> None:
    parameters = {"model": ["mlp", "svm"], "units": [8, 64]}
    parameters["optimizer"] = {"values": ["adam", "nesterov"], "when": {"model": "mlp"}}
    parameters["layer_type"] = {"values": ["dense", "batch_norm"], "when": {"model": "mlp"}}
    encoding = Encoding(space_of(parameters, Kind.PROGRAM))
    rows = np.array([encoding.row(config) for config in grid_draws(encoding.space)])
    assert np.isnan(rows).any()
    assert all(np.isfinite(values).all() for values in features(encoding, rows).values())


def test_the_random_config_is_neither_known_nor_the_priors_own() -> None:
    space = space_of({"units": [16, 32, 64, 128], "learning_rate": [0.001, 0.01, 0.1, 1.0]})
    known = [p.config for p in make_strategy(MethodSpec("random"), space).ask(3)]
    strategy: Any = make_strategy(MethodSpec("auto"), space, trials=50)
    strategy.restore((), [Outcome(config, 1.0) for config in known])
    others = {config.id for config in (*known, *strategy._starts)}
    assert not others & {config.id for config in strategy._drawn}


def test_its_first_configs_break_no_constraint() -> None:
    space = Space(SPACE.parameters, (parse("hidden_layers * units <= 30"),))
    strategy = make_strategy(MethodSpec("auto"), space, trials=20)
    first = [proposal.config.values for proposal in strategy.ask(5)]
    assert all(values["hidden_layers"] * values["units"] <= 30 for values in first)


def test_a_space_of_few_configs() -> None:
    """Fewer than it would begin with, or hardly any that satisfy the constraints."""
    small = space_of({"units": [16, 32], "epochs": 2})
    assert [by for _, by in proposals("auto", 2, space=small)] == [PRIOR, PRIOR]
    units = space_of({"units": {"min": 1, "max": 1_000_000, "type": "int"}})
    rare = Space(units.parameters, (parse("units == 77"),))
    strategy = make_strategy(MethodSpec("auto"), rare, trials=20)
    assert {proposal.by for proposal in strategy.ask(1)} <= {""}


@pytest.mark.parametrize(
    "values",
    [
        {"units": [0, 32, 64], "units_2": [0, 16]},
        {"batch_size": ["small", "large"]},
        {"learning_rate": [-1.0, 0.0, {"initial": 0.1}]},
        {"optimizer": [{"rate": 0.1}, "Adam", 3]},
        {"hidden_layers": ["one", True, 2], "momentum": [1.0, 2.0]},
        {"dropout": ["none", 0.5], "activation": [3, "RELU"]},
    ],
)
def test_other_peoples_values_are_unknown(values: dict[str, Any]) -> None:
    space = space_of({**values, "epochs": [1, 0]}, Kind.FUNCTION)
    found = proposals("bayesian", 3, space=space, prior="mlp")
    assert found[0][1] == PRIOR
    assert plain({"optimizer": "SGD"}, Kind.FUNCTION) == plain({"optimizer": "sgd"}, Kind.FUNCTION)


def test_it_comes_before_the_model_only() -> None:
    """Not after many trials of an earlier run, and no more than the model waits for."""
    strategy = make_strategy(MethodSpec("tpe"), SPACE, trials=50)
    known = [p.config for p in make_strategy(MethodSpec("random"), SPACE).ask(20)]
    strategy.restore(known, [Outcome(config, 0.0) for config in known])
    assert {proposal.by for proposal in strategy.ask(3)} == {""}
    found = proposals("bayesian", 4, num_initial_points=2)
    assert [by for _, by in found] == [PRIOR, PRIOR, "", ""]


def test_each_start_helps_where_those_before_it_do_not() -> None:
    encoding = Encoding(SPACE)
    rows = encoding.rows(encoding.uniform(np.random.default_rng(0).random((200, 5))))
    logs = shipped()(features(encoding, rows))
    regrets = np.exp(logs)
    places = complements(logs, 4)
    assert len(set(places)) == 4
    for count in range(1, 5):
        reached = regrets[places[: count - 1]].min(axis=0, initial=math.inf)
        means = np.minimum(regrets, reached).mean(axis=1)
        assert means[places[count - 1]] == means.min()


@pytest.mark.parametrize("method", ["bayesian", "tpe"])
@pytest.mark.parametrize("beaten", [2, 3])
def test_a_random_config_is_held_against_its_first(method: str, beaten: int) -> None:
    """The sixth. If it beats most, nine more are random, and the prior counts no more."""
    wrong = beaten == 3
    drawn = [p.config.id for p in make_strategy(MethodSpec("random"), SPACE).ask(10)]
    strategy: Any = make_strategy(MethodSpec(method), SPACE, trials=50)
    found = []
    for number in range(16):
        (proposal,) = strategy.ask(1)
        found.append(proposal.config.id)
        # Those that the model chose later, which are as good as the best, do not count.
        score = {**dict.fromkeys(range(beaten), 0.0), 5: 0.5}.get(number, 1.0)
        strategy.tell([Outcome(proposal.config, score)])
    assert found[5] == drawn[0]
    assert (found[5:15] == drawn) is wrong
    assert found[6] not in drawn or wrong
    assert found[15] not in drawn
    assert (strategy.belief == 0) is wrong


def asked(
    strategy: Any, score: Callable[[Config], float], count: int, width: int = 1
) -> list[Config]:
    """Ask for as many configs, so many at a time."""
    found: list[Config] = []
    while len(found) < count:
        configs = [proposal.config for proposal in strategy.ask(width)]
        found += configs
        strategy.tell([Outcome(config, score(config)) for config in configs])
    return found


def test_workers_in_parallel_doubt_it_too() -> None:
    """Random configs that come early, for want of scores, are not the prior's."""
    drawn = [p.config.id for p in make_strategy(MethodSpec("random"), SPACE).ask(10)]
    strategy: Any = make_strategy(MethodSpec("bayesian"), SPACE, trials=50)
    found = asked(strategy, lambda config: float(config.id in drawn), 32, width=8)
    assert strategy.belief == 0
    assert {*drawn} <= {config.id for config in found}


def test_listed_configs_are_not_its_own() -> None:
    """Nor does a longer list, when a run goes on, change what the random one is held against."""
    listed = [p.config for p in make_strategy(MethodSpec("sobol"), SPACE).ask(3)]
    (drawn,) = make_strategy(MethodSpec("random"), SPACE).ask(1)
    scores = {drawn.config.id: 1.0, **{config.id: 2.0 for config in listed}}

    def score(config: Config) -> float:
        return scores.get(config.id, 0.0)

    strategy: Any = make_strategy(MethodSpec("bayesian"), SPACE, listed[:1], trials=50)
    known = asked(strategy, score, 14)
    assert strategy.belief == 0
    longer: Any = make_strategy(MethodSpec("bayesian"), SPACE, listed, trials=50)
    longer.restore(known, [Outcome(config, score(config)) for config in known])
    assert longer.belief == 0


def test_a_space_with_hardly_any_valid_point_has_numbers_for_features() -> None:
    units = space_of({"units": {"min": 1, "max": 1_000_000, "type": "int"}})
    rare = Space(units.parameters, (parse("units <= 60"),))
    strategy: Any = make_strategy(MethodSpec("bayesian"), rare, trials=20)
    listed = [config for config in map(rare.config, ({"units": n} for n in (8, 16, 32))) if config]
    strategy.restore(listed, [Outcome(config, 0.5) for config in listed])
    assert np.isfinite(strategy._features(strategy.encoding.rows(np.full((2, 1), 0.5)))).all()


def test_a_process_learns_that_it_is_wrong() -> None:
    """Where scores follow the prior upside down, so does the process, far from what it knows."""
    strategy: Any = make_strategy(MethodSpec("bayesian"), SPACE, goal="minimize", trials=50)

    def foreseen(config: Config) -> float:
        return float(strategy.foreseen_losses(strategy.encoding.row(config)[None])[0])

    asked(strategy, lambda config: -foreseen(config), 25)
    assert strategy.belief == 0
    points = strategy.sample()
    worst = np.quantile(strategy.foreseen_losses(strategy.encoding.rows(points)), 0.98)
    (proposal,) = strategy.ask(1)
    assert foreseen(proposal.config) > worst


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ({"name": "auto", "prior": "mlps"}, "method.*: unknown prior 'mlps'"),
        ({"name": "grid", "prior": "mlp"}, r"method\.prior: unknown key"),
        (
            {"name": "asha", "proposals": "random", "prior": "mlp"},
            "random takes no prior: add proposals",
        ),
        ({"name": "auto", "prior": "mlp"}, "prior: mlp knows only .*learning_rate"),
    ],
)
def test_a_prior_that_cannot_be_used(method: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        hpsearch.optimize(lambda _: 0.0, {"x": [1, 2]}, method, trials=2, verbose=0)
