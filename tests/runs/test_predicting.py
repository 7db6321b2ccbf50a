"""Predictions: labels and probabilities for new rows, from Python, a command, and Keras alone."""

from __future__ import annotations

import json
import shutil
import zipfile
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from commands import hpsearch as command
from commands import python
from here import run_here
from small_sweeps import run_on_table

import hpsearch
from hpsearch.data.specs import TableSpec, Task
from hpsearch.errors import DataError, InputError, RefusedError
from hpsearch.models.model_file import ModelFile
from hpsearch.runs.predicting import Predictor

_SWEEP = """\
data: {csv: table.csv, target: y}
parameters: {units: [[8, 4], 4], epochs: [1, 4], optimizer: [{name: sgd, momentum: 0.9}]}
constraints: ["epochs > 0"]
seeds: 2
"""


def test_logits_are_cut_at_zero() -> None:
    from keras import losses

    known = ModelFile(Task.BINARY, ("no", "yes"))
    for logits, labels in ((True, ["yes", "no"]), (False, ["no", "no"])):
        loss = losses.BinaryCrossentropy(from_logits=logits)
        predictor = Predictor(SimpleNamespace(loss=loss), known)
        assert predictor._labels_of(np.array([[0.3], [-0.3]])).tolist() == labels


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_on_table(tmp_path_factory.mktemp("table"), _SWEEP)


@pytest.fixture(scope="module")
def results(home: Path) -> hpsearch.Results:
    return hpsearch.load(home / "out")


@pytest.fixture(scope="module")
def frame(home: Path) -> pd.DataFrame:
    return pd.read_csv(home / "table.csv")


def test_labels_are_the_likeliest_classes(results: hpsearch.Results, frame: pd.DataFrame) -> None:
    assert results.classes == ("no", "yes")
    chances = results.predict_proba(frame)
    assert chances.shape == (40, 2)
    np.testing.assert_allclose(chances.sum(axis=1), 1, rtol=1e-6)
    assert len(set(chances[:, 0])) > 10
    labels = results.predict(frame)
    assert labels.tolist() == [results.classes[place] for place in chances.argmax(axis=1)]


def test_columns_are_found_by_name(results: hpsearch.Results, frame: pd.DataFrame) -> None:
    expected = results.predict_proba(frame)
    others = frame.assign(more="text")[["more", "t", "b", "a"]]
    np.testing.assert_array_equal(results.predict_proba(others), expected)
    columns = {name: frame[name].to_numpy() for name in "bta"}
    np.testing.assert_array_equal(results.predict_proba(columns), expected)
    rows = frame[["a", "b", "t"]].to_numpy(object)
    np.testing.assert_array_equal(results.predict_proba(rows), expected)
    assert results.predict(frame.head(0)).tolist() == []


def test_rows_that_do_not_fit_are_explained(results: hpsearch.Results, frame: pd.DataFrame) -> None:
    with pytest.raises(InputError, match=r"rows have no column 'b', which the model takes"):
        results.predict(frame.rename(columns={"b": "bb"}))
    with pytest.raises(InputError, match=r"row 3 \(from 0\): column 'a': 'x' is not a number"):
        results.predict(frame.assign(a=["1", "2", "3", "x", *["5"] * 36]))
    with pytest.raises(InputError, match=r"rows have 2 columns; the model takes 'a', 'b', 't'"):
        results.predict(frame[["a", "b"]].to_numpy())


def test_tokens_beyond_a_vocabulary_are_explained() -> None:
    import keras

    chain = [keras.Input((2,)), keras.layers.Embedding(7, 2), keras.layers.Flatten()]
    model = keras.Sequential([*chain, keras.layers.Dense(1)])
    predictor = Predictor(model, ModelFile(Task.REGRESSION))
    assert predictor.labels(np.array([[0, 6]])).shape == (1,)
    with pytest.raises(InputError, match=r"cannot take such rows: .*7 is not in \[0, 7\)"):
        predictor.labels(np.array([[0, 7]]))


