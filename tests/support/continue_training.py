"""Continues a training in a process of its own: `continue_training.py DIRECTORY EPOCH EPOCHS`.

Reads the request of a trainer and the state after EPOCH; writes the last state, and prints
the trainer's kind and the epochs that it trained.
"""

import json
import pickle
import sys
from pathlib import Path

import numpy as np

from hpsearch.training.mlps import mlp_trainer


def main():
    directory, epoch, epochs = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    request = pickle.loads((directory / "request").read_bytes())
    with np.load(directory / "before.npz", allow_pickle=False) as arrays:
        state = tuple(arrays.values())
    trainer = mlp_trainer(request)
    trainer.resume(epoch, state)
    curve = [trainer.run_epoch() for _ in range(epoch, epochs)]
    np.savez(directory / "after.npz", *trainer.state())
    print(json.dumps([trainer.kind, curve]))


main()
