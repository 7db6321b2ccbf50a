"""Measure how near a search of large models comes to what all cores can train.

    python experiments/drop_in_limit.py [CASE ...]

The models are those of `drop_in.py` that the engine in C does not know, each with one value of
every hyperparameter. An epoch, with its validation, is timed in five ways to use two cores, without
what precedes the first epoch: Keras' `fit` with two threads, as KerasTuner trains; one graph with
two threads; two processes with a graph of one thread each, as hpsearch trains; the same with XLA,
and without oneDNN. The fastest is the limit. `search` is an epoch of a search with
`hpsearch.tuners`, all that it does included; `share` is how much of the limit it reaches.
`--check` fails below nine tenths. `--smoke` runs tiny trainings for a test.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from drop_in import CASES, Case, tuner_of
from processes import environment
from report import HERE, machine, report, versions

NAMES = ("CNN, 28 x 28", "CNN, 64 x 64", "frozen base", "LSTM", "bidirectional LSTM")
#: Name -> trainer, processes, threads of each, whether oneDNN is on.
WAYS = {
    "fit, 2 threads": ("fit", 1, 2, True),
    "graph, 2 threads": ("graph", 1, 2, True),
    "graph, 2 processes": ("graph", 2, 1, True),
    "XLA, 2 processes": ("xla", 2, 1, True),
    "no oneDNN": ("graph", 2, 1, False),
}
_TIMED_EPOCHS = 3
_TRIALS = 8
_SHARE = 0.9


def epoch(name: str, kind: str, threads: str, size: str, where: str) -> None:
    """Time epochs in this process, once all processes have trained one; write the median."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(int(threads))
    tf.config.threading.set_inter_op_parallelism_threads(int(threads))
    run_epoch = _fit(name, size) if kind == "fit" else _compiled(name, kind, size)
    run_epoch()
    Path(where, str(os.getpid())).touch()
    while not Path(where, "go").exists():
        time.sleep(0.01)
    seconds = []
    for _ in range(_TIMED_EPOCHS):
        began = time.perf_counter()
        run_epoch()
        seconds.append(time.perf_counter() - began)
    print(json.dumps(median(seconds)))


def _sized(name: str, size: str) -> Case:
    return replace(CASES[name], rows=200, epochs=1) if size == "smoke" else CASES[name]


def _fit(name: str, size: str) -> Callable[[], Any]:
    import keras_tuner

    case = _sized(name, size)
    x, y, *validation = case.data(case.rows)
    model = case.build(keras_tuner.HyperParameters())
    return lambda: model.fit(
        x, y, batch_size=case.batch_size, validation_data=tuple(validation), verbose=0
    )


def _compiled(name: str, kind: str, size: str) -> Callable[[], Any]:
    from hpsearch.data.specs import Arrays, InputSpec, Target, Task
    from hpsearch.models.problem import Problem, Recipe
    from hpsearch.training.make import make_trainer

    case = _sized(name, size)
    arrays = Arrays(*case.data(case.rows))
    outputs = len(set(arrays.y_train.tolist()))
    task = Task.BINARY if outputs == 2 else Task.MULTICLASS
    problem = Problem(
        Recipe(
            sweep_seed=0,
            loss="",
            output_activation="",
            metric=case.objective,
            goal="maximize",
            model=f"drop_in:{case.build.__name__}",
        ),
        InputSpec(arrays.x_train.shape[1:], str(arrays.x_train.dtype)),
        Target(task, 1 if outputs == 2 else outputs, tuple(map(str, range(outputs)))),
    )
    values = {"batch_size": case.batch_size}
    return make_trainer(problem, values, 0, arrays, kind=kind).run_epoch


def timed(name: str, way: str, size: str) -> float:
    """Return the seconds of an epoch, divided by the processes that train at once."""
    kind, processes, threads, onednn = WAYS[way]
    flags = environment(TF_CPP_MIN_LOG_LEVEL="2", TF_ENABLE_ONEDNN_OPTS=str(int(onednn)))
    with tempfile.TemporaryDirectory() as where:
        command = [sys.executable, __file__, "--epoch", name, kind, str(threads), size, where]
        running = [
            subprocess.Popen(command, env=flags, stdout=subprocess.PIPE) for _ in range(processes)
        ]
        while len(list(Path(where).iterdir())) < processes:
            assert all(each.poll() is None for each in running), f"{name}, {way}: it failed"
            time.sleep(0.05)
        Path(where, "go").touch()
        outputs = [each.communicate()[0] for each in running]
    return median(float(output.splitlines()[-1]) for output in outputs) / processes


def search(name: str, size: str, out: str) -> None:
    """Search in this process over learning rates; print the seconds of an epoch."""
    import keras_tuner

    import hpsearch.tuners

    sized = _sized(name, size)
    case = replace(sized, build=_only_the_rate(sized.build), trials=_TRIALS)
    tuner = tuner_of(hpsearch.tuners, case, 1, out)
    x, y, *validation = case.data(case.rows)
    epochs = 1 if size == "smoke" else 4 * case.epochs
    began = time.perf_counter()
    tuner.search(
        x,
        y,
        validation_data=tuple(validation),
        epochs=epochs,
        batch_size=case.batch_size,
        verbose=0,
    )
    seconds = time.perf_counter() - began
    trials = tuner.oracle.trials.values()
    assert all(t.status == keras_tuner.src.engine.trial.TrialStatus.COMPLETED for t in trials)
    print(json.dumps(seconds / (len(trials) * epochs)))


def _only_the_rate(build: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def with_defaults(hp: Any) -> Any:
        import keras_tuner

        model = build(keras_tuner.HyperParameters())
        model.optimizer.learning_rate = hp.Float("lr", 3e-4, 3e-3, sampling="log")
        return model

    return with_defaults


def row_of(name: str, size: str) -> dict[str, Any]:
    """Time a case in all ways."""
    ways = {way: timed(name, way, size) for way in WAYS}
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, __file__, "--search", name, size, out]
        flags = environment(TF_CPP_MIN_LOG_LEVEL="2")
        done = subprocess.run(command, check=True, env=flags, stdout=subprocess.PIPE)
    found = float(done.stdout.splitlines()[-1])
    row = {"model": name, **{way: round(seconds, 4) for way, seconds in ways.items()}}
    share = min(ways.values()) / found
    return {**row, "limit": min(ways, key=lambda way: ways[way]), "search": round(found, 4)} | {
        "share": round(share, 2)
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", help="all unless given")
    parser.add_argument("--smoke", action="store_true", help="tiny trainings")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--epoch", nargs=5, help=argparse.SUPPRESS)
    parser.add_argument("--search", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.epoch:
        epoch(*given.epoch)
        return
    if given.search:
        search(*given.search)
        return
    rows = []
    for name in given.cases or NAMES:
        rows.append(row_of(name, "smoke" if given.smoke else "whole"))
        print(json.dumps(rows[-1]), flush=True)
    about = [
        machine(),
        versions("hpsearch", "keras-tuner", "tensorflow", "keras"),
        f"{'tiny trainings for a test; ' * given.smoke}seconds of an epoch and its validation, "
        f"divided by the processes that train at once; medians of {_TIMED_EPOCHS} epochs after the "
        f"first; the search has {_TRIALS} trials",
    ]
    report("drop_in_limit", about, rows, given.out)
    if given.check:
        short = [row for row in rows if row["share"] < _SHARE]
        assert not short, short


if __name__ == "__main__":
    main()
