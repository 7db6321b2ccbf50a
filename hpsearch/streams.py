"""Random numbers that derive from a seed, a counter and a stream, for many counters at once.

They are those of `np.random.SeedSequence([seed, draw, stream])`, whose own code takes longer for
one number than all else that a proposal needs.

Source: M. E. O'Neill's `seed_seq_fe`, as numpy/random/bit_generator.pyx has it; numpy keeps its
numbers as they are (NEP 19).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import numpy as np
import numpy.typing as npt

__all__ = ["uniform"]

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
