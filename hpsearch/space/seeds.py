"""Random numbers derived from the sweep's seed, an execution's seed and a counter.

They do not depend on the config: all configs of a sweep get the same shuffles, and layers of equal
shape get the same initial weights, so that scores can be compared in pairs.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_SEED_BITS = 64
#: Number of 64-bit words that Philox returns for one counter.
_WORDS = 4


def _entropy(numbers: tuple[int, ...]) -> list[int]:
    # SeedSequence refuses negative numbers.
    return [number % 2**_SEED_BITS for number in numbers]


def derive(*numbers: int) -> int:
    """Return a 32-bit seed that depends on all `numbers` and their order.

    Source: numpy.random.SeedSequence, whose hash is stable across versions and platforms.
    """
    return int(np.random.SeedSequence(_entropy(numbers)).generate_state(1)[0])


def epoch_order(sweep_seed: int, trial_seed: int, epoch: int, rows: int) -> npt.NDArray[np.int32]:
    """Return the order of the training rows in an epoch (from 1): `(rows,)`, a permutation."""
    sequence = np.random.SeedSequence(_entropy((sweep_seed, trial_seed, epoch)))
    generator = np.random.Generator(np.random.PCG64(sequence))
    return generator.permutation(rows).astype(np.int32)


def uniform(seed: int, counters: range, stream: int) -> npt.NDArray[np.float64]:
    """Return a number in [0, 1) with 53 random bits per counter: shape `(len(counters),)`.

    The number of a counter does not depend on the other counters.

    Args:
        seed: 0 or more.
        counters: Consecutive numbers, 0 or more.
        stream: 0 or more; streams are independent of each other.
    """
    key = np.random.SeedSequence([seed, stream]).generate_state(2, np.uint64)
    philox = np.random.Philox(counter=counters.start, key=key)
    words = philox.random_raw(_WORDS * len(counters))[::_WORDS]
    return (words >> np.uint64(11)) / 2.0**53
