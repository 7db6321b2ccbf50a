"""Directories that train a row again without hpsearch, for all that an MLP can be."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from here import run_here

from hpsearch.errors import HpsearchError, NotSupportedError, RefusedError
from hpsearch.runs.standalone import SCRIPT, write_standalone
from hpsearch.runs.trial import Source, Which
from hpsearch.workers.executors import InProcessExecutor

SUPPORT = Path(__file__).parents[1] / "support"
FILES = ["model.keras", "rows.npz", "train.py"]
WINE = {"dataset": "wine", "validation": 0.25, "seed": 42, "scale": "standard"}
DIABETES = {"dataset": "diabetes", "validation": 0.2, "test": 0.1, "seed": 1}
SCHEDULE = {"name": "cosine_decay", "initial_learning_rate": 0.01, "decay_steps": 80}
MAE = {"metric": {"name": "val_mae", "goal": "minimize", "epoch": "best"}}
OWN = "odd_layers:wide"


def case(data: Any, trainer: str = "native", more: Any = None, **values: Any) -> tuple[Any, str]:
    sweep = {"name": "s", "seed": 3, "seeds": [5], "data": data, "metric": "val_loss"}
    sweep |= more or {}
    return sweep | {"parameters": {"units": 8, "epochs": 2, **values}}, trainer


CASES = {
    "dropout": case(WINE, layer_type="dropout", dropout=0.25, units=[[16, 8]]),
    "batch_norm": case(WINE, layer_type="batch_norm", activation="tanh", optimizer="adam"),
    "glu": case(WINE, "graph", layer_type="residual", activation="glu", units=[[16, 16]]),
    "a schedule": case(WINE, "graph", optimizer={"name": "adam", "learning_rate": SCHEDULE}),
    "xla": case(
        {"dataset": "digits"}, "xla", layer_type="dropout", units=[[8] * 5], batch_size=2,
        optimizer="nadam", epochs=1,
    ),
    "a layer type of one's own": case(WINE, "graph", layer_type=OWN, factor=3, optimizer="adam"),
    "a regression that stops early": case(
        DIABETES, more=MAE | {"early_stopping": {"patience": 1}}, epochs=30, optimizer="adam",
        learning_rate=0.05,
    ),
    "one-hot targets": case(WINE, "graph", {"model": {"loss": "kl_divergence"}}),
    "two classes": case({"dataset": "breast_cancer", "cv": 2}),
    "weights": case(WINE, more={"model": {"class_weight": {"class_0": 3.0}}}),
    "images": case({"dataset": "digits"}, more={"metric": "val_accuracy"}),
    "a file to validate on": case(
        {"csv": "words.csv", "target": "price", "validation": "more.csv"}, more=MAE
    ),
    "trained on all rows": case(WINE | {"train_on": "train+validation"}),
}  # fmt: skip


def write_tables(home: Path) -> None:
    """Write the files that a case reads: numbers, words, and gaps in both."""
    rng = np.random.default_rng(5)
    for name, count in (("words", 200), ("more", 60)):
        table = pd.DataFrame(
            {
                "size": rng.normal(size=count),
                "town": rng.choice(["Ulm", "São Paulo, BR", "it's"], count),
                "opened": pd.date_range("2019-05-01", periods=count).strftime("%d.%m.%Y"),
                "price": rng.normal(size=count),
            }
        )
        table.loc[rng.random(count) < 0.1, ["size", "town", "opened"]] = None
        table.to_csv(home / f"{name}.csv", index=False)


def run_case(sweep: Any, directory: Path) -> Any:
    """Run a sweep of one trial; its row, of the last fold."""
    table, _ = run_here(json.dumps(sweep), directory)
    assert (table["status"] == "completed").all(), table["error"]
    return table.iloc[-1]


@contextlib.contextmanager
def this_process(*_: Any, **__: Any) -> Any:
    yield InProcessExecutor(), lambda: None


@pytest.fixture(autouse=True, scope="module")
def module_patch() -> Any:
    """Have this process do a worker's work."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hpsearch.runs.trial.open_workers", this_process)
        yield patch


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, module_patch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """Each case's row, and what its program said; all run in one process without hpsearch."""
    home = tmp_path_factory.mktemp("rows")
    write_tables(home)
    module_patch.chdir(home)
    expected = {}
    for number, (name, (sweep, trainer)) in enumerate(CASES.items()):
        row = expected[name] = run_case(sweep, home / f"run{number}")
        assert row["trainer"] == trainer, name
        fold = None if pd.isna(row["fold"]) else int(row["fold"])
        out = Path(f"out{number}")
        write_standalone(Source(home / f"run{number}", trust=[OWN]), out, Which(1, 5, fold))
        assert sorted(file.name for file in out.iterdir()) == FILES
        assert (out / "train.py").read_bytes() == SCRIPT.read_bytes()
    shutil.copytree("out0", "other")
    with np.load("other/rows.npz", allow_pickle=False) as arrays:
        np.savez("other/rows.npz", **{**arrays, "score": arrays["score"] - 0.5})
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    programs = [*(f"out{number}/train.py" for number in range(len(CASES))), "other/train.py"]
    done = subprocess.run(
        [sys.executable, SUPPORT / "run_programs.py", *programs],
        env=kept, capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert (lines[-1]["code"], ": not equal within " in lines[-1]["said"]) == (1, True)
    return {
        name: {**line, "row": expected[name]} for name, line in zip(CASES, lines[:-1], strict=True)
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_it_reaches_the_row_s_score(trained: dict[str, Any], name: str) -> None:
    line = trained[name]
    assert line["code"] == 0, line
    metric, score, *_ = line["said"].splitlines()[-1].split()
    assert metric == ascii(line["row"]["metric"].split(":")[0])
    assert float(score.rstrip(",")) == pytest.approx(line["row"]["score"], rel=2e-4)
    epochs = line["row"]["best_epoch" if "early" in name else "epochs"]
    assert line["said"].count("epoch ") == epochs


@pytest.fixture(scope="module")
def wine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wine") / "wine"
    run_case({"data": {"dataset": "wine"}, "parameters": {"epochs": 1}}, directory)
    return directory


def test_no_file_is_overwritten(wine: Path, tmp_path: Path) -> None:
    (tmp_path / "train.py").touch()
    (tmp_path / "link").symlink_to("nowhere")
    for out in ("", "train.py", "link", "train.py/in/deep"):
        with pytest.raises(RefusedError, match="must be a new or empty directory"):
            write_standalone(Source(wine), tmp_path / out, Which())
    assert sorted(file.name for file in tmp_path.iterdir()) == ["link", "train.py"]
    assert (tmp_path / "train.py").read_bytes() == b""


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        ({"metric": "val_auc"}, NotSupportedError, "measures val_loss, val_accuracy and val_mae"),
        ({"metric": "accuracy"}, NotSupportedError, "measures val_loss, val_accuracy and val_mae"),
        ({"model": "mlp_models:guide"}, NotSupportedError, "trains hpsearch's own MLPs"),
        ({"layer": OWN}, RefusedError, "going on would run that code"),
    ],
)
def test_what_is_not_written_is_explained(
    tmp_path: Path, more: dict[str, Any], error: type[HpsearchError], message: str
) -> None:
    layer = {"layer_type": more.pop("layer")} if "layer" in more else {}
    sweep = {"data": {"dataset": "digits"}, "parameters": {"epochs": 1, **layer}, **more}
    run_case(sweep, tmp_path / "run")
    trust = ["mlp_models:guide"]
    with pytest.raises(error, match=message) as raised:
        write_standalone(Source(tmp_path / "run", trust=trust), tmp_path / "out", Which())
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out").exists()
