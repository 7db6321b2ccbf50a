"""Layer types of a user who makes mistakes."""

import os
import resource
import signal
import sys
import time
from pathlib import Path

import keras
import numpy as np


def plain(x, units, activation):
    return keras.layers.Dense(units, activation=activation)(x)


def raising(x, units, activation):
    raise RuntimeError(f"no layer of {units} today")


def slow(x, units, activation):
    time.sleep(1.5)
    return plain(x, units, activation)


def hanging(x, units, activation):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(60)


def stuck(x, units, activation):
    while True:
        time.sleep(60)


def hungry(x, units, activation):
    block = np.ones(2**27)
    time.sleep(60)
    return plain(x, units, activation) + float(block[0])


def noisy(x, units, activation):
    print(f"said by process {os.getpid()}")
    sys.stderr.write("said on stderr\n")
    return plain(x, units, activation)


def dying(x, units, activation):
    os.kill(os.getpid(), signal.SIGSEGV)


def wide(x, units, activation, factor=2):
    """Several layers of its own, seeded by their block."""
    x = keras.layers.Dense(units * factor, activation=activation)(x)
    return keras.layers.Dropout(0.2)(x)


def cramped(x, units, activation):
    """No more address space than it has, and some."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**27, resource.RLIM_INFINITY))
    return plain(x, units, activation) + float(np.ones(2**27)[0])


def suicidal(x, units, activation):
    os.kill(os.getpid(), signal.SIGKILL)


def greedy(x, units, activation):
    """Takes as many bytes as the environment says, bit by bit, and keeps them."""
    taken = []
    for _ in range(int(os.environ["GREEDY_BYTES"]) // 2**26):
        taken.append(np.ones(2**23))
        time.sleep(0.02)
    time.sleep(60)
    return plain(x, units, activation) + float(taken[0][0])


def counting(x, units, activation):
    """A layer with a variable that Keras does not know of."""
    import tensorflow as tf

    layer = keras.layers.Dense(units, activation=activation)
    layer.count = tf.Variable(0)
    return layer(x)