def test_a_command_predicts_a_file(
    home: Path, results: hpsearch.Results, frame: pd.DataFrame
) -> None:
    frame.drop(columns="y").to_csv(home / "rows.csv", index=False)
    said = command("predict", "out", "rows.csv", "--out", "predictions.csv", "--proba", cwd=home)
    assert said.stderr == "wrote 40 predictions to predictions.csv\n"
    table = pd.read_csv(home / "predictions.csv")
    assert list(table) == ["prediction", "probability no", "probability yes"]
    assert table["prediction"].tolist() == results.predict(frame).tolist()
    chances = table[["probability no", "probability yes"]].to_numpy()
    np.testing.assert_allclose(chances, results.predict_proba(frame), rtol=1e-6)
    said = command("predict", "out", "rows.csv", "--trial", 1, "--seed", 1, cwd=home)
    assert said.stdout.splitlines()[0] == "prediction"
    assert len(said.stdout.splitlines()) == 41
    keyed = frame.assign(id=[f"{number:04}" for number in range(40)])
    keyed.to_csv(home / "keyed.csv", index=False)
    said = command("predict", "out", "keyed.csv", "--key", "id", cwd=home)
    of_keys = pd.read_csv(StringIO(said.stdout), dtype=str)
    assert of_keys.to_numpy().T.tolist() == [keyed["id"].tolist(), table["prediction"].tolist()]
    said = command("predict", "out", "keyed.csv", "--key", "nr", cwd=home, code=2)
    assert "key: no column 'nr'" in said.stderr
    frame[["a"]].to_csv(home / "short.csv", index=False)
    said = command("predict", "out", "short.csv", cwd=home, code=2)
    assert said.stderr.startswith("short.csv:1: ")


def test_rows_are_read_as_those_of_the_sweep_were(tmp_path: Path) -> None:
    text = "a;t;y\n" + "".join(
        f"{'-9' if i % 9 == 0 else i % 7},5;{'uv?'[i % 3]};{i % 2}\n" for i in range(60)
    )
    (tmp_path / "table.csv").write_text(text.replace("-9,5", "-9"))
    data = {"csv": str(tmp_path / "table.csv"), "target": "y", "missing": ["-9", "?"]}
    run_here(json.dumps({"data": data, "parameters": {"epochs": 2}}), tmp_path / "out")
    predict = hpsearch.load(tmp_path / "out").predict_proba
    expected = predict({"a": [np.nan, 1.234, 2.5], "t": ["", "u", "v"]})
    spelt = predict({"a": [-9.0, 1.234, 2.5], "t": ["?", "u", "v"]})
    np.testing.assert_array_equal(spelt, expected)
    # In this file, 1,234 alone could be a thousand.
    for rows in (
        "a;t\n-9;?\n1,234;u\n2,500;v\n",
        "a,t\n-9,?\n1.234,u\n2.5,v\n",
        'a,t\n-9,?\n"1,234",u\n"2,5",v\n',
    ):
        (tmp_path / "rows.csv").write_text(rows)
        said = command("predict", "out", "rows.csv", "--proba", cwd=tmp_path).stdout
        chances = pd.read_csv(StringIO(said))[["probability 0", "probability 1"]]
        np.testing.assert_allclose(chances, expected, rtol=1e-6)


def test_a_key_of_the_sweep_s_data_counts_for_new_rows(tmp_path: Path) -> None:
    text = "t,y\n" + "Łódź,p\nUlm,q\nKöln,q\n" * 20
    (tmp_path / "table.csv").write_bytes(text.encode("cp1250"))
    data = {"csv": str(tmp_path / "table.csv"), "target": "y", "encoding": "cp1250"}
    run_here(json.dumps({"data": data, "parameters": {"epochs": 2}}), tmp_path / "out")
    expected = hpsearch.load(tmp_path / "out").predict_proba({"t": ["Łódź", "Ulm", "Köln"]})
    assert len({*expected[:, 0]}) == 3
    said = command("predict", "out", "table.csv", "--proba", cwd=tmp_path)
    assert "warning: table.csv: read as encoded as cp1250" in said.stderr
    chances = pd.read_csv(StringIO(said.stdout))[["probability p", "probability q"]]
    np.testing.assert_allclose(chances[:3], expected, rtol=1e-6)


def test_a_matrix_has_missing_numbers_as_a_frame_does(tmp_path: Path) -> None:
    text = "a,b,y\n" + "1.5,2,p\n-999,1,q\n2.5,3,q\n" * 20
    (tmp_path / "table.csv").write_text(text)
    data = {"csv": str(tmp_path / "table.csv"), "target": "y", "missing": ["-999"]}
    run_here(json.dumps({"data": data, "parameters": {"epochs": 2}}), tmp_path / "out")
    predict = hpsearch.load(tmp_path / "out").predict_proba
    rows = pd.DataFrame({"a": [-999.0, 1.5], "b": [1.0, 2.0]})
    np.testing.assert_array_equal(predict(rows.to_numpy()), predict(rows))


