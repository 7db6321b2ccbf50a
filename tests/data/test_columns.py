"""Messy tables: missing values, dates, identifiers, scaling, and the options for them."""

import re

import numpy as np
import pandas as pd
import pytest
from datasets import load, made

from hpsearch.data.dataset import guess_scores, profile
from hpsearch.data.specs import n_features
from hpsearch.data.targets import in_own_units
from hpsearch.errors import DataError
from hpsearch.models.arrays import _for_custom_model

N = 120


def messy(rows=N):
    """A frame with a bit of everything, and its labels."""
    draws = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "customer_id": draws.permutation(10 * rows)[:rows],
            "row": range(rows),
            "size": draws.normal(50, 9, rows),
            "rooms": draws.integers(1, 6, rows),
            "kind": draws.choice(["flat", "house", None], rows),
            "note": [f"note {i}" for i in range(rows)],
            "sold": pd.date_range("2021-03-01", periods=rows, freq="30h"),
            "nothing": [None] * rows,
        }
    )
    frame.loc[::7, "size"] = np.nan
    return frame, np.where(frame["rooms"] > 3, "dear", "cheap")


def test_what_is_left_out_is_said_with_what_to_do():
    dataset = made(*messy())
    names = dataset.input.table.names
    assert names[:3] == ("size", "rooms", "kind")
    assert names[3:] == tuple(
        f"sold.{part}" for part in ("year", "month", "weekday", "day_of_year", "seconds")
    )
    said = "\n".join(dataset.warnings)
    for name in ("customer_id", "row"):
        assert f"column '{name}' is left out: another whole number in nearly every row" in said
    assert "column 'note' is left out: another text in nearly every row, 120 in 120" in said
    assert "`identifiers: keep` uses such columns; dates are read if they are written as" in said
    assert "column 'nothing' is left out: the value is missing in every row" in said
    assert "'rooms'" not in said


