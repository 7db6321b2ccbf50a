"""Compare the rate of a whole training step with that of a large matrix product.

    python experiments/inner_loop.py [--kind native graph xla] [--epochs 10]

Everything runs in one process on one thread. A step is everything that happens to a batch:
gathering its rows, scaling them, the forward pass, loss and accuracy, the backward pass, and adam's
update. The data are random uint8 images of 784 pixels in ten classes; the network has one hidden
layer with relu.

Only the multiplications and additions of a step's matrix products are counted: 2 * batch * (sum of
inputs * outputs over the layers) for the forward pass, as many for the gradients of the weights,
and as many without the first layer for the gradients of the inputs. A step's time is that of an
epoch, which includes sixteen rows of validation, divided by its steps. The best rate is the highest
of numpy's and TensorFlow's float32 products of several sizes, measured before and after the
trainings.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise, product
from pathlib import Path
from typing import Any

from report import HERE, machine, report, versions

_PIXELS, _CLASSES = 784, 10
_BATCHES, _UNITS = (32, 128), (100, 200)
_VALIDATION_ROWS = 16
_SIZES = (256, 512, 1024, 2048)
_PRODUCTS = 10
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def use_one_thread() -> None:
    """Limit numpy and TensorFlow to one thread.

    It must run before numpy is imported, so the functions here import both themselves.
    """
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"), TF_CPP_MIN_LOG_LEVEL="2")
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def seconds_of(call: Callable[[], Any]) -> float:
    """The seconds that a call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def peaks(sizes: Sequence[int]) -> dict[str, float]:
    """Library -> operations a second of its fastest square float32 product."""
    import numpy as np
    import tensorflow as tf

    best: dict[str, float] = {}
    for size in sizes:
        a, b = np.random.default_rng(0).random((2, size, size), np.float32)
        left, right, out = tf.constant(a), tf.constant(b), np.empty_like(a)
        calls = {
            "numpy": partial(np.matmul, a, b, out=out),
            "tensorflow": partial(tf.matmul, left, right),
        }
        for name, call in calls.items():
            fastest = min(seconds_of(call) for _ in range(_PRODUCTS))
            best[name] = max(best.get(name, 0.0), 2 * size**3 / fastest)
    return best


def operations(widths: Sequence[int], batch: int) -> int:
    """Operations of a step by the rule above, given the widths of all layers from the input on."""
    layers = [incoming * outgoing for incoming, outgoing in pairwise(widths)]
    return 2 * batch * (2 * sum(layers) + sum(layers[1:]))


def make_arrays(rows: int) -> Any:
    """Random images and labels."""
    import numpy as np

    from hpsearch.data.specs import Arrays

    generator = np.random.default_rng(0)
    x = generator.integers(0, 256, (rows + _VALIDATION_ROWS, 28, 28), np.uint8)
    y = generator.integers(0, _CLASSES, len(x), np.int32)
    return Arrays(x[:rows], y[:rows], x[rows:], y[rows:])


def make_trainer(
    kind: str, batch: int, units: Sequence[int], arrays: Any, threads: Callable[[], int] = lambda: 1
) -> Any:
    """Make a trainer of a network with hidden layers of so many units.

    Raises:
        ValueError: The kind of trainer is unknown or cannot train this network.
    """
    from hpsearch.data.specs import InputSpec, Target, Task
    from hpsearch.models.problem import Problem, Recipe
    from hpsearch.training.mlps import mlp_trainer
    from hpsearch.training.trainer import TrainerRequest

    recipe = Recipe(0, "sparse_categorical_crossentropy", "softmax", "val_accuracy", "maximize")
    spec = InputSpec((28, 28), "uint8", scale=(1 / 255,), offset=(0.0,))
    target = Target(Task.MULTICLASS, _CLASSES, tuple(map(str, range(_CLASSES))))
    values = {"hidden_layers": len(units), "units": [*units], "batch_size": batch}
    problem, values = Problem(recipe, spec, target), values | {"optimizer": "adam"}
    return mlp_trainer(TrainerRequest(problem, values, 0, arrays, threads=threads), kind)


def step_times(kind: str, batch: int, units: int, arrays: Any, epochs: int) -> list[float]:
    """Mean seconds of a step in each epoch after the first, which may compile."""
    trainer = make_trainer(kind, batch, (units,), arrays)
    trainer.run_epoch()
    steps = len(arrays.x_train) / batch
    return [seconds_of(trainer.run_epoch) / steps for _ in range(epochs)]


def measure(kinds: Sequence[str], rows: int, epochs: int, sizes: Sequence[int]) -> list[Any]:
    """The table's rows."""
    arrays = make_arrays(rows)
    before = peaks(sizes)
    times: dict[tuple[str, int, int], list[float]] = {}
    for kind, batch, units in product(kinds, _BATCHES, _UNITS):
        try:
            times[kind, batch, units] = step_times(kind, batch, units, arrays, epochs)
        except ValueError as error:
            print(f"{kind}, batch {batch}, {units} units: {error}", flush=True)
    after = peaks(sizes)
    best = {name: max(rate, after[name]) for name, rate in before.items()}
    rates = {f"{name}'s best, GFLOP/s": round(rate / 1e9, 1) for name, rate in best.items()}
    highest = max(best.values())
    return [_row(*key, seconds, highest) | rates for key, seconds in times.items()]


def _row(kind: str, batch: int, units: int, seconds: list[float], best: float) -> dict[str, Any]:
    count = operations((_PIXELS, units, _CLASSES), batch)
    least, median = min(seconds), statistics.median(seconds)
    return {
        "trainer": kind,
        "batch": batch,
        "units": units,
        "step, us (median)": round(median * 1e6, 1),
        "step, us (least)": round(least * 1e6, 1),
        "GFLOP/s (median)": round(count / median / 1e9, 1),
        "share of the best rate (median)": round(count / median / best, 3),
        "share of the best rate (least)": round(count / least / best, 3),
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kind", nargs="*", default=["native", "graph", "xla"])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rows", type=int, default=48_000)
    parser.add_argument("--sizes", nargs="*", type=int, default=list(_SIZES))
    parser.add_argument("--out", type=Path, default=HERE, help="where inner_loop.md goes")
    arguments = parser.parse_args()
    use_one_thread()
    table = measure(arguments.kind, arguments.rows, arguments.epochs, arguments.sizes)
    about = [
        f"{machine()}; one thread",
        versions("hpsearch", "numpy", "tensorflow", "keras"),
        f"{arguments.rows} rows, {arguments.epochs} epochs a row of the table, after a first one",
        "operations: 2 * batch * (2 * all weights + those behind the first layer)",
    ]
    report("inner_loop", about, table, arguments.out)


if __name__ == "__main__":
    main()
