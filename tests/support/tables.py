"""Results tables of made-up sweeps, written as a run writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from made_tables import Made, Row, write

from hpsearch.space.execution import Status
from hpsearch.store.columns import Provenance

PROVENANCE = Provenance(
    "val_accuracy:maximize:last",
    "made-up",
    "d0123456789a",
    "rabcdef01234",
    "0.1.0",
    "2.21.0",
    "3.15.1",
)

HOSTILE = (
    "<script>window.hacked=1</script>",
    "</script><script>window.hacked=2</script>",
    "=cmd|' /C calc'!A0",
    "<img src=x onerror=window.hacked=3>",
    '<a href="https://example.com/">x</a>',
    "%{x} %{customdata} ${window.hacked=4}",
    "'); DROP TABLE trials; --",
    "&lt;b&gt;",
    "@accent",
    "__proto__",
)


def values_of(number: int, rng: np.random.Generator, *, hostile: bool = False) -> dict[str, Any]:
    """A config with numbers, words, lists, a mapping and a hyperparameter that is often dead."""
    layer_type = ["dense", "dropout", "batch_norm"][int(rng.integers(3))]
    optimizers: list[Any] = ["adam", "rmsprop", {"name": "sgd", "learning_rate": 0.1}]
    values: dict[str, Any] = {
        "hidden_layers": int(rng.integers(1, 4)),
        "units": int(rng.choice([32, 64, 128])),
        "activation": str(rng.choice(["relu", "tanh"])),
        "layer_type": layer_type,
        "batch_size": 32,
        "epochs": int(rng.choice([5, 10, 20])),
        "optimizer": optimizers[int(rng.integers(3))],
        "learning_rate": float(10 ** rng.uniform(-4, -1)),
    }
    if layer_type == "dropout":
        values["dropout"] = float(rng.choice([0.1, 0.3, 0.5]))
    if hostile:
        values["activation"] = HOSTILE[number % len(HOSTILE)]
        values[HOSTILE[1]] = HOSTILE[(number + 1) % len(HOSTILE)]
        values["__proto__"] = int(rng.integers(4))
    return values


def score_of(values: dict[str, Any], rng: np.random.Generator) -> float:
    """Best near a learning rate of 0.003; dropout matters only where there is some."""
    distance = abs(np.log10(values["learning_rate"]) + 2.5)
    gain = 0.03 * values["hidden_layers"] + 0.1 * (values["activation"] == "relu")
    return float(
        0.75 - 0.12 * distance + gain - 0.1 * values.get("dropout", 0) + rng.normal(0, 0.01)
    )


def row_of(number: int, rng: np.random.Generator, *, hostile: bool = False) -> Row:
    """One trial; of every 20, one failed and one diverged."""
    values = values_of(number, rng, hostile=hostile)
    score, epochs = score_of(values, rng), values["epochs"]
    ramp = 1 - 0.7 ** np.arange(1, epochs + 1)
    curve = [
        {"loss": 2 - g, "accuracy": score * g, "val_loss": 2.1 - g, "val_accuracy": score * g}
        for g in map(float, ramp)
    ]
    status, error = Status.COMPLETED, ""
    if number % 20 == 7:
        status, curve = Status.FAILED, []
        error = HOSTILE[number % len(HOSTILE)] if hostile else "ValueError: no such thing"
    elif number % 20 == 13:
        status, error = Status.DIVERGED, "epoch 3: loss is nan"
    return Row(
        values,
        curve[-1]["val_accuracy"] if status is Status.COMPLETED else None,
        status=status,
        seconds=0.01 * epochs,
        shared_with=number - 1 if number % 20 == 3 else None,
        curve=curve,
        error=error,
        weights=1000 + number if curve else None,
        config=f"c{number:011x}",
    )


def write_sweep(directory: Path, trials: int, *, hostile: bool = False, seed: int = 0) -> Path:
    """results.csv and curves.csv of a sweep of so many trials; the directory."""
    rng = np.random.default_rng(seed)
    rows = [row_of(number, rng, hostile=hostile) for number in range(1, trials + 1)]
    return write(directory, Made(rows, name="made-up"))
