"""Any table of results survives its CSV, whatever its hyperparameters hold."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import PROVENANCE

from hpsearch.data.specs import Task
from hpsearch.space.execution import ExecutionResult, Status
from hpsearch.space.mlp import NOTES
from hpsearch.store.columns import Record
from hpsearch.store.tables import curves_table, read_table, results_table, write_csv

SCALARS = st.one_of(
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
    st.sampled_from(
        ["1", "-0.5", "1e5", "inf", "nan", "True", "", "'", "=1", "NA", "null", "[1, 2]"]
    ),
)
VALUES = st.one_of(
    SCALARS,
    st.lists(SCALARS, max_size=3),
    st.dictionaries(st.text(max_size=5), SCALARS, max_size=2),
)
NAMES = st.one_of(
    st.sampled_from(["units", "dropout", "score", "hp_score", "fold", "x", "=x", "'x"]),
    st.text(st.characters(categories=["L", "N", "P", "Sm"]), min_size=1, max_size=8),
).filter(lambda name: name not in NOTES)  # the grammar makes some of these integers
ANY_FLOAT = st.floats(width=64)
METRICS = st.fixed_dictionaries(
    dict.fromkeys(("loss", "accuracy", "val_loss", "val_accuracy"), ANY_FLOAT)
)


@st.composite
def results(draw: st.DrawFn) -> ExecutionResult:
    curve = tuple(draw(st.lists(METRICS, max_size=3)))
    score = st.none() | st.floats(allow_nan=False, allow_infinity=False)
    return ExecutionResult(
        number=1,
        status=draw(st.sampled_from(Status)),
        score=draw(score),
        curve=curve,
        scored_epoch=draw(st.integers(1, len(curve))) if curve and draw(st.booleans()) else None,
        best_epoch=draw(st.none() | st.integers(1, 9)),
        best_score=draw(score),
        seconds=draw(st.floats(0, 1e6)),
        shared_with=draw(st.none() | st.integers(1, 9)),
        trainer=draw(st.sampled_from(["native", "graph", "xla", "fit", ""])),
        weights=draw(st.none() | st.integers(0, 2**40)),
        error=draw(st.text()),
    )


RECORDS = st.lists(
    st.tuples(st.dictionaries(NAMES, VALUES, max_size=4), results()), max_size=4
).map(
    lambda rows: [
        Record(
            number, f"c{number:011x}", number % 3, values, result, PROVENANCE, number % 4 or None
        )
        for number, (values, result) in enumerate(rows, 1)
    ]
)


def written(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """As `hpsearch.store.tables` reads it, and as a bare `pd.read_csv` does."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "results.csv"
        write_csv(table, path)
        return read_table(path), pd.read_csv(path)


@given(RECORDS)
@settings(max_examples=20)
def test_results_and_curves_round_trip(records: list[Record]) -> None:
    for make in (results_table, curves_table):
        table = make(records, Task.MULTICLASS)
        again, bare = written(table)
        pd.testing.assert_frame_equal(again, table, check_exact=True)
        assert [list(map(type, again[name])) for name in again] == [
            list(map(type, table[name])) for name in table
        ]
        assert bare["trial"].tolist() == table["trial"].tolist()
    assert len(table) == sum(len(record.result.curve) for record in records)


@pytest.mark.parametrize(
    "values",
    [
        # A whole number beyond 64 bits beside a dead cell.
        [{}, {"mine": 2**63}],
        [{"mine": {"a": [1, {"b": None}]}}],
    ],
)
def test_nothing_is_assumed_of_values(values: list[dict[str, Any]]) -> None:
    failed = ExecutionResult(1, Status.FAILED)
    records = [Record(n, f"c{n}", 0, each, failed, PROVENANCE) for n, each in enumerate(values, 1)]
    table = results_table(records, Task.REGRESSION)
    pd.testing.assert_frame_equal(written(table)[0], table)
