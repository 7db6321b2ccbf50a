"""Seeds and orders are part of the contract: a changed hash would change every score."""

from __future__ import annotations

import numpy as np

from hpsearch.space.seeds import derive, epoch_order


def test_order_is_a_permutation_of_its_own_for_every_epoch():
    first, second = (epoch_order(0, 0, epoch, 100) for epoch in (1, 2))
    assert first.dtype == np.int32
    np.testing.assert_array_equal(np.sort(first), np.arange(100))
    assert not np.array_equal(first, second)


def test_seeds_and_orders_are_pinned():
    assert (derive(0, 0), derive(3, 1)) == (2968811710, 457190280)
    assert epoch_order(0, 0, 1, 8).tolist() == [4, 1, 5, 3, 6, 7, 2, 0]
    assert derive(0, 1) != derive(1, 0)
    assert 0 <= derive(-1, 2**70) < 2**32
