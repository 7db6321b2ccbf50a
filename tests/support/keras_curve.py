"""Keras' own numbers of a training: what each way to train is compared with."""

import numpy as np

from hpsearch.custom.building import rows_shape
from hpsearch.space.seeds import epoch_order


def rows_for(model, arrays):
    """The arrays in the shape that a model takes: x, y, and what it is validated on."""
    shape = rows_shape(model, arrays.x_train.shape[1:])
    x, x_val = arrays.x_train.reshape(-1, *shape), arrays.x_val.reshape(-1, *shape)
    return x, arrays.y_train, (x_val, arrays.y_val)


def keras_curve(model, problem, seed, *, epochs, size=32, targets=lambda y: y):
    """The numbers that `train_on_batch` and `evaluate` report: one mapping an epoch."""
    x, y, (x_val, y_val) = rows_for(model, problem.arrays)
    y, y_val = targets(y), targets(y_val)
    curve = []
    for epoch in range(1, epochs + 1):
        order = epoch_order(problem.recipe.sweep_seed, seed, epoch, len(x))
        sums: dict[str, float] = {}
        for begin in range(0, len(order), size):
            rows = order[begin : begin + size]
            model.reset_metrics()
            for name, value in model.train_on_batch(x[rows], y[rows], return_dict=True).items():
                sums[name] = sums.get(name, 0.0) + float(value) * len(rows)
        numbers = {name: total / len(order) for name, total in sums.items()}
        validated = model.evaluate(x_val, y_val, batch_size=len(y_val), verbose=0, return_dict=True)
        curve.append(numbers | {f"val_{name}": float(each) for name, each in validated.items()})
    return curve


def one_hot(y, outputs):
    """Each row's class as a row of zeros and a one."""
    return np.eye(outputs, dtype=np.float32)[y]
