"""Measure how near searches of convolutional and recurrent models come to the cores' limit.

    python experiments/two_cores.py [CASE ...] [--runs 2]

The cases are those of drop_in.py whose models TensorFlow trains. The limit is the time that the
arithmetic alone takes on all cores: for each trial of the search the forward and backward passes,
the updates and the validation's forward passes of its epochs, in one loop of one TensorFlow graph,
traced and warm, on rows that lie in order; no metrics, no shuffling, no callbacks, no weights kept,
no imports, and no core ever idle. It is measured for several ways to use the cores, as processes
times threads of each, and without oneDNN; the least is the limit. XLA is not among them: on a
processor its loops over convolutions take hundreds of times as long.

`search` is the time of the call of `search`, as in drop_in.py, and `training` the time in which the
workers train, on average over the cores: the rest is the workers' imports, and cores that have no
trial. `begin` is the part of `training` that is there however few epochs a trial has (model, graph
and weights), measured by the same search with one epoch a trial. So `limit / epochs` is the share
of the arithmetic in `training` without `begin`.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from drop_in import CASES, inside, sized
from processes import environment
from report import HERE, machine, report, versions

TRAINED = ("CNN, 28 x 28", "CNN, 64 x 64", "LSTM", "bidirectional LSTM")
WAYS = {"2 x 1": (2, 1, "1"), "1 x 2": (1, 2, "1"), "2 x 1, no oneDNN": (2, 1, "0")}
"""Name -> processes, threads of each, whether TensorFlow uses oneDNN."""


Trials = Sequence[Mapping[str, Any]]


def search(name: str, size: str) -> tuple[float, Trials]:
    """Search in a new process.

    Args:
        size: `whole`, `one epoch` a trial, or `smoke`.

    Returns:
        Seconds, and each trial's values with `epochs_trained` and `seconds`.
    """
    with tempfile.TemporaryDirectory() as out:
        subprocess.run(
            [sys.executable, __file__, "--search", name, size, out],
            check=True,
            env=environment(TF_CPP_MIN_LOG_LEVEL="2"),
            stdout=subprocess.DEVNULL,
        )
        found = json.loads(Path(out, "found.json").read_text(encoding="utf-8"))
        with Path(out, "p", "results.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    trials = [
        {"values": values, "epochs": int(row["epochs_trained"]), "seconds": float(row["seconds"])}
        for values, row in zip(found["values"], rows, strict=True)
    ]
    return float(found["seconds"]), trials


def arithmetic(name: str, size: str, way: str, trials: Trials) -> float:
    """The seconds that all cores need for the arithmetic of all trials, shared evenly."""
    processes, threads, onednn = WAYS[way]
    command = [sys.executable, __file__, "--bare", name, size, str(threads)]
    command.append(json.dumps(trials))
    started = [
        subprocess.Popen(
            command,
            env=environment(TF_CPP_MIN_LOG_LEVEL="2", TF_ENABLE_ONEDNN_OPTS=onednn),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for _ in range(processes)
    ]
    seconds = [float(process.communicate()[0].splitlines()[-1]) for process in started]
    return sum(seconds) / len(seconds) / processes


def bare(name: str, size: str, threads: int, trials: Trials) -> float:
    """Time one epoch of each trial's config, and add up what its epochs take."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    case = sized(CASES[name], size)
    data = tuple(tf.constant(each) for each in case.data(case.rows))
    known: dict[str, float] = {}
    total = 0.0
    for trial in trials:
        # The learning rate changes no operation.
        values = {k: v for k, v in trial["values"].items() if k != "lr"}
        key = json.dumps(values, sort_keys=True)
        if key not in known:
            known[key] = _epoch(case, trial["values"], data)
        total += known[key] * trial["epochs"]
    return total


