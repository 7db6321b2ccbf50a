"""How every random number derives from the sweep's seed, a trial's seed and a counter.

Nothing here depends on the config: all configs of a sweep meet the same shuffles, and the same
initial weights where their layers have the same shape, so their scores pair up.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import numpy as np
import numpy.typing as npt

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


Words = npt.NDArray[np.uint32]

_POOL = 4
_BITS = 32
_MASK = 2**_BITS - 1
_SHIFT = np.uint32(16)
_INITIAL_A, _FACTOR_A = 0x43B0D7E5, 0x931E8875
_INITIAL_B, _FACTOR_B = 0x8B51F9DD, 0x58F38DED
_MIX_LEFT, _MIX_RIGHT = np.uint32(0xCA01F9DD), np.uint32(0x4973F715)


def uniform(seed: int, draws: range, stream: int) -> npt.NDArray[np.float64]:
    """A number in [0, 1) with 53 random bits for each of `draws`: shape `(len(draws),)`.

    Args:
        seed: Not negative.
        draws: Consecutive counters below 2**32.
        stream: Not negative.
    """
    entropy = [
        *(np.full(len(draws), word, np.uint32) for word in _words(seed)),
        np.arange(draws.start, draws.stop, dtype=np.uint32),
        *(np.full(len(draws), word, np.uint32) for word in _words(stream)),
    ]
    low, high, *_ = _mixed(entropy)
    constants = _constants(_INITIAL_B, _FACTOR_B)
    low, high = _hashed(low, constants), _hashed(high, constants)
    bits = low.astype(np.uint64) | high.astype(np.uint64) << np.uint64(_BITS)
    return (bits >> np.uint64(11)) / 2.0**53


def _words(number: int) -> list[int]:
    """A number's 32-bit words, the lowest first; at least one."""
    words = [number & _MASK]
    while number := number >> _BITS:
        words.append(number & _MASK)
    return words


def _constants(initial: int, factor: int) -> Iterator[tuple[np.uint32, np.uint32]]:
    """Each hash takes the constant that the one before left, and leaves its own."""
    while True:
        following = initial * factor & _MASK
        yield np.uint32(initial), np.uint32(following)
        initial = following


def _hashed(words: Words, constants: Iterator[tuple[np.uint32, np.uint32]]) -> Words:
    before, after = next(constants)
    hashed = (words ^ before) * after
    return hashed ^ (hashed >> _SHIFT)


def _mixed(entropy: list[Words]) -> list[Words]:
    """The pool that `SeedSequence` keeps."""
    constants = _constants(_INITIAL_A, _FACTOR_A)
    padded = entropy + [np.zeros_like(entropy[0])] * (_POOL - len(entropy))
    pool = [_hashed(words, constants) for words in padded[:_POOL]]
    for source, target in permutations(range(_POOL), 2):
        pool[target] = _mix(pool[target], _hashed(pool[source], constants))
    for words in padded[_POOL:]:
        pool = [_mix(target, _hashed(words, constants)) for target in pool]
    return pool


def _mix(left: Words, right: Words) -> Words:
    mixed: Words = _MIX_LEFT * left - _MIX_RIGHT * right
    return mixed ^ (mixed >> _SHIFT)


#: Seeds are below.
_FOLD = 2**32


def draw_of(seed: int, fold: int | None) -> int:
    """A seed, and with cross-validation a fold (from 1), as one number, by which rows pair up."""
    return seed + _FOLD * (fold or 0)


def seed_and_fold(draw: int) -> tuple[int, int | None]:
    """What `draw_of` made one number of."""
    fold, seed = divmod(draw, _FOLD)
    return seed, fold or None