def test_numbers_that_the_model_would_read_as_others_are_refused() -> None:
    images = np.random.default_rng(0).integers(0, 256, (60, 4, 4), np.uint8)
    labels = np.repeat(["p", "q", "r"], 20)
    parameters = {"epochs": 1, "units": 4}
    results = hpsearch.tune(images, labels, parameters=parameters)
    assert len(results.predict(images.astype(float))) == 60
    with pytest.raises(InputError, match=r"row 0 \(from 0\): .* takes pixels, whole .*undivided"):
        results.predict(images / 255)
    results = hpsearch.tune(images.reshape(60, 16) / 7, labels, parameters=parameters)
    with pytest.raises(InputError, match=r"inf is there, and the model takes finite 32-bit floats"):
        results.predict(np.full((2, 16), np.inf))


_KERAS_ALONE = """\
import json, sys, zipfile
import keras, numpy as np
model = keras.models.load_model("best.keras")
classes = json.loads(zipfile.ZipFile("best.keras").read("hpsearch.json"))["classes"]
rows = {"a": np.array([0.5, 1.5]), "b": np.array([1.5, 2.5]), "t": np.array(["u", "new"], object)}
print(json.dumps([classes[int(p > 0.5)] for p in model.predict(rows, verbose=0)[:, 0]]))
assert "hpsearch" not in sys.modules
"""


@pytest.mark.slow
def test_keras_alone_predicts(home: Path, results: hpsearch.Results) -> None:
    printed = python(_KERAS_ALONE, cwd=home / "out").splitlines()[-1]
    rows = pd.DataFrame({"a": [0.5, 1.5], "b": [1.5, 2.5], "t": ["u", "new"]})
    assert json.loads(printed) == results.predict(rows).tolist()


def test_the_file_describes_itself(home: Path, tmp_path: Path) -> None:
    found = ModelFile.read(home / "out" / "best.keras")
    table = TableSpec(("a", "b", "t"), frozenset({"t"}))
    assert found == ModelFile("binary", ("no", "yes"), numbers=False, table=table)
    bad = tmp_path / "bad.keras"
    for content in ("[]", '{"task": "none"}', "{", '{"task": "binary", "classes": 1}'):
        with zipfile.ZipFile(bad, "w") as archive:
            archive.writestr("hpsearch.json", content)
        assert ModelFile.read(bad) is None
    bad.write_text("no archive")
    assert ModelFile.read(bad) is None
    assert ModelFile.read(tmp_path / "missing") is None


def test_a_model_that_does_not_describe_itself_is_refused(
    home: Path, tmp_path: Path, frame: pd.DataFrame
) -> None:
    copy = shutil.copytree(home / "out", tmp_path / "out")
    with (
        zipfile.ZipFile(home / "out" / "best.keras") as archive,
        zipfile.ZipFile(copy / "best.keras", "w") as new,
    ):
        for name in archive.namelist():
            if name != "hpsearch.json":
                new.writestr(name, archive.read(name))
    # A store would give the model anew.
    (copy / "sweep.db").unlink()
    with pytest.raises(RefusedError, match=r"best\.keras: is not as a run writes it"):
        hpsearch.Results(copy).predict(frame)


RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        ([3, 7, 11], "i"),
        ([0.5, 1.0, 2.5], "f"),
        ([False, True], "b"),
        (["1", "2"], "O"),
        (["u", "v", "w"], "O"),
    ],
    ids=["whole", "fractions", "booleans", "digits as text", "text"],
)
@pytest.mark.slow
def test_labels_have_the_type_that_they_had(labels: list[object], kind: str) -> None:
    x = pd.DataFrame(RNG.normal(size=(60, 2)), columns=["p", "q"])
    y = np.array(labels, object)[np.arange(60) % len(labels)]
    results = hpsearch.tune(x, y, task="classification", parameters={"units": 4, "epochs": 1})
    found = results.predict(x)
    assert found.dtype.kind == kind
    assert set(found.tolist()) <= set(labels)
    assert results.predict(x[["q", "p"]]).tolist() == found.tolist()
    with pytest.raises(
        InputError, match=r"shape \(60, 1\); the model takes numbers of shape \(None, 2\)"
    ):
        results.predict(x[["q"]].to_numpy())


