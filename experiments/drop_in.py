"""Time KerasTuner's getting-started search with its own tuner and with hpsearch's.

    python experiments/drop_in.py [--runs 3]

Runs the guide's last `build_model` and `RandomSearch` (3 trials with 2 executions and 2 epochs,
batches of 32) on Fashion-MNIST instead of MNIST, which would be downloaded, with 50,000 rows for
training and 10,000 for validation. Each run is a process of its own and loads its data after
creating the tuner, as the guide does. hpsearch's tuner searches first. KerasTuner's own loop then
trains the same configs, so both do the same work, and scores differ only by seeds and the order of
rows. `search` is the time of the call, `whole` that of the process with imports and data. `--check`
fails if hpsearch is not five times as fast, or if scores differ by more than the noise of
KerasTuner's executions.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean, median
from typing import Any

from processes import environment
from report import HERE, machine, report, versions

_RATIO = 5.0
_TRIALS, _EXECUTIONS, _EPOCHS = 3, 2, 2
_TRAIN, _VALIDATION = 50_000, 10_000


def build_model(hp: Any) -> Any:
    """Build the guide's model."""
    import keras
    from keras import layers

    model = keras.Sequential()
    model.add(layers.Flatten())
    for i in range(hp.Int("num_layers", 1, 3)):
        units = hp.Int(f"units_{i}", min_value=32, max_value=512, step=32)
        activation = hp.Choice("activation", ["relu", "tanh"])
        model.add(layers.Dense(units=units, activation=activation))
    if hp.Boolean("dropout"):
        model.add(layers.Dropout(rate=0.25))
    model.add(layers.Dense(10, activation="softmax"))
    rate = hp.Float("lr", min_value=1e-4, max_value=1e-2, sampling="log")
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate=rate),
        loss="categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def rows(smoke: bool) -> tuple[Any, Any, Any, Any]:
    """The rows and one-hot labels, in the guide's shapes."""
    import numpy as np

    from hpsearch.data.loading import load_dataset
    from hpsearch.spec.data import DataSpec

    name = "digits" if smoke else "fashion_mnist"
    split = load_dataset(DataSpec.model_validate({"dataset": name, "validation": 0.2}))
    x = np.concatenate([split.train.x, split.validation.x])
    y = np.concatenate([split.train.y, split.validation.y])
    x = np.expand_dims(x, -1).astype("float32") / float(x.max())
    y = np.eye(10)[y]
    train = len(x) * 4 // 5 if smoke else _TRAIN
    return x[:train], y[:train], x[train : train + _VALIDATION], y[train : train + _VALIDATION]


def inside(who: str, out: str, configs: str, seed: str, smoke: str) -> None:
    """Search in this process and write the seconds and the trials to a file."""
    import keras_tuner

    import hpsearch.tuners

    arguments = {
        "hypermodel": build_model,
        "executions_per_trial": _EXECUTIONS,
        "overwrite": True,
        "directory": out,
        "project_name": who,
    }
    if who == "hpsearch":
        tuner = hpsearch.tuners.RandomSearch(
            objective="val_accuracy", max_trials=_TRIALS, seed=int(seed), **arguments
        )
    else:
        tuner = keras_tuner.Tuner(oracle=_listed(json.loads(configs)), **arguments)
    x, y, x_val, y_val = rows(smoke == "smoke")
    began = time.perf_counter()
    tuner.search(x, y, epochs=_EPOCHS, validation_data=(x_val, y_val), verbose=0)
    seconds = time.perf_counter() - began
    trials = tuner.oracle.trials.values()
    found = [{"values": t.hyperparameters.values, "score": t.score} for t in trials]
    Path(out, f"{who}.json").write_text(
        json.dumps({"search": seconds, "trials": found}), encoding="utf-8"
    )


def _listed(configs: list[dict[str, Any]]) -> Any:
    """A KerasTuner oracle that proposes the given configs."""
    import keras_tuner

    class Listed(keras_tuner.Oracle):  # type: ignore[misc]  # KerasTuner has no types
        def populate_space(self, trial_id: str) -> dict[str, Any]:
            del trial_id
            if len(self.trials) == len(configs):
                return {"status": "STOPPED"}
            return {"status": "RUNNING", "values": configs[len(self.trials)]}

    return Listed(objective="val_accuracy", max_trials=len(configs))


def run(who: str, out: Path, configs: list[dict[str, Any]], seed: int, *, smoke: bool) -> Any:
    """Search in a new process; return the seconds of the search and the whole, and the trials."""
    command = [sys.executable, __file__, "--inside", who, str(out), json.dumps(configs)]
    command += [str(seed), "smoke" if smoke else "whole"]
    began = time.perf_counter()
    subprocess.run(
        command,
        check=True,
        env=environment(TF_CPP_MIN_LOG_LEVEL="2"),
        stdout=subprocess.DEVNULL,
    )
    found = json.loads((out / f"{who}.json").read_text(encoding="utf-8"))
    return {**found, "whole": time.perf_counter() - began}


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="one run on digits")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--inside", nargs=5, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        inside(*given.inside)
        return
    runs = 1 if given.smoke else given.runs
    ours, theirs = [], []
    for seed in range(1, runs + 1):
        with tempfile.TemporaryDirectory() as scratch:
            out = Path(scratch)
            ours.append(run("hpsearch", out, [], seed, smoke=given.smoke))
            configs = [trial["values"] for trial in ours[-1]["trials"]]
            theirs.append(run("keras_tuner", out, configs, seed, smoke=given.smoke))
    table = [_row("hpsearch.tuners", ours, theirs), _row("keras_tuner", theirs, theirs)]
    about = [
        machine(),
        versions("hpsearch", "keras-tuner", "tensorflow", "keras"),
        f"the getting-started guide's search on {'digits' if given.smoke else 'Fashion-MNIST'}: "
        f"{_TRIALS} trials, {_EXECUTIONS} executions, {_EPOCHS} epochs; {runs} runs, medians; "
        "the configs of a run are the same for both",
    ]
    report("drop_in", about, table, given.out)
    if given.check:
        assert table[0]["search, times"] >= _RATIO, table
        assert abs(table[0]["best"] - table[1]["best"]) < 0.01, table


def _row(name: str, runs: list[Any], theirs: list[Any]) -> dict[str, Any]:
    best = [max(trial["score"] for trial in each["trials"]) for each in runs]
    apart = [
        abs(mine["score"] - other["score"])
        for each, those in zip(runs, theirs, strict=True)
        for mine, other in zip(each["trials"], those["trials"], strict=True)
    ]
    seconds = {key: median(each[key] for each in runs) for key in ("search", "whole")}
    base = {key: median(each[key] for each in theirs) for key in ("search", "whole")}
    return {
        "tuner": name,
        "search, s": round(seconds["search"], 1),
        "search, times": round(base["search"] / seconds["search"], 1),
        "whole, s": round(seconds["whole"], 1),
        "whole, times": round(base["whole"] / seconds["whole"], 1),
        "best": round(mean(best), 4),
        "a config's scores apart by": round(mean(apart), 4),
    }


if __name__ == "__main__":
    main()
