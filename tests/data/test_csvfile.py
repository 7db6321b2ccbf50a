"""CSV files; those of FAULTS line 18 are in test_18_bad_data.py."""

import gzip
from pathlib import Path
from pkgutil import resolve_name

import numpy as np
import pandas as pd
import pytest
from bad_tables import GOOD, INCOMPLETE, numbers
from datasets import load

from hpsearch.data.csvfile import read_rows
from hpsearch.data.specs import TableSpec, Task
from hpsearch.errors import DataError
from hpsearch.spec.data import SplitSpec


def test_table_with_text(csv_file):
    dataset = load(csv=csv_file(GOOD), target="y")
    assert dataset.name == "table"
    assert dataset.target.task is Task.BINARY
    assert dataset.target.classes == ("no", "yes")
    assert dataset.input.columns is not None
    assert [c.vocabulary for c in dataset.input.columns] == [None, None, ("u", "v", "w")]
    assert len(dataset.input.mean) == 2
    assert dataset.train.x["a"].dtype == np.float32
    assert dataset.train.x["t"].dtype == object
    assert dataset.input.table.names == ("a", "b", "t")
    assert dataset.warnings == ()


def test_table_of_numbers_is_one_matrix(csv_file):
    dataset = load(csv=csv_file(GOOD), target="y", drop=("t",))
    assert dataset.input.columns is None
    assert dataset.train.x.shape == (24, 2)
    assert dataset.train.x.dtype == np.float32
    with pytest.raises(DataError, match="no feature column is left"):
        load(csv=csv_file(GOOD), target="y", drop=("a", "b", "t"))


@pytest.mark.parametrize(
    ("text", "columns", "classes"),
    [
        pytest.param(
            '\ufeff"a, 1",y\n' + '1,"p"\n\n2,"q"\n' * 6,
            {"a, 1": None},
            ("p", "q"),
            id="byte order mark, blank lines and quotes",
        ),
        pytest.param(
            "a, t, y\n" + '1, u, p\n2, "v, w", q\n' * 6,
            {"a": None, "t": ("u", "v, w")},
            ("p", "q"),
            id="spaces after commas",
        ),
        pytest.param(
            GOOD.replace("\n", "\r\n"),
            {"a": None, "b": None, "t": ("u", "v", "w")},
            ("no", "yes"),
            id="line ends of Windows",
        ),
        pytest.param(
            "a,y\n" + "1,10\n2,2\n3,2.0\n4,1e1\n" * 5, {"a": None}, ("2", "10"), id="numbers"
        ),
    ],
)
def test_other_ways_to_write_a_table(csv_file, text, columns, classes):
    dataset = load(csv=csv_file(text), target="y")
    assert dataset.input.table.names == tuple(columns)
    assert dataset.target.classes == classes
    found = {each.name: each.vocabulary for each in dataset.input.columns or ()}
    assert not found or found == columns


@pytest.mark.parametrize(("content", "message"), INCOMPLETE.values(), ids=INCOMPLETE)
def test_without_imputation_a_missing_value_is_an_error(csv_file, content, message):
    path = csv_file(content)
    load(csv=path, target="y")
    with pytest.raises(DataError) as caught:
        load(csv=path, target="y", impute="none")
    assert message in str(caught.value)
    assert str(caught.value).startswith(path)


def test_all_columns_with_problems_are_named(csv_file):
    path = csv_file(numbers(5, "x,y,no"))
    with pytest.raises(DataError) as caught:
        load(csv=path, target="y")
    assert [line.split(" ")[0] for line in str(caught.value).splitlines()] == [f"{path}:5:"] * 2


