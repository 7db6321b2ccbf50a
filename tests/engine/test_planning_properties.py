"""Whatever grid a file asks for, its plan covers that grid, once, in trainings that fit."""

from __future__ import annotations

from itertools import product
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpsearch.engine.planning import Trials, group
from hpsearch.search.draws import draws
from hpsearch.space.execution import Execution
from hpsearch.spec.sweep import Sweep, sweep_from_mapping


def some(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, min_size=1, max_size=3, unique_by=str)


PARAMETERS = st.fixed_dictionaries(
    {},
    optional={
        "hidden_layers": some(st.integers(0, 3)),
        "units": some(st.integers(1, 9)),
        "activation": some(st.sampled_from(["relu", "tanh", "sigmoid"])),
        "layer_type": some(st.sampled_from(["dense", "dropout", "batch_norm"])),
        "dropout": some(st.sampled_from([0.1, 0.2, 0.3])),
        "epochs": some(st.integers(1, 9)),
        "optimizer": some(st.sampled_from(["adam", "sgd", "adagrad"])),
    },
)
SWEEPS = st.tuples(
    PARAMETERS,
    st.sampled_from([None, "dropout when dropout", "units when deep"]),
    st.sampled_from([None, 4, 12]),
    st.integers(1, 3),
)


def sweep_of(drawn: tuple[dict[str, Any], str | None, int | None, int]) -> dict[str, Any]:
    parameters, condition, limit, seeds = drawn
    parameters = dict(parameters)
    if condition == "dropout when dropout" and {"dropout", "layer_type"} <= parameters.keys():
        if "dropout" in parameters["layer_type"]:
            when = {"layer_type": "dropout"}
            parameters["dropout"] = {"values": parameters["dropout"], "when": when}
    elif condition == "units when deep" and {"units", "hidden_layers"} <= parameters.keys():
        deep = [n for n in parameters["hidden_layers"] if n > 1]
        if deep:
            parameters["units"] = {"values": parameters["units"], "when": {"hidden_layers": deep}}
    sweep = {"name": "s", "data": {"dataset": "digits"}, "parameters": parameters, "seeds": seeds}
    if limit is not None and {"units", "hidden_layers"} <= parameters.keys():
        sweep["constraints"] = [f"hidden_layers * units <= {limit}"]
    return sweep


def network(values: dict[str, Any]) -> tuple[Any, ...]:
    """Normalise a config: equal for two configs that train equally."""
    depth = values.get("hidden_layers", 1)
    rest = (values.get("epochs", 10), values.get("optimizer", "rmsprop"))
    if depth == 0:
        return (0, *rest)
    kind = values.get("layer_type", "dense")
    rate = values.get("dropout", 0.5) if kind == "dropout" else None
    width = values.get("units", 100)
    return (depth, width, values.get("activation", "relu"), kind, rate, *rest)


def expected(sweep: dict[str, Any]) -> set[tuple[Any, ...]]:
    """Every point of the product by the grammar's own words."""
    parameters = sweep["parameters"]
    lists = {n: p["values"] if isinstance(p, dict) else p for n, p in parameters.items()}
    found = set()
    for point in product(*lists.values()):
        values = dict(zip(lists, point, strict=True))
        for name, parameter in parameters.items():
            when = parameter["when"] if isinstance(parameter, dict) else {}
            for parent, accepted in when.items():
                # A parent without a use for it is no match: no layer, no layer type.
                dead = parent == "layer_type" and values.get("hidden_layers", 1) == 0
                wanted = accepted if isinstance(accepted, list) else [accepted]
                if dead or values[parent] not in wanted:
                    del values[name]
        depth, width = values.get("hidden_layers"), values.get("units")
        bounded = sweep.get("constraints") and width is not None and depth
        if bounded and depth * width > int(sweep["constraints"][0].split()[-1]):
            continue
        found.add(network(values))
    return found


def planned(sweep: Sweep) -> list[Execution]:
    configs = list(draws("grid", sweep.space, (), 0))
    trials = Trials(sweep.space, (), sweep.repetitions, limit=None)
    return trials.new(configs, sweep.repetitions)


@settings(max_examples=200, suppress_health_check=list(HealthCheck))
@given(SWEEPS)
def test_a_plan_covers_exactly_its_space(
    drawn: tuple[dict[str, Any], str | None, int | None, int],
) -> None:
    raw = sweep_of(drawn)
    points = expected(raw)
    if not points:
        # Validation says so; there is nothing to plan.
        return
    sweep = sweep_from_mapping(raw)
    trials = planned(sweep)
    networks = [(network(dict(t.config.values)), t.seed) for t in trials]
    assert len(set(networks)) == len(networks)
    assert set(networks) == {(point, seed) for point in points for seed in sweep.trial_seeds}
    # Each is answered by one training, at its own epoch, which trains nothing but it.
    by_number = {trial.number: trial for trial in trials}
    stops = [(training, *stop) for training in group(trials) for stop in training.stops]
    assert sorted(number for _, _, number in stops) == sorted(by_number)
    for training, epochs, number in stops:
        trial = by_number[number]
        assert epochs == trial.config.values.get("epochs", 10)
        assert training.seed == trial.seed
        asked = network({**training.values, "epochs": epochs})
        assert asked == network(dict(trial.config.values))