@pytest.mark.slow
def test_a_quantity_is_predicted_in_its_own_units() -> None:
    x = RNG.normal(size=(200, 2))
    y = 1000 + 50 * x[:, 0]
    results = hpsearch.tune(
        x, y, parameters={"units": 16, "epochs": 40, "optimizer": "adam", "learning_rate": 0.01}
    )
    found = results.predict(x)
    assert found.shape == (200,)
    assert np.corrcoef(found, y)[0, 1] > 0.9
    assert abs(found.mean() - 1000) < 20
    assert results.classes == ()
    with pytest.raises(InputError, match="there are no classes: the task is regression"):
        results.predict_proba(x)
    with pytest.raises(InputError, match="rows are a table, and the model takes arrays"):
        results.predict(pd.DataFrame(x))


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\3\4 cut"])
def test_a_broken_model_is_told_in_a_line(home: Path, tmp_path: Path, content: bytes) -> None:
    shutil.copytree(home / "out", tmp_path / "out")
    (tmp_path / "out" / "best.keras").write_bytes(content)
    # A store would give the model anew.
    (tmp_path / "out" / "sweep.db").unlink()
    with pytest.raises(InputError, match=r"best\.keras: Keras cannot load it: "):
        hpsearch.load(tmp_path / "out").predict(pd.DataFrame({"a": [1]}))


def test_missing_numbers_need_a_model_that_fills_them(results: hpsearch.Results) -> None:
    rows = pd.DataFrame({"a": [0.5, None], "b": [1.5, 2.5], "t": ["u", None]})
    with pytest.raises(InputError, match=r"row 1 \(from 0\): column 'a': missing value; the model"):
        results.predict(rows)
    assert len(results.predict(rows.fillna({"a": 0.5}))) == 2


def test_rows_with_gaps_and_dates_are_predicted_however_they_are_written() -> None:
    draws = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "size": draws.normal(size=60),
            "kind": draws.choice(["new", "old", None], 60),
            "sold": pd.date_range("2024-01-01", periods=60).strftime("%d.%m.%Y"),
        }
    )
    frame.loc[::9, "size"] = None
    y = np.where(frame["kind"] == "old", "cheap", "dear")
    messy = hpsearch.tune(frame, y, parameters={"units": 4, "epochs": 1})
    rows = pd.DataFrame(
        {"sold": ["31.12.2024", None], "size": [None, 0.25], "kind": ["old", None], "more": [1, 2]}
    )
    chances = messy.predict_proba(rows)
    assert np.isfinite(chances).all()
    moments = rows.assign(sold=pd.to_datetime(rows["sold"], format="%d.%m.%Y"))
    np.testing.assert_array_equal(messy.predict_proba(moments), chances)
    ordered = rows[["size", "kind", "sold"]].to_numpy(object)
    np.testing.assert_array_equal(messy.predict_proba(ordered), chances)
    with pytest.raises(DataError, match=r"'2024-12-31' is not a date of the form %d\.%m\.%Y"):
        messy.predict(rows.assign(sold="2024-12-31"))


@pytest.mark.slow
def test_a_model_with_layers_metrics_and_losses_of_ones_own_loads() -> None:
    import keras

    class Doubled(keras.layers.Layer):
        def call(self, x):
            return 2 * x

    class Hits(keras.metrics.MeanMetricWrapper):
        def __init__(self, name="hits", dtype=None):
            super().__init__(keras.metrics.sparse_categorical_accuracy, name, dtype)

        def get_config(self):
            return {"name": self.name, "dtype": self.dtype}

    def squared(y, p):
        labels = keras.ops.cast(keras.ops.reshape(y, (-1,)), "int32")
        return keras.ops.mean((keras.ops.one_hot(labels, 3) - p) ** 2, -1)

    def half(x):
        return x / 2

    def build(hp):
        layers = [keras.layers.Dense(hp.Int("units", 2, 8), activation=half), Doubled()]
        model = keras.Sequential([*layers, keras.layers.Dense(3, "softmax")])
        model.compile("adam", squared, metrics=["accuracy", Hits()])
        return model

    x, y = RNG.normal(size=(60, 4)), RNG.integers(0, 3, 60)
    results = hpsearch.tune(x, y, model=build, parameters={"epochs": 2}, trials=2)
    assert set(results.table["error"].fillna("")) == {""}
    model = results.model()
    assert any(type(layer).__name__ == "Doubled" for layer in model._flatten_layers())
    chances = model.predict(x[:5], verbose=0)
    assert results.predict(x[:5]).tolist() == chances.argmax(axis=1).tolist()
