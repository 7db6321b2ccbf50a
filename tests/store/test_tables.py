"""The table's schema, its CSV, and the way back."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tables import PROVENANCE

from hpsearch.data.specs import Task
from hpsearch.errors import InputError
from hpsearch.files import write_atomically
from hpsearch.space.execution import ExecutionResult, Status
from hpsearch.store.columns import Record
from hpsearch.store.tables import (
    column_of,
    curves_table,
    read_table,
    results_table,
    varying_columns,
    write_csv,
)

NOTES: dict[str, Any] = {
    "hidden_layers": 1, "units": 32, "activation": "relu", "layer_type": "dense",
    "batch_size": 32, "epochs": 2, "optimizer": "adam",
}  # fmt: skip
CURVE = (
    {"loss": 0.9, "accuracy": 0.5, "val_loss": 1.1, "val_accuracy": 0.4},
    {"loss": 0.7, "accuracy": 0.6, "val_loss": 0.8, "val_accuracy": 2 / 3},
)
RESULT = ExecutionResult(
    number=1, status=Status.COMPLETED, score=2 / 3, curve=CURVE, scored_epoch=2, best_epoch=2,
    best_score=2 / 3, seconds=0.12345678, trainer="graph", weights=2410,
)  # fmt: skip
COLUMNS = [
    "trial", "config", "seed", "status", "score",
    "hidden_layers", "units", "activation", "layer_type", "batch_size", "epochs", "optimizer",
    "loss", "accuracy", "val_loss", "val_accuracy",
    "best_epoch", "best_score", "epochs_trained", "weights", "seconds", "shared_with", "trainer",
    "fold", "error", "metric", "sweep", "data", "recipe", "version", "tensorflow", "keras",
    "method",
]  # fmt: skip


def record(number: int = 1, values: dict[str, Any] | None = None, **changes: Any) -> Record:
    result = replace(RESULT, number=number, **changes)
    return Record(number, f"c{number:011x}", 0, NOTES | (values or {}), result, PROVENANCE)


def table_of(*values: dict[str, Any]) -> pd.DataFrame:
    return results_table([record(i, v) for i, v in enumerate(values, 1)], Task.MULTICLASS)


def test_columns_are_those_of_the_contract_in_their_order() -> None:
    table = table_of({})
    assert list(table.columns) == COLUMNS
    assert list(results_table([], Task.MULTICLASS).columns) == COLUMNS
    more = results_table(
        [record(values={"dropout": 0.1, "learning_rate": 0.2, "mine": 3})],
        Task.BINARY,
        ["learning_rate", "units", "dropout"],
    )
    at = COLUMNS.index("optimizer") + 1
    assert list(more.columns) == [
        *COLUMNS[:at], "learning_rate", "dropout", "mine", *COLUMNS[at:]
    ]  # fmt: skip


def test_regression_has_mae_for_accuracy() -> None:
    curve = ({"loss": 4.0, "mae": 1.5, "val_loss": 5.0, "val_mae": 1.75},)
    table = results_table([record(curve=curve, scored_epoch=1)], Task.REGRESSION)
    expected = [{"accuracy": "mae", "val_accuracy": "val_mae"}.get(name, name) for name in COLUMNS]
    assert list(table.columns) == expected
    assert table.loc[0, ["loss", "mae", "val_loss", "val_mae"]].tolist() == [4.0, 1.5, 5.0, 1.75]
    assert list(curves_table([record(curve=curve)], Task.REGRESSION).columns) == [
        "trial", "epoch", "loss", "mae", "val_loss", "val_mae", "seed", "fold",
    ]  # fmt: skip


def test_dtypes() -> None:
    dtypes = table_of({"dropout": 0.5, "mine": [1]}).dtypes.astype(str).to_dict()
    integers = {
        "trial", "seed", "hidden_layers", "units", "batch_size", "epochs", "best_epoch",
        "epochs_trained", "weights", "shared_with", "fold",
    }  # fmt: skip
    floats = {"score", "dropout", "best_score", "seconds", *CURVE[0]}
    objects = {"activation", "layer_type", "optimizer", "mine"}
    assert {name for name, dtype in dtypes.items() if dtype == "Int64"} == integers
    assert {name for name, dtype in dtypes.items() if dtype == "float64"} == floats
    assert {name for name, dtype in dtypes.items() if dtype == "object"} == objects
    assert {dtypes[name] for name in dtypes.keys() - integers - floats - objects} == {"string"}
    # The same without rows, and where a column is empty.
    empty = results_table([], Task.MULTICLASS).dtypes.astype(str)
    assert all(empty[name] == dtypes[name] for name in integers - {"units"})


def test_a_rows_values() -> None:
    row = table_of({}).iloc[0]
    assert row["score"] == row["val_accuracy"] == 2 / 3
    assert row["seconds"] == 0.123457
    assert (row["epochs_trained"], row["status"], row["trainer"]) == (2, "completed", "graph")
    # Only programs have a commit.
    shared = {name: text for name, text in vars(PROVENANCE).items() if name != "program_commit"}
    assert row[list(shared)].tolist() == list(shared.values())
    assert "program_commit" not in row
    assert row[["shared_with", "fold", "error"]].isna().all()


def test_a_diverged_row_shows_what_became_of_it(tmp_path: Path) -> None:
    curve = (*CURVE, {"loss": math.nan, "accuracy": 0.1, "val_loss": math.inf, "val_accuracy": 0.1})
    diverged = record(
        status=Status.DIVERGED, curve=curve, scored_epoch=None, score=None, best_epoch=None,
        best_score=None, error="loss became\n NaN",
    )  # fmt: skip
    write_csv(results_table([diverged], Task.MULTICLASS), tmp_path / "results.csv")
    for table in (read_table(tmp_path), pd.read_csv(tmp_path / "results.csv")):
        row = table.iloc[0]
        assert (row["status"], row["epochs_trained"]) == ("diverged", 3)
        assert row["val_loss"] == math.inf
        assert row[["score", "loss", "best_epoch"]].isna().all()
        assert row["error"] == "loss became NaN"


def test_an_error_is_one_harmless_line(tmp_path: Path) -> None:
    """Surrogates come from file names that are no UTF-8."""
    failed = record(error="=1+1\r\nbad \udcff\x00 name\t'")
    write_csv(results_table([failed], Task.MULTICLASS), tmp_path / "results.csv")
    assert read_table(tmp_path)["error"].tolist() == ["=1+1 bad name '"]


def test_a_hyperparameter_that_bears_a_columns_name_is_prefixed() -> None:
    taken = ["score", "trial", "loss", "mae", "data", "keras", "epoch"]
    assert [column_of(name) for name in taken] == [f"hp_{name}" for name in taken]
    assert [column_of(name) for name in ("units", "hp_units", "epochs")] == [
        "units", "hp_units", "epochs",
    ]  # fmt: skip
    table = table_of({"score": 5, "hp_score": 7, "seed": "x"})
    assert table.columns.is_unique
    assert table.loc[0, ["score", "hp_score", "hp_hp_score", "hp_seed"]].tolist() == [
        2 / 3, 5, 7, "x",
    ]  # fmt: skip


FORMULAS = ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "'=1", "'", "''", "'plain"]


@pytest.mark.parametrize("text", FORMULAS)
def test_formulas_are_escaped_and_come_back(tmp_path: Path, text: str) -> None:
    table = table_of({"activation": text, text: 3})
    table["sweep"] = table["error"] = pd.Series([text], dtype="string")
    write_csv(table, tmp_path / "results.csv")
    raw = pd.read_csv(tmp_path / "results.csv", dtype=str, keep_default_na=False)
    cells = [*raw.columns, *raw.loc[0]]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    pd.testing.assert_frame_equal(read_table(tmp_path), table)


def test_a_written_file_has_the_usual_permissions(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_atomically(tmp_path / "a", "text")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no such results table"),
        (b"", "not a results table"),
        (b"a,b\n1,2\n", "no column 'trial'; its columns are a, b"),
        (b"trial,config\n1,\xff\xfe\n", "not a results table"),
        (b'trial,config\n1,"x\n', "not a results table"),
        (b"trial,config\nx,c1\n", "not a results table of hpsearch"),
        (b"trial,score\n1.5,0.1\n", "not a results table of hpsearch"),
        (b"trial,score\n1,high\n", "not a results table of hpsearch"),
    ],
)
def test_what_is_no_table_is_explained(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "results.csv").write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_table(tmp_path / "results.csv")
    assert str(caught.value).startswith(str(tmp_path / "results.csv"))
    assert len(str(caught.value).splitlines()) == 1


def test_an_empty_cell_is_a_value_that_varies() -> None:
    assert varying_columns(table_of({"dropout": 0.5}, {"l2": 0.1}, {"l2": 0.1})) == [
        "dropout", "l2",
    ]  # fmt: skip
    assert varying_columns(table_of({"l2": 0.1}, {"l2": 0.1})) == []


def test_rows_and_curves_are_by_trial_seed_and_fold(tmp_path: Path) -> None:
    keys = [(2, 0, 1), (1, 7, 1), (1, 0, 2), (1, 0, 1)]
    records = [
        Record(trial, f"c{trial}", seed, NOTES, RESULT, PROVENANCE, fold)
        for trial, seed, fold in keys
    ]
    table = results_table(records, Task.MULTICLASS)
    found = table[["trial", "seed", "fold"]].itertuples(index=False, name=None)
    assert list(found) == sorted(keys)
    write_csv(curves_table(records, Task.MULTICLASS), tmp_path / "curves.csv")
    curves = read_table(tmp_path / "curves.csv")
    assert list(curves.columns) == ["trial", "epoch", *CURVE[0], "seed", "fold"]
    found = curves[["trial", "seed", "fold", "epoch"]].itertuples(index=False, name=None)
    assert list(found) == [(*key, epoch) for key in sorted(keys) for epoch in (1, 2)]


def test_a_shared_training_is_named_by_its_trial() -> None:
    result = replace(RESULT, number=1, shared_with=9)
    table = results_table(
        [Record(1, "a", 0, NOTES, result, PROVENANCE, shared_with=5)], Task.MULTICLASS
    )
    assert table["shared_with"].tolist() == [5]
