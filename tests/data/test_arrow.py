"""Frames and columns of polars and Arrow are those of pandas; both packages are optional."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from datasets import made

import hpsearch
from hpsearch.data.loading import Folding, InMemoryRows
from hpsearch.errors import DataError
from hpsearch.sklearn import SweepClassifier

pa = pytest.importorskip("pyarrow", reason="pip install -e '.[dev]'")
pl = pytest.importorskip("polars", reason="pip install -e '.[dev]'")

pytestmark = pytest.mark.slow
ROWS = 60
FRAME = pd.DataFrame(
    {
        "a": [None if i == 9 else i / 7 for i in range(ROWS)],
        "b": ["u", "v", None] * 20,
        "on": pd.date_range("2024-01-01", periods=ROWS),
        "y": ["n", "p", "p", "p"] * 15,
    }
)
X, Y = FRAME[["a"]], FRAME["y"]
TABLE = pa.Table.from_pandas(FRAME)
TABLES = [
    TABLE,
    TABLE.to_batches()[0],
    pa.Table.from_pandas(FRAME.set_index("a")).select(FRAME.columns),
    pl.DataFrame(FRAME),
    pl.LazyFrame(FRAME),
]
#: A missing text, which NumPy makes the last text.
CODES = pa.chunked_array([pa.array(["s", "t", None]).dictionary_encode()] * 20)


@pytest.fixture(scope="module")
def expected():
    return hpsearch.tune(FRAME, target="y", parameters={"epochs": 1})


@pytest.mark.parametrize("table", TABLES, ids=lambda table: type(table).__name__)
def test_a_table_is_the_frame_of_its_columns(table, expected):
    results = hpsearch.tune(table, target="y", parameters={"epochs": 1})
    assert results.table["data"].tolist() == expected.table["data"].tolist()
    chances = expected.predict_proba(FRAME)
    np.testing.assert_array_equal(results.predict_proba(table), chances)


def test_targets_weights_and_pairs_are_columns_too():
    weights = pd.Series(np.linspace(1, 2, ROWS))
    theirs = made(X, Y, weights, validation_data=(X[:20], Y[:20]))
    table, labels, shares = pl.DataFrame(X), pl.Series(Y), pl.Series(weights)
    pair = (table[:20], labels[:20])
    ours = made(table, TABLE["y"], shares, validation_data=pair)
    assert ours.fingerprint == theirs.fingerprint
    images = np.arange(ROWS * 4, dtype=np.uint8).reshape(ROWS, 2, 2)
    assert made(pl.Series(images), Y).fingerprint == made(images, Y).fingerprint


def test_a_missing_text_is_no_other_text():
    frame = pd.DataFrame({"town": ["s", "t", None] * 20, "a": np.arange(ROWS)})
    ours = made({"town": CODES, "a": np.arange(ROWS)}, Y)
    assert ours.fingerprint == made(frame, Y).fingerprint
    with pytest.raises(DataError, match=r"groups: row 2 \(from 0\) has no group"):
        Folding.of(3, CODES, InMemoryRows(X, Y), 0, None)
    with pytest.raises(ValueError, match="NaN"):
        SweepClassifier({"epochs": 1}).fit(np.ones((ROWS, 1)), CODES)


def test_columns_of_a_mapping_are_by_place():
    upward = np.arange(ROWS)
    ours = made({"a": pd.Series(upward, index=upward[::-1]), "b": upward}, Y)
    assert ours.fingerprint == made(pd.DataFrame({"a": upward, "b": upward}), Y).fingerprint


def test_decimals_are_numbers():
    labels = [0, 1] * 30
    decimals = made(X, pa.array(list(map(Decimal, labels))))
    assert decimals.target == made(X, labels).target


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([[1.0, 2.0]] * ROWS), "list<"),
        (pa.array([b"u"] * ROWS), "binary"),
        (pa.array([dt.timedelta(1)] * ROWS), "duration"),
        (pl.Series([[1.0, 2.0]] * ROWS), "list<"),
    ],
)
def test_what_no_column_can_have_is_refused(column, message):
    table = (pl.DataFrame if isinstance(column, pl.Series) else pa.table)({"odd": column})
    for x, y in (({"a": Y, "odd": column}, Y), (X, column), (table, Y)):
        with pytest.raises(DataError, match=message):
            made(x, y)


@pytest.mark.parametrize("cell", [[1, 2], b"u", {"k": 1}], ids=str)
def test_objects_of_pandas_are_no_texts(cell):
    cells = pd.Series([cell] * ROWS)
    with pytest.raises(DataError, match=f"column 'odd': cells of type {type(cell).__name__}"):
        made(X.assign(odd=cells), Y)
    with pytest.raises(DataError, match="give one number or text a row"):
        made(X, cells)


def test_a_stream_is_explained(tmp_path):
    path = tmp_path / "t.arrows"
    with pa.ipc.new_stream(path, TABLE.schema) as stream:
        stream.write_table(TABLE)
    sweep = {"data": {"csv": str(path), "target": "y"}, "parameters": {"epochs": 1}}
    with pytest.raises(DataError, match="is a stream of Arrow"):
        hpsearch.run(sweep, out=tmp_path / "out")