def _epoch(case: Any, values: Mapping[str, Any], data: Any) -> float:
    """The seconds of an epoch and its validation, the median of three."""
    import keras_tuner

    hp = keras_tuner.HyperParameters()
    hp.values = dict(values)
    run = _loop(case.build(hp), data, case.batch_size)
    run()
    times = []
    for _ in range(3):
        began = time.perf_counter()
        float(run())
        times.append(time.perf_counter() - began)
    return median(times)


def _loop(model: Any, data: Any, size: int) -> Any:
    """Make a graph that trains for an epoch and validates."""
    import tensorflow as tf

    from hpsearch.training.compiled import fused_lstms
    from hpsearch.training.update import Update

    x, y, x_val, _ = data
    model(x[:1])
    weights = model.trainable_variables
    model.optimizer.build(weights)
    # As in a search, its kernels are fused.
    Update(model.optimizer)

    def train(begin: Any, total: Any) -> Any:
        with tf.GradientTape() as tape:
            rows = x[begin : begin + size]
            predicted = model(rows, training=True)
            found = model.compute_loss(x=rows, y=y[begin : begin + size], y_pred=predicted)
        model.optimizer.apply(tape.gradient(found, weights), weights)
        return begin + size, total + found

    def validate(begin: Any, total: Any) -> Any:
        predicted = model(x_val[begin : begin + size], training=False)
        return begin + size, total + tf.reduce_mean(predicted)

    def epoch() -> Any:
        with fused_lstms(model):
            start = (tf.constant(0), tf.constant(0.0))
            whole = len(x) - len(x) % size, len(x_val) - len(x_val) % size
            _, one = tf.while_loop(lambda n, _: n < whole[0], train, start)
            _, two = tf.while_loop(lambda n, _: n < whole[1], validate, start)
            return one + two

    return tf.function(epoch, autograph=False)


def row_of(name: str, runs: int, size: str) -> dict[str, Any]:
    """Measure a case."""
    cores = len(os.sched_getaffinity(0))
    found = [search(name, size) for _ in range(runs)]
    seconds = median(each for each, _ in found)
    trials = found[0][1]
    training = median(_busy(each) for _, each in found) / cores
    # A tiny search has one epoch a trial already.
    short = size if size == "smoke" else "one epoch"
    once = median(_busy(search(name, short)[1]) for _ in range(runs)) / cores
    measured = [*WAYS][: 1 if size == "smoke" else None]
    ways = {
        way: median(arithmetic(name, size, way, trials) for _ in range(runs)) for way in measured
    }
    limit = min(ways.values())
    epochs = sum(trial["epochs"] for trial in trials)
    # An epoch of the search takes that much, and a trial's beginning the rest.
    each = (training - once) / max(1, epochs - len(trials))
    begin = once - each * len(trials)
    return {
        "search": name,
        "trials": len(trials),
        "epochs": epochs,
        "search, s": round(seconds, 1),
        "training, s": round(training, 1),
        "begin, s": round(begin, 1),
        **{f"{way}, s": round(value, 1) for way, value in ways.items()},
        "limit / search": round(limit / seconds, 2),
        "limit / training": round(limit / training, 2),
        "limit / epochs": round(limit / (training - begin), 2),
    }


def _busy(trials: Trials) -> float:
    return sum(float(trial["seconds"]) for trial in trials)


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", help="all unless given")
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--smoke", action="store_true", help="tiny searches for a test")
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--search", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--bare", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.search:
        name, size, out = given.search
        inside("hpsearch", name, "1", size, out)
        return
    if given.bare:
        name, size, threads, trials = given.bare
        print(bare(name, size, int(threads), json.loads(trials)))
        return
    rows = []
    for name in given.cases or TRAINED:
        rows.append(row_of(name, given.runs, "smoke" if given.smoke else "whole"))
        print(json.dumps(rows[-1]), flush=True)
    about = [
        machine(),
        versions("hpsearch", "tensorflow", "keras"),
        f"{'tiny searches for a test; ' * given.smoke}runs of each: {given.runs}, medians",
    ]
    report("two_cores", about, rows, given.out)


if __name__ == "__main__":
    main()