def test_lines_are_the_files_after_quoted_line_breaks(csv_file):
    text = 'a,t,y\n1,"two\nlines",p\n\n2,u,q\nbad,u,p\n3,u,q\n'
    with pytest.raises(DataError, match=r":6: column 'a': 'bad'"):
        load(csv=csv_file(text), target="y")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b,t,y\nx,1,u,no\n", ":2: column 'a': 'x' is not a number"),
        ("a,b,y\n1,1,no\n", ":1: the training file: no column 't'"),
        ("a,b,t,y\n1,1,u,perhaps\n", ":2: label 'perhaps' is out of range"),
        ("a,b,t,y\n1,1,,\n", "column 'y': the target is missing in every row"),
    ],
)
def test_validation_file_must_fit(csv_file, content, message):
    validation = csv_file(content, "validation.csv")
    with pytest.raises(DataError) as caught:
        load(csv=csv_file(GOOD), target="y", validation=validation)
    assert message in str(caught.value)
    assert str(caught.value).startswith(validation)


def test_numbers_of_the_validation_file_are_those_of_the_training_file(csv_file):
    validation = csv_file("a,b,t,y\n1,1,5,no\n", "validation.csv")
    dataset = load(csv=csv_file(GOOD), target="y", validation=validation)
    assert dataset.validation.x["t"].tolist() == ["5"]


def test_explicit_task_decides(csv_file):
    path = csv_file("a,y\n" + "".join(f"{i},{i}\n" * 2 for i in range(30)))
    assert load(csv=path, target="y", task="regression").target.task is Task.REGRESSION
    dataset = load(csv=path, target="y", task="classification", validation=0.5)
    assert dataset.target.outputs == 30
    with pytest.raises(DataError, match="as task: regression needs"):
        load(csv=csv_file(GOOD), target="y", task="regression")


PLAIN = "town,size,y\n" + "".join(
    f"{('Köln', 'Ulm', '')[i % 3]},{i - 20}.5,{i % 7}.25\n" for i in range(40)
)
IN_ANOTHER_WAY = {
    "semicolons": PLAIN.replace(",", ";").encode(),
    "tabs": PLAIN.replace(",", "\t").encode(),
    "decimal commas": PLAIN.replace(",", ";").replace(".", ",").encode(),
    "Latin-1": PLAIN.encode("latin-1"),
    "UTF-16": PLAIN.encode("utf-16"),
    "gzip": gzip.compress(PLAIN.encode()),
    "an index of pandas": "".join(
        f"{'' if i == 0 else i - 1},{line}" for i, line in enumerate(PLAIN.splitlines(True))
    ).encode(),
    "all at once": gzip.compress(PLAIN.replace(",", "|").replace(".", ",").encode("latin-1")),
}


@pytest.mark.parametrize("content", IN_ANOTHER_WAY.values(), ids=IN_ANOTHER_WAY)
def test_a_table_in_another_way_is_the_same_table(csv_file, content):
    plain = load(csv=csv_file(PLAIN), target="y")
    other = load(csv=csv_file(content, "other.csv"), target="y")
    assert other.fingerprint == plain.fingerprint
    assert len(other.warnings) == (content != IN_ANOTHER_WAY["gzip"])


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (["1,234", "2,500"], None),  # thousands, perhaps
        (["1,25", "2,500"], [1.25, 2.5]),
        (["0,125", "2,500"], [0.125, 2.5]),
        ([",5", "1,5e1"], [0.5, 15.0]),
    ],
)
def test_a_comma_is_a_decimal_sign_where_that_is_certain(csv_file, cells, numbers):
    rows = "".join(f"{cell};{'pq'[i % 2]}\n" for i, cell in enumerate(cells * 9))
    dataset = load(csv=csv_file("a;y\n" + rows), target="y", identifiers="keep")
    if numbers is None:
        assert dataset.train.x["a"].dtype == object
    else:
        assert sorted(set(dataset.train.x[:, 0].tolist())) == numbers


def test_the_sweep_file_decides_how_a_table_is_written(csv_file):
    path = csv_file("a;y\n" + "1,234;p\n-9;q\n?;q\n" * 9)
    dataset = load(csv=path, target="y", separator=";", decimal=",", missing=("-9",))
    values = dataset.train.x[:, 0]
    assert set(values[~np.isnan(values)].tolist()) == {np.float32(1.234)}
    # Both of them count as missing.
    assert np.isnan(values).mean() == pytest.approx(2 / 3, abs=0.1)
    text = load(csv=csv_file("é,y\n" + "1,p\n2,q\n" * 9, "t.csv"), target="y", encoding="latin-1")
    assert text.input.table.names == ("Ã©",)


