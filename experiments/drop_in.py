"""Time searches of many kinds of models with KerasTuner's tuners and with hpsearch's.

    python experiments/drop_in.py [CASE ...] [--runs 1]

Each case is a KerasTuner program, run with `import keras_tuner` and with `import hpsearch.tuners as
keras_tuner`, in a process of its own each. Both propose the same configs for the same seed, and
train them for the same epochs, but for those that EarlyStopping ends. They take turns. `search` is
the time of the call of `search`, imports and data excluded; `score` the mean over the trials. Data
are Fashion-MNIST, and tables and texts that scikit-learn and NumPy make. `--check` fails if
hpsearch is not as many times as fast as promised for a case. `--smoke` runs tiny searches for a
test.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, median
from typing import Any

from processes import environment
from report import HERE, machine, report, versions

Data = tuple[Any, Any, Any, Any]
"""x, y, x_val, y_val."""


@dataclass(frozen=True)
class Case:
    """A search.

    Attributes:
        build: KerasTuner's function of hp.
        data: Returns so many rows to train on, and a fifth more to validate on.
        how: What the program does beyond `search` with arrays: `dataset`, `run_trial`,
            `hyperband`, `weights` or nothing.
        patience: Of EarlyStopping, or None without callbacks.
        times: How many times as fast hpsearch is to be.
    """

    build: Callable[[Any], Any]
    data: Callable[[int], Data]
    rows: int
    epochs: int
    trials: int = 4
    batch_size: int = 32
    objective: str = "val_accuracy"
    how: str = ""
    patience: int | None = 3
    times: float = 2.0


def images(rows: int) -> Data:
    """Fashion-MNIST, or enlarged digits if few rows are wanted, as 28 x 28 pixels."""
    import numpy as np

    from hpsearch.data.loading import load_dataset
    from hpsearch.spec.data import DataSpec

    name = "fashion_mnist" if rows >= 1000 else "digits"
    split = load_dataset(DataSpec.parse({"dataset": name, "validation": 0.2})).train
    x = np.asarray(split.x, "float32") / np.max(split.x)
    if name == "digits":
        x = _enlarged(x.reshape(-1, 8, 8), 3, 2)
    return _split(x.reshape(-1, 28, 28), np.asarray(split.y), rows)


def _enlarged(x: Any, times: int, border: int) -> Any:
    import numpy as np

    big = np.kron(x, np.ones((1, times, times), "float32"))
    return np.pad(big, ((0, 0), (border, border), (border, border)))


def _split(x: Any, y: Any, rows: int) -> Data:
    more = rows + rows // 5
    return x[:rows], y[:rows], x[rows:more], y[rows:more]


def channels(rows: int) -> Data:
    """The images with a channel."""
    x, y, x_val, y_val = images(rows)
    return x[..., None], y, x_val[..., None], y_val


def large(rows: int) -> Data:
    """The images as 64 x 64 pixels, with a channel."""
    x, y, x_val, y_val = images(rows)
    return _enlarged(x, 2, 4)[..., None], y, _enlarged(x_val, 2, 4)[..., None], y_val


def same(rows: int) -> Data:
    """The images as rows of pixels, which are the targets, too."""
    x, _, x_val, _ = images(rows)
    flat, flat_val = x.reshape(len(x), -1), x_val.reshape(len(x_val), -1)
    return flat, flat, flat_val, flat_val


def table(rows: int) -> Data:
    """Thirty columns, one row in five positive."""
    from sklearn.datasets import make_classification

    x, y = make_classification(
        rows + rows // 5, 30, n_informative=12, weights=[0.8], flip_y=0.05, random_state=0
    )
    return _split(x.astype("float32"), y.astype("int64"), rows)


def numbers(rows: int) -> Data:
    """Thirty columns and a number, standardised."""
    from sklearn.datasets import make_friedman1

    x, y = make_friedman1(rows + rows // 5, 30, noise=1.0, random_state=0)
    return _split(x.astype("float32"), ((y - y.mean()) / y.std()).astype("float32"), rows)


def texts(rows: int) -> Data:
    """Forty tokens; a row is positive if it has more of some words than of others."""
    import numpy as np

    random = np.random.default_rng(0)
    x = random.integers(1, 1000, (rows + rows // 5, 40))
    return _split(x, ((x < 80).sum(1) > (x > 920).sum(1)).astype("int64"), rows)


def _compiled(model: Any, hp: Any, loss: str, metrics: Sequence[Any]) -> Any:
    import keras

    rate = hp.Float("lr", 3e-4, 3e-3, sampling="log")
    model.compile(keras.optimizers.Adam(rate), loss, metrics=list(metrics))
    return model


def _classifier(hp: Any, *layers: Any) -> Any:
    import keras

    model = keras.Sequential([*layers, keras.layers.Dense(10, "softmax")])
    return _compiled(model, hp, "sparse_categorical_crossentropy", ["accuracy"])


def mlp(hp: Any) -> Any:
    """Two layers and dropout."""
    from keras import layers

    return _classifier(
        hp,
        layers.Flatten(),
        layers.Dense(hp.Int("units_1", 64, 256, step=64), "relu"),
        layers.Dropout(hp.Float("dropout", 0.0, 0.3, step=0.1)),
        layers.Dense(hp.Int("units_2", 32, 128, step=32), "relu"),
    )


def binary(hp: Any) -> Any:
    """A functional MLP that reports the AUC."""
    import keras

    inputs = keras.Input((30,))
    hidden = keras.layers.Dense(hp.Int("units", 32, 128, step=32), "relu")(inputs)
    hidden = keras.layers.Dense(hp.Int("more", 16, 64, step=16), "relu")(hidden)
    model = keras.Model(inputs, keras.layers.Dense(1, "sigmoid")(hidden))
    return _compiled(model, hp, "binary_crossentropy", [keras.metrics.AUC(name="auc")])


def regressor(hp: Any) -> Any:
    """A functional MLP."""
    import keras

    inputs = keras.Input((30,))
    hidden = keras.layers.Dense(hp.Int("units", 32, 128, step=32), "relu")(inputs)
    hidden = keras.layers.Dense(hp.Int("more", 16, 64, step=16), "relu")(hidden)
    return _compiled(keras.Model(inputs, keras.layers.Dense(1)(hidden)), hp, "mse", ["mae"])


def convolutional(hp: Any) -> Any:
    """Two convolutions."""
    from keras import layers

    filters = hp.Int("filters", 8, 24, step=8)
    return _classifier(
        hp,
        layers.Conv2D(filters, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(2 * filters, 3, activation="relu", padding="same"),
        layers.GlobalAveragePooling2D(),
    )


def frozen(hp: Any) -> Any:
    """A head on a base that is not trained."""
    import keras
    from keras import layers

    base = keras.Sequential(
        [
            layers.Conv2D(32, 3, activation="relu"),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.Conv2D(64, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
        ]
    )
    base.trainable = False
    return _classifier(hp, base, layers.Dense(hp.Int("units", 32, 128, step=32), "relu"))


def recurrent(hp: Any) -> Any:
    """An LSTM over the rows of an image."""
    from keras import layers

    return _classifier(hp, layers.LSTM(hp.Int("units", 16, 64, step=16)))


def bidirectional(hp: Any) -> Any:
    """Embeddings and an LSTM in both directions."""
    import keras
    from keras import layers

    model = keras.Sequential(
        [
            layers.Embedding(1000, hp.Int("width", 8, 24, step=8)),
            layers.Bidirectional(layers.LSTM(hp.Int("units", 8, 24, step=8))),
            layers.Dense(1, "sigmoid"),
        ]
    )
    return _compiled(model, hp, "binary_crossentropy", ["accuracy"])


def autoencoder(hp: Any) -> Any:
    """Pixels to fewer numbers and back."""
    import keras
    from keras import layers

    model = keras.Sequential(
        [
            layers.Dense(hp.Int("units", 64, 256, step=64), "relu"),
            layers.Dense(hp.Int("code", 8, 32, step=8), "relu"),
            layers.Dense(784),
        ]
    )
    return _compiled(model, hp, "mse", ["mae"])


#: Searches of about a minute with KerasTuner on two cores of a slow virtual machine.
CASES = {
    "MLP on images": Case(mlp, images, 8_000, 12, trials=5, times=5.0),
    "MLP on a table, class weights, AUC": Case(
        binary, table, 8_000, 10, trials=6, objective="val_auc", how="weights", times=5.0
    ),
    "MLP, regression": Case(
        regressor, numbers, 8_000, 12, trials=5, objective="val_mae", times=5.0
    ),
    "autoencoder": Case(autoencoder, same, 8_000, 10, trials=5, objective="val_loss", times=5.0),
    "tf.data": Case(mlp, images, 8_000, 12, trials=5, how="dataset", times=5.0),
    "run_trial": Case(mlp, images, 5_000, 12, trials=7, how="run_trial", times=5.0),
    "Hyperband": Case(mlp, images, 5_000, 9, how="hyperband", patience=None, times=5.0),
    "CNN, 28 x 28": Case(convolutional, channels, 6_000, 8, trials=6, batch_size=64),
    "CNN, 64 x 64": Case(convolutional, large, 3_000, 6, trials=5),
    "frozen base": Case(frozen, channels, 5_000, 6, trials=5, batch_size=64),
    "LSTM": Case(recurrent, images, 6_000, 8, trials=5, batch_size=64),
    "bidirectional LSTM": Case(bidirectional, texts, 5_000, 8, trials=5, batch_size=64),
}


def tuner_of(kt: Any, case: Case, seed: int, out: str) -> Any:
    """Make a case's tuner with KerasTuner's names."""
    objective = kt.Objective(case.objective, "min" if case.objective in _LOSSES else "max")
    where = {"objective": objective, "seed": seed, "directory": out, "project_name": "p"}
    if case.how == "hyperband":
        return kt.Hyperband(case.build, max_epochs=case.epochs, factor=3, **where)
    if case.how != "run_trial":
        return kt.RandomSearch(case.build, max_trials=case.trials, **where)

    class Tuned(kt.RandomSearch):  # type: ignore[misc, name-defined]  # it has no types
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
            hp = trial.hyperparameters
            kwargs["batch_size"] = hp.Choice("batch_size", [16, 32, 64])
            kwargs["epochs"] = min(hp.Int("epochs", 8, 12), case.epochs)
            return super().run_trial(trial, *args, **kwargs)

    # Both know these from the first trial on.
    known = kt.HyperParameters()
    known.Choice("batch_size", [16, 32, 64])
    known.Int("epochs", 8, 12)
    return Tuned(case.build, max_trials=case.trials, hyperparameters=known, **where)


_LOSSES = ("val_loss", "val_mae")


def arguments_of(case: Case, data: Data) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of `search`."""
    import keras
    import tensorflow as tf

    x, y, x_val, y_val = data
    named: dict[str, Any] = {"verbose": 0, "validation_data": (x_val, y_val)}
    if case.how != "run_trial":
        named |= {"epochs": case.epochs, "batch_size": case.batch_size}
    if case.patience is not None:
        stop = keras.callbacks.EarlyStopping(patience=case.patience, restore_best_weights=True)
        named["callbacks"] = [stop]
    if case.how == "weights":
        named["class_weight"] = {0: 1.0, 1: 4.0}
    if case.how != "dataset":
        return (x, y), named
    del named["batch_size"]
    named["validation_data"] = tf.data.Dataset.from_tensor_slices((x_val, y_val)).batch(256)
    rows = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x), seed=0)
    return (rows.batch(case.batch_size).prefetch(2),), named


