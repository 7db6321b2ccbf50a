"""CSV files; those of FAULTS line 18 are in test_18_bad_data.py."""

from __future__ import annotations

import numpy as np
import pytest
from bad_tables import GOOD, INCOMPLETE, numbers
from datasets import load

from hpsearch.data.specs import Task
from hpsearch.errors import DataError


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
        ("a,b,t,y\n1,1,,\n", ":2: the target '' is missing or not"),
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