def test_rows_without_a_target_are_left_out_and_counted(csv_file):
    text = "a,g,y\n1,p,\n2,p,u\nx,q,\n" + "3,q,v\n4,r,u\n5,s,v\n" * 9
    split = SplitSpec(by="group", column="g")
    dataset = load(csv=csv_file(text), target="y", split=split)
    assert len(dataset.train) + len(dataset.validation) == 28
    assert any("2 of 30 rows are left out" in warning for warning in dataset.warnings)
    with pytest.raises(DataError, match=r":6: column 'a': 'bad'"):
        load(csv=csv_file(text.replace("4,r,u", "bad,r,u", 1)), target="y")


@pytest.mark.parametrize("word", ["NA", "nan", "NULL"])
def test_where_targets_are_numbers_a_word_for_missing_is_no_target(csv_file, word):
    lines = [f"{row},{word if row in (3, 9) else row + 0.5}\n" for row in range(30)]
    dataset = load(csv=csv_file("x,y\n" + "".join(lines)), target="y")
    assert len(dataset.train) + len(dataset.validation) == 28
    assert any("2 of 30 rows are left out" in warning for warning in dataset.warnings)


def test_where_they_are_texts_the_file_s_author_says_whether_it_is_a_class(csv_file):
    path = csv_file("x,y\n" + "1,NA\n2,yes\n3,no\n" * 10)
    with pytest.raises(DataError, match=r"with data: \{missing: \['NA'\]\} such rows"):
        load(csv=path, target="y")
    dataset = load(csv=path, target="y", missing=("NA",))
    assert len(dataset.train) + len(dataset.validation) == 20


def test_of_very_many_texts_the_commonest_have_features(csv_file):
    names = [f"w{i}" for i in range(1_500)]
    rows = "".join(f"{name},{i % 2}\n" for i, name in enumerate([*names, *names[700:]] * 2))
    dataset = load(csv=csv_file("a,y\n" + rows), target="y")
    (column,) = dataset.input.columns
    assert len(column.vocabulary) == 1_000
    assert len({*column.vocabulary} & {*names[700:]}) > 720
    assert list(column.vocabulary) == sorted(column.vocabulary)
    assert any("1,500 different texts" in warning for warning in dataset.warnings)


def test_thousands_of_whole_numbers_are_a_quantity(csv_file):
    path = csv_file("a,y\n" + "".join(f"{i % 9}.5,{3 * i}\n" for i in range(1_200)))
    dataset = load(csv=path, target="y")
    assert dataset.target.task is Task.REGRESSION
    assert any("a regression" in warning for warning in dataset.warnings)


