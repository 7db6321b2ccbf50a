"""How every random number derives from the sweep's seed, a trial's seed and a counter.

Nothing here depends on the config: all configs of a sweep meet the same shuffles, and the same
initial weights where their layers have the same shape, so their scores pair up.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_SEED_BITS = 64
#: Of 64 bits, that Philox makes of one counter.
_WORDS = 4


def _entropy(numbers: tuple[int, ...]) -> list[int]:
    # SeedSequence refuses negative numbers.
    return [number % 2**_SEED_BITS for number in numbers]


def derive(*numbers: int) -> int:
    """A 32-bit seed that depends on all of `numbers` and on their order.

    Source: numpy.random.SeedSequence, whose hash is stable across versions and platforms.
    """
    return int(np.random.SeedSequence(_entropy(numbers)).generate_state(1)[0])


def epoch_order(sweep_seed: int, trial_seed: int, epoch: int, rows: int) -> npt.NDArray[np.int32]:
    """The order in which an epoch (from 1) visits the training rows: `(rows,)`, a permutation."""
    sequence = np.random.SeedSequence(_entropy((sweep_seed, trial_seed, epoch)))
    generator = np.random.Generator(np.random.PCG64(sequence))
    return generator.permutation(rows).astype(np.int32)


def uniform(seed: int, counters: range, stream: int) -> npt.NDArray[np.float64]:
    """A number in [0, 1) with 53 random bits for each counter: shape `(len(counters),)`.

    The same for a counter whichever others are asked for with it.

    Args:
        seed: Not negative.
        counters: Consecutive, from 0 on.
        stream: Not negative; other streams are independent.
    """
    key = np.random.SeedSequence([seed, stream]).generate_state(2, np.uint64)
    philox = np.random.Philox(counter=counters.start, key=key)
    # A counter gives four words; one number is taken of each.
    words = philox.random_raw(_WORDS * len(counters))[::_WORDS]
    return (words >> np.uint64(11)) / 2.0**53
