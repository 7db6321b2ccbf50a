"""FAULTS 49: any text can be stored: metrics' names are told as a table can hold them."""

import pandas as pd
import pytest
from commands import hpsearch

_NAMES = ["caf\udce9", "two\nlines", "\x1b[31mred", "n\0ul", "x" * 100_000]
_SHOWN = ["caf\ufffd", "two\ufffdlines", "\ufffd[31mred", "n\ufffdul", "x" * 200]
_PROGRAM = f"import hpsearch\nhpsearch.report({{name: 0.5 for name in ['loss', *{_NAMES}]}})\n"
_MODEL = f"""\
import keras, keras_tuner

class Odd(keras_tuner.HyperModel):
    def build(self, hp):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        model.compile("sgd", "mse")
        return model

    def fit(self, hp, model, *args, **kwargs):
        return {{name: 0.5 for name in ["loss", *{_NAMES}]}}
"""
_SWEEPS = {
    "program": "program: mine.py\nparameters: {x: [1]}\n",
    "model": "model: mine:Odd\ndata: {dataset: iris}\nparameters: {epochs: 1}\n",
}


@pytest.mark.parametrize(("kind", "code"), [("program", _PROGRAM), ("model", _MODEL)])
def test_odd_names_of_metrics_are_columns(tmp_path, kind, code):
    (tmp_path / "mine.py").write_text(code)
    (tmp_path / "s.yaml").write_text(f"metric: {{name: loss, goal: minimize}}\n{_SWEEPS[kind]}")
    hpsearch("run", "s.yaml", "--out", "out", cwd=tmp_path)
    table = pd.read_csv(tmp_path / "out" / "results.csv")
    assert table[_SHOWN].to_numpy().tolist() == [[0.5] * len(_SHOWN)]
    assert "0.5" in hpsearch("show", "out", cwd=tmp_path).stdout
    assert "all is sound" in hpsearch("doctor", "out", cwd=tmp_path).stdout