def test_a_packed_file_larger_than_the_memory_is_refused(csv_file, monkeypatch):
    monkeypatch.setattr("hpsearch.data.csvfile.available_bytes", lambda: 1 << 22)
    monkeypatch.setattr("hpsearch.data.files.available_bytes", lambda: 1 << 22)
    path = csv_file(gzip.compress(b"a,y\n" + b"1,2\n" * 1_000_000))
    with pytest.raises(DataError, match="use fewer rows"):
        load(csv=path, target="y")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("write", "mark"),
    [("pyarrow.parquet:write_table", "PAR1"), ("pyarrow.feather:write_feather", "ARROW1")],
)
def test_a_columnar_file_is_the_table_that_a_csv_would_be(
    write, mark, csv_file, tmp_path, monkeypatch
):
    import pyarrow as pa

    def store(frame):
        resolve_name(write)(pa.Table.from_pandas(frame), path)

    random, path = np.random.default_rng(0), str(tmp_path / "t")
    frame = pd.DataFrame(
        {
            "a": random.normal(size=200),
            "whole": pd.array(random.integers(0, 9, 200), "Int64"),
            "text": pd.Categorical(random.choice(["x y", 'z,"w"', "Köln", " v"], 200)),
            "date": pd.date_range("2024-01-01", periods=200, freq="7D"),
            "flag": random.random(200) > 0.5,
            "y": random.choice(["no", "yes"], 200),
        }
    )
    frame.loc[::7, ["a", "whole", "text"]] = None
    store(frame.set_index("whole"))
    plain = csv_file(frame.set_index("whole").to_csv())
    data = load(csv=path, target="y", separator=";", decimal=",")
    assert data.fingerprint == load(csv=plain, target="y").fingerprint
    store(frame.assign(some=[[1, 2]] * 200))
    with pytest.raises(DataError, match=r"column 'some' has list<.*leave it out of the table"):
        load(csv=path, target="y")
    # A million references to one text.
    store(pd.DataFrame({"a": pd.Categorical(["b"] * 10**6), "y": 1}))
    monkeypatch.setattr("hpsearch.opening.available_bytes", lambda: 1 << 22)
    with pytest.raises(DataError, match="use fewer rows"):
        load(csv=path, target="y")
    assert load(csv=csv_file(f"{mark},y\n" + "1.5,p\n2.5,q\n" * 20, "named.csv"), target="y")
    Path(path).write_text(f"{mark} and no more {mark}")
    with pytest.raises(DataError, match=r"pyarrow cannot read it as (parquet|ipc)"):
        load(csv=path, target="y")


def test_a_column_has_the_weights_of_rows(csv_file):
    text = "a,w,y\n" + "".join(f"{i}.5,{i % 4},{'pq'[i % 2]}\n" for i in range(40))
    dataset = load(csv=csv_file(text), target="y", weights="w")
    assert dataset.input.table.names == ("a",)
    assert {*dataset.train.weights.tolist()} == {0.0, 1.0, 2.0, 3.0}
    rows = (dataset.train.x[:, 0] - 0.5) % 4
    np.testing.assert_array_equal(dataset.train.weights, rows)
    for wrong in ("", "-1", "x", "inf"):
        path = csv_file(text.replace("2.5,2,p", f"2.5,{wrong},p"))
        with pytest.raises(DataError, match=r":4: column 'w': .* is no weight of a row"):
            load(csv=path, target="y", weights="w")
    validation = csv_file("a,w,y\n1,2,p\n2,3,q\n", "validation.csv")
    dataset = load(csv=csv_file(text), target="y", weights="w", validation=validation)
    assert dataset.validation.weights.tolist() == [2.0, 3.0]


def test_with_decimal_commas_a_point_is_none(csv_file):
    text = "a;b;y\n" + "999,5;1,250;2,5\n7,25;1,5;1\n" * 9
    dataset = load(csv=csv_file(text), target="y", task="regression")
    assert {*dataset.train.x[:, 1].tolist()} == {1.25, 1.5}
    with pytest.raises(DataError, match=r":20: column 'a': '1.234' is not a number"):
        load(csv=csv_file(text + "1.234;1;1\n"), target="y", decimal=",")
    path = csv_file("a;y\n" + "1,5;81,5\n2,5;950\n" * 9 + "3,5;250.000\n")
    said = r":20: the target '250.000' is not a number with a decimal"
    for task in (None, "regression"):
        with pytest.raises(DataError, match=said):
            load(csv=path, target="y", task=task)


@pytest.mark.parametrize("cells", [("TRUE", "FALSE"), ("true", "false"), ("12.50", "3")])
def test_a_further_word_for_a_missing_value_changes_no_other_cell(csv_file, cells):
    """Whole columns of numbers and of booleans are read by pandas, others cell by cell."""
    rows = [f"{cell},{'pq'[i % 2]}\n" for i, cell in enumerate([*cells, "-999"] * 9)]
    whole = load(csv=csv_file("a,y\n" + "".join(rows)), target="y", missing=("-999",))
    gaps = csv_file("a,y\n" + "".join(rows).replace("-999", ""), "gaps.csv")
    assert load(csv=gaps, target="y").fingerprint == whole.fingerprint