def test_identifiers_can_be_kept_and_columns_dropped():
    frame, y = messy()
    kept = made(frame, y, identifiers="keep", drop=("sold", "nothing"))
    assert kept.input.table.names == ("customer_id", "row", "size", "rooms", "kind", "note")
    assert kept.warnings == ()
    with pytest.raises(DataError, match=r"drop: no column 'sould'; did you mean 'sold'\?"):
        made(frame, y, drop=("sould",))


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(np.arange(N) * 37, id="far apart, without an identifier's name"),
        pytest.param(np.arange(N) + 0.5, id="fractions"),
        pytest.param(np.arange(N) % 60, id="twice each"),
        pytest.param(np.arange(N)[:50], id="few rows"),
    ],
)
def test_measurements_are_no_identifiers(values):
    dataset = made(pd.DataFrame({"price": values}), ["a", "b"] * (len(values) // 2))
    assert dataset.input.table.names == ("price",)
    assert not any("left out" in line for line in dataset.warnings)


@pytest.mark.parametrize("impute", ["median", "mean"])
@pytest.mark.parametrize("scale", ["none", "standard", "minmax", "unit", "robust"])
def test_missing_numbers_are_filled_from_training_rows(impute, scale):
    frame, y = messy()
    dataset = made(frame[["size", "rooms"]], y, impute=impute, scale=scale)
    known = dataset.train.x[:, 0]
    fill = getattr(np, f"nan{impute}")(known.astype(float))
    assert dataset.input.fill[0] == pytest.approx(fill, rel=1e-6)
    assert dataset.input.indicators == (0,)
    assert n_features(dataset.input) == 3
    filled = np.where(np.isnan(known), fill, known)
    expected = {
        "none": None,
        "standard": (filled.mean(), filled.std()),
        "minmax": (filled.min(), np.ptp(filled)),
        "unit": (filled.min(), np.ptp(filled)),
        "robust": (np.median(filled), np.ptp(np.quantile(filled, (0.25, 0.75)))),
    }[scale]
    if scale == "standard":
        found = dataset.input.mean[0], dataset.input.variance[0] ** 0.5
    elif expected:
        width = 1 / dataset.input.scale[0]
        found = -dataset.input.offset[0] * width, width
    if expected:
        assert found == pytest.approx(expected, rel=1e-5)


def test_a_constant_column_has_variance_one_and_its_unit_is_zero():
    x, y = np.random.default_rng(0).normal(5, 3, size=(50, 3)), np.arange(50) % 2
    for value in (0.1, 7.0, 1e6 + 0.1):
        x[:, 1] = value
        assert made(x, y).input.variance[1] == 1.0
    unit = made(np.full((50, 1), 3.0), y, scale="unit").input
    assert (unit.scale, unit.offset) == ((1.0,), (-3.0,))
    bare = made(x, y, scale="none").input
    assert bare.mean == bare.variance == bare.scale == bare.offset == ()


def test_a_value_that_is_missing_elsewhere_only_gets_no_indicator():
    frame, y = messy()
    # More than one in a hundred of the training rows.
    for gaps, indicators in ((1, ()), (2, (0,))):
        sizes = frame[["size"]][:100].fillna(50.0)
        sizes.iloc[:gaps] = np.nan
        dataset = made(sizes, y[:100], validation_data=(sizes[50:], y[50:100]))
        assert dataset.input.indicators == indicators
    whole, gap = frame[["rooms"]][:100], frame[["rooms"]][100:].astype(float)
    gap.iloc[3] = np.nan
    dataset = made(whole, y[:100], validation_data=(gap, y[100:]))
    assert dataset.input.fill == (float(np.median(whole)),)
    assert dataset.input.indicators == ()
    assert made(whole, y[:100]).input.fill == ()


def test_a_missing_text_is_a_category():
    frame, y = messy()
    dataset = made(frame[["kind"]], y)
    (column,) = dataset.input.columns
    assert column.vocabulary == ("", "flat", "house")


def test_numbers_are_a_category_where_pandas_or_the_training_rows_say_so():
    codes, y = pd.Series([3, 1, 2, 1] * 30), ["p", "q"] * 60
    column = made(pd.DataFrame({"code": codes.astype("category")}), y).input.columns[0]
    assert column.vocabulary == ("1", "2", "3")
    ordered = made(pd.DataFrame({"code": pd.Categorical(codes, ordered=True)}), y)
    assert ordered.input.columns is None
    texts = pd.DataFrame({"code": ["A", "B", 2.0] * 40})
    assert made(texts, y).input.columns[0].vocabulary == ("2", "A", "B")
    # As pandas reads them where a cell is missing.
    numbers = pd.DataFrame({"code": [1.0, None, 3.0] * 4})
    dataset = made(texts, y, validation_data=(numbers, ["p", "q", "q"] * 4))
    assert dataset.validation.x["code"].tolist() == ["1", "", "3"] * 4


def test_a_masked_number_is_missing():
    x, y = np.ma.array(np.arange(120), mask=[False, True] * 60)[:, None], ["p", "q", "q"] * 40
    assert made(x, y).input.fill
    assert made(pd.array([1, None, 3] * 40, "Int64"), y).input.fill


def test_without_imputation_a_missing_value_is_an_error():
    frame, y = messy()
    for x, where in (
        (frame[["size"]], r"row 0 \(from 0\): column 'size': missing value; .* \(18 such"),
        (frame[["size"]].to_numpy(), r"row 0 \(from 0\): column 0: nan is not a finite float32"),
        (frame[["kind"]], "column 'kind': missing value"),
    ):
        with pytest.raises(DataError, match=where):
            made(x, y, impute="none")
    with pytest.raises(DataError, match="column 0: inf is not a finite"):
        made(np.array([[1.0], [np.nan], [np.inf], [2]] * 5), y[:20])


DAYS = pd.date_range("2023-12-20", periods=40, freq="D")
TEXTS = {
    "iso": "%Y-%m-%d",
    "iso with time": "%Y-%m-%dT%H:%M:%S",
    "iso with zone": "%Y-%m-%d %H:%M+00:00",
    "slashes": "%Y/%m/%d",
    "german": "%d.%m.%Y",
    "american": "%m/%d/%Y",
    "british": "%d/%m/%Y",
    "american with time": "%m/%d/%Y %H:%M",
    "with half of the day": "%m/%d/%Y %I:%M %p",
}


@pytest.mark.parametrize("form", [None, *TEXTS.values()], ids=["frame", *TEXTS])
def test_dates_are_read_in_every_common_form(form):
    cells = DAYS if form is None else DAYS.strftime(form)
    frame = pd.DataFrame({"at": cells, "n": np.arange(40) % 7})
    frame.loc[5, "at"] = None
    x = made(frame, ["a", "b"] * 20, validation=0.5, scale="none").train.x
    dataset = made(frame, ["a", "b"] * 20, validation_data=(frame[7:9], ["a", "b"]))
    found = dict(zip(dataset.input.table.names, dataset.validation.x.T, strict=True))
    assert found["at.year"].tolist() == [2023, 2023]
    assert found["at.month"].tolist() == [12, 12]
    assert found["at.weekday"].tolist() == [2, 3]
    assert found["at.day_of_year"].tolist() == [361, 362]
    assert found["at.seconds"].tolist() == [7 * 86_400, 8 * 86_400]
    assert np.isnan(dataset.train.x).sum() == 5
    assert x.shape == (20, 6)


def test_dates_that_tell_no_order_are_left_out():
    frame = pd.DataFrame({"at": ["01/02/2024", "03/04/2024"] * 10, "n": range(20)})
    dataset = made(frame, ["a", "b"] * 10)
    assert dataset.input.table.names == ("n",)
    assert "may have the day or the month first; write them as 2024-12-31" in dataset.warnings[0]


def test_dates_can_be_left_out():
    frame, y = messy()
    dataset = made(frame[["sold", "size"]], y, dates="drop")
    assert dataset.input.table.names == ("size",)
    assert "column 'sold' is left out: dates; `dates: features` uses" in dataset.warnings[0]


def test_a_slip_among_dates_is_named(csv_file):
    rows = "".join(f"2024-01-{i:02},{'pq'[i % 2]}\n" for i in range(1, 30))
    path = csv_file("at,y\n" + rows + "2024-02-31,p\n")
    with pytest.raises(DataError, match=r":31: column 'at': '2024-02-31' is not a date of the f"):
        load(csv=path, target="y")


def test_texts_with_digits_are_no_dates():
    cells = ["1.2.3", "10-20-30", "555-1234", "12:30"] * 5
    dataset = made(pd.DataFrame({"version": cells}), ["a", "b"] * 10)
    (column,) = dataset.input.columns
    assert column.vocabulary == tuple(sorted(set(cells)))


def test_a_validation_file_is_read_as_the_training_file(csv_file):
    rows = [f"{i % 9},{day},{'pq'[i % 2]}" for i, day in enumerate(DAYS.strftime("%d.%m.%Y"))]
    train = csv_file("n,at,y\n" + "\n".join(rows) + "\n")
    other = csv_file("at,y,n\n21.12.2023,p,\n,q,3\n", "validation.csv")
    dataset = load(csv=train, target="y", validation=other)
    assert dataset.validation.x[:, -1].tolist()[0] == 86_400
    assert np.isnan(dataset.validation.x).sum(axis=1).tolist() == [1, 5]
    bad = csv_file("at,y,n\n2023-12-21,p,1\n", "bad.csv")
    with pytest.raises(DataError, match=r"bad.csv:2: column 'at': '2023-12-21' is not a date"):
        load(csv=train, target="y", validation=bad)


def test_parts_of_dates_do_not_hide_columns():
    frame = pd.DataFrame({"at": DAYS, "at.year": range(40)})
    with pytest.raises(DataError, match=r"column 'at\.year' is also a date's part; rename or drop"):
        made(frame, ["a", "b"] * 20)
    labels = ["a", "b"] * 20
    dataset = made(frame, labels, drop=["at.year"], validation_data=(frame, labels))
    assert "at.year" in dataset.input.table.names


def test_how_values_are_missing_does_not_matter():
    """None, NaN, NA and texts for them are one, also in the fingerprint."""
    y = ["a", "b"] * 10
    prints = set()
    for gone in (None, np.nan, -np.nan, "NA", pd.NA):
        frame = pd.DataFrame({"n": [1.5, 2.5, gone, 4.0] * 5, "t": ["u", gone, "w", "v"] * 5})
        prints.add(made(frame, y).fingerprint)
    assert len(prints) == 1


def test_a_profile_tells_rows_targets_and_the_score_of_guessing():
    frame, y = messy()
    frame.loc[5::9, "sold"] = None
    dataset = made(frame, y, test=0.1)
    assert profile(dataset) == (
        "arrays: 84 training and 24 validation rows; 12 test rows; 2 numbers, "
        "1 text (3 values), 1 date; missing numbers are filled in",
        "2 classes; always guessing cheap has val_accuracy "
        f"{np.mean(dataset.validation.y == 0):.4f}",
    )
    many = made(frame[["rooms"]], np.arange(N) % 5, cv=4)
    assert profile(many)[0] == "arrays: 4 folds of 90 training and 30 validation rows; 1 number"
    assert profile(many)[1].startswith("5 classes; always guessing ")
    # The commonest label of the training rows is the guess.
    rooms = frame[["rooms"]]
    few = made(rooms, ["a", "b", "b"] * 40, validation_data=(rooms, ["a"] * N))
    assert guess_scores(few) == {"val_accuracy": 0.0}
    numbers = made(frame[["kind"]], frame["rooms"] * 10.0, task="regression")
    target, parts = numbers.target, (numbers.train, numbers.validation)
    own = [part.y.ravel() * target.std[0] + target.mean[0] for part in parts]
    off = np.abs(own[1] - own[0].mean())
    assert "always guessing the mean target, " in profile(numbers)[1]
    found = re.search(r"val_mae ([\d.]+) and RMSE ([\d.]+)", profile(numbers)[1])
    assert float(found[1]) == pytest.approx(off.mean(), rel=1e-3)
    assert float(found[2]) == pytest.approx((off**2).mean() ** 0.5, rel=1e-3)


def test_guesses_are_in_the_unit_of_each_fold_and_of_custom_models():
    y = np.arange(120.0) ** 2
    dataset = made(np.ones((120, 1)) * y[:, None], y, task="regression", cv=3)
    own = [in_own_units(fold.train.y, fold.target).ravel() for fold in dataset.folds]
    true = [in_own_units(fold.validation.y, fold.target).ravel() for fold in dataset.folds]
    off = [np.abs(values - train.mean()) for train, values in zip(own, true, strict=True)]
    expected = {"val_mae": np.mean([e.mean() for e in off])}
    expected["val_mse"] = np.mean([(e**2).mean() for e in off])
    assert guess_scores(dataset) == pytest.approx(expected, rel=1e-5)
    custom = _for_custom_model(dataset)
    assert guess_scores(custom) == pytest.approx(expected, rel=1e-5)
    assert f"the mean target, {own[0].mean():.0f}" in profile(custom)[1]


def test_a_gap_makes_no_text_of_true_and_false(csv_file):
    rows = "".join(f"{i / 8},{i % 3 == 0},{'pq'[i % 2]}\n" for i in range(40))
    train = csv_file("a,flag,y\n" + rows)
    other = csv_file("a,flag,y\n1.5,True,p\n2.5,,q\n3.5,false,q\n", "validation.csv")
    dataset = load(csv=train, target="y", validation=other)
    np.testing.assert_array_equal(dataset.validation.x[:, 1], [1, np.nan, 0])


def test_rows_with_gaps_are_found_again():
    frame, y = messy()
    frame = frame[["size", "rooms", "kind"]]
    dataset = made(frame, y, validation_data=(frame[:30], y[:30]))
    assert any("30 of 30 validation rows also stand" in line for line in dataset.warnings)


@pytest.mark.parametrize(
    ("write", "shown"),
    [
        (lambda n: f"{n},5", "'0,5'"),
        (lambda n: f"{n}.234,50", "'0.234,50'"),
        (lambda n: f"{n} EUR", "'0 EUR'"),
        (lambda n: f"${n}.20", "'$0.20'"),
        (lambda n: f"{n % 28 + 1}.12.24", "'1.12.24'"),
        (lambda n: f"{n}%", "'0%'"),
    ],
)
def test_numbers_in_another_notation_are_told(write, shown):
    frame = pd.DataFrame({"a": [write(n // 2) for n in range(40)], "b": np.arange(40) / 7})
    dataset = made(frame, ["p", "q"] * 20)
    (told,) = [each for each in dataset.warnings if "categories" in each]
    assert f"column 'a': texts such as {shown} are categories; write numbers as 1234.5" in told


@pytest.mark.parametrize(
    "texts", [["4,5", "5,0"] * 20, [f"room {n // 2}" for n in range(40)], [*"abcdefghij"] * 4]
)
def test_categories_are_not_taken_for_numbers(texts):
    dataset = made(pd.DataFrame({"a": texts, "b": np.arange(40) / 7}), ["p", "q"] * 20)
    assert not [each for each in dataset.warnings if "categories" in each]
