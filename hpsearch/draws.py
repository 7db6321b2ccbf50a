"""What repeats a config: a seed, and with cross-validation a fold, as one number."""

from __future__ import annotations

__all__ = ["draw_of", "seed_and_fold"]

#: Seeds are below.
_FOLD = 2**32


def draw_of(seed: int, fold: int | None) -> int:
    """A seed, and with cross-validation a fold (from 1), as one number, by which rows pair up."""
    return seed + _FOLD * (fold or 0)


def seed_and_fold(draw: int) -> tuple[int, int | None]:
    """What `draw_of` made one number of."""
    fold, seed = divmod(draw, _FOLD)
    return seed, fold or None
