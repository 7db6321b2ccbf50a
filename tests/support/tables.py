"""Results tables of made-up sweeps, written as a run writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hpsearch.data.specs import Task
from hpsearch.space.execution import Curve, ExecutionResult, Status
from hpsearch.store.columns import Provenance, Record
from hpsearch.store.tables import curves_table, results_table, write_csv

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
PROVENANCE = Provenance(
    "val_accuracy:maximize:last",
    "made-up",
    "d0123456789a",
    "rabcdef01234",
    "0.1.0",
    "2.21.0",
    "3.15.1",
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


def record_of(number: int, rng: np.random.Generator, *, hostile: bool = False) -> Record:
    """One trial; of every 20, one failed and one diverged."""
    values = values_of(number, rng, hostile=hostile)
    score, epochs = score_of(values, rng), values["epochs"]
    ramp = 1 - 0.7 ** np.arange(1, epochs + 1)
    curve = [
        {"loss": 2 - g, "accuracy": score * g, "val_loss": 2.1 - g, "val_accuracy": score * g}
        for g in map(float, ramp)
    ]
    kind = number % 20
    failed, diverged = kind == 7, kind == 13
    reason = HOSTILE[number % len(HOSTILE)] if hostile else "ValueError: no such thing"
    result = ExecutionResult(
        number=number,
        status=Status.FAILED if failed else Status.DIVERGED if diverged else Status.COMPLETED,
        score=None if failed or diverged else curve[-1]["val_accuracy"],
        curve=Curve(() if failed else curve),
        scored_epoch=None if failed or diverged else epochs,
        best_epoch=None if failed or diverged else epochs,
        best_score=None if failed or diverged else curve[-1]["val_accuracy"],
        seconds=0.01 * epochs,
        trainer="native",
        weights=None if failed else 1000 + number,
        error=reason if failed else "epoch 3: loss is nan" if diverged else "",
    )
    shared_with = number - 1 if kind == 3 else None
    return Record(
        number, f"c{number:011x}", 0, values, result, PROVENANCE, None, shared_with, "random"
    )


def write_sweep(directory: Path, trials: int, *, hostile: bool = False, seed: int = 0) -> Path:
    """results.csv and curves.csv of a sweep of so many trials; the directory."""
    rng = np.random.default_rng(seed)
    records = [record_of(number, rng, hostile=hostile) for number in range(1, trials + 1)]
    directory.mkdir(parents=True, exist_ok=True)
    write_csv(results_table(records, Task.MULTICLASS), directory / "results.csv")
    write_csv(curves_table(records, Task.MULTICLASS), directory / "curves.csv")
    return directory
