"""A driver with two busy workers; prints its server's and their processes, then waits."""

import sys

import numpy as np

from hpsearch.executors.base import Dataset, Job, Started
from hpsearch.executors.local import LocalExecutor
from hpsearch.trial import Arrays, InputSpec, Recipe, Target, Task, Training

x, y = np.ones((8, 4), np.float32), np.ones(8, np.int32)
dataset = Dataset(
    InputSpec((4,), "float32"), Target(Task.MULTICLASS, 2, ("a", "b")), Arrays(x, y, x, y)
)
recipe = Recipe(0, "sparse_categorical_crossentropy", "softmax", "val_accuracy", "maximize")
with LocalExecutor(2, sys.stderr) as executor:
    executor.provide(dataset)
    for number in (1, 2):
        values = {"layer_type": "odd_layers:hanging", "units": number}
        executor.submit(Job(Training(values, 0, ((1, number),)), recipe))
    started = 0
    while started < 2 or any(worker.pid is None for worker in executor._workers.values()):
        started += sum(isinstance(event, Started) for event in executor.events(1.0))
    pids = [executor._server.pid, *(worker.pid for worker in executor._workers.values())]
    print(*pids, flush=True)
    while True:
        executor.events(60.0)
