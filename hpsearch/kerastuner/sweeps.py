"""Describe a tuner's search for the engine as a sweep."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

import keras_tuner
from keras_tuner.src.engine import objective as kt_objective

from hpsearch.custom.fit_arguments import Request
from hpsearch.custom.shipping import ModelHyperparameters, model_reference
from hpsearch.data.assembly import fingerprint
from hpsearch.data.dataset import Dataset, Split
from hpsearch.data.loading import InMemoryRows
from hpsearch.spec.rules import clean_name
from hpsearch.spec.sweep import Sweep, model_sweep, sweep_from_mapping, sweep_from_text
from hpsearch.store.store import Store

#: Budget of a search that only its oracle ends.
_ENDLESS = 10**9


def method_of(tuner: keras_tuner.Tuner) -> Mapping[str, Any]:
    """Return the `method` of a sweep file; the tuner's oracle has a name with a colon."""
    oracle = tuner.oracle
    if isinstance(tuner, keras_tuner.GridSearch):
        return {"name": "grid"}
    if isinstance(tuner, keras_tuner.BayesianOptimization):
        return {"name": "bayesian", **_bayesian(oracle)}
    for name in ("HyperbandOracle", "RandomSearchOracle"):
        if isinstance(oracle, getattr(keras_tuner.oracles, name)):
            return {"name": f"keras_tuner.oracles:{name}"}
    return {"name": model_reference(type(oracle))}


def _bayesian(oracle: Any) -> dict[str, Any]:
    options = {"beta": float(oracle.beta)}
    default = inspect.signature(type(oracle).__init__).parameters["alpha"].default
    if oracle.alpha != default:
        # If omitted, the noise is fitted.
        options["alpha"] = float(oracle.alpha)
    if oracle.num_initial_points is not None:
        options["num_initial_points"] = int(oracle.num_initial_points)
    return options


def sweep_of(tuner: Any, request: Request, found: ModelHyperparameters, model: str) -> Sweep:
    """Return the sweep of a tuner's search.

    Args:
        found: The hyperparameters.
        model: `module:name` of the hypermodel.
    """
    oracle, objective, method = tuner.oracle, tuner.oracle.objective, method_of(tuner)
    arrays = request.arrays
    validation = arrays.x_val, arrays.y_val
    rows = InMemoryRows(arrays.x_train, arrays.y_train, arrays.w_train, validation)
    raw: dict[str, Any] = {
        "name": clean_name(str(tuner.project_name)),
        "seed": int(oracle.seed),
        "data": {"memory": rows.described},
        "model": model,
        "metric": {
            "name": objective.name,
            "goal": "maximize" if objective.direction == "max" else "minimize",
            "epoch": "best",
        },
        "method": dict(method),
        "parameters": _fixed(oracle, request, found),
        "seeds": int(tuner.executions_per_trial),
        "keep": "all",
    }
    if oracle.max_trials and not tuner._hpsearch.asks_the_oracle:
        raw["budget"] = {"trials": int(oracle.max_trials)}
    elif method["name"] != "grid":
        # The oracle ends the search.
        raw["budget"] = {"trials": _ENDLESS}
    return model_sweep(sweep_from_mapping(raw))


def _fixed(oracle: Any, request: Request, declared: ModelHyperparameters) -> dict[str, int]:
    """Return the epochs and batch size of all trials, unless the model declares them."""
    # Hyperband decides the epochs, not `search`.
    epochs = getattr(oracle, "max_epochs", None) or request.epochs
    fixed = {"epochs": epochs, "batch_size": request.batch_size}
    if not declared.custom_fit:
        defaults_of_fit = {"epochs": 1, "batch_size": 32}
        fixed = {name: value or defaults_of_fit[name] for name, value in fixed.items()}
    return {n: int(v) for n, v in fixed.items() if v is not None and n not in declared.defaults}


def summed(objective: Any) -> tuple[tuple[str, int], ...]:
    """Return the metrics in the minimized sum, with their signs; empty for a single metric."""
    if not isinstance(objective, kt_objective.MultiObjective):
        return ()
    directions = objective.name_to_direction
    return tuple((name, 1 if way == "min" else -1) for name, way in directions.items())


def dataset_of(request: Request) -> Dataset:
    """Return the arrays as a dataset, without scaling, encoding or standardising them."""
    arrays = request.arrays
    train = Split(arrays.x_train, arrays.y_train, arrays.w_train)
    validation = Split(arrays.x_val, arrays.y_val, arrays.w_val)
    splits = {"train": train, "validation": validation}
    parts = [part.in_fingerprint for part in (*request.parts, *request.inputs)]
    return Dataset(
        name="memory",
        input=request.input,
        target=request.target,
        train=train,
        validation=validation,
        test=None,
        fingerprint=fingerprint(splits, parts),
    )


def row_shape_in(store: Store) -> tuple[int, ...]:
    """Return the shape of a row of the data that a store's trials used."""
    memory = model_sweep(sweep_from_text(store.facts().sweep)).data.memory
    shape = re.match(r"\(([\d, ]*)\)", (memory or {}).get("x", ""))
    return tuple(int(n) for n in re.findall(r"\d+", shape.group(1) if shape else ""))[1:]
