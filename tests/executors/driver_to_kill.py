"""A driver with two busy workers; prints its servers' and their processes, then waits."""

import sys

import numpy as np

from hpsearch.executors.base import Dataset, Job, Started
from hpsearch.executors.local import LocalExecutor
from hpsearch.executors.servers import Servers
from hpsearch.trial import Arrays, InputSpec, Recipe, Target, Task, Training

x, y = np.ones((8, 4), np.float32), np.ones(8, np.int32)
dataset = Dataset(
    InputSpec((4,), "float32"), Target(Task.MULTICLASS, 2, ("a", "b")), Arrays(x, y, x, y)
)
recipe = Recipe(0, "sparse_categorical_crossentropy", "softmax", "val_accuracy", "maximize")
servers = Servers(sys.stderr)
with LocalExecutor(servers, 2) as executor:
    executor.provide(dataset)
    # One in a light worker, one in a loaded one.
    for number in (1, 2):
        values = {"layer_type": "odd_layers:hanging", "units": number}
        training = Training(values, 0, ((1, number),))
        executor.submit(Job(training, recipe, tensorflow=number == 2))
    started = 0
    while started < 2:
        started += sum(isinstance(event, Started) for event in executor.events(1.0))
    workers = [worker.pid for worker in executor._pool.workers.values()]
    pids = [servers.light.pid, servers.loaded.pid, *workers]
    print(*pids, flush=True)
    while True:
        executor.events(60.0)
