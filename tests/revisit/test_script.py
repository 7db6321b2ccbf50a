"""Programs of rows: for every source of data and all that an MLP can be."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpsearch.data.loading import load_dataset
from hpsearch.errors import NotSupportedError
from hpsearch.revisit.rows import StoredRun
from hpsearch.revisit.script.data import listing, literal
from hpsearch.revisit.script.program import program
from hpsearch.space.execution import Execution, Status
from hpsearch.spec.sweep import sweep_from_mapping
from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.provenance import make_recipe
from hpsearch.tuner.best_model import Retrainer
from hpsearch.tuner.custom_model import training_data
from hpsearch.workers.futures import InProcessExecutor

SUPPORT = Path(__file__).parents[1] / "support"
DIGITS = {"dataset": "digits", "validation": 0.2, "seed": 42, "scale": "standard"}
DIABETES = {"dataset": "diabetes", "validation": 0.2, "test": 0.1, "seed": 1}
SCHEDULE = {"name": "cosine_decay", "initial_learning_rate": 0.01, "decay_steps": 80}


@dataclass
class Case:
    """A row: its data, its hyperparameters, what else its sweep says, what trains it."""

    data: dict[str, Any]
    values: dict[str, Any]
    trainer: str
    sweep: dict[str, Any]


def case(data: dict[str, Any], trainer: str = "native", sweep: Any = None, **values: Any) -> Case:
    return Case(data, {"units": 8, "epochs": 2, **values}, trainer, sweep or {})


CASES = {
    "no hidden layer": case(DIGITS, hidden_layers=0),
    "dropout": case(DIGITS, layer_type="dropout", dropout=0.25, units=[16, 8]),
    "batch_norm": case(DIGITS, layer_type="batch_norm", activation="tanh", optimizer="adam"),
    "layer_norm": case(DIGITS, layer_type="layer_norm", l2=0.01, optimizer="nesterov"),
    "residual": case(DIGITS, layer_type="residual", units=[64, 16], kernel_initializer="he_normal"),
    "glu": case(DIGITS, "graph", layer_type="residual", activation="glu", units=[16, 16]),
    "an orthogonal kernel": case(DIGITS, "graph", kernel_initializer="orthogonal"),
    "initializer's arguments": case(
        DIGITS, kernel_initializer={"name": "random_normal", "stddev": 0.1}
    ),
    "a schedule": case(DIGITS, "graph", optimizer={"name": "adam", "learning_rate": SCHEDULE}),
    "clipping": case(
        DIGITS, "graph", optimizer={"name": "sgd", "learning_rate": 0.05, "clipnorm": 1.0}
    ),
    "xla": case(
        DIGITS,
        "xla",
        layer_type="dropout",
        units=[8] * 5,
        batch_size=2,
        optimizer="nadam",
        epochs=1,
    ),
    "a layer type of one's own": case(
        DIGITS, "graph", layer_type="odd_layers:wide", factor=3, optimizer="adam"
    ),
    "early stopping": case(
        DIABETES,
        sweep={
            "metric": {"name": "val_mae", "goal": "minimize", "epoch": "best"},
            "early_stopping": {"patience": 1},
        },
        epochs=30,
        optimizer="adam",
        learning_rate=0.05,
    ),
    "huber": case(DIABETES, sweep={"model": {"loss": "huber"}}, l2=0.01),
    "a loss": case(DIABETES, "graph", sweep={"model": {"loss": "log_cosh"}}, l2=0.01),
    "the training's metric": case(DIABETES, sweep={"metric": "loss"}, batch_size=50),
    "one-hot targets": case(
        {"dataset": "wine", "validation": 0.25}, "graph", sweep={"model": {"loss": "kl_divergence"}}
    ),
    "a binary table": case(
        {"dataset": "breast_cancer", "validation": 0.25}, sweep={"metric": "val_loss"}
    ),
    "images": case({"dataset": "fashion_mnist"}, batch_size=500, epochs=1),
    "a csv of numbers": case({"csv": "numbers.csv", "target": "kind", "drop": ["town", "price"]}),
    "a csv with words": case(
        {"csv": "words.csv", "target": "price", "drop": ["kind"], "validation": "more.csv"}
    ),
    "an npz of images": case({"npz": "images.npz", "validation": 0.25}),
    "an npz with parts": case({"npz": "parts.npz"}),
    "an npz with words": case({"npz": "words.npz", "test": 0.1}),
    "a function's frames": case({"python": "odd_data:frames", "scale": "none"}),
    "a function's numbers": case({"python": "odd_data:numbers", "scale": "unit"}),
}


def write_files(home: Path) -> None:
    """Write the files that the cases read."""
    rng = np.random.default_rng(5)
    for name, rows in (("numbers", 200), ("words", 200), ("more", 60)):
        lines = [" size ,town,kind, price"]
        for _ in range(rows):
            town = rng.choice(["Ulm", '"São Paulo, BR"', "it's"])
            lines.append(f"{rng.normal():.4f}, {town},{rng.choice([1, 2, 4])}.0,{rng.normal():.3f}")
        (home / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    y = rng.integers(3, size=300)
    x = rng.integers(0, 40, (300, 6, 5), dtype=np.uint8) + 70 * y[:, None, None].astype(np.uint8)
    np.savez(home / "images.npz", x=x, y=y)
    hot = np.eye(3)[y]
    np.savez(home / "parts.npz", X_train=x[:200], y_train=hot[:200], x_val=x[200:], y_val=hot[200:])
    words = np.array([[f"{i % 7}.5", f"w{i % 3}"] for i in range(120)])
    np.savez(home / "words.npz", x=words, y=np.arange(120) % 3 == 1)


def row_of(name: str, home: Path, seed: int = 5) -> tuple[StoredRun, Execution, Any]:
    """A case trained here, as a results directory would have it."""
    asked = CASES[name]
    raw = {"name": "s", "seed": 3, "data": asked.data, "configs": [asked.values], **asked.sweep}
    sweep = sweep_from_mapping(raw, base_dir=home)
    dataset = load_dataset(sweep.data)
    recipe = make_recipe(sweep, dataset.target.task)
    trial = Execution(1, 1, sweep.listed[0], seed)
    rows = training_data(dataset, sweep)
    again = Retrainer(InProcessExecutor(rows), recipe, rows, check=lambda: None)
    result = again.train(trial, trial.epochs)
    assert result.status is Status.COMPLETED, result.error
    assert result.trainer == asked.trainer
    where = ResultsDirectory(home)
    return StoredRun(where, sweep, dataset, recipe, {1: trial}, {1: result}), trial, result


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The output of each case's program; all run in one process without hpsearch."""
    home = tmp_path_factory.mktemp("programs")
    write_files(home)
    paths, scores = {}, {}
    before = Path.cwd()
    # Programs look for the user's functions where they were written.
    os.chdir(SUPPORT)
    try:
        for number, name in enumerate(CASES):
            visited, trial, result = row_of(name, home)
            text = program(visited, trial, result)
            ast.parse(text)
            paths[name] = home / f"program_{number}.py"
            paths[name].write_text(text, encoding="utf-8")
            scores[name] = result.score
    finally:
        os.chdir(before)
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, SUPPORT / "run_programs.py", *paths.values()],
        cwd=home, env=kept, capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {name: {**line, "score": scores[name]} for name, line in zip(CASES, lines, strict=True)}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_it_reaches_the_row_s_score(told: dict[str, dict[str, Any]], name: str) -> None:
    line = told[name]
    assert line["code"] == 0, line
    reached = float(line["said"].splitlines()[-1].split()[1].rstrip(","))
    assert reached == pytest.approx(line["score"], rel=2e-4)


def test_another_seed_is_another_score(tmp_path: Path) -> None:
    """Else reaching it would show nothing."""
    name = "a binary table"
    _, _, one = row_of(name, tmp_path)
    _, _, other = row_of(name, tmp_path, seed=6)
    assert abs(one.score - other.score) > 0.01 * one.score


def test_a_model_of_one_s_own_is_a_program_already(tmp_path: Path) -> None:
    visited, trial, result = row_of("a binary table", tmp_path)
    own = StoredRun(
        **{**vars(visited), "recipe": make_recipe(
            visited.sweep.model_copy(update={"model": "mine:build"}), visited.dataset.target.task
        )}
    )  # fmt: skip
    with pytest.raises(NotSupportedError, match="'mine:build' builds its own model"):
        program(own, trial, result)


@pytest.mark.parametrize(
    "value",
    ["plain", 'a "quoted" one', "it's", "back\\slash", "line\nend", "\u2028", 0.1, 1e-7, True, None,
     [1, "two", [3.0]], {"a": {"b": [None]}}],
)  # fmt: skip
def test_literals_are_what_they_stand_for(value: Any) -> None:
    assert ast.literal_eval(literal(value)) == value
    many = [value] * 40
    assert ast.literal_eval(listing(many)) == many