def inside(who: str, name: str, seed: str, size: str, out: str) -> None:
    """Search in this process and write the seconds and the trials to a file."""
    import keras_tuner

    import hpsearch.tuners

    kt = hpsearch.tuners if who == "hpsearch" else keras_tuner
    case = sized(CASES[name], size)
    args, named = arguments_of(case, case.data(case.rows))
    tuner = tuner_of(kt, case, int(seed), out)
    began = time.perf_counter()
    tuner.search(*args, **named)
    seconds = time.perf_counter() - began
    trials = tuner.oracle.trials.values()
    found = {
        "seconds": seconds,
        "scores": [trial.score for trial in trials],
        "values": [vars(trial.hyperparameters)["values"] for trial in trials],
        "trainers": _trainers(Path(out, "p", "results.csv")),
    }
    Path(out, "found.json").write_text(json.dumps(found), encoding="utf-8")


def sized(case: Case, size: str) -> Case:
    """The case, the same with `one epoch` a trial, or a tiny one for a test."""
    if size == "whole":
        return case
    if size == "one epoch":
        return replace(case, epochs=1)
    return replace(case, rows=200, epochs=3 if case.how == "hyperband" else 1, trials=2)


def _trainers(results: Path) -> str:
    import pandas as pd

    if not results.exists():
        return ""
    return ", ".join(sorted(set(pd.read_csv(results)["trainer"])))


