"""Sweep files by the grammar that W&B documents, made at random."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

_NAMES = ("lr", "units", "batch-size", "opt.name", "epochs_", "hidden_layers", "Dropout", "l2", "x")
_METRICS = ("loss", "val_loss", "val/acc", "Best Score", "f1.macro", "epoch_acc")
_SCALARS = (1, 0, -3, 2.5, 1e-5, True, False, None, "relu", "a b", "--x", "it's", "", "1e-3", "é\n")

Draw = random.Random


def _ends(draw: Draw, low: float, high: float) -> dict[str, float]:
    first, second = sorted((draw.uniform(low, high), draw.uniform(low, high)))
    return {"min": round(first, 4), "max": round(second + 0.5, 4)}


def _whole_ends(draw: Draw) -> dict[str, int]:
    low = draw.randint(-5, 20)
    return {"min": low, "max": low + draw.randint(1, 6)}


def _step(draw: Draw) -> dict[str, float]:
    return draw.choice(({}, {"q": 1}, {"q": 0.25}, {"q": 3}))


def _values(draw: Draw) -> dict[str, Any]:
    if draw.random() < 0.2:
        return {"values": [[1, 2], [3], {"a": 1}]}
    return {"values": draw.sample(_SCALARS[2:], draw.randint(1, 4))}


def _weighted(draw: Draw) -> dict[str, Any]:
    return {"values": ["a", "b", "c"], "probabilities": draw.choice(([0.2, 0.3, 0.5], [0, 1, 0]))}


def _mu_sigma(draw: Draw) -> dict[str, float]:
    return draw.choice(({}, {"mu": 2, "sigma": 0.5}, {"mu": -1.5}))


def _a_b(draw: Draw) -> dict[str, float]:
    return draw.choice(({}, {"a": 2, "b": 5.5}))


#: Kinds of parameters that a grid takes, and all others.
_OF_GRID: dict[str, Callable[[Draw], Mapping[str, Any]]] = {
    "": lambda draw: {"value": draw.choice(_SCALARS)},
    " ": _values,
    "constant": lambda draw: {"value": draw.choice(_SCALARS)},
    "categorical": _values,
    "int_uniform": _whole_ends,
    "q_uniform": lambda draw: _ends(draw, 0, 3) | _step(draw),
}
_OTHERS: dict[str, Callable[[Draw], Mapping[str, Any]]] = {
    "  ": _whole_ends,
    "   ": lambda draw: _ends(draw, -1, 1),
    "    ": _weighted,
    "categorical_w_probabilities": _weighted,
    "uniform": lambda draw: _ends(draw, -3, 3),
    "log_uniform": lambda draw: _ends(draw, -9, 2),
    "log_uniform_values": lambda draw: _ends(draw, 1e-3, 2),
    "q_log_uniform": lambda draw: _ends(draw, 0, 3) | _step(draw),
    "q_log_uniform_values": lambda draw: _ends(draw, 1, 50) | _step(draw),
    "inv_log_uniform": lambda draw: _ends(draw, -2, 2),
    "inv_log_uniform_values": lambda draw: _ends(draw, 1e-3, 2),
    "normal": _mu_sigma,
    "q_normal": lambda draw: _mu_sigma(draw) | _step(draw),
    "log_normal": _mu_sigma,
    "q_log_normal": lambda draw: _mu_sigma(draw) | _step(draw),
    "beta": _a_b,
    "q_beta": lambda draw: _a_b(draw) | _step(draw),
}


def _parameter(draw: Draw, *, grid: bool, depth: int = 0) -> dict[str, Any]:
    if depth < 2 and draw.random() < 0.15:
        return {"parameters": _parameters(draw, grid=grid, depth=depth + 1)}
    kinds = _OF_GRID if grid else _OF_GRID | _OTHERS
    name = draw.choice(list(kinds))
    body = dict(kinds[name](draw))
    return body | ({"distribution": name} if name.strip() else {})


def _parameters(draw: Draw, *, grid: bool, depth: int = 0) -> dict[str, Any]:
    names = draw.sample(_NAMES, draw.randint(1, 3))
    return {name: _parameter(draw, grid=grid, depth=depth) for name in names}


_COMMANDS = (
    ["${env}", "${interpreter}", "${program}", "${args}"],
    ["${interpreter}", "${program}", "${args_no_boolean_flags}"],
    ["${env}", "python3", "${program}", "--config", "c", "${args_no_hyphens}"],
    ["${interpreter}", "${program}", "${args_json}"],
    ["${interpreter}", "${program}", "${args_json_file}"],
    ["${interpreter}", "${program}", "--home", "${envvar:HOME}", "${args}"],
)


def wandb_file(seed: int) -> dict[str, Any]:
    """The data of a sweep file of W&B's that runs `train.py`."""
    draw = random.Random(seed)
    method = draw.choice(("grid", "random", "bayes"))
    file: dict[str, Any] = {
        "program": "train.py",
        "method": method,
        "metric": {"name": draw.choice(_METRICS)},
        "parameters": _parameters(draw, grid=method == "grid"),
    }
    if draw.random() < 0.7:
        file["metric"]["goal"] = draw.choice(("minimize", "maximize"))
    if draw.random() < 0.2:
        file["metric"]["target"] = 0.5
    if draw.random() < 0.5:
        file["command"] = draw.choice(_COMMANDS)
    if method != "grid" or draw.random() < 0.3:
        file["run_cap"] = draw.randint(1, 4)
    if draw.random() < 0.3:
        early = draw.choice(({"min_iter": 1}, {"min_iter": 2, "eta": 2}, {"max_iter": 9, "s": 2}))
        file["early_terminate"] = {"type": "hyperband", **early}
    further = {"project": "p", "entity": "e", "name": "A sweep", "description": "d"}
    return file | {key: value for key, value in further.items() if draw.random() < 0.3}
