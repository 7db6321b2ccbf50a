"""How every random number of a trial derives from the sweep's seed and the trial's.

Pure. Nothing here depends on the config, so all configs of a sweep meet the same orders, and the
same weights where their layers have the same shape: their scores pair up.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["derive", "epoch_order"]

_SEED_BITS = 64


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