def run(who: str, name: str, seed: int, size: str) -> Mapping[str, Any]:
    """Search in a new process."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, __file__, "--inside", who, name, str(seed), size, out]
        subprocess.run(
            command,
            check=True,
            env=environment(TF_CPP_MIN_LOG_LEVEL="2"),
            stdout=subprocess.DEVNULL,
        )
        found: dict[str, Any] = json.loads(Path(out, "found.json").read_text(encoding="utf-8"))
        return found


def row_of(name: str, pairs: Sequence[tuple[Any, Any]]) -> dict[str, Any]:
    """Compare the runs of a case by hpsearch and by KerasTuner."""
    ours, theirs = zip(*pairs, strict=True)
    scores = [
        (one, other)
        for mine, their in pairs
        for one, other in zip(mine["scores"], their["scores"], strict=False)
        if one is not None and other is not None
    ]
    times = [their["seconds"] / mine["seconds"] for mine, their in pairs]
    return {
        "search": name,
        "runs": len(pairs),
        "trials": len(theirs[0]["scores"]),
        "KerasTuner, s": round(median(each["seconds"] for each in theirs), 1),
        "hpsearch, s": round(median(each["seconds"] for each in ours), 1),
        "times": round(median(times), 1),
        "times (least, most)": f"{min(times):.1f}, {max(times):.1f}",
        "promised": CASES[name].times,
        "score, KerasTuner": round(mean(other for _, other in scores), 4),
        "score, hpsearch": round(mean(one for one, _ in scores), 4),
        "a config's scores apart by": round(mean(abs(a - b) for a, b in scores), 4),
        "same configs": "yes" if all(m["values"] == t["values"] for m, t in pairs) else "no",
        "trainer": ours[0]["trainers"] or "KerasTuner's loop",
    }


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", help="all unless given")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="tiny searches")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--inside", nargs=5, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        inside(*given.inside)
        return
    size = "smoke" if given.smoke else "whole"
    rows = []
    for name in given.cases or CASES:
        pairs = [
            (run("hpsearch", name, seed, size), run("keras_tuner", name, seed, size))
            for seed in range(1, given.runs + 1)
        ]
        rows.append(row_of(name, pairs))
        print(json.dumps(rows[-1]), flush=True)
    about = [
        machine(),
        versions("hpsearch", "keras-tuner", "tensorflow", "keras"),
        f"{'tiny searches for a test; ' * given.smoke}medians of the times; scores are means over "
        "the trials that both have",
    ]
    report("drop_in", about, rows, given.out)
    if given.check:
        slow = [row for row in rows if row["times"] < row["promised"]]
        assert not slow, slow


if __name__ == "__main__":
    main()