def test_a_number_for_a_missing_value_may_be_spelt_in_several_ways(csv_file):
    text = "a,y\n" + "12.5,p\n-999,q\n3,q\n" * 9
    other = csv_file("a,y\n-999.00,p\n,q\n-999,q\n", "other.csv")
    dataset = load(csv=csv_file(text), target="y", missing=("-999",), validation=other)
    assert np.isnan(dataset.validation.x[:, 0]).all()


def test_mostly_question_marks_among_numbers(csv_file):
    text = "a,b,y\n" + "?,?,p\n?,?,q\n1.5,?,p\n" * 9
    dataset = load(csv=csv_file(text), target="y")
    assert dataset.input.table.names == ("a",)
    assert dataset.train.x.dtype == np.float32


@pytest.mark.parametrize(
    ("content", "data", "message"),
    [
        (
            "a,y\n1,Köln\n".encode() * 9 + b"2,\x96\n",
            {},
            ":19: byte 0x96 is not of the encoding utf",
        ),
        ("a,y\n1,Köln\n".encode("utf-16")[:-1], {}, "is not of the encoding utf-16"),
        ("a,y\n1,Köln\n".encode(), {"encoding": "utf-16"}, "is not of the encoding utf-16"),
        (b"\x1f\x8bno gzip", {}, "not a sound gzip file"),
    ],
)
def test_what_is_no_text_is_explained(csv_file, content, data, message):
    path = csv_file(content)
    with pytest.raises(DataError) as caught:
        load(csv=path, target="y", **data)
    assert message in str(caught.value)
    assert str(caught.value).startswith(path)


def test_a_byte_order_mark_is_no_part_of_a_name(csv_file):
    path = csv_file("\ufeffa,y\n" + "1,p\n2,q\n" * 9)
    assert load(csv=path, target="y", encoding="utf-8").input.table.names == ("a",)


def test_many_zip_codes_are_no_quantity(csv_file):
    path = csv_file("a,y\n" + "".join(f"{i % 9}.5,{i:05}\n" for i in range(1_200)))
    with pytest.raises(DataError, match="say task: classification or task: regression"):
        load(csv=path, target="y")


def test_rows_to_predict_may_have_one_column(csv_file):
    rows, _ = read_rows(csv_file("a\n1\n2\n"), TableSpec(("a",)))
    assert rows.tolist() == [[1.0], [2.0]]
    with pytest.raises(DataError, match=r":3: a blank line; write NA"):
        read_rows(csv_file("a\n1\n\n3\n"), TableSpec(("a",)))


def test_what_is_missing_is_spelt_as_in_the_file(csv_file):
    text = "a;f;y\n" + "12,5;TRUE;2,5\n-99,9;FALSE;3\n0;FALSE;-99,90\n" * 9
    dataset = load(csv=csv_file(text), target="y", task="regression", missing=("-99,9", "0"))
    assert len(dataset.train) + len(dataset.validation) == 18
    values, flags = dataset.train.x.T
    assert {*values[~np.isnan(values)].tolist()} == {12.5}
    assert {*flags.tolist()} == {0.0, 1.0}
    with pytest.raises(DataError, match="column 'a': missing value"):
        load(
            csv=csv_file("a,y\n" + "1.5,p\n-9,q\n" * 9), target="y", missing=("-9",), impute="none"
        )


def test_what_is_odd_in_another_file_is_said(csv_file):
    text = "a,y\n" + "1.5,p\n2.5,q\n" * 9
    test = csv_file("a;y\n1;p\n2;\n", "test.csv")
    dataset = load(csv=csv_file(text), target="y", test=test)
    assert len(dataset.test) == 1
    said = [warning for warning in dataset.warnings if warning.startswith(f"{test}: ")]
    assert len(said) == 2
