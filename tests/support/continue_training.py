"""Continues a training in a process of its own: `continue_training.py DIRECTORY EPOCH EPOCHS`.

Reads the arguments of `make_trainer` and the state after EPOCH; writes the last state, and prints
the trainer's kind and the epochs that it trained.
"""

import json
import pickle
import sys
from pathlib import Path

import numpy as np

from hpsearch.training.make import make_trainer


def main():
    directory, epoch, epochs = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    arguments = pickle.loads((directory / "arguments").read_bytes())
    with np.load(directory / "before.npz", allow_pickle=False) as arrays:
        state = tuple(arrays.values())
    trainer = make_trainer(*arguments)
    trainer.resume(epoch, state)
    curve = [trainer.run_epoch() for _ in range(epoch, epochs)]
    np.savez(directory / "after.npz", *trainer.state())
    print(json.dumps([trainer.kind, curve]))


main()
