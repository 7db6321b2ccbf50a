"""`embedding: piecewise`: by Keras, by the native trainer, and in the model's file."""

import dataclasses
from itertools import pairwise
from statistics import NormalDist

import keras
import numpy as np
import pandas as pd
import pytest
from trainings import assert_agree, assert_equal_arrays, trained

import hpsearch
from hpsearch.data.specs import ColumnSpec, InputSpec
from hpsearch.models.embedding import BINS, Embedding
from hpsearch.native.network import describe, instruction_sets
from hpsearch.spec.sweep import Sweep
from hpsearch.training.native import NativeTrainer

PIECEWISE = {"units": 24, "optimizer": "adam", "embedding": "piecewise"}


def test_a_number_fills_the_bins_before_it(diabetes):
    numbers = np.array([-50, -2, -1.5, -0.3, 0, 0.2, 1.4, 2, 50], np.float32)
    rows = np.tile(numbers[:, None], 10)
    model = diabetes.model(PIECEWISE, 0)
    bins = keras.Model(model.input, model.layers[-2].input)(rows).numpy()
    assert bins.shape == (9, Embedding.of(diabetes.input_spec, "piecewise").width) == (9, 10 * BINS)
    assert_equal_arrays(bins[:, :BINS], bins[:, -BINS:])
    edges = [NormalDist().inv_cdf(q / BINS) for q in range(1, BINS)]
    edges = [edges[0] - 0.5, *edges, edges[-1] + 0.5]
    for number, row in zip(numbers, bins, strict=True):
        shares = [(number - a) / (b - a) for a, b in pairwise(edges)]
        inner = np.clip(shares[1:-1], 0, 1)
        expected = [min(shares[0], 1), *inner, max(shares[-1], 0)]
        np.testing.assert_allclose(row[:BINS], expected, rtol=2e-5, atol=2e-6)
    # The bins add up to a line through the middle of each bin, so that no number is lost.
    assert (np.diff(bins[:, :BINS].sum(axis=1)) > 0).all()


@pytest.mark.parametrize("problem", ["diabetes", "cancer"])
@pytest.mark.parametrize("kind", ["graph", "xla"])
def test_all_trainers_agree(problem, kind, request):
    given = request.getfixturevalue(problem)
    values = PIECEWISE | {"layer_type": "residual", "hidden_layers": 2, "l2": 1e-3}
    ours, theirs = (given.trainer(values, 1, kind=one) for one in ("native", kind))
    assert ours.weights_count == theirs.weights_count
    assert_agree(trained(ours, 3), trained(theirs, 3))


def test_texts_and_indicators_are_left_as_they_are(diabetes):
    words = ColumnSpec("word", ("a", "b"))
    numbers = tuple(ColumnSpec(f"n{index}") for index in range(6))
    spec = InputSpec((7,), "float32", (*numbers, words), fill=(0.0,) * 6, indicators=(2,))
    assert Embedding.of(spec, "none").width == 10
    assert Embedding.of(spec, "piecewise").width == 6 * BINS + 4
    given = dataclasses.replace(diabetes, input_spec=spec)
    ours, theirs = (given.trainer(PIECEWISE, 1, kind=kind) for kind in ("native", "graph"))
    assert_agree(trained(ours, 3), trained(theirs, 3))


@pytest.mark.parametrize("instructions", instruction_sets())
def test_every_instruction_set_gives_the_same_bits(cancer, instructions):
    network = describe(cancer.problem, PIECEWISE, 1)
    request = cancer.request(PIECEWISE, 1)
    ours, best = (
        NativeTrainer(network, request, model=lambda: None, instructions=name)
        for name in (instructions, "")
    )
    assert trained(ours, 2) == trained(best, 2)
    assert_equal_arrays(ours.weights(), best.weights())


@pytest.fixture(scope="module")
def bent():
    random = np.random.default_rng(0)
    a, b = random.normal(3, 5, 500), random.lognormal(size=500)
    frame = pd.DataFrame({"a": a, "b b": b, "c": random.choice(["x", "y"], 500)})
    frame["target"] = np.sin(a) + np.log(b) + (frame["c"] == "x")
    frame.loc[::9, "b b"] = np.nan
    return frame


def test_a_table_is_searched_and_its_model_kept(bent, tmp_path):
    results = hpsearch.tune(
        bent,
        target="target",
        parameters=PIECEWISE
        | {"embedding": ["none", "piecewise"], "epochs": 20, "learning_rate": 0.01},
        method="grid",
        metric="val_loss",
        out=tmp_path / "out",
        verbose=0,
    )
    plain, piecewise = results.table["score"]
    assert list(results.table["embedding"]) == ["none", "piecewise"]
    assert piecewise < plain / 2
    assert set(results.table["trainer"]) == {"native"}
    assert results.evaluate("validation").metrics["loss"].value == pytest.approx(piecewise, 1e-4)
    rows = bent.drop(columns="target")
    alone = keras.models.load_model(tmp_path / "out" / "best.keras")
    columns = {name: values.to_numpy()[:, None] for name, values in rows.items()}
    columns["c"] = np.array(columns["c"], object)
    given = {
        name: keras.ops.convert_to_tensor(values.astype(str if name == "c" else "float32"))
        for name, values in columns.items()
    }
    np.testing.assert_allclose(
        alone(given).numpy().ravel(), np.ravel(results.predict(rows)), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("x", [np.zeros((20, 4, 4), np.uint8), np.zeros((20, 4, 4)), "text"])
def test_rows_without_columns_of_numbers_are_refused(tmp_path, x):
    x = pd.DataFrame({"word": ["a", "b"] * 10}) if isinstance(x, str) else x
    with pytest.raises(hpsearch.HpsearchError, match="`embedding` is for columns of numbers"):
        hpsearch.tune(x, np.arange(20) % 2, parameters=PIECEWISE, out=tmp_path / "out", verbose=0)


@pytest.mark.parametrize(("scale", "fits"), [("none", False), ("minmax", False), ("robust", True)])
def test_bins_that_do_not_fit_the_scale_are_warned_of(scale, fits):
    raw = {"name": "s", "data": {"csv": "a.csv", "target": "y", "scale": scale}}
    sweep = Sweep.parse(raw | {"parameters": {"embedding": ["none", "piecewise"]}})
    assert any("embedding has bins" in warning for warning in sweep.warnings) is not fits
